#include "common/reference/snapshot.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "common/base/status.h"
#include "common/base/stop_scope.h"
#include "common/base/strings.h"
#include "common/enrichment/geometry.h"
#include "common/reference/guards.h"
#include "common/reference/lmdb_table.h"

namespace sluice::reference {
namespace {

using enrichment::Rows;

enum Step : char { kKeep = 'k', kDrop = 'd', kAdd = 'a' };
constexpr size_t kStepBytes = 5;

// A table takes it for granted that a column's values are of its type.
bool AreOfTheirTypes(const enrichment::Schema& schema, std::span<const event::Value> row) {
  using event::ValueKind;
  for (size_t i = 0; i < row.size(); ++i) {
    if (!row[i].present()) continue;
    ValueKind kind = ValueKind::kText;
    switch (schema.columns()[i].type) {
      case v1::Column::integer:
        kind = ValueKind::kInt;
        break;
      case v1::Column::number:
        kind = ValueKind::kDouble;
        break;
      case v1::Column::boolean:
        kind = ValueKind::kBool;
        break;
      case v1::Column::time:
        kind = ValueKind::kTime;
        break;
      default:
        break;
    }
    if (row[i].kind != kind) return false;
    if (schema.columns()[i].type == v1::Column::area && !enrichment::IsArea(row[i].text()))
      return false;
  }
  return true;
}

// Joins steps of one kind, and cuts the body into parts.
class StepWriter {
 public:
  StepWriter(const BodyOptions& options, absl::FunctionRef<absl::Status(std::string_view)> take)
      : skip_(options.offset), part_bytes_(options.part_bytes), take_(take) {}

  void Count(Step step) {
    if (step != step_ || count_ == std::numeric_limits<uint32_t>::max()) EndRun();
    step_ = step;
    ++count_;
  }
  void Add(std::string_view row) {
    EndRun();
    Append(kAdd, row.size());
    Append(row);
  }
  const absl::Status& status() const { return status_; }
  absl::Status Finish() {
    EndRun();
    if (status_.ok() && !part_.empty()) status_ = take_(part_);
    return status_;
  }

 private:
  void EndRun() {
    if (count_ > 0) Append(step_, count_);
    count_ = 0;
  }
  void Append(Step step, size_t number) {
    char bytes[kStepBytes] = {step};
    auto size = static_cast<uint32_t>(number);
    std::memcpy(bytes + 1, &size, sizeof(size));
    Append({bytes, sizeof(bytes)});
  }
  void Append(std::string_view bytes) {
    size_t skipped = std::min<uint64_t>(skip_, bytes.size());
    skip_ -= skipped;
    bytes.remove_prefix(skipped);
    while (status_.ok() && !bytes.empty()) {
      size_t taken = std::min(bytes.size(), part_bytes_ - part_.size());
      part_.append(bytes.substr(0, taken));
      bytes.remove_prefix(taken);
      if (part_.size() < part_bytes_) break;
      status_ = take_(part_);
      part_.clear();
    }
  }

  uint64_t skip_;
  const size_t part_bytes_;
  const absl::FunctionRef<absl::Status(std::string_view)> take_;
  absl::Status status_;
  std::string part_;
  Step step_ = kKeep;
  size_t count_ = 0;
};

}  // namespace

v1::SnapshotHead SnapshotHeadOf(std::string_view set, const Rows& rows, const Rows* base) {
  base::Sha256 hash;
  uint64_t bytes = 0;
  WriteBody(rows, base, {}, [&](std::string_view part) {
    hash.Add(part);
    bytes += part.size();
    return absl::OkStatus();
  }).IgnoreError();  // kCancelled: whoever writes the body meets it too
  v1::SnapshotHead head;
  head.set_set(std::string(set));
  head.set_id(rows.id());
  if (base != nullptr) head.set_base_id(base->id());
  *head.mutable_schema() = rows.schema().definition();
  head.set_rows(rows.size());
  head.set_bytes(bytes);
  head.set_body_sha256(hash.Hex());
  head.set_mapped(IsMapped(rows));
  return head;
}

absl::Status WriteBody(const Rows& rows, const Rows* base, const BodyOptions& options,
                       absl::FunctionRef<absl::Status(std::string_view)> take) {
  StepWriter steps(options, take);
  auto row = rows.Walk();
  auto old = base == nullptr ? nullptr : base->Walk();
  bool more = row->Next(), more_old = old != nullptr && old->Next();
  while ((more || more_old) && steps.status().ok()) {
    if (base::StopScope::stop_requested()) return absl::CancelledError("interrupted");
    int order = !more ? 1 : !more_old ? -1 : Order(*row, *old);
    if (order == 0 && row->bytes == old->bytes) {
      steps.Count(kKeep);
    } else {
      if (order >= 0) steps.Count(kDrop);
      if (order <= 0) steps.Add(row->bytes);
    }
    if (order <= 0) more = row->Next();
    if (order >= 0) more_old = old->Next();
  }
  return steps.Finish();
}

SnapshotReader::SnapshotReader(v1::SnapshotHead head, const Rows* base)
    : head_(std::move(head)),
      base_left_(base == nullptr ? 0 : base->size()),
      old_(base == nullptr ? nullptr : base->Walk()) {}

absl::StatusOr<std::unique_ptr<SnapshotReader>> SnapshotReader::Create(v1::SnapshotHead head,
                                                                       const Store& store,
                                                                       const Rows* base) {
  std::unique_ptr<SnapshotReader> reader(new SnapshotReader(std::move(head), base));
  if (reader->head_.base_id() != (base == nullptr ? "" : base->id()))
    return reader->Broken("is a difference from another version");
  auto schema = enrichment::Schema::Create(reader->head_.schema());
  if (!schema.ok()) return reader->Broken(base::View(schema.status().message()));
  if (base != nullptr && (*schema)->identity() != base->schema().identity())
    return reader->Broken("has another schema than its base");
  reader->row_.resize((*schema)->columns().size());
  SLUICE_ASSIGN_OR_RETURN(reader->builder_, store.Begin(*std::move(schema)));
  return reader;
}

absl::Status SnapshotReader::Broken(std::string_view what) const {
  return absl::DataLossError(
      base::StrCat("snapshot ", head_.id(), " of '", head_.set(), "': ", what));
}

absl::Status SnapshotReader::Add(std::string_view part) {
  if (part.size() > head_.bytes() - bytes_) return Broken("has more bytes than its head says");
  bytes_ += part.size();
  hash_.Add(part);
  const bool joined = !pending_.empty();
  if (joined) pending_.append(part);
  SLUICE_ASSIGN_OR_RETURN(std::string_view rest, TakeSteps(joined ? pending_ : part));
  if (joined) {
    pending_.erase(0, pending_.size() - rest.size());
  } else {
    pending_ = rest;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string_view> SnapshotReader::TakeSteps(std::string_view text) {
  while (text.size() >= kStepBytes) {
    char step = text[0];
    uint32_t number = 0;
    std::memcpy(&number, text.data() + 1, sizeof(number));
    std::string_view after = text.substr(kStepBytes);
    if (step == kAdd) {
      if (number > head_.bytes()) return Broken("has a row that isn't one");
      if (after.size() < number) break;
      SLUICE_RETURN_IF_ERROR(AddRow(after.substr(0, number), "has a row that isn't one"));
      after.remove_prefix(number);
    } else if ((step == kKeep || step == kDrop) && number <= base_left_) {
      for (uint32_t i = 0; i < number; ++i) {
        if (!old_->Next()) return Broken("keeps more than there is");
        if (step == kKeep) SLUICE_RETURN_IF_ERROR(AddRow(old_->bytes, "has a base that isn't one"));
      }
      base_left_ -= number;
    } else {
      return Broken("has a step that isn't one");
    }
    text = after;
  }
  return text;
}

absl::Status SnapshotReader::AddRow(std::string_view bytes, std::string_view what) {
  if (!enrichment::ReadRow(bytes, row_) || !AreOfTheirTypes(builder_->schema(), row_))
    return Broken(what);
  return builder_->Add(row_, {head_.set(), ++line_, enrichment::RowPlace::kRow});
}

absl::StatusOr<RowsPtr> SnapshotReader::Finish() {
  if (!pending_.empty()) return Broken("ends in the middle");
  if (bytes_ != head_.bytes() || hash_.Hex() != head_.body_sha256())
    return Broken("has other bytes than its head says");
  SLUICE_ASSIGN_OR_RETURN(RowsPtr rows, builder_->Finish());
  if (rows->id() != head_.id()) return Broken("has other rows than its id says");
  return rows;
}

}  // namespace sluice::reference
