// The calls of re-identification.
#include <algorithm>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/identifier.h"
#include "common/privacy/pseudonym.h"
#include "services/pseudonymiser/conversion.h"
#include "services/pseudonymiser/service.h"

namespace sluice::pseudonymiser {
namespace {

using config::v1::Permission;

void SetTime(int64_t unix_ms, google::protobuf::Timestamp& out) {
  out.set_seconds(unix_ms / 1'000);
  out.set_nanos(static_cast<int32_t>(unix_ms % 1'000) * 1'000'000);
}

void Describe(const Reidentification& one, trail::Entry& entry) {
  entry.subject = one.id();
  entry.domains = {one.scope().domain()};
  entry.purpose = one.justification().purpose();
  entry.justification = one.justification().legal_basis();
  entry.case_reference = one.justification().case_reference();
  entry.recipients.assign(one.recipients().begin(), one.recipients().end());
  entry.count = one.scope().values_max();
}

// What is asked for is what was granted.
absl::Status CheckItems(const Reidentification& grant, const privacy::KeyringDomain& domain,
                        const v1::RedeemReidentificationRequest& request) {
  if (request.items().empty()) return absl::InvalidArgumentError("items: name what to recover");
  if (request.items_size() > static_cast<int>(grant.scope().values_max())) {
    return absl::PermissionDeniedError(
        base::StrCat("the grant is for ", grant.scope().values_max(), " values"));
  }
  for (const auto& item : request.items()) {
    const auto& kinds = grant.scope().kinds();
    if (std::find(kinds.begin(), kinds.end(), item.kind()) == kinds.end())
      return absl::PermissionDeniedError("the grant isn't for this kind of identifier");
    if (item.has_format_preserved()) continue;
    if (privacy::ParsePseudonym(item.encrypted())) {
      return absl::InvalidArgumentError(
          "items: a pseudonym is made of a value's MAC, from which nobody has the value back; "
          "encrypted and format-preserved values can be recovered");
    }
    auto parsed = privacy::ParseEncrypted(item.encrypted());
    if (!parsed) return absl::InvalidArgumentError("items: isn't an encrypted value");
    if (parsed->label != domain.label)
      return absl::PermissionDeniedError("the grant is for another domain");
  }
  return absl::OkStatus();
}

}  // namespace

grpc::Status Service::RequestReidentification(grpc::ServerContext* context,
                                              const v1::RequestReidentificationRequest* request,
                                              v1::RequestReidentificationResponse* response) {
  return Serve(
      *context, "RequestReidentification", *request, trail::Operation::kConsultation,
      [&](Visit& visit) {
        SLUICE_RETURN_IF_ERROR(
            Allow(visit, Permission::request_reidentification, request->scope().domain()));
        auto keys = keys_.current();
        SLUICE_RETURN_IF_ERROR(FindDomain(visit, *keys, request->scope().domain()).status());
        SLUICE_RETURN_IF_ERROR(Justify(visit, request->justification(), true));
        SLUICE_RETURN_IF_ERROR(Admit(visit, 0));
        SLUICE_ASSIGN_OR_RETURN(
            Reidentification made,
            reidentifications_.Request(visit.caller, *request, [&](const Reidentification& one) {
              Describe(one, visit.entry);
              return Record(visit, visit.entry.count);
            }));
        response->set_id(made.id());
        SetTime(made.expires_unix_ms(), *response->mutable_expires());
        probe_.Reidentification("requested");
        return absl::OkStatus();
      });
}

grpc::Status Service::ListReidentifications(grpc::ServerContext* context,
                                            const v1::ListReidentificationsRequest* request,
                                            v1::ListReidentificationsResponse* response) {
  return Serve(
      *context, "ListReidentifications", *request, trail::Operation::kConsultation,
      [&](Visit& visit) {
        absl::Status allowed = Allow(visit, Permission::request_reidentification, "");
        if (!allowed.ok())
          SLUICE_RETURN_IF_ERROR(Allow(visit, Permission::approve_reidentification, ""));
        SLUICE_RETURN_IF_ERROR(Admit(visit, 0));
        v1::ListReidentificationsResponse made;
        size_t bytes = 0;
        SLUICE_RETURN_IF_ERROR(reidentifications_.ForEach(
            request->after(), [&](const Reidentification& one, Reidentifications::State state) {
              if (one.requester() != visit.caller &&
                  visit.policy->Decide(visit.caller, Permission::approve_reidentification,
                                       one.scope().domain()) != Decision::kAllowed)
                return true;
              // The rest is for the next call.
              bytes += one.ByteSizeLong() + 64;
              if (made.reidentifications_size() > 0 && bytes > options_.answer_bytes_max / 2) {
                made.set_next(made.reidentifications(made.reidentifications_size() - 1).id());
                return false;
              }
              v1::Reidentification& out = *made.add_reidentifications();
              out.set_id(one.id());
              out.set_requester(one.requester());
              *out.mutable_scope() = one.scope();
              *out.mutable_justification() = one.justification();
              *out.mutable_recipients() = one.recipients();
              *out.mutable_approvers() = one.approvers();
              out.set_state(state);
              SetTime(one.requested_unix_ms(), *out.mutable_requested());
              SetTime(one.expires_unix_ms(), *out.mutable_expires());
              return true;
            }));
        SLUICE_RETURN_IF_ERROR(Record(visit, static_cast<uint64_t>(made.reidentifications_size())));
        response->Swap(&made);
        return absl::OkStatus();
      });
}

grpc::Status Service::ApproveReidentification(grpc::ServerContext* context,
                                              const v1::ApproveReidentificationRequest* request,
                                              v1::ApproveReidentificationResponse* response) {
  auto work = [&](Visit& visit) -> absl::Status {
    // Who may approve nothing isn't told which requests there are.
    SLUICE_RETURN_IF_ERROR(Allow(visit, Permission::approve_reidentification, ""));
    SLUICE_RETURN_IF_ERROR(Admit(visit, 0));
    SLUICE_ASSIGN_OR_RETURN(auto found, reidentifications_.Find(request->id()));
    const Reidentification& asked = found.request;
    Describe(asked, visit.entry);
    SLUICE_RETURN_IF_ERROR(
        Allow(visit, Permission::approve_reidentification, asked.scope().domain()));
    visit.refusal = Refusal::kGrant;
    SLUICE_ASSIGN_OR_RETURN(
        Reidentification approved,
        reidentifications_.Approve(
            visit.caller, request->id(), request->scope(),
            [&](const Reidentification&) { return Record(visit, visit.entry.count); }));
    response->set_approvals(static_cast<uint32_t>(approved.approvers_size()));
    response->set_approvals_needed(kApprovalsNeeded);
    SetTime(approved.expires_unix_ms(), *response->mutable_expires());
    return absl::OkStatus();
  };
  return Serve(*context, "ApproveReidentification", *request, trail::Operation::kConsultation,
               [&](Visit& visit) {
                 absl::Status status = work(visit);
                 probe_.Reidentification(status.ok() ? "approved" : "refused");
                 return status;
               });
}

grpc::Status Service::RedeemReidentification(grpc::ServerContext* context,
                                             const v1::RedeemReidentificationRequest* request,
                                             v1::RedeemReidentificationResponse* response) {
  auto work = [&](Visit& visit) -> absl::Status {
    SLUICE_RETURN_IF_ERROR(Allow(visit, Permission::request_reidentification, ""));
    SLUICE_RETURN_IF_ERROR(Admit(visit, static_cast<uint64_t>(request->items_size())));
    SLUICE_ASSIGN_OR_RETURN(auto found, reidentifications_.Find(request->id()));
    const Reidentification& asked = found.request;
    Describe(asked, visit.entry);
    SLUICE_RETURN_IF_ERROR(
        Allow(visit, Permission::request_reidentification, asked.scope().domain()));
    visit.refusal = Refusal::kGrant;
    auto keys = keys_.current();
    const privacy::KeyringDomain* domain = keys->keyring().Find(asked.scope().domain());
    if (domain == nullptr) return absl::NotFoundError("the grant's domain is gone");
    SLUICE_ASSIGN_OR_RETURN(
        Reidentification grant,
        reidentifications_.Redeem(visit.caller, request->id(), [&](const Reidentification& one) {
          // An approval counts as long as its approver may give it.
          for (const std::string& approver : one.approvers()) {
            if (visit.policy->Decide(approver, Permission::approve_reidentification,
                                     one.scope().domain()) != Decision::kAllowed)
              return absl::PermissionDeniedError("an approver may not approve any more: ask anew");
          }
          return CheckItems(one, *domain, *request);
        }));
    Recovery recovery(keys->keyring(), *domain, /*retired_too=*/true);
    v1::RedeemReidentificationResponse made;
    for (const auto& item : request->items()) {
      std::string canonical;
      if (item.has_format_preserved())
        privacy::AppendCanonical(item.kind(), item.format_preserved().value(), canonical);
      SLUICE_ASSIGN_OR_RETURN(
          std::string value,
          item.has_format_preserved()
              ? recovery.Invert(item.kind(), item.format_preserved().epoch(), canonical)
              : recovery.Decrypt(item.kind(), item.encrypted()));
      visit.misses += value.empty();
      made.add_values()->set_value(std::move(value));
    }
    SLUICE_RETURN_IF_ERROR(
        Record(visit, static_cast<uint64_t>(request->items_size()) - visit.misses));
    response->Swap(&made);
    return absl::OkStatus();
  };
  return Serve(*context, "RedeemReidentification", *request, trail::Operation::kDisclosure,
               [&](Visit& visit) {
                 absl::Status status = work(visit);
                 probe_.Reidentification(status.ok() ? "redeemed" : "refused");
                 return status;
               });
}

}  // namespace sluice::pseudonymiser
