#include "common/enrichment/row_set.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "common/base/status.h"
#include "common/base/stoppable_sort.h"
#include "common/base/strings.h"

namespace sluice::enrichment {

using event::Value;
using event::ValueKind;

static_assert(std::endian::native == std::endian::little,
              "ids are hashes of little-endian numbers");

namespace {

template <typename T>
void AppendNumber(T number, std::string& out) {
  out.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

template <typename T>
T LoadNumber(const char* at) {
  T number;
  std::memcpy(&number, at, sizeof(number));
  return number;
}

// Bytes of a value behind its kind.
size_t SizeOf(ValueKind kind, const char* at) {
  switch (kind) {
    case ValueKind::kBool:
      return 1;
    case ValueKind::kInt:
    case ValueKind::kDouble:
      return 8;
    case ValueKind::kTime:
      return 12;
    case ValueKind::kText:
      return 4 + LoadNumber<uint32_t>(at);
    default:
      return 0;
  }
}

}  // namespace

void AppendRow(std::span<const Value> row, std::string& out) {
  for (const Value& value : row) {
    out.push_back(static_cast<char>(value.kind));
    switch (value.kind) {
      case ValueKind::kBool:
        out.push_back(value.boolean ? 1 : 0);
        break;
      case ValueKind::kInt:
        AppendNumber(value.integer, out);
        break;
      case ValueKind::kDouble:
        AppendNumber(value.number, out);
        break;
      case ValueKind::kTime:
        AppendNumber(value.seconds, out);
        AppendNumber(value.nanos, out);
        break;
      case ValueKind::kText:
        AppendNumber(value.size, out);
        out.append(value.text());
        break;
      default:
        break;
    }
  }
}

Value CellOfRow(const char* bytes, size_t column) {
  for (; column > 0; --column) bytes += 1 + SizeOf(static_cast<ValueKind>(*bytes), bytes + 1);
  auto kind = static_cast<ValueKind>(*bytes++);
  switch (kind) {
    case ValueKind::kBool:
      return Value::Bool(*bytes != 0);
    case ValueKind::kInt:
      return Value::Int(LoadNumber<int64_t>(bytes));
    case ValueKind::kDouble:
      return Value::Double(LoadNumber<double>(bytes));
    case ValueKind::kTime:
      return Value::Time(LoadNumber<int64_t>(bytes), LoadNumber<int32_t>(bytes + 8));
    case ValueKind::kText:
      return Value::Text({bytes + 4, LoadNumber<uint32_t>(bytes)});
    default:
      return Value();
  }
}

size_t SizeOfRow(const char* bytes, size_t columns) {
  const char* at = bytes;
  for (; columns > 0; --columns) at += 1 + SizeOf(static_cast<ValueKind>(*at), at + 1);
  return static_cast<size_t>(at - bytes);
}

bool ReadRow(std::string_view bytes, std::span<Value> row) {
  for (Value& value : row) {
    if (bytes.empty()) return false;
    auto kind = static_cast<ValueKind>(bytes[0]);
    if (kind > ValueKind::kTime) return false;
    if (kind == ValueKind::kText && bytes.size() < 5) return false;
    size_t size = 1 + SizeOf(kind, bytes.data() + 1);
    if (bytes.size() < size) return false;
    value = CellOfRow(bytes.data(), 0);
    bytes.remove_prefix(size);
  }
  return bytes.empty();
}

class RowSet::RowCursor final : public Rows::Cursor {
 public:
  explicit RowCursor(const RowSet& rows) : rows_(rows) {}
  bool Next() override {
    if (at_ == rows_.size()) return false;
    key = rows_.key(at_);
    hash = HashKey(key);
    if (!rows_.intervals_.empty()) interval = rows_.intervals_[at_];
    buffer_.clear();
    AppendRow(rows_.row(at_++), buffer_);
    bytes = buffer_;
    return true;
  }

 private:
  const RowSet& rows_;
  size_t at_ = 0;
  std::string buffer_;
};

std::unique_ptr<Rows::Cursor> RowSet::Walk() const { return std::make_unique<RowCursor>(*this); }

RowSet::Builder::Builder(std::shared_ptr<const Schema> schema)
    : schema_(std::move(schema)), set_(new RowSet()) {}

std::string RowPlace::ToString() const {
  if (noun == kFeature) return base::StrCat(source, ": features[", number, "]");
  return base::StrCat(source, noun == kRow ? ": row " : ": line ", number);
}

absl::Status RowError(const Schema& schema, std::span<const Value> row, const RowPlace& place,
                      std::string_view what) {
  return absl::InvalidArgumentError(
      base::StrCat(place.ToString(), schema.KeyForPeople(row), ": ", what));
}

absl::Status SameKeyError(const Schema& schema, std::span<const Value> row, const RowPlace& place,
                          const RowPlace& before) {
  return RowError(
      schema, row, place,
      schema.has_interval()
          ? base::StrCat("the row of ", before.ToString(), " has the same key and overlaps it")
          : base::StrCat("this key stands in ", before.ToString(), " too"));
}

absl::Status NoRowsError(uint64_t never_hold) {
  if (never_hold == 0) return absl::InvalidArgumentError("there are no rows");
  return absl::InvalidArgumentError(
      base::StrCat("there are no rows: all ", never_hold,
                   " of the source begin and end at once, and never hold"));
}

absl::Status RowSet::Builder::Add(std::span<const Value> row, const RowPlace& place) {
  auto error = [&](std::string_view what) { return RowError(*schema_, row, place, what); };
  if (base::StopScope::stop_requested()) return absl::CancelledError("interrupted");
  if (absl::Status kept = schema_->Check(row); !kept.ok()) return error(base::View(kept.message()));
  Row added{};
  if (schema_->has_interval()) {
    absl::StatusOr<Interval> interval = schema_->IntervalOf(row);
    if (!interval.ok()) return error(base::View(interval.status().message()));
    if (!interval->Holds()) {
      ++never_hold_;
      return absl::OkStatus();
    }
    added.interval = *interval;
  }
  if (!schema_->key().empty()) {
    auto key = encoder_.EncodeRow(*schema_, row);
    if (!key) return error("the key is empty or too long");
    added.key = set_->arena_.Copy(*key);
  }
  added.hash = HashKey(added.key);
  auto* cells = set_->arena_.AllocateArray<Value>(row.size());
  for (size_t i = 0; i < row.size(); ++i) {
    cells[i] = row[i];
    if (row[i].kind == ValueKind::kText) cells[i] = Value::Text(set_->arena_.Copy(row[i].text()));
  }
  added.cells = cells;
  added.source = sources_.Add(place);
  added.number = place.number;
  rows_.push_back(added);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const RowSet>> RowSet::Builder::Finish() {
  if (rows_.empty()) return NoRowsError(never_hold_);
  // By place where all else is equal, so that errors name the later row.
  auto less = [](const Row& a, const Row& b) {
    return std::tie(a.hash, a.key, a.interval.low, a.interval.high, a.source, a.number) <
           std::tie(b.hash, b.key, b.interval.low, b.interval.high, b.source, b.number);
  };
  if (!base::SortUnlessStopped(rows_.begin(), rows_.end(), less))
    return absl::CancelledError("interrupted");
  for (size_t i = 1; i < rows_.size(); ++i) {
    const Row& before = rows_[i - 1];
    const Row& row = rows_[i];
    if (row.key != before.key) continue;
    if (schema_->has_interval() && row.interval.low >= before.interval.high) continue;
    return SameKeyError(*schema_, {row.cells, schema_->columns().size()},
                        sources_.Place(row.source, row.number),
                        sources_.Place(before.source, before.number));
  }
  std::shared_ptr<RowSet> set = std::move(set_);
  set->schema_ = schema_;
  set->cells_.reserve(rows_.size() * schema_->columns().size());
  set->key_ends_.reserve(rows_.size());
  SnapshotId id(*schema_);
  std::string bytes;
  for (const Row& row : rows_) {
    if (base::StopScope::stop_requested()) return absl::CancelledError("interrupted");
    std::span<const Value> cells(row.cells, schema_->columns().size());
    set->cells_.insert(set->cells_.end(), cells.begin(), cells.end());
    set->keys_.append(row.key);
    set->key_ends_.push_back(set->keys_.size());
    if (schema_->has_interval()) set->intervals_.push_back(row.interval);
    bytes.clear();
    AppendRow(cells, bytes);
    id.Add(bytes);
  }
  set->id_ = id.Finish();
  rows_.clear();
  sources_.Clear();
  set_.reset(new RowSet());
  return set;
}

}  // namespace sluice::enrichment
