#include "common/reference/set_loader.h"

#include "common/base/status.h"

namespace sluice::reference {

namespace {

constexpr std::chrono::milliseconds kFullReadInterval{900'000};

}  // namespace

std::chrono::milliseconds SetLoader::full_read_interval() const {
  int32_t given = config_.full_read_interval_ms();
  return given == 0 ? kFullReadInterval : std::chrono::milliseconds(given);
}

absl::StatusOr<RowsPtr> SetLoader::Look(bool anyway) {
  look_at_ = clock_.Now() + source_->look_interval();
  // Before the rows: what changes while they are read is seen at the next look.
  settling_ = false;
  SLUICE_ASSIGN_OR_RETURN(std::string mark, source_->Mark());
  bool told = !mark.empty();
  if (!anyway && told && mark == read_ && !FullReadDue()) return RowsPtr();
  bool still = !source_->settles() || mark == seen_;
  seen_ = mark;
  settling_ = !anyway && !still;
  if (settling_) return RowsPtr();
  const auto began = clock_.Now();
  if (FullReadDue()) source_->Forget();
  auto rows = source_->Read();
  // What may be another at the next try is tried again at the next look.
  if (absl::IsUnavailable(rows.status()) || absl::IsResourceExhausted(rows.status()) ||
      absl::IsCancelled(rows.status()))
    return rows;
  read_ = mark;
  full_read_at_ = began + full_read_interval();
  if (rows.ok()) read_at_ = began;
  return rows;
}

}  // namespace sluice::reference
