#include "services/processor/editions.h"

#include <google/protobuf/util/message_differencer.h>

#include <utility>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/config/file_state.h"
#include "common/privacy/epoch_record.h"
#include "services/processor/engine_transform.h"

namespace sluice::processor {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// How soon replaced editions are destroyed: a worker takes a new one at its next records.
constexpr std::chrono::milliseconds kRetireInterval{200};
// How soon an edition is made that a worker waits for, and how soon again after a failure.
constexpr std::chrono::milliseconds kOlderInterval{20};
constexpr std::chrono::milliseconds kOlderRetry{1000};

// The path of the first field in which the messages differ; empty: in none.
std::string FirstDifference(const Message& a, const Message& b) {
  const auto& differ = google::protobuf::util::MessageDifferencer::Equals;
  if (differ(a, b)) return "";
  const auto* descriptor = a.GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    std::unique_ptr<Message> only_a(a.New()), only_b(b.New());
    only_a->CopyFrom(a);
    only_b->CopyFrom(b);
    for (int other = 0; other < descriptor->field_count(); ++other) {
      if (other == i) continue;
      only_a->GetReflection()->ClearField(only_a.get(), descriptor->field(other));
      only_b->GetReflection()->ClearField(only_b.get(), descriptor->field(other));
    }
    if (differ(*only_a, *only_b)) continue;
    if (field->is_repeated() || field->type() != FieldDescriptor::TYPE_MESSAGE)
      return field->name();
    std::string inner = FirstDifference(a.GetReflection()->GetMessage(a, field),
                                        b.GetReflection()->GetMessage(b, field));
    return inner.empty() ? field->name() : base::StrCat(field->name(), ".", inner);
  }
  return "";
}

// What only a restart changes: clients, threads and ports are made from it.
config::v1::Processor Fixed(const config::v1::Processor& config) {
  config::v1::Processor fixed = config;
  const config::v1::Pipeline& pipeline = config.pipeline();
  fixed.clear_contracts();
  fixed.clear_pseudonymiser();
  // sluicectl's.
  fixed.clear_trail();
  fixed.clear_topics();
  fixed.mutable_reference()->clear_local();
  config::v1::Pipeline& kept = *fixed.mutable_pipeline();
  kept.Clear();
  kept.set_contract(pipeline.contract());
  kept.mutable_input()->set_topic(pipeline.input().topic());
  kept.mutable_quarantine()->set_topic(pipeline.quarantine().topic());
  kept.set_name(pipeline.name());
  return fixed;
}

// One person must not get two pseudonyms of one epoch.
absl::Status CheckSuccessor(const Setup& running, const Setup& next) {
  if (!next.keyring->SameRoot(*running.keyring)) {
    return absl::FailedPreconditionError(base::StrCat(
        next.config.pseudonymiser().local().keyring(),
        ": is another keyring than the one in use: every pseudonym would change. Put the one of "
        "before back"));
  }
  return privacy::EpochRecord::Of(*running.keyring, "the keyring in use").Check(*next.keyring);
}

}  // namespace

absl::Status CanReplace(const Setup& running, const Setup& next) {
  std::string path = FirstDifference(Fixed(running.config), Fixed(next.config));
  // Streams are told apart by their topics: the producers know those that they were made with.
  if (path.empty() &&
      OutputTopics(running.config.pipeline()) != OutputTopics(next.config.pipeline()))
    path = "pipeline.streams.topic";
  if (path.empty() && running.keyring && next.keyring) return CheckSuccessor(running, next);
  if (path.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(base::StrCat(
      next.config_file, ": ", path,
      " can't change while the processor runs: restart it, or put the old value back"));
}

Editions::Editions(Options options, Setup first, Probe& probe, base::RandomSource& random,
                   const base::Clock& clock)
    : options_(options), probe_(probe), random_(random), clock_(clock), loaded_at_(clock.Now()) {
  auto setup = std::make_shared<const Setup>(std::move(first));
  if (setup->key_service != nullptr) setup->key_service->Observe(&probe_);
  current_ = {setup, setup->pipeline, setup->joined.state};
  read_ = seen_ = config::FileState(setup->files);
}

Editions::~Editions() {
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  current().setup->joined.sets->Stop();
  if (thread_.joinable()) thread_.join();
  if (older_thread_.joinable()) older_thread_.join();
}

EditionSlot& Editions::AddWorker() { return *slots_.emplace_back(std::make_unique<EditionSlot>()); }

absl::Status Editions::Start() {
  Edition first = current();
  if (first.pipeline == nullptr) {
    for (const auto& slot : slots_) slot->Block(first.setup->joined.waiting);
  } else {
    SLUICE_RETURN_IF_ERROR(Replace(first));
  }
  thread_ = std::thread([this] { Run(); });
  if (options_.control != nullptr) older_thread_ = std::thread([this] { RunOlder(); });
  return absl::OkStatus();
}

void Editions::Reload() {
  {
    base::MutexLock lock(mutex_);
    reload_ = true;
  }
  changed_.notify_all();
}

Edition Editions::current() const {
  base::MutexLock lock(mutex_);
  return current_;
}

void Editions::Run() {
  auto look_at = clock_.Now() + options_.look_interval;
  while (true) {
    bool reload = false;
    {
      base::MutexLock lock(mutex_);
      lock.WaitFor(changed_, kRetireInterval,
                   [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return stop_ || reload_; });
      if (stop_) return;
      reload = std::exchange(reload_, false);
    }
    DestroyRetired();
    CheckUsable();
    if (options_.look_interval.count() > 0 && clock_.Now() >= look_at) {
      look_at = clock_.Now() + options_.look_interval;
      Edition running = current();
      std::string found = config::FileState(running.setup->files);
      reload |= found != read_ && found == seen_;
      seen_ = std::move(found);
      bool new_sets = running.setup->joined.sets->Look() != sets_read_;
      if (!reload && (new_sets || running.pipeline == nullptr)) LoadSets();
      if (options_.fenced && !reload) FollowFence();
    }
    if (reload) {
      ReadAgain();
      if (options_.fenced) FollowFence();
    }
  }
}

void Editions::ReadAgain() {
  Edition running = current();
  // Before they are read: what changes meanwhile is seen at the next look.
  read_ = config::FileState(running.setup->files);
  sets_read_ = running.setup->joined.sets->Look();
  LoadOptions options;
  options.may_wait = true;
  options.running_config = &running.setup->config.reference();
  options.running = running.setup->joined;
  options.running.state = running.sets;
  absl::Status refused;
  auto next = LoadSetup(running.setup->config_file, options);
  if (!next.ok()) {
    refused = next.status();
  } else {
    // Given on the command line.
    if (next->config.kafka().instance().empty())
      next->config.mutable_kafka()->set_instance(running.setup->config.kafka().instance());
    refused = CanReplace(*running.setup, *next);
    if (refused.ok() && check_keys_) refused = check_keys_(*next);
    if (refused.ok() && next->pipeline == nullptr)
      refused = absl::UnavailableError(next->joined.waiting);
  }
  if (refused.ok()) {
    auto setup = std::make_shared<const Setup>(*std::move(next));
    if (setup->key_service != nullptr) setup->key_service->Observe(&probe_);
    refused = Replace({setup, setup->pipeline, setup->joined.state});
    if (refused.ok() && setup->joined.sets != running.setup->joined.sets) sets_read_ = 0;
    // It may name other files.
    if (refused.ok()) read_ = seen_ = config::FileState(setup->files);
  }
  Finish(refused);
}

void Editions::LoadSets() {
  Edition running = current();
  const JoinedSets& joined = running.setup->joined;
  sets_read_ = joined.sets->Look();
  absl::Status refused;
  auto state = joined.sets->Load([&](int set, const absl::Status& status) {
    refused.Update(absl::Status(
        status.code(), base::StrCat(running.setup->config_file, ": reference.local.sets[", set,
                                    "]: ", base::View(status.message()))));
  });
  refused.Update(state.status());
  if (absl::IsUnavailable(refused) && running.pipeline == nullptr) {
    // Still so, perhaps for another reason.
    for (const auto& slot : slots_) slot->Block(std::string(base::View(refused.message())));
    return;
  }
  if (refused.ok()) {
    auto next = EditionOf(running, *std::move(state));
    refused = next.status();
    if (refused.ok()) {
      // A fence to come finds them.
      refused = options_.fenced && running.pipeline != nullptr ? joined.sets->Use(next->sets)
                                                               : Replace(*next);
    }
  }
  Finish(refused);
}

absl::StatusOr<Edition> Editions::EditionOf(const Edition& running,
                                            std::shared_ptr<const SetsState> sets) const {
  SLUICE_ASSIGN_OR_RETURN(auto pipeline, CompilePipeline(running.setup->config.pipeline(),
                                                         running.setup->contract, *sets));
  return Edition{running.setup, std::move(pipeline), std::move(sets)};
}

void Editions::FollowFence() {
  // Where it can't be read, workers say so.
  if (!options_.control->ReadOn().ok()) return;
  std::shared_ptr<const ControlView> view = options_.control->view();
  Edition running = current();
  if (view->fences().empty() || running.pipeline == nullptr) return;
  const Fence& fence = view->fences().back();
  if (fence.number == fence_ && running.sets->ids() == *fence.ids) return;
  auto sets = running.setup->joined.sets->Find(*fence.ids);
  absl::Status refused = sets.status();
  if (refused.ok()) {
    auto next = EditionOf(running, *std::move(sets));
    refused = next.ok() ? Replace(*next) : next.status();
  }
  if (refused.ok()) fence_ = fence.number;
  Finish(refused);
}

void Editions::RunOlder() {
  while (true) {
    {
      base::MutexLock lock(mutex_);
      lock.WaitFor(changed_, kOlderInterval,
                   [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return stop_; });
      if (stop_) return;
    }
    if (clock_.Now() < older_at_) continue;
    for (const auto& slot : slots_) MakeOlder(*slot);
  }
}

void Editions::MakeOlder(EditionSlot& slot) {
  VersionIds ids = slot.wanted();
  if (ids.empty()) return;
  Edition running = current();
  auto make = [&]() -> absl::StatusOr<std::unique_ptr<WorkerEdition>> {
    std::shared_ptr<const SetsState> sets = older_[ids].lock();
    if (sets == nullptr && running.sets->ids() == ids) sets = running.sets;
    if (sets == nullptr) {
      SLUICE_ASSIGN_OR_RETURN(sets, running.setup->joined.sets->Find(ids));
    }
    older_[ids] = sets;
    SLUICE_ASSIGN_OR_RETURN(Edition edition, EditionOf(running, sets));
    SLUICE_ASSIGN_OR_RETURN(KeyedEngine keyed,
                            KeyedEngine::Create(*edition.setup, edition.pipeline, random_));
    return std::make_unique<WorkerEdition>(WorkerEdition{std::move(edition), std::move(keyed)});
  };
  auto made = make();
  if (!made.ok()) older_at_ = clock_.Now() + kOlderRetry;
  slot.OfferOlder(ids, std::move(made));
  std::erase_if(older_, [](const auto& older) { return older.second.expired(); });
}

void Editions::Finish(const absl::Status& refused) {
  {
    base::MutexLock lock(mutex_);
    ++(refused.ok() ? accepted_ : refused_);
    refusal_ = base::View(refused.message());
  }
  probe_.Reloaded(refused);
}

void Editions::CheckUsable() {
  Edition running = current();
  if (running.pipeline == nullptr) return;
  absl::Status usable = options_.pinned ? absl::OkStatus() : running.setup->joined.sets->Usable();
  std::string why(base::View(usable.message()));
  if (why == unusable_) return;
  unusable_ = why;
  for (const auto& slot : slots_) slot->Block(usable.ok() ? std::nullopt : std::optional(why));
}

absl::Status Editions::Replace(const Edition& next) {
  std::vector<std::unique_ptr<WorkerEdition>> made;
  for (size_t i = 0; i < slots_.size(); ++i) {
    SLUICE_ASSIGN_OR_RETURN(KeyedEngine keyed,
                            KeyedEngine::Create(*next.setup, next.pipeline, random_));
    made.push_back(std::make_unique<WorkerEdition>(WorkerEdition{next, std::move(keyed)}));
  }
  SLUICE_RETURN_IF_ERROR(next.setup->joined.sets->Use(next.sets));
  // Nothing can fail from here on: all workers get it or none.
  for (size_t i = 0; i < slots_.size(); ++i) {
    slots_[i]->Offer(std::move(made[i]));
    if (unusable_.empty()) slots_[i]->Block(std::nullopt);
  }
  Edition before;
  {
    base::MutexLock lock(mutex_);
    before = std::exchange(current_, next);
    loaded_at_ = clock_.Now();
  }
  probe_.Running(before.pipeline.get(), *next.pipeline);
  return absl::OkStatus();
}

void Editions::DestroyRetired() {
  for (const auto& slot : slots_) slot->TakeRetired();
}

void Editions::FillStatus(v1::GetStatusResponse& status) const {
  base::MutexLock lock(mutex_);
  status.set_reloads_accepted(accepted_);
  status.set_reloads_refused(refused_);
  status.set_reload_refusal(refusal_);
}

void Editions::Collect() const {
  base::MutexLock lock(mutex_);
  if (current_.pipeline != nullptr)
    probe_.SnapshotAge(*current_.pipeline, clock_.Now() - loaded_at_);
  probe_.Unconfirmed(current_.setup->joined.sets->unconfirmed());
  probe_.Freshness(current_.setup->joined.sets->freshness());
  if (current_.setup->keyring) probe_.Keyring(*current_.setup->keyring);
  const auto& keys = current_.setup->key_service;
  probe_.KeyServiceAway(keys != nullptr && keys->away().has_value());
}

}  // namespace sluice::processor
