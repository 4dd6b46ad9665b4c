#include "common/reference/snapshot.h"

#include <cstring>
#include <vector>

#include "common/base/sha256.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/reference/guards.h"

namespace sluice::reference {
namespace {

using enrichment::Rows;
using enrichment::RowSet;

enum Step : char { kKeep = 'k', kDrop = 'd', kAdd = 'a' };
constexpr size_t kStepBytes = 5;

void AppendStep(Step step, size_t number, std::string& out) {
  out.push_back(step);
  auto size = static_cast<uint32_t>(number);
  out.append(reinterpret_cast<const char*>(&size), sizeof(size));
}

// Joins steps of one kind.
class StepWriter {
 public:
  explicit StepWriter(std::string& out) : out_(out) {}
  void Count(Step step) {
    if (step != step_) Flush();
    step_ = step;
    ++count_;
  }
  void Add(std::string_view row) {
    Flush();
    AppendStep(kAdd, row.size(), out_);
    out_.append(row);
  }
  void Flush() {
    if (count_ > 0) AppendStep(step_, count_, out_);
    count_ = 0;
  }

 private:
  std::string& out_;
  Step step_ = kKeep;
  size_t count_ = 0;
};

std::string HashOf(std::string_view body) {
  base::Sha256 hash;
  hash.Add(body);
  return hash.Hex();
}

}  // namespace

Snapshot WriteSnapshot(std::string_view set, const Rows& rows, const Rows* base) {
  Snapshot snapshot;
  StepWriter steps(snapshot.body);
  auto row = rows.Walk();
  auto old = base == nullptr ? nullptr : base->Walk();
  bool more = row->Next(), more_old = old != nullptr && old->Next();
  while (more || more_old) {
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
  steps.Flush();
  v1::SnapshotHead& head = snapshot.head;
  head.set_set(std::string(set));
  head.set_id(rows.id());
  if (base != nullptr) head.set_base_id(base->id());
  *head.mutable_schema() = rows.schema().definition();
  head.set_rows(rows.size());
  head.set_bytes(snapshot.body.size());
  head.set_body_sha256(HashOf(snapshot.body));
  return snapshot;
}

absl::StatusOr<RowsPtr> ReadSnapshot(const Snapshot& snapshot, const Rows* base) {
  const v1::SnapshotHead& head = snapshot.head;
  auto broken = [&](std::string_view what) {
    return absl::DataLossError(
        base::StrCat("snapshot ", head.id(), " of '", head.set(), "': ", what));
  };
  if (head.base_id() != (base == nullptr ? "" : base->id()))
    return broken("is a difference from another version");
  if (head.bytes() != snapshot.body.size() || head.body_sha256() != HashOf(snapshot.body))
    return broken("has other bytes than its head says");
  auto schema = enrichment::Schema::Create(head.schema());
  if (!schema.ok()) return broken(base::View(schema.status().message()));
  if (base != nullptr && (*schema)->identity() != base->schema().identity())
    return broken("has another schema than its base");

  RowSet::Builder builder(*std::move(schema));
  std::vector<event::Value> row(builder.schema().columns().size());
  std::string_view rest = snapshot.body;
  auto old = base == nullptr ? nullptr : base->Walk();
  size_t at = 0;  // in the base
  int line = 0;
  auto add = [&](std::span<const event::Value> values) {
    return builder.Add(values, head.set(), ++line);
  };
  while (!rest.empty()) {
    if (rest.size() < kStepBytes) return broken("ends in the middle");
    char step = rest[0];
    uint32_t number = 0;
    std::memcpy(&number, rest.data() + 1, sizeof(number));
    rest.remove_prefix(kStepBytes);
    size_t left = base == nullptr ? 0 : base->size() - at;
    if (step == kAdd) {
      if (rest.size() < number || !enrichment::ReadRow(rest.substr(0, number), row))
        return broken("has a row that isn't one");
      SLUICE_RETURN_IF_ERROR(add(row));
      rest.remove_prefix(number);
    } else if ((step == kKeep || step == kDrop) && number <= left) {
      for (uint32_t i = 0; i < number; ++i, ++at) {
        if (!old->Next()) return broken("keeps more than there is");
        if (step == kDrop) continue;
        if (!enrichment::ReadRow(old->bytes, row)) return broken("has a base that isn't one");
        SLUICE_RETURN_IF_ERROR(add(row));
      }
    } else {
      return broken("has a step that isn't one");
    }
  }
  auto rows = builder.Finish();
  if (!rows.ok()) return rows.status();
  if ((*rows)->id() != head.id()) return broken("has other rows than its id says");
  return rows;
}

}  // namespace sluice::reference
