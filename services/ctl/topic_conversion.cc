#include "services/ctl/topic_conversion.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/batch_writer.h"
#include "common/kafka/reader.h"

namespace sluice::ctl {
namespace {

using base::StrCat;

constexpr size_t kBatchBytesMax = 4 * 1024 * 1024;
constexpr int kAttemptsWithoutProgressMax = 5;
// After the first; twice as long after each that follows without progress.
constexpr std::chrono::milliseconds kPauseMin{250};

// A record whose texts wait in the converter: key and value where it has them, then its headers'.
struct Waiting {
  int64_t offset = 0;
  int64_t timestamp_ms = -1;
  bool has_key = false, has_value = false;
  bool protobuf = false;
  size_t value_bytes = 0;
  std::vector<std::string> header_names;
};

class TopicConversion {
 public:
  TopicConversion(const kafka::ConnectionOptions& connection, const TopicConversionOptions& options,
                  PseudonymConverter& converter)
      : connection_(connection), options_(options), converter_(converter) {}

  absl::StatusOr<TopicConversionReport> Run() {
    if (options_.from == options_.to)
      return absl::InvalidArgumentError("--to: name another topic than --from");
    SLUICE_ASSIGN_OR_RETURN(admin_, kafka::Admin::Create(connection_));
    SLUICE_ASSIGN_OR_RETURN(int from, admin_->PartitionCount(options_.from));
    SLUICE_ASSIGN_OR_RETURN(int to, admin_->PartitionCount(options_.to));
    // Else equal keys of one partition come from several.
    if (from != to) {
      return absl::InvalidArgumentError(StrCat(options_.to, " has ", to, " partitions and ",
                                               options_.from, " ", from, ": make it with as many"));
    }
    SLUICE_ASSIGN_OR_RETURN(ends_, admin_->LogEnds(options_.from));
    reached_.resize(ends_.size());
    for (int attempts = 1;; ++attempts) {
      const uint64_t written = report_.written;
      absl::Status ended = Pass();
      if (ended.ok()) break;
      if (report_.written > written) attempts = 1;
      if (!absl::IsUnavailable(ended) || attempts >= kAttemptsWithoutProgressMax) return ended;
      std::this_thread::sleep_for(kPauseMin * (1 << (attempts - 1)));
    }
    report_.pseudonyms = converter_.counts();
    return report_;
  }

 private:
  // Behind what is committed, to the ends.
  absl::Status Pass() {
    const std::string work = StrCat("sluice-rotate-", options_.from, "-", options_.to);
    SLUICE_ASSIGN_OR_RETURN(writer_, kafka::BatchWriter::Create({.connection = connection_,
                                                                 .transactional_id = work,
                                                                 .topics = {options_.to},
                                                                 .group = work}));
    // Only now: the new writer has ended what a former one left open.
    SLUICE_ASSIGN_OR_RETURN(auto committed, admin_->Committed(work, options_.from));
    SLUICE_ASSIGN_OR_RETURN(auto ranges, admin_->Ranges(options_.from));
    if (committed.size() != ends_.size() || ranges.size() != ends_.size())
      return absl::UnavailableError(StrCat(options_.from, ": its partitions change: try again"));
    done_ = total_ = 0;
    for (size_t i = 0; i < ends_.size(); ++i)
      total_ += static_cast<uint64_t>(std::max<int64_t>(0, ends_[i] - ranges[i].begin));
    kafka::TopicReader reader({connection_});
    for (size_t i = 0; i < ends_.size(); ++i) {
      const int64_t begin = ranges[i].begin;
      const int64_t from = std::clamp(committed[i], begin, std::max(begin, ends_[i]));
      SLUICE_RETURN_IF_ERROR(CountTo(reader, i, begin, from));
      done_ += static_cast<uint64_t>(from - begin);
      SLUICE_RETURN_IF_ERROR(ConvertPartition(reader, i, from));
    }
    return absl::OkStatus();
  }

  // What is committed up to `end` and isn't counted: what former runs wrote, or this one in a
  // transaction whose end it wasn't told of.
  absl::Status CountTo(kafka::TopicReader& reader, size_t partition, int64_t begin, int64_t end) {
    std::optional<int64_t>& reached = reached_[partition];
    const int64_t from = reached.value_or(begin);
    uint64_t records = 0;
    if (from < end) {
      const kafka::ReadRange range{options_.from, static_cast<int32_t>(partition), from, end};
      SLUICE_RETURN_IF_ERROR(reader.Read({&range, 1}, [&](const kafka::ReadRecord&) {
        ++records;
        return absl::OkStatus();
      }));
    }
    (reached ? report_.written : report_.before) += records;
    reached = end;
    return absl::OkStatus();
  }

  absl::Status ConvertPartition(kafka::TopicReader& reader, size_t partition, int64_t from) {
    const auto number = static_cast<int32_t>(partition);
    if (from >= ends_[partition]) return absl::OkStatus();
    const kafka::ReadRange range{options_.from, number, from, ends_[partition]};
    waiting_.clear();
    SLUICE_RETURN_IF_ERROR(reader.Read({&range, 1}, [&](const kafka::ReadRecord& record) {
      Add(record);
      const bool full = waiting_.size() >= static_cast<size_t>(options_.transaction_records) ||
                        converter_.pseudonyms() >= options_.pseudonyms_max ||
                        converter_.bytes() >= kBatchBytesMax;
      return full ? Write(number) : absl::OkStatus();
    }));
    return Write(number);
  }

  void Add(const kafka::ReadRecord& record) {
    Waiting& waiting = waiting_.emplace_back();
    waiting.offset = record.offset;
    waiting.timestamp_ms = record.timestamp_ms;
    waiting.has_key = record.key.has_value();
    waiting.has_value = record.value.has_value();
    if (record.key) converter_.Add(*record.key);
    if (record.value) converter_.Add(*record.value);
    waiting.value_bytes = record.value.value_or("").size();
    for (const auto& header : record.headers) {
      waiting.header_names.emplace_back(header.name);
      converter_.Add(header.value);
      if (header.name == "content-type")
        waiting.protobuf = header.value.find("protobuf") != std::string_view::npos;
    }
  }

  // What waits, in one transaction.
  absl::Status Write(int32_t partition) {
    auto taken = converter_.Take();
    std::vector<Waiting> waiting = std::move(waiting_);
    waiting_.clear();
    if (!taken.ok()) return taken.status();
    if (waiting.empty()) return absl::OkStatus();
    size_t text = 0, headers_total = 0;
    for (const Waiting& one : waiting) headers_total += one.header_names.size();
    std::vector<stream::Header> headers;
    headers.reserve(headers_total);
    std::vector<stream::OutputRecord> records;
    for (const Waiting& one : waiting) {
      stream::OutputRecord& record = records.emplace_back();
      if (one.has_key) record.key = (*taken)[text++];
      if (one.has_value) record.value = (*taken)[text++];
      const size_t first = headers.size();
      for (const std::string& name : one.header_names) headers.push_back({name, (*taken)[text++]});
      record.headers = {headers.data() + first, one.header_names.size()};
      if (one.timestamp_ms >= 0) record.timestamp_ms = one.timestamp_ms;
      SLUICE_RETURN_IF_ERROR(Check(one, record, partition));
    }
    SLUICE_RETURN_IF_ERROR(writer_->Write(
        records,
        stream::Position{
            .topic = options_.from, .partition = partition, .offset = waiting.back().offset + 1}));
    report_.written += waiting.size();
    reached_[static_cast<size_t>(partition)] = waiting.back().offset + 1;
    done_ += waiting.size();
    options_.progress(std::min(done_, total_), total_);
    return absl::OkStatus();
  }

  absl::Status Check(const Waiting& one, const stream::OutputRecord& record,
                     int32_t partition) const {
    auto refused = [&](std::string_view what) {
      return absl::FailedPreconditionError(
          StrCat(options_.from, "/", partition, "/", one.offset, ": ", what));
    };
    if (one.protobuf && record.value.value_or("").size() != one.value_bytes) {
      return refused(
          "is protobuf, and the newest epoch's pseudonyms have another length: have whoever "
          "consumes it convert it");
    }
    if (stream::RecordBytes(record) > writer_->record_bytes_max(0))
      return refused(StrCat("is larger, converted, than ", options_.to,
                            " takes: raise its max.message.bytes"));
    return absl::OkStatus();
  }

  const kafka::ConnectionOptions& connection_;
  const TopicConversionOptions& options_;
  PseudonymConverter& converter_;
  std::unique_ptr<kafka::Admin> admin_;
  std::unique_ptr<kafka::BatchWriter> writer_;
  std::vector<int64_t> ends_;  // by partition
  std::vector<Waiting> waiting_;
  std::vector<std::optional<int64_t>> reached_;  // by partition, up to where all is counted
  uint64_t done_ = 0, total_ = 0;
  TopicConversionReport report_;
};

}  // namespace

absl::StatusOr<TopicConversionReport> ConvertTopic(const kafka::ConnectionOptions& connection,
                                                   const TopicConversionOptions& options,
                                                   PseudonymConverter& converter) {
  return TopicConversion(connection, options, converter).Run();
}

}  // namespace sluice::ctl
