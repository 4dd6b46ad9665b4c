#include "services/pseudonymiser/reidentification.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <array>
#include <map>

#include "absl/strings/escaping.h"
#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::pseudonymiser {
namespace {

using base::StrCat;

// An ended request is kept this long, so that a second redemption is told what it is.
constexpr int64_t kEndedKeptMs = 86'400'000;

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

v1::Reidentification::State StateOf(const Reidentification& one, int64_t now_ms) {
  if (one.redeemed()) return v1::Reidentification::REDEEMED;
  if (one.expires_unix_ms() <= now_ms) return v1::Reidentification::EXPIRED;
  return IsApproved(one) ? v1::Reidentification::APPROVED : v1::Reidentification::REQUESTED;
}

// Of those that ended, what nobody needs to be told apart from an unknown one any more.
void Forget(v1::AuthorityState& state, int64_t now_ms) {
  auto& all = *state.mutable_reidentifications();
  all.erase(std::remove_if(all.begin(), all.end(),
                           [&](const Reidentification& one) {
                             return one.expires_unix_ms() + kEndedKeptMs <= now_ms ||
                                    (!IsApproved(one) && one.expires_unix_ms() <= now_ms);
                           }),
            all.end());
}

const Reidentification* Lookup(const v1::AuthorityState& state, std::string_view id) {
  for (const Reidentification& one : state.reidentifications())
    if (one.id() == id) return &one;
  return nullptr;
}

Reidentification* Lookup(v1::AuthorityState& state, std::string_view id) {
  for (Reidentification& one : *state.mutable_reidentifications())
    if (one.id() == id) return &one;
  return nullptr;
}

absl::Status Unknown() {
  return absl::NotFoundError("there is no such request: it has expired, or never was");
}

absl::StatusOr<Reidentification*> Alive(v1::AuthorityState& state, std::string_view id,
                                        int64_t now_ms) {
  Reidentification* found = Lookup(state, id);
  if (found == nullptr) return Unknown();
  if (found->redeemed())
    return absl::FailedPreconditionError("the grant was redeemed already: ask anew");
  if (found->expires_unix_ms() <= now_ms)
    return absl::FailedPreconditionError("it has expired: ask anew");
  return found;
}

}  // namespace

absl::StatusOr<Authority*> Reidentifications::Kept() const {
  if (authority_ != nullptr) return authority_;
  return absl::FailedPreconditionError(
      "the service has no `state`, where requests and grants would be kept: nobody is "
      "re-identified");
}

absl::Status Reidentifications::With(Authority::Work work) const {
  SLUICE_ASSIGN_OR_RETURN(Authority * authority, Kept());
  return authority->With(work);
}

absl::Status Reidentifications::See(Authority::Look look) const {
  SLUICE_ASSIGN_OR_RETURN(const Authority* authority, Kept());
  return authority->See(look);
}

absl::StatusOr<Reidentification> Reidentifications::Request(
    std::string_view caller, const v1::RequestReidentificationRequest& request, Record record) {
  SLUICE_RETURN_IF_ERROR(CheckScope(request.scope(), options_.values_max));
  const v1::Justification& why = request.justification();
  if (why.purpose().empty() || why.legal_basis().empty() || why.case_reference().empty())
    return Wrong("justification: give purpose, legal_basis and case_reference, all three");
  std::array<uint8_t, 16> bytes;
  if (!random_.Fill(bytes)) return absl::InternalError("the system has no randomness");

  Reidentification made;
  made.set_id(absl::BytesToHexString({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  made.set_requester(std::string(caller));
  *made.mutable_scope() = request.scope();
  *made.mutable_justification() = why;
  *made.mutable_recipients() = request.recipients();
  if (made.recipients().empty()) made.add_recipients(made.requester());
  made.set_valid_ms(request.valid_s() == 0 ? options_.grant_valid_ms_max
                                           : std::min<int64_t>(int64_t{request.valid_s()} * 1'000,
                                                               options_.grant_valid_ms_max));
  SLUICE_RETURN_IF_ERROR(With([&](v1::AuthorityState& state, int64_t now_ms) -> absl::Status {
    Forget(state, now_ms);
    const auto& all = state.reidentifications();
    auto of_caller = std::count_if(all.begin(), all.end(), [&](const Reidentification& one) {
      return one.requester() == caller;
    });
    if (all.size() >= static_cast<int>(options_.requests_max) ||
        of_caller >= static_cast<int64_t>(options_.requests_per_caller_max)) {
      return absl::ResourceExhaustedError(
          "there are too many requests for re-identification: wait until some have expired, or "
          "raise reidentification.requests");
    }
    made.set_requested_unix_ms(now_ms);
    made.set_expires_unix_ms(now_ms + options_.request_valid_ms);
    *state.add_reidentifications() = made;
    // Before it is recorded as done: what isn't taken must not be.
    SLUICE_RETURN_IF_ERROR(CheckRequestsFit(state));
    return record(made);
  }));
  return made;
}

absl::StatusOr<Reidentification> Reidentifications::Approve(std::string_view caller,
                                                            std::string_view id,
                                                            const v1::Scope& scope, Record record) {
  Reidentification approved;
  SLUICE_RETURN_IF_ERROR(With([&](v1::AuthorityState& state, int64_t now_ms) -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(Reidentification * request, Alive(state, id, now_ms));
    if (request->requester() == caller)
      return absl::PermissionDeniedError("nobody approves what they asked for themselves");
    const auto& approvers = request->approvers();
    if (std::count(approvers.begin(), approvers.end(), caller) > 0)
      return absl::PermissionDeniedError("the second approval must be another's than the first");
    if (IsApproved(*request)) return absl::FailedPreconditionError("it is approved already");
    if (!google::protobuf::util::MessageDifferencer::Equals(scope, request->scope()))
      return Wrong("scope: isn't what the requester asked for: look at the request again");
    request->add_approvers(std::string(caller));
    if (IsApproved(*request)) request->set_expires_unix_ms(now_ms + request->valid_ms());
    approved = *request;
    return record(approved);
  }));
  return approved;
}

absl::StatusOr<Reidentification> Reidentifications::Redeem(std::string_view caller,
                                                           std::string_view id, Record check) {
  Reidentification redeemed;
  SLUICE_RETURN_IF_ERROR(With([&](v1::AuthorityState& state, int64_t now_ms) -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(Reidentification * request, Alive(state, id, now_ms));
    if (request->requester() != caller)
      return absl::PermissionDeniedError(
          "a grant is redeemed by who asked for it, and nobody else");
    if (!IsApproved(*request)) {
      return absl::FailedPreconditionError(
          StrCat("it has ", request->approvers_size(), " of ", kApprovalsNeeded, " approvals"));
    }
    SLUICE_RETURN_IF_ERROR(check(*request));
    request->set_redeemed(true);
    redeemed = *request;
    return absl::OkStatus();
  }));
  return redeemed;
}

absl::StatusOr<Reidentifications::Seen> Reidentifications::Find(std::string_view id) const {
  Seen seen;
  SLUICE_RETURN_IF_ERROR(See([&](const v1::AuthorityState& state, int64_t now_ms) {
    const Reidentification* found = Lookup(state, id);
    if (found == nullptr) return Unknown();
    seen = {*found, StateOf(*found, now_ms)};
    return absl::OkStatus();
  }));
  return seen;
}

absl::Status Reidentifications::ForEach(
    std::string_view after, absl::FunctionRef<bool(const Reidentification&, State)> each) const {
  return See([&](const v1::AuthorityState& state, int64_t now_ms) {
    // In the order of their ids, which is the same in every call.
    std::map<std::string_view, const Reidentification*> all;
    for (const Reidentification& one : state.reidentifications())
      if (one.id() > after) all.emplace(one.id(), &one);
    for (const auto& [id, one] : all)
      if (!each(*one, StateOf(*one, now_ms))) break;
    return absl::OkStatus();
  });
}

}  // namespace sluice::pseudonymiser
