// The demo's pseudonymiser and reference service, each a process of its own, as on a site.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "sluice/config/v1/processor.pb.h"
#include "tests/support/certificates.h"
#include "tests/support/child_process.h"

namespace sluice::demo {

// What a service's log says of its port; nullopt as long as it says nothing.
absl::StatusOr<int> PortOf(test_support::ChildProcess& process, std::string_view port);

class Apart {
 public:
  struct Options {
    std::string folder;          // for what they read and write
    std::string program_folder;  // of the build
    std::string audit_topic;     // where the pseudonymiser publishes its audit log
    // A processor that does both itself, and is to do neither.
    config::v1::Processor local;
  };
  // Returns when both answer.
  static absl::StatusOr<std::unique_ptr<Apart>> Start(Options options);

  // The file with the configuration of a processor that asks them.
  const std::string& config() const { return config_; }
  // What Prometheus is to scrape: job and port.
  const std::vector<std::pair<std::string, int>>& targets() const { return targets_; }

 private:
  explicit Apart(Options options) : options_(std::move(options)) {}
  absl::Status StartPseudonymiser();
  absl::Status StartReference();
  absl::Status WriteProcessor();
  absl::StatusOr<std::unique_ptr<test_support::ChildProcess>> StartService(const std::string& name);
  std::string Path(const std::string& file) const { return options_.folder + "/" + file; }

  const Options options_;
  test_support::Certificates certificates_;
  std::unique_ptr<test_support::ChildProcess> pseudonymiser_, reference_;
  int pseudonymiser_port_ = 0, reference_port_ = 0;
  std::string config_;
  std::vector<std::pair<std::string, int>> targets_;
};

}  // namespace sluice::demo
