// A folder with all that a processor of the workload is configured with.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
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
  };
  // Writes config() anew.
  absl::Status Configure(const Processor& processor) const;

  std::string config() const { return folder_->path() + "/processor.yaml"; }
  const std::string& path() const { return folder_->path(); }

 private:
  std::unique_ptr<test_support::TempDir> folder_;
};

}  // namespace sluice::bench
