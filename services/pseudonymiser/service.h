// sluice.pseudonymiser.v1 over gRPC.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "common/rpc/open_calls.h"
#include "common/rpc/tls.h"
#include "common/trail/entry.h"
#include "common/validation/request_rules.h"
#include "services/pseudonymiser/gate.h"
#include "services/pseudonymiser/guard.h"
#include "services/pseudonymiser/keys.h"
#include "services/pseudonymiser/policy.h"
#include "services/pseudonymiser/probe.h"
#include "services/pseudonymiser/recorder.h"
#include "services/pseudonymiser/reidentification.h"
#include "sluice/pseudonymiser/v1/pseudonymiser.grpc.pb.h"

namespace sluice::pseudonymiser {

// The policy in use, replaced while calls go on. Thread-safe.
class PolicySlot {
 public:
  explicit PolicySlot(std::shared_ptr<const Policy> policy) : policy_(std::move(policy)) {}
  std::shared_ptr<const Policy> current() const {
    base::MutexLock lock(mutex_);
    return policy_;
  }
  void Set(std::shared_ptr<const Policy> policy) {
    base::MutexLock lock(mutex_);
    policy_ = std::move(policy);
  }

 private:
  mutable base::Mutex mutex_;
  std::shared_ptr<const Policy> policy_ ABSL_GUARDED_BY(mutex_);
};

// Every call goes the same way: who it is, by certificate; whether the policy allows it; whether
// the caller's limits do; the work; the audit trail; and only then the answer. Thread-safe.
class Service final : public v1::Pseudonymiser::Service {
 public:
  struct Options {
    uint64_t values_per_call_max = 100'000;
    // Larger answers are refused before they are made.
    size_t answer_bytes_max = 4 * 1024 * 1024;
    size_t calls_max = 32;
  };
  // All outlive the service, but `rules`, which are v1::Pseudonymiser's.
  Service(Options options, std::unique_ptr<const validation::RequestRules> rules, KeyStore& keys,
          const PolicySlot& policy, Guard& guard, Recorder& recorder,
          Reidentifications& reidentifications, rpc::OpenCalls& open_calls, Probe& probe,
          const base::Clock& clock, base::RandomSource& random);

  static const google::protobuf::ServiceDescriptor* Descriptor() {
    return v1::Target::descriptor()->file()->FindServiceByName("Pseudonymiser");
  }

  // Whether this peer may begin a call of `/package.Service/Method` at all, before its message is
  // read. Doesn't block; the refusal is counted.
  absl::Status AuthoriseCall(const rpc::Peer& peer, std::string_view method);

  grpc::Status Pseudonymise(grpc::ServerContext* context, const v1::PseudonymiseRequest* request,
                            v1::PseudonymiseResponse* response) override;
  grpc::Status PseudonymiseStream(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::PseudonymiseResponse, v1::PseudonymiseRequest>* stream) override;
  grpc::Status Rotate(grpc::ServerContext* context, const v1::RotateRequest* request,
                      v1::RotateResponse* response) override;
  grpc::Status Convert(grpc::ServerContext* context, const v1::ConvertRequest* request,
                       v1::ConvertResponse* response) override;
  grpc::Status Encrypt(grpc::ServerContext* context, const v1::EncryptRequest* request,
                       v1::EncryptResponse* response) override;
  grpc::Status Decrypt(grpc::ServerContext* context, const v1::DecryptRequest* request,
                       v1::DecryptResponse* response) override;
  grpc::Status FormatPreserve(grpc::ServerContext* context,
                              const v1::FormatPreserveRequest* request,
                              v1::FormatPreserveResponse* response) override;
  grpc::Status InvertFormatPreserved(grpc::ServerContext* context,
                                     const v1::InvertFormatPreservedRequest* request,
                                     v1::InvertFormatPreservedResponse* response) override;
  grpc::Status RequestReidentification(grpc::ServerContext* context,
                                       const v1::RequestReidentificationRequest* request,
                                       v1::RequestReidentificationResponse* response) override;
  grpc::Status ListReidentifications(grpc::ServerContext* context,
                                     const v1::ListReidentificationsRequest* request,
                                     v1::ListReidentificationsResponse* response) override;
  grpc::Status ApproveReidentification(grpc::ServerContext* context,
                                       const v1::ApproveReidentificationRequest* request,
                                       v1::ApproveReidentificationResponse* response) override;
  grpc::Status RedeemReidentification(grpc::ServerContext* context,
                                      const v1::RedeemReidentificationRequest* request,
                                      v1::RedeemReidentificationResponse* response) override;
  grpc::Status ListDomains(grpc::ServerContext* context, const v1::ListDomainsRequest* request,
                           v1::ListDomainsResponse* response) override;
  grpc::Status CreateDomain(grpc::ServerContext* context, const v1::CreateDomainRequest* request,
                            v1::CreateDomainResponse* response) override;
  grpc::Status RotateDomain(grpc::ServerContext* context, const v1::RotateDomainRequest* request,
                            v1::RotateDomainResponse* response) override;
  grpc::Status RetireEpoch(grpc::ServerContext* context, const v1::RetireEpochRequest* request,
                           v1::RetireEpochResponse* response) override;
  grpc::Status DestroyEpoch(grpc::ServerContext* context, const v1::DestroyEpochRequest* request,
                            v1::DestroyEpochResponse* response) override;
  grpc::Status ListLockedCallers(grpc::ServerContext* context,
                                 const v1::ListLockedCallersRequest* request,
                                 v1::ListLockedCallersResponse* response) override;
  grpc::Status UnlockCaller(grpc::ServerContext* context, const v1::UnlockCallerRequest* request,
                            v1::UnlockCallerResponse* response) override;

 private:
  // One call on its way.
  struct Visit {
    std::string_view method;
    std::string caller;
    std::shared_ptr<const Policy> policy;
    trail::Entry entry;  // what the trail will say of it
    Refusal refusal = Refusal::kOther;
    bool recorded = false;         // its refusal, already
    std::vector<uint64_t> hashes;  // of the values that it names, where a sweep is watched for
    uint64_t misses = 0;
  };
  using Work = absl::FunctionRef<absl::Status(Visit&)>;

  grpc::Status Serve(const grpc::ServerContext& context, std::string_view method,
                     const google::protobuf::Message& request, trail::Operation operation,
                     Work work);
  // The caller's place among the calls; kept until the answer has been taken.
  absl::Status Enter(const grpc::ServerContext& context, Visit& visit, bool stream);
  // kInvalidArgument: the answer would be larger than callers can get.
  absl::Status CheckAnswer(uint64_t bytes) const;
  // What is counted of a visit at its end, and its refusal recorded.
  void End(Visit& visit, const absl::Status& status);

  // The steps of a visit, in their order.
  absl::Status Allow(Visit& visit, Call call, std::string_view domain) const;
  absl::Status AllowConversion(Visit& visit, std::string_view from, std::string_view to) const;
  absl::Status Justify(Visit& visit, const v1::Justification& justification, bool always) const;
  absl::Status Admit(Visit& visit, uint64_t values) const;
  // Durable; afterwards the answer may leave.
  absl::Status Record(Visit& visit, uint64_t count) const;
  // Where the caller's sweeps are watched for.
  void Watch(Visit& visit, int kind, std::string_view value) const;
  absl::Status Deny(Visit& visit, Decision decision) const;
  static absl::Status NoName(Visit& visit);

  absl::Status PseudonymiseBatch(Visit& visit, const v1::PseudonymiseRequest& request,
                                 v1::PseudonymiseResponse& response) const;
  // Checks that blocks are whole ones, and counts and watches them.
  absl::Status AdmitBlocks(Visit& visit, const std::string& blocks) const;
  // What each call on single values begins with: the steps up to Admit(). `justified`: whatever the
  // policy says. The domain is one of `keys`.
  template <typename Request, typename Values>
  absl::StatusOr<const privacy::KeyringDomain*> AdmitValues(Visit& visit, Call call,
                                                            const Keys& keys,
                                                            const Request& request,
                                                            const Values& values,
                                                            bool justified) const;
  // The domain, which the visit may act on and the trail may name.
  absl::StatusOr<const privacy::KeyringDomain*> FindDomain(Visit& visit, const Keys& keys,
                                                           std::string_view name) const;
  grpc::Status ChangeKeyring(
      const grpc::ServerContext& context, std::string_view method,
      const google::protobuf::Message& request, trail::Operation operation, Call call,
      const std::string& domain, const v1::Justification& justification,
      absl::FunctionRef<absl::Status(privacy::Keyring&, std::string&)> change);

  const Options options_;
  const std::unique_ptr<const validation::RequestRules> rules_;
  Gate gate_;
  KeyStore& keys_;
  const PolicySlot& policy_;
  Guard& guard_;
  Recorder& recorder_;
  Reidentifications& reidentifications_;
  rpc::OpenCalls& open_calls_;
  Probe& probe_;
  const base::Clock& clock_;
  base::RandomSource& random_;
  std::array<uint8_t, 16> salt_{};  // so that nobody chooses values that collide in a sketch
};

}  // namespace sluice::pseudonymiser
