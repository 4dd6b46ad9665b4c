#include "services/processor/engine_transform.h"

#include <algorithm>
#include <map>

#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::processor {
namespace {

// Partitions that stand at different versions take turns in a worker's transactions.
constexpr int kIdleTransactionsMax = 50;
// What is held for its order is handed over before it is more: thousands of records.
constexpr size_t kHeldBytesMax = size_t{4} * 1024 * 1024;
// More than the driver finds while any of them can still be read again.
constexpr size_t kRefusedMax = 256;

}  // namespace

std::vector<std::string> OutputTopics(const config::v1::Pipeline& pipeline) {
  std::vector<std::string> topics;
  for (const config::v1::Stream& stream : pipeline.streams()) topics.push_back(stream.topic());
  topics.push_back(pipeline.quarantine().topic());
  return topics;
}

absl::Status EngineTransform::Process(std::span<const base::InputRecord> records,
                                      stream::Output& output) {
  if (guard_ != nullptr) SLUICE_RETURN_IF_ERROR(guard_->refusal());
  if (!open_) SLUICE_RETURN_IF_ERROR(TakeEdition());
  auto start = clock_.Now();
  SLUICE_RETURN_IF_ERROR(defects_.Check(start));
  SLUICE_RETURN_IF_ERROR(Divide(records));
  SLUICE_RETURN_IF_ERROR(CheckSelf());
  output_ = &output;
  const bool alone = Judge(records);
  std::optional<Deaths::AtWork> at_work;
  if (deaths_ != nullptr) at_work.emplace(records, alone, at_work_);
  for (Part& part : parts_) {
    engine::Engine& engine = *part.edition->keyed.engine;
    engine.ShowWork(&at_work_);
    engine.Read(part.records, CondemnedOf(part), alone);
  }
  SLUICE_RETURN_IF_ERROR(WaitForRows(records[0]));
  auto read = clock_.Now();
  for (const Part& part : parts_) {
    absl::Status status = part.edition->keyed.engine->Pseudonymise();
    part.edition->check_due |= absl::IsUnavailable(status);
    SLUICE_RETURN_IF_ERROR(status);
  }
  auto pseudonymised = clock_.Now();
  open_ = true;
  // Not before: what failed until here is tried again, with a newer edition where there is one.
  for (const Part& part : parts_) {
    if (std::find(used_.begin(), used_.end(), part.edition) == used_.end())
      used_.push_back(part.edition);
  }
  if (pins_ != nullptr) SLUICE_RETURN_IF_ERROR(pins_->Write(quarantine_topic_ + 2, output));
  now_ms_ = clock_.UnixMillis();
  const size_t held = shuffle_.count();
  for (const Part& part : parts_) {
    absl::Status status = part.edition->keyed.engine->Write(*this);
    if (status.ok()) continue;
    shuffle_.Drop(held);  // nothing of a chunk that failed is handed over later
    return status;
  }
  if (shuffle_.bytes() > kHeldBytesMax) SLUICE_RETURN_IF_ERROR(shuffle_.Release(output));
  auto written = clock_.Now();
  size_t defects = 0;
  for (const Part& part : parts_) defects += part.edition->keyed.engine->defects();
  defects_.Add(written, records.size(), defects);
  if (alone) passed_.insert(passed_.end(), suspects_.begin(), suspects_.end());
  for (const base::InputRecord& record : records) {
    if (record.timestamp_ms >= 0) timestamps_ms_.push_back(record.timestamp_ms);
  }
  probe_.Stage(Probe::kRead, read - start);
  probe_.Stage(Probe::kPseudonymise, pseudonymised - read);
  probe_.Stage(Probe::kWrite, written - pseudonymised);
  return absl::OkStatus();
}

// Whether one of the records is to be worked on alone; then suspects_ says which.
bool EngineTransform::Judge(std::span<const base::InputRecord> records) {
  suspects_.clear();
  if (deaths_ == nullptr || deaths_->notes() == 0) return false;
  for (const base::InputRecord& record : records) {
    const Deaths::Verdict verdict = deaths_->Judge(record);
    if (verdict == Deaths::Verdict::kSound) continue;
    suspects_.push_back({std::string(record.topic), record.partition, record.offset,
                         verdict == Deaths::Verdict::kCondemned});
  }
  return !suspects_.empty();
}

std::span<const size_t> EngineTransform::CondemnedOf(const Part& part) {
  condemned_.clear();
  for (size_t i = 0; i < part.records.size() && !suspects_.empty(); ++i) {
    const base::InputRecord& record = part.records[i];
    if (std::any_of(suspects_.begin(), suspects_.end(), [&](const Suspect& suspect) {
          return suspect.condemned && suspect.offset == record.offset &&
                 suspect.partition == record.partition;
        }))
      condemned_.push_back(i);
  }
  return condemned_;
}

absl::Status EngineTransform::TakeEdition() {
  if (std::optional<std::string> reason = slot_.blocked()) return absl::UnavailableError(*reason);
  auto start = clock_.Now();
  if (std::unique_ptr<WorkerEdition> edition = slot_.Take()) {
    running_.swap(edition);
    if (pins_ != nullptr) {
      bool same = edition != nullptr && edition->edition.setup == running_->edition.setup;
      if (same) older_.push_back({std::move(edition), *newest_.ids});
      // What is joined by another configuration is of no more use.
      for (Older& older : older_)
        if (!same) slot_.Retire(std::move(older.edition));
      if (!same) older_.clear();
      const SetsState& sets = *running_->edition.sets;
      newest_ = {sets.activation, std::make_shared<const VersionIds>(sets.ids())};
      // The same versions with other classifications are joined as they are classified now.
      std::erase_if(older_, [&](Older& older) {
        if (older.ids != *newest_.ids) return false;
        slot_.Retire(std::move(older.edition));
        return true;
      });
    }
    if (edition != nullptr) slot_.Retire(std::move(edition));
    probe_.Swapped(clock_.Now() - start);
  }
  if (running_ == nullptr) return absl::UnavailableError("waits for its first edition");
  return absl::OkStatus();
}

absl::Status EngineTransform::Divide(std::span<const base::InputRecord> records) {
  parts_.clear();
  if (pins_ == nullptr) {
    parts_.push_back({running_.get(), nullptr, records, {}});
    return absl::OkStatus();
  }
  SLUICE_RETURN_IF_ERROR(pins_->Prepare(records, /*first=*/!open_));
  runs_.clear();
  bool divided = false;
  for (size_t begin = 0, end = 0; begin < records.size(); begin = end) {
    const base::InputRecord& first = records[begin];
    SLUICE_ASSIGN_OR_RETURN(Pins::Choice choice,
                            pins_->Choose(first.partition, first.offset, newest_));
    while (end < records.size() && records[end].partition == first.partition &&
           records[end].offset < choice.until)
      ++end;
    divided |= !runs_.empty() && *choice.ids != *runs_[0].ids;
    runs_.push_back({std::move(choice.ids), records.subspan(begin, end - begin)});
  }
  if (!divided) return AddPart(runs_[0].ids, records);
  // Each run goes into the first part of its versions that isn't before one with records of its
  // partition, so that each partition's order stays.
  std::map<int32_t, size_t> last;
  for (const Run& run : runs_) {
    size_t& at = last[run.records[0].partition];
    while (at < parts_.size() && *parts_[at].ids != *run.ids) ++at;
    if (at == parts_.size()) SLUICE_RETURN_IF_ERROR(AddPart(run.ids, {}));
    std::vector<base::InputRecord>& picked = parts_[at].picked;
    picked.insert(picked.end(), run.records.begin(), run.records.end());
  }
  for (Part& part : parts_) part.records = part.picked;
  return absl::OkStatus();
}

absl::Status EngineTransform::AddPart(std::shared_ptr<const VersionIds> ids,
                                      std::span<const base::InputRecord> records) {
  auto is_free = [this](const WorkerEdition* edition) {
    return std::none_of(parts_.begin(), parts_.end(),
                        [edition](const Part& part) { return part.edition == edition; });
  };
  WorkerEdition* edition = nullptr;
  if (*ids == *newest_.ids && is_free(running_.get())) edition = running_.get();
  for (Older& older : older_) {
    if (edition != nullptr || older.ids != *ids || !is_free(older.edition.get())) continue;
    older.idle_transactions = 0;
    edition = older.edition.get();
  }
  if (edition == nullptr) {
    auto made = slot_.TakeOlder(*ids);
    // One that was made before the configuration changed is asked for again.
    if (made.ok() && (*made)->edition.setup != running_->edition.setup) {
      slot_.Retire(*std::move(made));
      made = slot_.TakeOlder(*ids);
    }
    if (!made.ok()) {
      probe_.PinWait("version");
      return made.status();
    }
    edition = made->get();
    older_.push_back({*std::move(made), *ids});
  }
  parts_.push_back({edition, std::move(ids), records, {}});
  return absl::OkStatus();
}

// An edition's first chunk finds it unchecked: at the start, after a reload, with other versions of
// its sets.
absl::Status EngineTransform::CheckSelf() {
  for (const Part& part : parts_) {
    WorkerEdition& edition = *part.edition;
    const auto now = clock_.Now();
    if (!edition.checked || edition.check_due || now - *edition.checked >= kSelfCheckInterval) {
      edition.check_due = true;  // until it has passed
      absl::Status status = edition.keyed.engine->CheckSelf();
      if (absl::IsUnavailable(status)) return status;
      std::chrono::nanoseconds unnoticed{0};
      if (edition.checked && edition.used) unnoticed = *edition.used - *edition.checked;
      probe_.SelfChecked(status.ok(), unnoticed);
      if (!status.ok()) return status;
      edition.checked = now;
      edition.check_due = false;
    }
    edition.used = now;
  }
  return absl::OkStatus();
}

absl::Status EngineTransform::WaitForRows(const base::InputRecord& first) {
  for (const Part& part : parts_) {
    const std::optional<engine::Engine::Wait>& wait = part.edition->keyed.engine->wait();
    if (!wait) continue;
    if (!held_ || held_->partition != first.partition || held_->offset != first.offset)
      held_ = {first.partition, first.offset, clock_.Now()};
    if (clock_.UnixMillis() < wait->until_ms &&
        clock_.Now() - held_->since < std::chrono::milliseconds(wait->at_most_ms)) {
      return absl::UnavailableError(
          base::StrCat("waits for a row of the reference set '", wait->set, "'"));
    }
  }
  held_.reset();
  return absl::OkStatus();
}

absl::Status EngineTransform::Finish(stream::Output& output) { return shuffle_.Release(output); }
absl::Status EngineTransform::Committing(std::span<const stream::Position> next,
                                         stream::Output& output) {
  // What is behind a position is done with, and its offset may one day be another topic's.
  for (const stream::Position& position : next) {
    std::erase_if(refused_, [&](const std::pair<int32_t, int64_t>& at) {
      return at.first == position.partition && at.second < position.offset;
    });
  }
  if (recorder_ == nullptr) return absl::OkStatus();
  const Setup& setup = *running_->edition.setup;
  std::shared_ptr<const HeldKeys> remote;
  if (setup.key_service != nullptr && guard_ != nullptr) remote = guard_->service_keys();
  return recorder_->Write(next, running_->edition.pipeline->fingerprint(),
                          remote != nullptr ? remote : setup.held_keys, output);
}

void EngineTransform::Assigned() {
  held_.reset();
  refused_.clear();
  if (pins_ != nullptr) pins_->Forget();
}

void EngineTransform::Committed() {
  std::span<const int64_t> timestamps_ms = timestamps_ms_;
  for (WorkerEdition* used : used_) {
    probe_.Events(*used->edition.pipeline, used->keyed.engine->tally(),
                  std::exchange(timestamps_ms, {}), clock_.UnixMillis());
  }
  if (pins_ != nullptr) pins_->Committed();
  for (const Suspect& suspect : passed_)
    deaths_->Passed(suspect.topic, suspect.partition, suspect.offset + 1);
  // Counted by what was committed: a try that is repeated uses nothing up.
  std::erase_if(older_, [this](Older& older) {
    if (std::find(used_.begin(), used_.end(), older.edition.get()) != used_.end()) {
      older.idle_transactions = 0;
      return false;
    }
    if (++older.idle_transactions <= kIdleTransactionsMax) return false;
    slot_.Retire(std::move(older.edition));
    return true;
  });
  if (recorder_ != nullptr) recorder_->Committed();
  Clear();
}

void EngineTransform::Discarded() {
  shuffle_.Clear();
  // Whether a pin of this worker's own was committed after all is for the topic to say.
  if (pins_ != nullptr) pins_->Forget();
  Clear();
}

void EngineTransform::Clear() {
  open_ = false;
  passed_.clear();
  timestamps_ms_.clear();
  for (WorkerEdition* used : used_) {
    used->keyed.engine->tally().Clear();
    used->keyed.engine->NewBatch();
  }
  used_.clear();
}

absl::Status EngineTransform::Clean(const base::InputRecord& record,
                                    const engine::CleanRecord& clean) {
  fault_.Pass(record.partition, record.offset);
  if (clean.timestamp_grid_ms == 0) return output_->Produce(ToOutput(clean));
  shuffle_.Hold(ToOutput(clean));
  return absl::OkStatus();
}

absl::Status EngineTransform::Quarantined(const base::InputRecord&,
                                          const engine::QuarantineRecord& quarantined) {
  return output_->Produce(ToOutput(quarantined));
}

bool EngineTransform::Fits(const engine::CleanRecord& clean) const {
  return stream::RecordBytes(ToOutput(clean)) <= output_->record_bytes_max(clean.stream);
}

bool EngineTransform::Fits(const engine::QuarantineRecord& quarantined) const {
  return stream::RecordBytes(ToOutput(quarantined)) <= output_->record_bytes_max(quarantine_topic_);
}

// The quarantine's topic and the control topic must take what they are given.
bool EngineTransform::Refused(const stream::Position& record, size_t output) {
  std::pair<int32_t, int64_t> at(record.partition, record.offset);
  bool known = std::find(refused_.begin(), refused_.end(), at) != refused_.end();
  if (output >= quarantine_topic_ || known) return false;
  if (refused_.size() == kRefusedMax) refused_.pop_front();
  refused_.push_back(at);
  return true;
}

bool EngineTransform::Refused(const base::InputRecord& record) const {
  if (refused_.empty()) [[likely]]
    return false;
  return std::find(refused_.begin(), refused_.end(), std::pair(record.partition, record.offset)) !=
         refused_.end();
}

stream::OutputRecord EngineTransform::ToOutput(const engine::CleanRecord& clean) const {
  // To the millisecond, the time of publishing is one event's in every stream.
  std::optional<int64_t> timestamp_ms = clean.timestamp_ms;
  if (clean.timestamp_grid_ms > 0) timestamp_ms = now_ms_ - now_ms_ % clean.timestamp_grid_ms;
  return {clean.stream, clean.key, clean.value, clean.headers, timestamp_ms};
}

stream::OutputRecord EngineTransform::ToOutput(const engine::QuarantineRecord& quarantined) const {
  return {quarantine_topic_, quarantined.key, quarantined.value, quarantined.headers, std::nullopt};
}

}  // namespace sluice::processor
