#include "services/pseudonymiser/service.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/visible.h"
#include "common/rpc/status.h"
#include "common/rpc/tls.h"
#include "common/telemetry/log.h"
#include "services/pseudonymiser/bulk.h"

namespace sluice::pseudonymiser {
namespace {

using config::v1::Permission;
using config::v1::PseudonymiserPolicy;

constexpr size_t kJustificationBytesMax = 500;
constexpr std::string_view kStream = "PseudonymiseStream";

// What the caller is told to do about itself, and the trail keeps; anything else is a failure of
// the service, which the log has.
bool IsRefusal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDataLoss:
      return false;
    default:
      return true;
  }
}

bool IsLine(std::string_view text) {
  return text.size() <= kJustificationBytesMax && std::all_of(text.begin(), text.end(), [](char c) {
           return static_cast<unsigned char>(c) >= ' ' && c != 0x7f;
         });
}

Call CallFor(v1::Form form) {
  switch (form) {
    case v1::ENCRYPTED:
      return Permission::encrypt;
    case v1::FORMAT_PRESERVED:
      return Permission::format_preserve;
    default:
      return Permission::pseudonymise;
  }
}

}  // namespace

Service::Service(Options options, std::unique_ptr<const validation::RequestRules> rules,
                 KeyStore& keys, const PolicySlot& policy, Guard& guard, Recorder& recorder,
                 Reidentifications& reidentifications, rpc::OpenCalls& open_calls, Probe& probe,
                 const base::Clock& clock, base::RandomSource& random)
    : options_(options),
      rules_(std::move(rules)),
      gate_(options.calls_max),
      keys_(keys),
      policy_(policy),
      guard_(guard),
      recorder_(recorder),
      reidentifications_(reidentifications),
      open_calls_(open_calls),
      probe_(probe),
      clock_(clock),
      random_(random) {
  // Without randomness the sketches still count.
  [[maybe_unused]] bool filled = random_.Fill(salt_);
}

absl::Status Service::AuthoriseCall(const rpc::Peer& peer, std::string_view method) {
  // Only the names of our own calls become labels.
  const auto* known =
      Descriptor()->FindMethodByName(std::string(method.substr(method.rfind('/') + 1)));
  Visit visit{.method = known == nullptr ? std::string_view("unknown") : known->name(),
              .caller = peer.AlternativeName(),
              .policy = policy_.current()};
  absl::Status status =
      visit.caller.empty() ? NoName(visit) : Deny(visit, visit.policy->DecideAny(visit.caller));
  if (status.ok()) return status;
  visit.entry.who = visit.caller;
  visit.entry.action = visit.method;
  visit.entry.outcome = trail::Outcome::kRefused;
  visit.entry.reason = base::View(status.message());
  probe_.Refused(visit.method, visit.refusal);
  probe_.Called(visit.method, rpc::ToGrpc(status), {});
  recorder_.RefusedLater(visit.entry);
  return status;
}

absl::Status Service::NoName(Visit& visit) {
  visit.refusal = Refusal::kUnauthenticated;
  return absl::UnauthenticatedError(
      "the client certificate has no SPIFFE id and no DNS name, by which callers are known");
}

absl::Status Service::Enter(const grpc::ServerContext& context, Visit& visit, bool stream) {
  auto pass = stream ? gate_.EnterStream(visit.caller)
                     : gate_.Enter(visit.caller, visit.policy->limits(visit.caller).bulk);
  if (!pass.ok()) {
    visit.refusal = Refusal::kLimit;
    return pass.status();
  }
  open_calls_.Keep(context, *std::move(pass));
  return absl::OkStatus();
}

absl::Status Service::CheckAnswer(uint64_t bytes) const {
  if (bytes <= options_.answer_bytes_max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      base::StrCat("the answer would be larger than ", options_.answer_bytes_max,
                   " bytes: ask for fewer values or targets at a time"));
}

grpc::Status Service::Serve(const grpc::ServerContext& context, std::string_view method,
                            const google::protobuf::Message& request, trail::Operation operation,
                            Work work) {
  const auto begun = clock_.Now();
  Visit visit{.method = method,
              .caller = rpc::PeerOf(*context.auth_context()).AlternativeName(),
              .policy = policy_.current()};
  visit.entry.who = visit.caller;
  visit.entry.action = method;
  visit.entry.operation = operation;
  absl::Status status;
  if (visit.caller.empty()) {
    status = NoName(visit);
  } else {
    status = recorder_.Writable();
    // A stream holds its place already, and of its messages there is one at a time.
    if (status.ok() && method != kStream) status = Enter(context, visit, /*stream=*/false);
    if (status.ok()) status = rules_->Check(request);
    if (status.ok()) status = work(visit);
  }
  End(visit, status);
  grpc::Status answer = rpc::ToGrpc(status);
  probe_.Called(method, answer, clock_.Now() - begun);
  return answer;
}

void Service::End(Visit& visit, const absl::Status& status) {
  if (IsRefusal(status)) {
    visit.entry.outcome = trail::Outcome::kRefused;
    visit.entry.reason = base::View(status.message());
    probe_.Refused(visit.method, visit.refusal);
    if (!visit.recorded) recorder_.Refused(visit.entry);
    visit.misses += visit.refusal == Refusal::kNotAllowed;
  } else if (!status.ok()) {
    Log(telemetry::Severity::kError, "call_failed",
        {{"method", telemetry::SafeText(visit.method)}, {"status", telemetry::SafeText(status)}});
  }
  if (visit.policy == nullptr || !visit.policy->Knows(visit.caller)) return;
  if (visit.hashes.empty() && visit.misses == 0) return;
  auto locked =
      guard_.Saw(visit.caller, visit.policy->limits(visit.caller), visit.hashes, visit.misses);
  if (!locked) return;
  std::string_view reason = LockReasonName(*locked);
  probe_.Locked(reason);
  Log(telemetry::Severity::kError, "caller_locked",
      {{"caller", telemetry::SafeText(visit.caller)}, {"reason", telemetry::SafeText(reason)}});
  recorder_
      .Done({.who = visit.caller,
             .operation = trail::Operation::kConsultation,
             .action = "LockCaller",
             .outcome = trail::Outcome::kRefused,
             .reason = std::string(reason)})
      .IgnoreError();
}

absl::Status Service::Deny(Visit& visit, Decision decision) const {
  switch (decision) {
    case Decision::kAllowed:
      return absl::OkStatus();
    case Decision::kUnknownCaller:
      visit.refusal = Refusal::kUnknownCaller;
      return absl::PermissionDeniedError("the policy doesn't know the caller");
    case Decision::kRevoked:
      visit.refusal = Refusal::kRevoked;
      return absl::PermissionDeniedError("the caller is revoked");
    case Decision::kNotAllowed:
      break;
  }
  visit.refusal = Refusal::kNotAllowed;
  return absl::PermissionDeniedError(
      "the policy doesn't allow the caller this call for this domain");
}

absl::Status Service::Allow(Visit& visit, Call call, std::string_view domain) const {
  return Deny(visit, visit.policy->Decide(visit.caller, call, domain));
}

absl::Status Service::AllowConversion(Visit& visit, std::string_view from,
                                      std::string_view to) const {
  return Deny(visit, visit.policy->DecideConversion(visit.caller, from, to));
}

absl::Status Service::Justify(Visit& visit, const v1::Justification& justification,
                              bool always) const {
  const JustificationRule rule = visit.policy->justification();
  if (!always && rule == PseudonymiserPolicy::off) return absl::OkStatus();
  for (const std::string* text :
       {&justification.purpose(), &justification.legal_basis(), &justification.case_reference()}) {
    if (!IsLine(*text)) {
      return absl::InvalidArgumentError(base::StrCat(
          "justification: each text is one line of at most ", kJustificationBytesMax, " bytes"));
    }
  }
  if (privacy::IsBlank(justification.purpose()) &&
      (always || rule == PseudonymiserPolicy::required))
    return absl::InvalidArgumentError("justification.purpose: say why; it is recorded");
  visit.entry.purpose = justification.purpose();
  visit.entry.justification = justification.legal_basis();
  visit.entry.case_reference = justification.case_reference();
  return absl::OkStatus();
}

absl::Status Service::Admit(Visit& visit, uint64_t values) const {
  if (values > options_.values_per_call_max) {
    visit.refusal = Refusal::kLimit;
    return absl::InvalidArgumentError(base::StrCat("a call may have ", options_.values_per_call_max,
                                                   " values at most: send fewer at a time"));
  }
  switch (guard_.Admit(visit.caller, visit.policy->limits(visit.caller), values)) {
    case Guard::Verdict::kAdmitted:
      probe_.Values(visit.method, values);
      return absl::OkStatus();
    case Guard::Verdict::kLocked:
      visit.refusal = Refusal::kLocked;
      return absl::PermissionDeniedError(
          "the caller is locked, because it asked for too many different values or missed too "
          "often; an operator unlocks it");
    case Guard::Verdict::kOverSecond:
      visit.refusal = Refusal::kLimit;
      return absl::ResourceExhaustedError(
          "the caller's values_per_s: send fewer values a call, or more slowly");
    case Guard::Verdict::kNotKept:
      visit.refusal = Refusal::kLimit;
      return absl::FailedPreconditionError(
          "the service has no `state`, where it would keep that a caller is locked: only callers "
          "whom no limit locks are served");
    case Guard::Verdict::kUnknown:
      return absl::UnavailableError("whether the caller is locked can't be told at the moment");
    case Guard::Verdict::kOverDay:
      break;
  }
  visit.refusal = Refusal::kLimit;
  return absl::ResourceExhaustedError("the caller's values_per_day are used up");
}

absl::Status Service::Record(Visit& visit, uint64_t count) const {
  visit.entry.count = count;
  return recorder_.Done(visit.entry);
}

void Service::Watch(Visit& visit, int kind, std::string_view value) const {
  if (visit.policy->limits(visit.caller).distinct_values_per_hour == 0) return;
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  std::string text(salt_.begin(), salt_.end());
  text.push_back(static_cast<char>(kind));
  text.append(value);
  EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(), nullptr);
  OPENSSL_cleanse(text.data(), text.size());
  uint64_t hash = 0;
  std::memcpy(&hash, digest, sizeof(hash));
  visit.hashes.push_back(hash);
}

absl::StatusOr<const privacy::KeyringDomain*> Service::FindDomain(Visit& visit, const Keys& keys,
                                                                  std::string_view name) const {
  const privacy::KeyringDomain* domain = keys.keyring().Find(name);
  // What isn't a domain's name may be anything, and isn't repeated.
  if (domain == nullptr) return absl::NotFoundError("there is no such domain: see ListDomains");
  visit.entry.domains.push_back(domain->name);
  return domain;
}

absl::Status Service::PseudonymiseBatch(Visit& visit, const v1::PseudonymiseRequest& request,
                                        v1::PseudonymiseResponse& response) const {
  SLUICE_ASSIGN_OR_RETURN(Keys::Lease door, keys_.Take());
  for (const v1::Target& target : request.target_list()) {
    absl::Status allowed = Allow(visit, CallFor(target.form()), DomainOf(target.domain()));
    if (allowed.ok()) continue;
    const auto* known = door.keyring().Find(DomainOf(target.domain()));
    if (known != nullptr) visit.entry.domains = {known->name};
    return allowed;
  }
  // Who names no target asks for nothing, and still has to be somebody.
  if (request.target_list().empty())
    SLUICE_RETURN_IF_ERROR(Allow(visit, Permission::pseudonymise, ""));
  SLUICE_RETURN_IF_ERROR(CheckAnswer(AnswerBytes(request)));
  SLUICE_RETURN_IF_ERROR(Admit(visit, static_cast<uint64_t>(request.ends_size())));
  SLUICE_ASSIGN_OR_RETURN(auto targets, ResolveTargets(request, *door->keys));
  SLUICE_RETURN_IF_ERROR(ReadBatch(request, targets, door->batch));
  if (visit.policy->limits(visit.caller).distinct_values_per_hour != 0) {
    size_t begin = 0;
    for (const auto& value : door->batch.values()) {
      Watch(visit, value.kind,
            std::string_view(door->batch.bytes()).substr(begin, value.end - begin));
      begin = value.end;
    }
  }
  SLUICE_RETURN_IF_ERROR(door->keys->Pseudonymise(door->batch, door->answer));
  WriteAnswer(door->batch, door->answer, targets, response);
  if (request.ends().empty()) return absl::OkStatus();
  std::set<std::string_view> domains;
  for (const v1::Target& target : request.target_list()) domains.insert(DomainOf(target.domain()));
  for (std::string_view domain : domains)
    recorder_.Count(visit.caller, domain, static_cast<uint64_t>(request.ends_size()));
  return absl::OkStatus();
}

grpc::Status Service::Pseudonymise(grpc::ServerContext* context,
                                   const v1::PseudonymiseRequest* request,
                                   v1::PseudonymiseResponse* response) {
  return Serve(*context, "Pseudonymise", *request, trail::Operation::kAlteration,
               [&](Visit& visit) { return PseudonymiseBatch(visit, *request, *response); });
}

grpc::Status Service::PseudonymiseStream(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<v1::PseudonymiseResponse, v1::PseudonymiseRequest>* stream) {
  v1::PseudonymiseRequest request;
  v1::PseudonymiseResponse response;
  // Who holds a place must be somebody who may use it, before the first message.
  grpc::Status opened =
      Serve(*context, kStream, request, trail::Operation::kAlteration, [&](Visit& visit) {
        absl::Status allowed;
        for (Call call :
             {Permission::pseudonymise, Permission::encrypt, Permission::format_preserve}) {
          allowed = Allow(visit, call, "");
          if (allowed.ok()) break;
        }
        SLUICE_RETURN_IF_ERROR(allowed);
        return Enter(*context, visit, /*stream=*/true);
      });
  if (!opened.ok()) return opened;
  while (stream->Read(&request)) {
    response.Clear();
    // Each by itself: the policy may change, and the caller be locked, while the stream is open.
    grpc::Status status =
        Serve(*context, kStream, request, trail::Operation::kAlteration,
              [&](Visit& visit) { return PseudonymiseBatch(visit, request, response); });
    if (!status.ok()) return status;
    if (!stream->Write(response)) return {grpc::StatusCode::CANCELLED, "the caller has gone"};
  }
  return grpc::Status::OK;
}

grpc::Status Service::ListLockedCallers(grpc::ServerContext* context,
                                        const v1::ListLockedCallersRequest* request,
                                        v1::ListLockedCallersResponse* response) {
  return Serve(*context, "ListLockedCallers", *request, trail::Operation::kConsultation,
               [&](Visit& visit) {
                 SLUICE_RETURN_IF_ERROR(Allow(visit, Permission::unlock_callers, ""));
                 SLUICE_ASSIGN_OR_RETURN(auto all, guard_.locked());
                 for (const Guard::Locked& locked : all) {
                   v1::LockedCaller& out = *response->add_callers();
                   out.set_caller(locked.caller);
                   out.set_reason(locked.reason);
                   out.mutable_since()->set_seconds(locked.since_unix_ms / 1'000);
                 }
                 return Record(visit, static_cast<uint64_t>(response->callers_size()));
               });
}

grpc::Status Service::UnlockCaller(grpc::ServerContext* context,
                                   const v1::UnlockCallerRequest* request,
                                   v1::UnlockCallerResponse*) {
  return Serve(
      *context, "UnlockCaller", *request, trail::Operation::kAlteration, [&](Visit& visit) {
        SLUICE_RETURN_IF_ERROR(Allow(visit, Permission::unlock_callers, ""));
        SLUICE_RETURN_IF_ERROR(Justify(visit, request->justification(), false));
        if (request->caller() == visit.caller) {
          visit.refusal = Refusal::kNotAllowed;
          return absl::PermissionDeniedError("nobody unlocks themselves");
        }
        SLUICE_ASSIGN_OR_RETURN(auto locked, guard_.locked());
        if (std::none_of(locked.begin(), locked.end(),
                         [&](const auto& one) { return one.caller == request->caller(); }))
          return absl::NotFoundError("there is no such locked caller: see ListLockedCallers");
        visit.entry.subject = request->caller();
        SLUICE_RETURN_IF_ERROR(Record(visit, 0));
        return guard_.Unlock(request->caller());
      });
}

}  // namespace sluice::pseudonymiser
