#include "common/kafka/denials.h"

#include "common/base/strings.h"

namespace sluice::kafka {
namespace {

// More than between two tries of a worker that was refused.
constexpr std::chrono::seconds kSameWithin(45);

constexpr bool InOrder() {
  for (size_t i = 0; i < kDenials.size(); ++i) {
    if (static_cast<size_t>(kDenials[i].access) != i) return false;
  }
  return true;
}
static_assert(InOrder());

}  // namespace

BrokerFailure PermissionFailure(Access access, std::string_view resource) {
  const Denial& denial = DenialOf(access);
  BrokerFailure failure;
  failure.kind = FailureKind::kPermission;
  failure.operation = denial.operation;
  failure.resource = base::StrCat(denial.resource, resource.empty() ? "" : " ", resource);
  failure.text = base::StrCat("the brokers do not let this principal ", denial.operation,
                              ": grant it ", denial.permission, " on ",
                              denial.resource == "cluster" ? "the " : "", failure.resource);
  return failure;
}

std::string DenialTable() {
  std::string table =
      "| operation | resource | permission | its name | at the start, a processor | while running, "
      "a "
      "worker |\n|---|---|---|---|---|---|\n";
  for (const Denial& denial : kDenials) {
    base::StrAppend(table, "| ", denial.operation, " | ", denial.resource, " | ", denial.permission,
                    " | ", denial.configured.empty() ? "-" : denial.configured, " | ",
                    denial.at_start, " | ", denial.running, " |\n");
  }
  return table;
}

void LastFailure::Met(BrokerFailure failure, Time now) {
  base::MutexLock lock(mutex_);
  const bool same = failure_ && failure_->kind == failure.kind &&
                    failure_->operation == failure.operation && now - at_ <= kSameWithin;
  failure.since = same ? failure_->since : now;
  failure_ = std::move(failure);
  lasts_ = true;
  at_ = now;
}

void LastFailure::Passed(Time now) {
  base::MutexLock lock(mutex_);
  if (!lasts_) return;
  lasts_ = false;
  at_ = now;
}

std::optional<BrokerFailure> LastFailure::get() const {
  base::MutexLock lock(mutex_);
  return lasts_ ? failure_ : std::nullopt;
}

}  // namespace sluice::kafka
