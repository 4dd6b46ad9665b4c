// Statuses on both sides of a call.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string_view>

#include "absl/status/status.h"

namespace sluice::rpc {

// The codes are the same ones.
grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

// PERMISSION_DENIED and the like, for logs and metrics: a closed set.
std::string_view CodeName(grpc::StatusCode code);

}  // namespace sluice::rpc
