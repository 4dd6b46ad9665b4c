// Processors, pseudonymisers and reference services as their gRPC ports show them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/rpc/tls.h"
#include "sluice/processor/v1/processor.grpc.pb.h"
#include "sluice/pseudonymiser/v1/pseudonymiser.grpc.pb.h"
#include "sluice/reference/v1/reference.grpc.pb.h"

namespace sluice::ctl {

struct ServiceOptions {
  std::vector<std::string> addresses;  // processors, host:port
  std::vector<std::string> pseudonymisers, references;
  std::optional<rpc::TlsFiles> tls;  // needed beyond this machine
  int timeout_ms = 5'000;            // of each call
};

struct ServiceStatus {
  std::string address;
  absl::Status reached;  // of the call; below is meaningful when it is OK
  processor::v1::GetStatusResponse processor;

  // The worst of its workers', or `reload refused`, or `unreachable`.
  std::string State() const;
  // Nobody needs to look: running or paused.
  bool Well() const;
  int64_t lag_records() const;  // of all partitions; -1: not known of any
  double lag_seconds() const;   // of the partition furthest behind
};

struct PseudonymiserStatus {
  std::string address;
  absl::Status reached;  // of the call for domains; below is meaningful when it is OK
  pseudonymiser::v1::ListDomainsResponse domains;
  // Not OK where this caller may not see who is locked.
  absl::StatusOr<pseudonymiser::v1::ListLockedCallersResponse> locked;

  // `unreachable`, `callers locked` or `running`.
  std::string State() const;
  bool Well() const { return State() == "running"; }
  // Since the longest that any domain's newest epoch has been in use; nullopt: of none it is known.
  std::optional<double> OldestEpochSeconds(int64_t now_ms) const;
};

struct ReferenceStatus {
  using Set = reference::v1::GetStatusResponse::Set;
  std::string address;
  absl::Status reached;
  reference::v1::GetStatusResponse reference;

  // `unreachable`, the worst of its sets' that isn't fine, or `running`.
  std::string State() const;
  bool Well() const { return State() == "running"; }
  // `without a version`, `refused`, `held` (which is fine: somebody's wish) or `active`.
  static std::string_view StateOf(const Set& set);
};

// Connections that stay from one question to the next. Single-threaded.
class Services {
 public:
  // kInvalidArgument names the option.
  static absl::StatusOr<Services> Connect(const ServiceOptions& options);

  std::vector<ServiceStatus> Statuses();
  std::vector<PseudonymiserStatus> Pseudonymisers();
  std::vector<ReferenceStatus> References();
  // Of every service, in order, each by itself.
  std::vector<absl::Status> Pause();
  std::vector<absl::Status> Resume();
  // The processors in turn, each asked for what no other has done. The partitions that were set; an
  // error names those that weren't, and why.
  absl::Status SetOffsets(processor::v1::SetOffsetsRequest request, std::vector<int32_t>& done);
  const std::vector<std::string>& addresses() const { return options_.addresses; }

 private:
  template <typename Call>
  absl::Status Ask(Call call) const;

  ServiceOptions options_;
  std::vector<std::unique_ptr<processor::v1::Processor::Stub>> stubs_;
  std::vector<std::unique_ptr<pseudonymiser::v1::Pseudonymiser::Stub>> pseudonymisers_;
  std::vector<std::unique_ptr<reference::v1::Reference::Stub>> references_;
};

}  // namespace sluice::ctl
