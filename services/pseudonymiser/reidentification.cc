#include "services/pseudonymiser/reidentification.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <array>

#include "absl/strings/escaping.h"
#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::pseudonymiser {
namespace {

using base::StrCat;

constexpr size_t kRecipientsMax = 20;
// An ended request is kept this long, so that a second redemption is told what it is.
constexpr std::chrono::hours kEndedKept{24};

absl::Status Wrong(const std::string& what) { return absl::InvalidArgumentError(what); }

absl::Status CheckScope(const v1::Scope& scope, uint32_t values_max) {
  if (scope.domain().empty()) return Wrong("scope.domain: name the domain");
  if (scope.kinds().empty()) return Wrong("scope.kinds: name the kinds of identifier");
  for (int kind : scope.kinds()) {
    if (!contract::v1::IdentifierKind_IsValid(kind) || kind == 0)
      return Wrong("scope.kinds: there is no such kind of identifier");
  }
  if (scope.values_max() < 1 || scope.values_max() > values_max)
    return Wrong(StrCat("scope.values_max: must be 1 to ", values_max));
  return absl::OkStatus();
}

}  // namespace

void Reidentifications::SetExpiry(Entry& entry, int64_t valid_ms) {
  entry.expires = clock_.Now() + std::chrono::milliseconds(valid_ms);
  entry.request.expires_unix_ms = clock_.UnixMillis() + valid_ms;
}

void Reidentifications::Forget() {
  const auto now = clock_.Now();
  std::erase_if(entries_, [&](const auto& entry) {
    return entry.second.expires + kEndedKept <= now ||
           (!entry.second.request.approved() && entry.second.expires <= now);
  });
}

absl::StatusOr<Reidentification> Reidentifications::Request(
    std::string_view caller, const v1::RequestReidentificationRequest& request, Record record) {
  SLUICE_RETURN_IF_ERROR(CheckScope(request.scope(), options_.values_max));
  const v1::Justification& why = request.justification();
  if (why.purpose().empty() || why.legal_basis().empty() || why.case_reference().empty())
    return Wrong("justification: give purpose, legal_basis and case_reference, all three");
  if (request.recipients_size() > static_cast<int>(kRecipientsMax))
    return Wrong(StrCat("recipients: name at most ", kRecipientsMax));
  std::array<uint8_t, 16> bytes;
  if (!random_.Fill(bytes)) return absl::InternalError("the system has no randomness");

  base::MutexLock lock(mutex_);
  Forget();
  auto of_caller = std::count_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
    return entry.second.request.requester == caller;
  });
  if (entries_.size() >= options_.requests_max ||
      static_cast<size_t>(of_caller) >= options_.requests_per_caller_max) {
    return absl::ResourceExhaustedError(
        "there are too many requests for re-identification: wait until some have expired, or raise "
        "reidentification.requests");
  }
  Entry entry;
  Reidentification& made = entry.request;
  made.id = absl::BytesToHexString({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  made.requester = caller;
  made.scope = request.scope();
  made.justification = why;
  made.recipients.assign(request.recipients().begin(), request.recipients().end());
  if (made.recipients.empty()) made.recipients = {made.requester};
  made.requested_unix_ms = clock_.UnixMillis();
  made.valid_ms = request.valid_s() == 0 ? options_.grant_valid_ms_max
                                         : std::min<int64_t>(int64_t{request.valid_s()} * 1'000,
                                                             options_.grant_valid_ms_max);
  SetExpiry(entry, options_.request_valid_ms);
  SLUICE_RETURN_IF_ERROR(record(made));
  return entries_.emplace(made.id, std::move(entry)).first->second.request;
}

absl::StatusOr<Reidentifications::Entry*> Reidentifications::Alive(std::string_view id) {
  auto found = entries_.find(id);
  if (found == entries_.end())
    return absl::NotFoundError("there is no such request: it has expired, or a restart forgot it");
  if (found->second.request.redeemed)
    return absl::FailedPreconditionError("the grant was redeemed already: ask anew");
  if (found->second.expires <= clock_.Now())
    return absl::FailedPreconditionError("it has expired: ask anew");
  return &found->second;
}

absl::StatusOr<Reidentification> Reidentifications::Approve(std::string_view caller,
                                                            std::string_view id,
                                                            const v1::Scope& scope, Record record) {
  base::MutexLock lock(mutex_);
  SLUICE_ASSIGN_OR_RETURN(Entry * entry, Alive(id));
  Reidentification& request = entry->request;
  if (request.requester == caller)
    return absl::PermissionDeniedError("nobody approves what they asked for themselves");
  if (std::count(request.approvers.begin(), request.approvers.end(), caller) > 0)
    return absl::PermissionDeniedError("the second approval must be another's than the first");
  if (request.approved()) return absl::FailedPreconditionError("it is approved already");
  if (!google::protobuf::util::MessageDifferencer::Equals(scope, request.scope))
    return Wrong("scope: isn't what the requester asked for: look at the request again");
  Reidentification approved = request;
  approved.approvers.emplace_back(caller);
  SLUICE_RETURN_IF_ERROR(record(approved));
  request = std::move(approved);
  if (request.approved()) SetExpiry(*entry, request.valid_ms);
  return request;
}

absl::StatusOr<Reidentification> Reidentifications::Redeem(std::string_view caller,
                                                           std::string_view id, Record check) {
  base::MutexLock lock(mutex_);
  SLUICE_ASSIGN_OR_RETURN(Entry * entry, Alive(id));
  Reidentification& request = entry->request;
  if (request.requester != caller)
    return absl::PermissionDeniedError("a grant is redeemed by who asked for it, and nobody else");
  if (!request.approved()) {
    return absl::FailedPreconditionError(
        StrCat("it has ", request.approvers.size(), " of ", kApprovalsNeeded, " approvals"));
  }
  SLUICE_RETURN_IF_ERROR(check(request));
  request.redeemed = true;
  return request;
}

absl::StatusOr<Reidentification> Reidentifications::Find(std::string_view id) const {
  base::MutexLock lock(mutex_);
  auto found = entries_.find(id);
  if (found == entries_.end())
    return absl::NotFoundError("there is no such request: it has expired, or a restart forgot it");
  return found->second.request;
}

std::vector<Reidentification> Reidentifications::all() const {
  base::MutexLock lock(mutex_);
  std::vector<Reidentification> all;
  for (const auto& [id, entry] : entries_) all.push_back(entry.request);
  return all;
}

v1::Reidentification::State Reidentifications::StateOf(const Reidentification& one) const {
  if (one.redeemed) return v1::Reidentification::REDEEMED;
  base::MutexLock lock(mutex_);
  auto found = entries_.find(one.id);
  if (found == entries_.end() || found->second.expires <= clock_.Now())
    return v1::Reidentification::EXPIRED;
  return one.approved() ? v1::Reidentification::APPROVED : v1::Reidentification::REQUESTED;
}

}  // namespace sluice::pseudonymiser
