// Connections to other processes' gRPC ports.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/rpc/tls.h"

namespace sluice::rpc {

struct ChannelOptions {
  // host:port. Without `tls` the host must be localhost or a loopback address.
  std::string address;
  std::optional<TlsFiles> tls;
  // Larger messages are refused with RESOURCE_EXHAUSTED, in and out.
  int message_bytes_max = 4 * 1024 * 1024;
  // Longest pause between two attempts to connect.
  int reconnect_backoff_ms_max = 5000;
  // Not shared with other channels to the same address: who connects anew gets a new connection.
  bool own_connection = false;
};

// Doesn't wait for the connection. `option` is what the errors call the options' parent, such as
// `pseudonymiser.remote`. Error: kInvalidArgument names the option.
absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const ChannelOptions& options,
                                                       std::string_view option);

}  // namespace sluice::rpc
