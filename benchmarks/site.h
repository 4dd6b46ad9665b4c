// A folder with all that a processor of the workload is configured with.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/rpc/tls.h"
#include "tests/support/certificates.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace sluice::bench {

class Site {
 public:
  // Makes the contract, the reference set, a keyring and a quarantine key.
  static absl::StatusOr<std::unique_ptr<Site>> Create();

  struct Processor {
    std::string broker = "127.0.0.1:1";
    std::string group = "bench";
    int commit_interval_ms = 0;  // 0: the default
    std::string security;        // kafka.security, in YAML; empty: none
  };
  // A pseudonymiser's service with the site's keyring as a process of its own, over mutual TLS.
  // From now on Configure() makes the processor ask it.
  absl::StatusOr<std::unique_ptr<test_support::ChildProcess>> StartPseudonymiser(
      const std::string& programs);
  // host:port, and who the processor is.
  const std::string& pseudonymiser_address() const { return address_; }
  rpc::TlsFiles processor_tls() const {
    return {processor_.certificate, processor_.private_key, processor_.authority};
  }

  // Writes config() anew.
  absl::Status Configure(const Processor& processor) const;

  std::string config() const { return folder_->path() + "/processor.yaml"; }
  const std::string& path() const { return folder_->path(); }

 private:
  std::unique_ptr<test_support::TempDir> folder_;
  test_support::Certificates certificates_;
  test_support::CertificateFiles processor_;
  std::string address_;  // empty: the processor has the keys
};

}  // namespace sluice::bench
