#include "common/rpc/library.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>

#include <cstdlib>
#include <mutex>
#include <string_view>

#include "common/telemetry/log.h"

namespace sluice::rpc {
namespace {

void LogError(gpr_log_func_args* args) {
  std::string_view file = args->file;
  file = file.substr(file.rfind('/') + 1);
  // A handshake's failure is told in full: there is no payload yet. Elsewhere the text may quote
  // one.
  const bool handshake = file.find("ssl") != std::string_view::npos ||
                         file.find("tls") != std::string_view::npos ||
                         file.find("security") != std::string_view::npos;
  telemetry::Log(telemetry::Severity::kWarning, "grpc_error",
                 {{"file", telemetry::SafeText(file)},
                  {"line", args->line},
                  {"text", telemetry::SafeText(handshake ? args->message : "")}});
}

}  // namespace

void InitialiseLibrary() {
  static std::once_flag once;
  std::call_once(once, [] {
    unsetenv("GRPC_TRACE");
    unsetenv("GRPC_VERBOSITY");
    // Kept for the life of the process: its end would race with gRPC's threads.
    grpc_init();
    grpc_tracer_set_enabled("all", 0);
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
    gpr_set_log_function(LogError);
  });
}

}  // namespace sluice::rpc
