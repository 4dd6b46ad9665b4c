#include "common/rpc/channel.h"

#include <grpc/grpc.h>

#include "common/base/address.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/rpc/library.h"

namespace sluice::rpc {
namespace {

// An attempt to connect that leads nowhere is given up after this; gRPC's own is 20 s.
constexpr int kConnectTimeoutMs = 5000;
// A connection whose other end is gone without a word (a machine that lost its power, a network
// that drops packets) is noticed by its silence after both together. What waits on it fails then
// and the next call connects again; without this it could be the kernel's quarter of an hour.
constexpr int kKeepaliveMs = 20'000;
constexpr int kKeepaliveTimeoutMs = 20'000;

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const ChannelOptions& options,
                                                       std::string_view option) {
  InitialiseLibrary();
  if (options.address.empty()) {
    return absl::InvalidArgumentError(base::StrCat(option, ".address: name host:port"));
  }
  if (options.tls.has_value()) {
    SLUICE_RETURN_IF_ERROR(CheckTlsFiles(*options.tls, base::StrCat(option, ".tls")));
  } else {
    auto address = base::ParseListenAddress("", options.address);
    if (!address.ok() || !address->loopback) {
      return absl::InvalidArgumentError(base::StrCat(
          option, ".address: ", options.address, " isn't on this machine: set ", option, ".tls"));
    }
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(options.message_bytes_max);
  arguments.SetMaxSendMessageSize(options.message_bytes_max);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, options.reconnect_backoff_ms_max);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, options.own_connection ? 1 : 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  // Who only reads sends no data for long.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // What is sent here isn't for a proxy that the environment happens to name.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(options.address,
                                   options.tls.has_value() ? MakeChannelCredentials(*options.tls)
                                                           : grpc::InsecureChannelCredentials(),
                                   arguments);
}

}  // namespace sluice::rpc
