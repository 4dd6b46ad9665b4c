// The options of every command that calls a service: who this caller is, and whom it believes.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/rpc/tls.h"
#include "services/ctl/command.h"

namespace sluice::ctl {

struct TlsOptions {
  std::string certificate, private_key, authority;

  void AddTo(CLI::App& command);
  // nullopt: without TLS. kInvalidArgument: only some of them are given.
  absl::StatusOr<std::optional<rpc::TlsFiles>> Files() const;
};

}  // namespace sluice::ctl
