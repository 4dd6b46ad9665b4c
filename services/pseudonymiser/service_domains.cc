// The calls of the domains' and epochs' life.
#include <google/protobuf/util/time_util.h>

#include <algorithm>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "services/pseudonymiser/service.h"

namespace sluice::pseudonymiser {
namespace {

using base::StrCat;
using config::v1::Permission;
using privacy::Keyring;

constexpr size_t kDomainNameBytesMax = 64;

// Narrower than what a keyring takes: the name goes into logs, metrics and the trail.
bool IsDomainName(std::string_view name) {
  return !name.empty() && name.size() <= kDomainNameBytesMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                  c == '.';
         });
}

// Its number, and what tells it from another one with that number.
std::string EpochText(const privacy::KeyringDomain& domain, uint32_t epoch) {
  const privacy::KeyringEpoch* found = domain.Find(epoch);
  return StrCat("epoch ", epoch, found == nullptr || found->check.empty() ? "" : ", check ",
                found == nullptr ? "" : found->check);
}

void SetDomain(const privacy::KeyringDomain& domain, v1::Domain& out) {
  out.set_name(domain.name);
  out.set_label(domain.label);
  for (const privacy::KeyringEpoch& epoch : domain.epochs) {
    v1::Epoch& to = *out.add_epochs();
    to.set_number(epoch.number);
    to.set_check(epoch.check);
    if (epoch.begun_unix_ms != 0)
      *to.mutable_begun() =
          google::protobuf::util::TimeUtil::MillisecondsToTimestamp(epoch.begun_unix_ms);
    switch (epoch.state) {
      case privacy::EpochState::kActive:
        to.set_state(v1::ACTIVE);
        break;
      case privacy::EpochState::kRetired:
        to.set_state(v1::RETIRED);
        break;
      case privacy::EpochState::kDestroyed:
        to.set_state(v1::DESTROYED);
        break;
    }
  }
}

}  // namespace

grpc::Status Service::ListDomains(grpc::ServerContext* context,
                                  const v1::ListDomainsRequest* request,
                                  v1::ListDomainsResponse* response) {
  return Serve(
      *context, "ListDomains", *request, trail::Operation::kConsultation, [&](Visit& visit) {
        SLUICE_RETURN_IF_ERROR(Allow(visit, Permission::list_domains, ""));
        SLUICE_RETURN_IF_ERROR(Admit(visit, 0));
        auto keys = keys_.current();
        v1::ListDomainsResponse made;
        for (const privacy::KeyringDomain& domain : keys->keyring().domains()) {
          if (visit.policy->Decide(visit.caller, Permission::list_domains, domain.name) !=
              Decision::kAllowed)
            continue;
          visit.entry.domains.push_back(domain.name);
          SetDomain(domain, *made.add_domains());
        }
        made.set_generation(keys->keyring().generation());
        SLUICE_ASSIGN_OR_RETURN(*made.mutable_fingerprint(), keys->keyring().Fingerprint());
        SLUICE_RETURN_IF_ERROR(Record(visit, static_cast<uint64_t>(made.domains_size())));
        response->Swap(&made);
        return absl::OkStatus();
      });
}

grpc::Status Service::ChangeKeyring(
    const grpc::ServerContext& context, std::string_view method,
    const google::protobuf::Message& request, trail::Operation operation, Call call,
    const std::string& domain, const v1::Justification& justification,
    absl::FunctionRef<absl::Status(Keyring&, std::string&)> change) {
  return Serve(context, method, request, operation, [&](Visit& visit) {
    SLUICE_RETURN_IF_ERROR(Allow(visit, call, domain));
    if (!IsDomainName(domain)) {
      return absl::InvalidArgumentError(
          "the domain's name: 1 to 64 lower-case letters, digits, hyphens, underscores or stops");
    }
    visit.entry.domains = {domain};
    SLUICE_RETURN_IF_ERROR(Justify(visit, justification, false));
    SLUICE_RETURN_IF_ERROR(Admit(visit, 0));
    bool recorded = false;
    absl::Status changed =
        keys_.Change([&](Keyring& keyring) { return change(keyring, visit.entry.subject); },
                     [&] {
                       absl::Status status = Record(visit, 0);
                       recorded = status.ok();
                       return status;
                     });
    // The trail says that it was done: it must also say that it wasn't.
    if (recorded && !changed.ok()) {
      visit.entry.outcome = trail::Outcome::kRefused;
      visit.entry.reason = base::View(changed.message());
      SLUICE_RETURN_IF_ERROR(Record(visit, 0));
      visit.recorded = true;
    }
    return changed;
  });
}

grpc::Status Service::CreateDomain(grpc::ServerContext* context,
                                   const v1::CreateDomainRequest* request,
                                   v1::CreateDomainResponse* response) {
  grpc::Status status = ChangeKeyring(
      *context, "CreateDomain", *request, trail::Operation::kAlteration, Permission::create_domain,
      request->name(), request->justification(), [&](Keyring& keyring, std::string& subject) {
        SLUICE_RETURN_IF_ERROR(
            keyring.AddDomain(request->name(), request->label(), random_, clock_.UnixMillis()));
        SetDomain(*keyring.Find(request->name()), *response->mutable_domain());
        subject = EpochText(*keyring.Find(request->name()), 1);
        return absl::OkStatus();
      });
  if (!status.ok()) response->Clear();
  return status;
}

grpc::Status Service::RotateDomain(grpc::ServerContext* context,
                                   const v1::RotateDomainRequest* request,
                                   v1::RotateDomainResponse* response) {
  grpc::Status status = ChangeKeyring(
      *context, "RotateDomain", *request, trail::Operation::kAlteration, Permission::rotate_domain,
      request->domain(), request->justification(), [&](Keyring& keyring, std::string& subject) {
        SLUICE_ASSIGN_OR_RETURN(uint32_t epoch,
                                keyring.Rotate(request->domain(), random_, clock_.UnixMillis()));
        response->set_epoch(epoch);
        subject = EpochText(*keyring.Find(request->domain()), epoch);
        return absl::OkStatus();
      });
  if (!status.ok()) response->Clear();
  return status;
}

grpc::Status Service::RetireEpoch(grpc::ServerContext* context,
                                  const v1::RetireEpochRequest* request, v1::RetireEpochResponse*) {
  return ChangeKeyring(*context, "RetireEpoch", *request, trail::Operation::kAlteration,
                       Permission::retire_epoch, request->domain(), request->justification(),
                       [&](Keyring& keyring, std::string& subject) {
                         subject = StrCat("epoch ", request->epoch());
                         const auto* domain = keyring.Find(request->domain());
                         if (domain != nullptr) subject = EpochText(*domain, request->epoch());
                         return keyring.Retire(request->domain(), request->epoch());
                       });
}

grpc::Status Service::DestroyEpoch(grpc::ServerContext* context,
                                   const v1::DestroyEpochRequest* request,
                                   v1::DestroyEpochResponse*) {
  return ChangeKeyring(*context, "DestroyEpoch", *request, trail::Operation::kErasure,
                       Permission::destroy_epoch, request->domain(), request->justification(),
                       [&](Keyring& keyring, std::string& subject) {
                         subject = StrCat("epoch ", request->epoch());
                         const auto* domain = keyring.Find(request->domain());
                         if (domain != nullptr) subject = EpochText(*domain, request->epoch());
                         return keyring.Destroy(request->domain(), request->epoch());
                       });
}

}  // namespace sluice::pseudonymiser
