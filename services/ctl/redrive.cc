#include "services/ctl/redrive.h"

#include <algorithm>
#include <map>
#include <span>
#include <thread>
#include <tuple>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/sha256.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/batch_writer.h"
#include "services/ctl/acts.h"

namespace sluice::ctl {
namespace {

using quarantine::v1::Action;
using std::chrono::nanoseconds;

constexpr size_t kProblemsMax = 20;
// A run goes on by itself after what a broker's restart can bring; a run that gets nowhere ends.
constexpr int kAttemptsWithoutProgressMax = 5;
// What is sorted at a time, some 64 bytes each; further ones come in another round.
constexpr size_t kTurnsMax = 1'000'000;
// What is opened at a time.
constexpr size_t kSliceTurns = 4096;
constexpr size_t kSliceBytes = 32 * 1024 * 1024;
constexpr size_t kReferredBytes = 1024 * 1024;  // what a reference may bring
constexpr size_t kRaw = 0, kLedger = 1;         // the writer's topics

// Ids sort by their time.
std::string NewRunId(int64_t now_ms) {
  base::SystemRandom random;
  uint8_t bytes[8] = {};
  (void)random.Fill(bytes);
  base::Sha256 hash;
  hash.Add({reinterpret_cast<const char*>(bytes), sizeof(bytes)});
  return base::StrCat(now_ms, "-", hash.Hex(12));
}

// One run, over as many writers as it takes.
class Runner {
 public:
  Runner(const Site& site, const RunOptions& options) : site_(site), options_(options) {
    run_.set_action(options.action);
    run_.set_by(Operator());
    run_.set_begun_ms(clock_.UnixMillis());
    run_.set_selection(options.selection.ToString());
    run_.set_because(options.because);
  }

  absl::StatusOr<RunReport> Execute() {
    SLUICE_RETURN_IF_ERROR(Prepare());
    report_.run = NewRunId(run_.begun_ms());
    SLUICE_ASSIGN_OR_RETURN(trail::Head head, RecordAct(options_.trail, ActOf("Begin")));
    run_.set_trail(HeadText(head));
    absl::Status ended = Passes();
    trail::Entry result = ActOf("End");
    result.count = run_.records();
    if (!ended.ok()) {
      result.outcome = trail::Outcome::kRefused;
      result.reason = base::View(ended.message());
    }
    SLUICE_RETURN_IF_ERROR(RecordAct(options_.trail, std::move(result)).status());
    if (!ended.ok()) return ended;
    return std::move(report_);
  }

  absl::StatusOr<RunReport> Count() {
    SLUICE_RETURN_IF_ERROR(Prepare());
    SLUICE_ASSIGN_OR_RETURN(ledger_, Ledger::Read(site_));
    SLUICE_RETURN_IF_ERROR(Rounds(SIZE_MAX, [](std::vector<Item>) { return absl::OkStatus(); }));
    return std::move(report_);
  }

 private:
  trail::Entry ActOf(std::string_view which) const {
    bool redrive = options_.action == quarantine::v1::REDRIVEN;
    return {
        .operation = redrive ? trail::Operation::kAlteration : trail::Operation::kErasure,
        .action = base::StrCat(which, redrive ? "RedriveQuarantine" : "DiscardQuarantine"),
        .justification = options_.because,
        .subject = base::StrCat(site_.quarantine(), " run ", report_.run, " ", run_.selection())};
  }

  absl::Status Passes() {
    for (int attempts = 1;; ++attempts) {
      uint64_t before = run_.records();
      absl::Status ended = Pass();
      if (ended.ok()) return ended;
      if (run_.records() > before) attempts = 1;
      if (!absl::IsUnavailable(ended) || attempts >= kAttemptsWithoutProgressMax) return ended;
    }
  }

  // What is written of one record.
  struct Item {
    std::string place;
    quarantine::v1::Payload raw;
    std::optional<int32_t> partition;
    std::string generation, source;

    stream::OutputRecord ToOutput(std::vector<stream::Header>& headers) const {
      headers.clear();
      for (const quarantine::v1::Header& header : raw.headers()) {
        headers.push_back({header.name(), header.has_value() ? std::string_view(header.value())
                                                             : std::string_view()});
      }
      headers.push_back({"sluice-generation", generation});
      headers.push_back({"sluice-redriven", source});
      stream::OutputRecord record{.topic = kRaw, .headers = headers, .partition = partition};
      if (raw.has_key()) record.key = raw.key();
      if (raw.has_value()) record.value = raw.value();
      return record;
    }
  };

  // When it is a chosen record's turn.
  struct Turn {
    int64_t time_ms;        // of itself, or of one before it in its raw partition, if that is later
    uint32_t topic;         // which of the raw topics that had the name
    int32_t raw_partition;  // -1: not known
    int64_t raw_offset;
    Place place;
    size_t bytes;
  };

  absl::Status Prepare() {
    // A redriven event that breaks its contract still comes in behind these.
    SLUICE_ASSIGN_OR_RETURN(ranges_, QuarantineRanges(site_));
    if (options_.action == quarantine::v1::REDRIVEN && !options_.private_key.empty()) {
      SLUICE_ASSIGN_OR_RETURN(opener_, PayloadOpener::Create(site_, options_.private_key));
      SLUICE_ASSIGN_OR_RETURN(auto admin, kafka::Admin::Create(site_.connection));
      SLUICE_ASSIGN_OR_RETURN(raw_partitions_, admin->PartitionCount(site_.raw()));
    }
    return absl::OkStatus();
  }

  // Everything that is chosen, past what the ledger names. Counts anew, by the ledger's word also
  // what this run itself has done before it needed another writer.
  absl::Status Pass() {
    auto writer = kafka::BatchWriter::Create(
        {.connection = site_.connection,
         .transactional_id = base::StrCat("sluice-quarantine-", site_.quarantine()),
         .topics = {site_.raw(), site_.ledger()}});
    if (absl::IsNotFound(writer.status())) return WithoutTopic(writer.status());
    if (!writer.ok()) return writer.status();
    // Only now: the new writer has ended what a former one left open.
    SLUICE_ASSIGN_OR_RETURN(ledger_, Ledger::Read(site_));
    auto known = ledger_.runs().find(report_.run);
    run_.set_records(known == ledger_.runs().end() ? 0 : known->second.records());
    report_ = {.run = report_.run};
    turned_.clear();
    return Rounds((*writer)->record_bytes_max(kRaw),
                  [&](std::vector<Item> batch) { return Write(**writer, batch); });
  }

  using Take = std::function<absl::Status(std::vector<Item> batch)>;

  // Hands what is chosen and can be opened to `take`, in the order in which the raw topic had it:
  // events of one key, which stood in one raw partition, keep their order wherever the quarantine
  // topic has spread them.
  absl::Status Rounds(size_t bytes_max, const Take& take) {
    bool more = true;
    for (bool first = true; more && report_.done < options_.records_max; first = false) {
      SLUICE_ASSIGN_OR_RETURN(std::vector<Turn> turns, Turns(first, more));
      for (size_t begin = 0; begin < turns.size() && report_.done < options_.records_max;) {
        size_t end = begin;
        const uint64_t left = options_.records_max - report_.done;
        for (size_t bytes = 0; end < turns.size() && end - begin < std::min(kSliceTurns, left) &&
                               (end == begin || bytes + turns[end].bytes <= kSliceBytes);
             ++end) {
          bytes += turns[end].bytes;
        }
        SLUICE_RETURN_IF_ERROR(
            Slice(std::span(turns).subspan(begin, end - begin), bytes_max, take));
        begin = end;
      }
    }
    return absl::OkStatus();
  }

  // The turns of a round, in their order. `more`: there are others, in a further round.
  absl::StatusOr<std::vector<Turn>> Turns(bool first, bool& more) {
    std::vector<Turn> turns;
    std::map<std::string, uint32_t, std::less<>> topics;  // by id
    auto in_raw_order = [](const Turn& a, const Turn& b) {
      return std::tie(a.topic, a.raw_partition, a.raw_offset, a.place) <
             std::tie(b.topic, b.raw_partition, b.raw_offset, b.place);
    };
    more = false;
    SLUICE_RETURN_IF_ERROR(
        ReadQuarantine(site_, ranges_, [&](const Quarantined& record) -> absl::StatusOr<bool> {
          if (!Chosen(record, first)) return true;
          auto topic = topics.find(record.topic_id);
          if (topic == topics.end()) {
            auto next = static_cast<uint32_t>(topics.size());
            topic = topics.emplace(record.topic_id, next).first;
          }
          std::optional<Place> raw = RawPlace(site_, record.source);
          turns.push_back({record.timestamp_ms, topic->second, raw ? raw->first : -1,
                           raw ? raw->second : -1, record.place,
                           record.reference ? kReferredBytes : record.sealed.value_or("").size()});
          if (turns.size() < 2 * kTurnsMax) return true;
          // The first of every raw partition: what comes later is then also later in its order.
          more = true;
          std::nth_element(turns.begin(), turns.begin() + kTurnsMax, turns.end(), in_raw_order);
          turns.resize(kTurnsMax);
          return true;
        }));
    std::sort(turns.begin(), turns.end(), in_raw_order);
    if (turns.size() > kTurnsMax) {
      more = true;
      turns.resize(kTurnsMax);
    }
    for (size_t i = 1; i < turns.size(); ++i) {
      const Turn& before = turns[i - 1];
      if (before.topic == turns[i].topic && before.raw_partition == turns[i].raw_partition)
        turns[i].time_ms = std::max(turns[i].time_ms, before.time_ms);
    }
    // By time, so that what is read together stands together in the quarantine topic.
    std::stable_sort(turns.begin(), turns.end(),
                     [](const Turn& a, const Turn& b) { return a.time_ms < b.time_ms; });
    for (const Turn& turn : turns) turned_.insert(turn.place);
    return turns;
  }

  // Opens what has its turn and hands it on.
  absl::Status Slice(std::span<const Turn> turns, size_t bytes_max, const Take& take) {
    absl::flat_hash_map<Place, size_t> wanted;
    std::map<int32_t, kafka::ReadRange> spans;
    for (size_t i = 0; i < turns.size(); ++i) {
      const Place& place = turns[i].place;
      wanted[place] = i;
      auto [span, added] = spans.try_emplace(
          place.first,
          kafka::ReadRange{site_.quarantine(), place.first, place.second, place.second + 1});
      span->second.begin = std::min(span->second.begin, place.second);
      span->second.end = std::max(span->second.end, place.second + 1);
    }
    std::vector<kafka::ReadRange> ranges;
    for (auto& [partition, range] : spans) ranges.push_back(std::move(range));
    std::vector<std::optional<Item>> items(turns.size());
    SLUICE_RETURN_IF_ERROR(
        ReadQuarantine(site_, ranges, [&](const Quarantined& record) -> absl::StatusOr<bool> {
          auto found = wanted.find(record.place);
          if (found == wanted.end()) return true;
          SLUICE_ASSIGN_OR_RETURN(items[found->second], Open(record, bytes_max));
          if (items[found->second]) CountDone(record);
          return true;
        }));
    std::vector<Item> batch;
    for (size_t i = 0; i < items.size(); ++i) {
      if (items[i]) batch.push_back(*std::move(items[i]));
      if (batch.size() < static_cast<size_t>(options_.transaction_records) && i + 1 < items.size())
        continue;
      if (!batch.empty()) SLUICE_RETURN_IF_ERROR(take(std::exchange(batch, {})));
    }
    return absl::OkStatus();
  }

  static absl::Status WithoutTopic(const absl::Status& status) {
    return absl::NotFoundError(base::StrCat(base::View(status.message()),
                                            " (`sluicectl topics apply` makes what a pipeline "
                                            "needs)"));
  }

  // Whether this record is to be taken; at first sight counts why not.
  bool Chosen(const Quarantined& record, bool first) {
    if (!options_.selection.Takes(record) || turned_.contains(record.place)) return false;
    if (first) ++report_.chosen;
    Action fate = ledger_.FateOf(record.place);
    if (ledger_.IsOf(record.place, report_.run)) {
      if (first) CountDone(record);
      return false;
    }
    if (fate == quarantine::v1::REDRIVEN || fate == quarantine::v1::DISCARDED) {
      report_.redriven_before += first && fate == quarantine::v1::REDRIVEN;
      report_.discarded_before += first && fate == quarantine::v1::DISCARDED;
      return false;
    }
    if (options_.action == quarantine::v1::REDRIVEN &&
        record.generation >= options_.generations_max) {
      report_.kept += first;
      return false;
    }
    return true;
  }

  // nullopt, and a problem, where it can't be had; an error only where trying again may help.
  // Without a payload where none is asked for.
  absl::StatusOr<std::optional<Item>> Open(const Quarantined& record, size_t bytes_max) {
    Item item{PlaceName(record.place),
              {},
              std::nullopt,
              base::StrCat(record.generation + 1),
              base::StrCat(site_.quarantine(), '/', PlaceName(record.place))};
    if (!opener_) return item;
    auto raw = opener_->Open(record);
    if (raw.ok()) {
      item.raw = *std::move(raw);
      // Where it stood: its key's later events are there.
      std::optional<Place> place = RawPlace(site_, record.source);
      if (place && place->first < raw_partitions_) item.partition = place->first;
      std::vector<stream::Header> headers;
      if (stream::RecordBytes(item.ToOutput(headers)) <= bytes_max) return item;
      raw = absl::DataLossError("is larger than the raw topic takes: raise its max.message.bytes");
    } else if (!absl::IsDataLoss(raw.status()) && !absl::IsNotFound(raw.status())) {
      return raw.status();
    }
    ++report_.unopenable;
    if (report_.problems.size() < kProblemsMax)
      report_.problems.emplace_back(record.place, base::View(raw.status().message()));
    return std::nullopt;
  }

  void CountDone(const Quarantined& record) {
    ++report_.done;
    for (std::string_view rule : record.Rules()) ++report_.by_rule[std::string(rule)];
  }

  absl::Status Write(kafka::BatchWriter& writer, const std::vector<Item>& batch) {
    Wait(batch.size());
    quarantine::v1::Fate fate;
    fate.set_action(options_.action);
    fate.set_run(report_.run);
    const std::string fate_value = fate.SerializeAsString();
    quarantine::v1::Run run = run_;
    run.set_written_ms(clock_.UnixMillis());
    run.set_records(run_.records() + batch.size());
    const std::string run_key = base::StrCat(kRunPrefix, report_.run);
    const std::string run_value = run.SerializeAsString();

    std::vector<stream::OutputRecord> records;
    std::vector<std::vector<stream::Header>> headers(batch.size());
    for (size_t i = 0; i < batch.size(); ++i) {
      const Item& item = batch[i];
      records.push_back({.topic = kLedger, .key = item.place, .value = fate_value});
      if (options_.action != quarantine::v1::REDRIVEN) continue;
      records.push_back(item.ToOutput(headers[i]));
    }
    records.push_back({.topic = kLedger, .key = run_key, .value = run_value});
    SLUICE_RETURN_IF_ERROR(writer.Write(records, std::nullopt));
    run_ = run;
    options_.progress(run_.records());
    return absl::OkStatus();
  }

  // Until `count` more keep to the rate.
  void Wait(size_t count) {
    auto now = clock_.Now();
    if (due_ > now) {
      if (options_.sleep) {
        options_.sleep(due_ - now);
      } else {
        std::this_thread::sleep_for(due_ - now);
      }
    }
    due_ = std::max(due_, now) +
           nanoseconds(std::chrono::seconds(1)) * count / options_.per_second_max;
  }

  const Site& site_;
  const RunOptions& options_;
  base::SystemClock clock_;
  std::chrono::steady_clock::time_point due_{};
  std::optional<PayloadOpener> opener_;
  quarantine::v1::Run run_;
  std::vector<kafka::ReadRange> ranges_;
  int raw_partitions_ = 0;
  Ledger ledger_;
  absl::flat_hash_set<Place> turned_;  // in this pass
  RunReport report_;
};

absl::Status CheckOptions(const RunOptions& options) {
  if (options.per_second_max < 1 || options.per_second_max > 1'000'000)
    return absl::InvalidArgumentError("--rate must be between 1 and 1000000 a second");
  if (options.transaction_records < 1 || options.transaction_records > 10'000)
    return absl::InvalidArgumentError("--transaction-records must be between 1 and 10000");
  if (options.execute && options.action == quarantine::v1::REDRIVEN && options.private_key.empty())
    return absl::InvalidArgumentError("--private-key: name the quarantine's private key");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RunReport> RunOverQuarantine(const Site& site, const RunOptions& options) {
  SLUICE_RETURN_IF_ERROR(CheckOptions(options));
  Runner runner(site, options);
  return options.execute ? runner.Execute() : runner.Count();
}

namespace {

trail::Entry Showing(const Site& site, const Place& place) {
  return {.operation = trail::Operation::kConsultation,
          .action = "ShowQuarantined",
          .count = 1,
          .subject = base::StrCat(site.quarantine(), '/', PlaceName(place))};
}

}  // namespace

absl::Status RecordNotShown(const Site& site, const Place& place, const std::string& trail,
                            const absl::Status& why) {
  trail::Entry entry = Showing(site, place);
  entry.outcome = trail::Outcome::kRefused;
  entry.reason = base::View(why.message());
  return RecordAct(trail, std::move(entry)).status();
}

absl::Status RecordShown(const Site& site, const Place& place, const std::string& trail) {
  SLUICE_ASSIGN_OR_RETURN(trail::Head head, RecordAct(trail, Showing(site, place)));
  base::SystemClock clock;
  quarantine::v1::Run run;
  run.set_action(quarantine::v1::SHOWN);
  run.set_by(Operator());
  run.set_begun_ms(clock.UnixMillis());
  run.set_written_ms(run.begun_ms());
  run.set_selection(base::StrCat("--at ", PlaceName(place)));
  run.set_records(1);
  run.set_trail(HeadText(head));
  std::string id = NewRunId(run.begun_ms());
  auto writer = kafka::BatchWriter::Create({.connection = site.connection,
                                            .transactional_id = base::StrCat("sluice-shown-", id),
                                            .topics = {site.ledger()}});
  if (absl::IsNotFound(writer.status())) return WithoutLedger(site);
  if (!writer.ok()) return writer.status();
  std::string key = base::StrCat(kRunPrefix, id), value = run.SerializeAsString();
  stream::OutputRecord record{.topic = 0, .key = key, .value = value};
  return (*writer)->Write({&record, 1}, std::nullopt);
}

}  // namespace sluice::ctl
