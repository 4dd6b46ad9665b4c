// gRPC's library, made fit for personal data.
#pragma once

namespace sluice::rpc {

// gRPC's traces print payloads, and the environment switches them on: removes GRPC_TRACE and
// GRPC_VERBOSITY, ends what they began, and turns gRPC's own errors into log lines `grpc_error`.
// Works once; later calls do nothing. Server and Connect() call it; main() calls it first of all,
// because it changes the environment while no other thread reads it.
void InitialiseLibrary();

}  // namespace sluice::rpc
