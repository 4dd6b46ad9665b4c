#include "common/reference/topic_source.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/enrichment/row_reader.h"

namespace sluice::reference {
namespace {

absl::Status Away(const std::string& topic, const absl::Status& status) {
  std::string text = base::StrCat("topic ", topic, ": ", base::View(status.message()));
  if (absl::IsNotFound(status) || absl::IsPermissionDenied(status))
    return absl::Status(status.code(), text);
  return absl::UnavailableError(text);
}

// JSON's null, whatever stands around it.
bool IsNull(std::string_view value) {
  constexpr std::string_view kSpace = " \t\r\n";
  size_t begin = value.find_first_not_of(kSpace);
  return begin != std::string_view::npos &&
         value.substr(begin, value.find_last_not_of(kSpace) + 1 - begin) == "null";
}

// Only to be told apart from a row.
class OneRow final : public enrichment::RowSink {
 public:
  explicit OneRow(VersionBuilder& builder) : builder_(builder) {}
  const enrichment::Schema& schema() const override { return builder_.schema(); }
  absl::Status Add(std::span<const event::Value> row, const enrichment::RowPlace& place) override {
    ++count;
    return builder_.Add(row, place);
  }
  int count = 0;

 private:
  VersionBuilder& builder_;
};

}  // namespace

TopicSource::TopicSource(const config::v1::CompactedTopic& config,
                         std::shared_ptr<const enrichment::Schema> schema,
                         kafka::ConnectionOptions connection, Store store,
                         std::shared_ptr<const Interrupt> interrupt)
    : config_(config),
      schema_(std::move(schema)),
      connection_(std::move(connection)),
      store_(std::move(store)),
      interrupt_(std::move(interrupt)) {}

TopicSource::~TopicSource() = default;

absl::Status TopicSource::Wrong(std::string_view what) const {
  return absl::FailedPreconditionError(base::StrCat("topic ", config_.name(), ": ", what));
}

std::string TopicSource::Named(const Place& place) const {
  return base::StrCat(config_.name(), "/", place.partition, "/", place.offset);
}

absl::StatusOr<TopicSource::State> TopicSource::Look() {
  auto look = [&]() -> absl::StatusOr<State> {
    if (admin_ == nullptr) {
      SLUICE_ASSIGN_OR_RETURN(admin_, kafka::Admin::Create(connection_, kAnswerMs));
    }
    State state;
    SLUICE_ASSIGN_OR_RETURN(state.id, admin_->TopicId(config_.name()));
    // A client goes on with the leaders that it knows of a topic by this name.
    if (std::exchange(admin_id_, state.id) != state.id) {
      SLUICE_ASSIGN_OR_RETURN(admin_, kafka::Admin::Create(connection_, kAnswerMs));
    }
    if (interrupt_->raised()) return absl::CancelledError("interrupted");
    SLUICE_ASSIGN_OR_RETURN(state.ranges, admin_->Ranges(config_.name()));
    return state;
  };
  auto state = look();
  if (state.ok()) return state;
  admin_.reset();
  if (absl::IsCancelled(state.status())) return state;
  return Away(config_.name(), state.status());
}

absl::StatusOr<std::string> TopicSource::Mark() {
  SLUICE_ASSIGN_OR_RETURN(State state, Look());
  std::string mark = state.id;
  for (const kafka::PartitionRange& range : state.ranges) base::StrAppend(mark, ' ', range.end);
  return mark;
}

void TopicSource::Forget() {
  next_.clear();
  rows_.Clear();
  keyless_.reset();
}

absl::Status TopicSource::Take(const kafka::ReadRecord& record) {
  if (interrupt_->raised()) return absl::CancelledError("interrupted");
  const Place place{record.partition, record.offset};
  next_[record.partition] = record.offset + 1;
  if (!record.key) {
    if (!keyless_) keyless_ = place;
    return absl::OkStatus();
  }
  const std::string_view value = record.value.value_or(std::string_view());
  const bool has_value = record.value.has_value() && !IsNull(value);
  rows_.Put(*record.key, place.partition, place.offset,
            has_value ? std::optional(value) : std::nullopt);
  if (rows_.bytes() > kBytesMax) {
    return absl::ResourceExhaustedError(
        base::StrCat("holds more than ", kBytesMax, " bytes of keys and values"));
  }
  return absl::OkStatus();
}

absl::Status TopicSource::Follow() {
  SLUICE_ASSIGN_OR_RETURN(State state, Look());
  const bool another =
      state.id != id_ || state.ranges.size() < next_.size() ||
      std::any_of(state.ranges.begin(), state.ranges.end(), [&](const auto& range) {
        auto next = next_.find(range.partition);
        return next != next_.end() && (range.end < next->second || range.begin > next->second);
      });
  if (another) Forget();
  id_ = state.id;
  std::vector<kafka::ReadRange> wanted;
  for (const kafka::PartitionRange& range : state.ranges) {
    int64_t begin = next_.try_emplace(range.partition, range.begin).first->second;
    wanted.push_back({config_.name(), range.partition, begin, range.end});
  }
  absl::Status read =
      kafka::TopicReader({.connection = connection_, .idle_timeout_ms = kIdleMs})
          .Read(wanted, [&](const kafka::ReadRecord& record) { return Take(record); });
  if (absl::IsResourceExhausted(read) || absl::IsCancelled(read)) {
    Forget();
    return absl::IsCancelled(read) ? read : Wrong(base::View(read.message()));
  }
  if (!read.ok()) return Away(config_.name(), read);
  for (const kafka::ReadRange& range : wanted) next_[range.partition] = range.end;
  // A topic that was made again meanwhile may have given some of the records.
  auto after = Look();
  if (after.ok() && after->id == id_) return absl::OkStatus();
  Forget();
  SLUICE_RETURN_IF_ERROR(after.status());
  return absl::UnavailableError(
      base::StrCat("topic ", config_.name(), ": was made again while it was read"));
}

absl::Status TopicSource::CheckRows() const {
  if (keyless_) {
    return Wrong(base::StrCat(
        "the record ", Named(*keyless_),
        " has no key, and a row is known by it: write records with keys, and the topic again"));
  }
  if (auto one = rows_.FindTwice(); one != rows_.rows().end()) {
    auto other = std::next(one);
    return Wrong(base::StrCat("one key has a row on two partitions, in the records ",
                              Named({one->first.second, one->second.offset}), " and ",
                              Named({other->first.second, other->second.offset}),
                              ": which is the newer can't be known; write a tombstone for the key "
                              "to the partition of the one that is to go"));
  }
  return absl::OkStatus();
}

absl::StatusOr<RowsPtr> TopicSource::Read() {
  SLUICE_RETURN_IF_ERROR(Follow());
  SLUICE_RETURN_IF_ERROR(CheckRows());
  SLUICE_ASSIGN_OR_RETURN(auto builder, store_.Begin(schema_));
  enrichment::ColumnsSeen seen(*schema_);
  std::string text;
  for (const auto& [at, row] : rows_.rows()) {
    // A line break between values is white space.
    text = row.value;
    std::replace(text.begin(), text.end(), '\n', ' ');
    std::string place = base::StrCat("topic ", Named({at.second, row.offset}));
    OneRow sink(*builder);
    SLUICE_RETURN_IF_ERROR(enrichment::ReadJsonLinesPart(text, place, sink, seen));
    if (sink.count != 1)
      return absl::InvalidArgumentError(base::StrCat(place, ": isn't one JSON object"));
  }
  const std::string name = base::StrCat("topic ", config_.name());
  if (builder->size() + builder->never_hold() > 0) SLUICE_RETURN_IF_ERROR(seen.Check(name));
  auto rows = builder->Finish();
  never_hold_ = builder->never_hold();
  if (!rows.ok() && builder->size() == 0) {
    return absl::InvalidArgumentError(
        base::StrCat(name, ": ", base::View(rows.status().message())));
  }
  return rows;
}

}  // namespace sluice::reference
