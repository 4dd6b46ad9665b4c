#include "services/processor/control_log.h"

#include <chrono>
#include <utility>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/reader.h"

namespace sluice::processor {
namespace {

constexpr int kAnswerMaxMs = 3'000;
constexpr std::chrono::milliseconds kTurnMax(3'000);

}  // namespace

KafkaControlLog::KafkaControlLog(Options options)
    : options_(std::move(options)),
      view_(std::make_shared<const ControlView>(options_.group, options_.input)) {}

std::shared_ptr<const ControlView> KafkaControlLog::view() const {
  base::MutexLock lock(mutex_);
  return view_;
}

absl::StatusOr<kafka::Admin*> KafkaControlLog::Connect() {
  if (admin_ == nullptr) {
    SLUICE_ASSIGN_OR_RETURN(admin_, kafka::Admin::Create(options_.connection, kAnswerMaxMs));
  }
  return admin_.get();
}

// What would lose records, or their order.
absl::Status KafkaControlLog::Check(kafka::Admin& admin) {
  if (checked_) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(auto ranges, admin.Ranges(options_.topic));
  if (ranges.size() != 1) {
    return absl::DataLossError(base::StrCat("has ", ranges.size(),
                                            " partitions: it must be made with one, since the "
                                            "order of its records counts"));
  }
  SLUICE_ASSIGN_OR_RETURN(auto config, admin.DescribeTopic(options_.topic));
  for (const auto& [name, wanted] : std::map<std::string, std::string>{
           {"cleanup.policy", "delete"}, {"retention.ms", "-1"}, {"retention.bytes", "-1"}}) {
    if (config[name] != wanted) {
      return absl::DataLossError(base::StrCat("has ", name, "=", config[name], ": set it to ",
                                              wanted, ", or pins are lost"));
    }
  }
  if (ranges[0].begin > 0) {
    return absl::DataLossError(base::StrCat("its first ", ranges[0].begin,
                                            " records are gone, and which versions they pinned "
                                            "isn't known: begin a new control topic"));
  }
  checked_ = true;
  return absl::OkStatus();
}

absl::Status KafkaControlLog::Read() {
  SLUICE_ASSIGN_OR_RETURN(kafka::Admin * admin, Connect());
  SLUICE_RETURN_IF_ERROR(Check(*admin));
  SLUICE_ASSIGN_OR_RETURN(auto ends, admin->LogEnds(options_.topic));
  if (ends.at(0) < next_) {
    return absl::DataLossError(base::StrCat("ends at ", ends[0], ", and had been read to ", next_,
                                            ": was it made anew? Restart the processors once it "
                                            "has what it had"));
  }
  if (ends[0] == next_) return absl::OkStatus();
  ControlView next = *view();
  kafka::ReadRange range{options_.topic, 0, next_, ends[0]};
  SLUICE_RETURN_IF_ERROR(
      kafka::TopicReader(
          {.connection = options_.connection, .idle_timeout_ms = options_.idle_timeout_ms})
          .Read({&range, 1}, [&next](const kafka::ReadRecord& record) {
            std::string_view value = record.value.value_or("");
            reference::v1::ControlRecord parsed;
            absl::Status added = parsed.ParseFromArray(value.data(), static_cast<int>(value.size()))
                                     ? next.Add(parsed, record.offset)
                                     : absl::DataLossError("isn't a control record");
            if (added.ok()) return added;
            return absl::Status(added.code(), base::StrCat("record ", record.offset, " ",
                                                           base::View(added.message())));
          }));
  next_ = ends[0];
  base::MutexLock lock(mutex_);
  view_ = std::make_shared<const ControlView>(std::move(next));
  return absl::OkStatus();
}

KafkaControlLog::Turn::Turn(KafkaControlLog& log) : log_(log) {
  base::MutexLock lock(log_.mutex_);
  if (lock.WaitFor(log_.turn_ended_, kTurnMax, [this] { return !log_.taken_; })) {
    log_.taken_ = true;
  } else {
    status_ = absl::UnavailableError("another worker is reading it, and waits for the brokers");
  }
}

KafkaControlLog::Turn::~Turn() {
  if (!status_.ok()) return;
  {
    base::MutexLock lock(log_.mutex_);
    log_.taken_ = false;
  }
  log_.turn_ended_.notify_one();
}

absl::Status KafkaControlLog::ReadOn() {
  Turn turn(*this);
  absl::Status read = turn.status();
  if (read.ok()) read = Read();
  if (read.ok()) return read;
  if (turn.status().ok()) admin_.reset();
  return absl::Status(read.code(), base::StrCat("control topic ", options_.topic, ": ",
                                                base::View(read.message())));
}

absl::StatusOr<std::vector<int64_t>> KafkaControlLog::Committed() {
  Turn turn(*this);
  SLUICE_RETURN_IF_ERROR(turn.status());
  SLUICE_ASSIGN_OR_RETURN(kafka::Admin * admin, Connect());
  auto committed = admin->Committed(options_.group, options_.input);
  if (!committed.ok()) admin_.reset();
  return committed;
}

}  // namespace sluice::processor
