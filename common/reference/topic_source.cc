#include "common/reference/topic_source.h"

#include <algorithm>
#include <vector>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/enrichment/row_reader.h"
#include "common/kafka/admin.h"
#include "common/kafka/reader.h"

namespace sluice::reference {
namespace {

absl::Status Away(const std::string& topic, const absl::Status& status) {
  std::string text = base::StrCat("topic ", topic, ": ", base::View(status.message()));
  if (absl::IsNotFound(status) || absl::IsPermissionDenied(status))
    return absl::Status(status.code(), text);
  return absl::UnavailableError(text);
}

// Only to be told apart from a row.
class OneRow final : public enrichment::RowSink {
 public:
  explicit OneRow(enrichment::RowSet::Builder& builder) : builder_(builder) {}
  const enrichment::Schema& schema() const override { return builder_.schema(); }
  absl::Status Add(std::span<const event::Value> row, std::string_view source, int line) override {
    ++count;
    return builder_.Add(row, source, line);
  }
  int count = 0;

 private:
  enrichment::RowSet::Builder& builder_;
};

}  // namespace

absl::StatusOr<std::string> TopicSource::Mark() {
  auto admin = kafka::Admin::Create(connection_);
  if (!admin.ok()) return Away(config_.name(), admin.status());
  auto ranges = (*admin)->Ranges(config_.name());
  if (!ranges.ok()) return Away(config_.name(), ranges.status());
  std::string mark;
  for (const kafka::PartitionRange& range : *ranges) base::StrAppend(mark, range.end, ' ');
  return mark;
}

absl::Status TopicSource::Follow() {
  auto admin = kafka::Admin::Create(connection_);
  if (!admin.ok()) return Away(config_.name(), admin.status());
  auto ranges = (*admin)->Ranges(config_.name());
  if (!ranges.ok()) return Away(config_.name(), ranges.status());
  bool anew = std::any_of(ranges->begin(), ranges->end(), [&](const auto& range) {
    auto next = next_.find(range.partition);
    return next != next_.end() && (range.end < next->second || range.begin > next->second);
  });
  if (anew) {
    next_.clear();
    rows_.clear();
    bytes_ = 0;
  }
  std::vector<kafka::ReadRange> wanted;
  for (const kafka::PartitionRange& range : *ranges) {
    int64_t begin = next_.try_emplace(range.partition, range.begin).first->second;
    wanted.push_back({config_.name(), range.partition, begin, range.end});
  }
  absl::Status read = kafka::TopicReader({.connection = connection_})
                          .Read(wanted, [&](const kafka::ReadRecord& record) -> absl::Status {
                            std::pair key(record.partition, std::string(record.key.value_or("")));
                            if (auto old = rows_.find(key); old != rows_.end()) {
                              bytes_ -= old->second.value.size() + key.second.size();
                              rows_.erase(old);
                            }
                            next_[record.partition] = record.offset + 1;
                            if (!record.value) return absl::OkStatus();
                            bytes_ += record.value->size() + key.second.size();
                            if (bytes_ > kBytesMax) {
                              return absl::ResourceExhaustedError(base::StrCat(
                                  "holds more than ", kBytesMax, " bytes of keys and values"));
                            }
                            rows_[key] = {record.offset, std::string(*record.value)};
                            return absl::OkStatus();
                          });
  if (absl::IsResourceExhausted(read)) {
    next_.clear();
    rows_.clear();
    bytes_ = 0;
    return absl::FailedPreconditionError(
        base::StrCat("topic ", config_.name(), ": ", base::View(read.message())));
  }
  if (!read.ok()) return Away(config_.name(), read);
  for (const kafka::ReadRange& range : wanted) next_[range.partition] = range.end;
  return absl::OkStatus();
}

absl::StatusOr<RowsPtr> TopicSource::Read() {
  SLUICE_RETURN_IF_ERROR(Follow());
  enrichment::RowSet::Builder builder(schema_);
  for (auto& [key, row] : rows_) {
    // A line break between values is white space.
    std::replace(row.value.begin(), row.value.end(), '\n', ' ');
    std::string place = base::StrCat("topic ", config_.name(), "/", key.first, "/", row.offset);
    OneRow sink(builder);
    SLUICE_RETURN_IF_ERROR(enrichment::ReadJsonLines(row.value, place, sink));
    if (sink.count != 1)
      return absl::InvalidArgumentError(base::StrCat(place, ": isn't one JSON object"));
  }
  if (builder.size() == 0) {
    return absl::InvalidArgumentError(
        base::StrCat("topic ", config_.name(), ": there are no rows"));
  }
  return builder.Finish();
}

}  // namespace sluice::reference
