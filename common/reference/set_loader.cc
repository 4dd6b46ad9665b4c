#include "common/reference/set_loader.h"

#include "common/base/status.h"

namespace sluice::reference {

absl::StatusOr<RowsPtr> SetLoader::Look(bool anyway) {
  look_at_ = clock_.Now() + source_->look_interval();
  // Before the rows: what changes while they are read is seen at the next look.
  settling_ = false;
  SLUICE_ASSIGN_OR_RETURN(std::string mark, source_->Mark());
  bool told = !mark.empty();
  if (!anyway && told && mark == read_) return RowsPtr();
  bool still = !source_->settles() || mark == seen_;
  seen_ = mark;
  settling_ = !anyway && !still;
  if (settling_) return RowsPtr();
  auto rows = source_->Read();
  if (!absl::IsUnavailable(rows.status()) && !absl::IsResourceExhausted(rows.status()))
    read_ = mark;
  return rows;
}

}  // namespace sluice::reference
