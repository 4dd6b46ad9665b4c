// Processors as their gRPC ports show them.
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

namespace sluice::ctl {

struct ServiceOptions {
  std::vector<std::string> addresses;  // host:port
  std::optional<rpc::TlsFiles> tls;    // needed beyond this machine
  int timeout_ms = 5'000;              // of each call
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

// Connections that stay from one question to the next. Single-threaded.
class Services {
 public:
  // kInvalidArgument names the option.
  static absl::StatusOr<Services> Connect(const ServiceOptions& options);

  std::vector<ServiceStatus> Statuses();
  // Of every service, in order, each by itself.
  std::vector<absl::Status> Pause();
  std::vector<absl::Status> Resume();
  const std::vector<std::string>& addresses() const { return options_.addresses; }

 private:
  template <typename Call>
  absl::Status Ask(Call call) const;

  ServiceOptions options_;
  std::vector<std::unique_ptr<processor::v1::Processor::Stub>> stubs_;
};

}  // namespace sluice::ctl
