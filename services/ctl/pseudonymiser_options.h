// What commands that call the pseudonymiser have in common.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/status.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "services/ctl/command.h"
#include "services/ctl/tls_options.h"
#include "sluice/pseudonymiser/v1/pseudonymiser.grpc.pb.h"

namespace sluice::ctl {

struct PseudonymiserOptions {
  using Stub = pseudonymiser::v1::Pseudonymiser::Stub;

  std::string address;
  TlsOptions tls;
  int timeout_ms = 30'000;
  std::string purpose, legal_basis, case_reference;

  void AddTo(CLI::App& command);
  // Of commands whose acts are recorded.
  void AddJustificationTo(CLI::App& command);
  void Justify(pseudonymiser::v1::Justification& out) const;

  absl::StatusOr<std::unique_ptr<Stub>> Connect() const;
  // One call. `method` is of the stub.
  template <typename Request, typename Response>
  absl::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response) const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(timeout_ms));
    return rpc::FromGrpc((stub.*method)(&context, request, &response));
  }
  // The only call of a command.
  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response) const {
    SLUICE_ASSIGN_OR_RETURN(auto stub, Connect());
    return Call(*stub, method, request, response);
  }
};

// An identifier's kind by the name that contracts give it, such as PHONE.
absl::StatusOr<contract::v1::IdentifierKind> ParseKind(const std::string& name);

}  // namespace sluice::ctl
