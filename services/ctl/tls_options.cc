#include "services/ctl/tls_options.h"

namespace sluice::ctl {

void TlsOptions::AddTo(CLI::App& command) {
  command.add_option("--tls-certificate", certificate,
                     "This caller's certificate, PEM; TLS is needed beyond this machine");
  command.add_option("--tls-private-key", private_key, "Its private key, PEM");
  command.add_option("--tls-authority", authority,
                     "The authority that the services' certificates are signed by, PEM");
}

absl::StatusOr<std::optional<rpc::TlsFiles>> TlsOptions::Files() const {
  if (certificate.empty() && private_key.empty() && authority.empty()) return std::nullopt;
  if (certificate.empty() || private_key.empty() || authority.empty()) {
    return absl::InvalidArgumentError(
        "give --tls-certificate, --tls-private-key and --tls-authority, all three or none");
  }
  return rpc::TlsFiles{certificate, private_key, authority};
}

}  // namespace sluice::ctl
