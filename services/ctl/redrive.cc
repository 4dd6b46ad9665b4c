#include "services/ctl/redrive.h"

#include <algorithm>
#include <array>
#include <thread>

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
constexpr size_t kHeaderBytesMax = 512;  // of what a redriven record carries
constexpr size_t kRaw = 0, kLedger = 1;  // the writer's topics

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
    SLUICE_RETURN_IF_ERROR(
        ReadQuarantine(site_, ranges_, [&](const Quarantined& record) -> absl::StatusOr<bool> {
          if (!Chosen(record)) return true;
          SLUICE_ASSIGN_OR_RETURN(auto raw, Open(record, SIZE_MAX));
          if (raw) CountDone(record);
          return report_.done < options_.records_max;
        }));
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
    PayloadOpener::Raw raw;
    std::string generation, source;
  };

  absl::Status Prepare() {
    // A redriven event that breaks its contract still comes in behind these.
    SLUICE_ASSIGN_OR_RETURN(ranges_, QuarantineRanges(site_));
    if (options_.action == quarantine::v1::REDRIVEN && !options_.private_key.empty()) {
      SLUICE_ASSIGN_OR_RETURN(opener_, PayloadOpener::Create(site_, options_.private_key));
    }
    return absl::OkStatus();
  }

  // From the beginning to the end, past what the ledger names. Counts anew, by the ledger's word
  // also what this run itself has done before it needed another writer.
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

    std::vector<Item> batch;
    auto flush = [&]() -> absl::Status {
      if (batch.empty()) return absl::OkStatus();
      SLUICE_RETURN_IF_ERROR(Write(**writer, batch));
      batch.clear();
      return absl::OkStatus();
    };
    size_t raw_bytes_max = (*writer)->record_bytes_max(kRaw);
    SLUICE_RETURN_IF_ERROR(
        ReadQuarantine(site_, ranges_, [&](const Quarantined& record) -> absl::StatusOr<bool> {
          if (report_.done >= options_.records_max) return false;
          if (!Chosen(record)) return true;
          SLUICE_ASSIGN_OR_RETURN(auto raw, Open(record, raw_bytes_max));
          if (!raw) return true;
          batch.push_back({PlaceName(record.place), *std::move(raw),
                           base::StrCat(record.generation + 1),
                           base::StrCat(site_.quarantine(), '/', PlaceName(record.place))});
          CountDone(record);
          if (batch.size() >= static_cast<size_t>(options_.transaction_records))
            SLUICE_RETURN_IF_ERROR(flush());
          return true;
        }));
    return flush();
  }

  static absl::Status WithoutTopic(const absl::Status& status) {
    return absl::NotFoundError(base::StrCat(base::View(status.message()),
                                            " (`sluicectl topics apply` makes what a pipeline "
                                            "needs)"));
  }

  // Whether this record is to be taken; counts why not.
  bool Chosen(const Quarantined& record) {
    if (!options_.selection.Takes(record)) return false;
    ++report_.chosen;
    Action fate = ledger_.FateOf(record.place);
    if (ledger_.IsOf(record.place, report_.run)) {
      CountDone(record);
      return false;
    }
    if (fate == quarantine::v1::REDRIVEN || fate == quarantine::v1::DISCARDED) {
      ++(fate == quarantine::v1::REDRIVEN ? report_.redriven_before : report_.discarded_before);
      return false;
    }
    if (options_.action == quarantine::v1::REDRIVEN &&
        record.generation >= options_.generations_max) {
      ++report_.kept;
      return false;
    }
    return true;
  }

  // nullopt, and a problem, where it can't be had; an error only where trying again may help. Empty
  // where no payload is asked for.
  absl::StatusOr<std::optional<PayloadOpener::Raw>> Open(const Quarantined& record,
                                                         size_t bytes_max) {
    if (!opener_) return PayloadOpener::Raw();
    auto raw = opener_->Open(record);
    if (absl::IsUnavailable(raw.status()) || absl::IsPermissionDenied(raw.status()))
      return raw.status();
    if (raw.ok() &&
        raw->key.value_or("").size() + raw->value.value_or("").size() + kHeaderBytesMax > bytes_max)
      raw = absl::DataLossError("is larger than the raw topic takes: raise its max.message.bytes");
    if (raw.ok()) return *std::move(raw);
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
    std::vector<std::array<stream::Header, 2>> headers(batch.size());
    for (size_t i = 0; i < batch.size(); ++i) {
      const Item& item = batch[i];
      records.push_back({.topic = kLedger, .key = item.place, .value = fate_value});
      if (options_.action != quarantine::v1::REDRIVEN) continue;
      headers[i] = {{{"sluice-generation", item.generation}, {"sluice-redriven", item.source}}};
      records.push_back(
          {.topic = kRaw, .key = item.raw.key, .value = item.raw.value, .headers = headers[i]});
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
  Ledger ledger_;
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
