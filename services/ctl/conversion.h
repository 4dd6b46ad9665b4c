// What the commands share that convert pseudonyms, with the keyring or by the service.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/privacy/pseudonymiser.h"
#include "common/privacy/rotation.h"
#include "services/ctl/command.h"
#include "services/ctl/output.h"

namespace sluice::ctl {

// Calls `work` with each line, its end included, of the file, or of the output's input for `-`. The
// first error of `work` ends it. kNotFound, kUnavailable: the file can't be read, or not to its
// end.
absl::Status ForEachLine(const std::string& file, Output& output,
                         absl::FunctionRef<absl::Status(const std::string& line)> work);

// Says what became of how many pseudonyms; kFound where some were left as they are.
ExitCode ReportConversion(const privacy::Rotation::Counts& counts, Output& output);

// Converts texts, many at a time: all pseudonyms of one domain, wherever they stand.
class PseudonymConverter {
 public:
  // What the service makes of the blocks of one epoch.
  struct Made {
    std::string blocks;
    privacy::DomainEpoch as;
    // The numbers, ascending, of blocks that the epoch didn't make.
    std::vector<uint32_t> unknown = {};
  };
  // A call for them. kFailedPrecondition, kNotFound: the epoch isn't active, or never was: its
  // pseudonyms stay.
  using Ask = std::function<absl::StatusOr<Made>(uint32_t epoch, const std::string& blocks)>;

  // `newest`: what is converted already, and asked for all the same, to know whether this epoch
  // made it; 0: nothing is.
  PseudonymConverter(std::string label, uint32_t newest, Ask ask)
      : label_(std::move(label)), newest_(newest), ask_(std::move(ask)) {}

  void Add(std::string_view text);
  // Of the texts that wait: pseudonyms to ask for, and bytes.
  size_t pseudonyms() const { return places_.size(); }
  size_t bytes() const { return pending_.size(); }
  // The texts added since the last call, converted, in their order. An error leaves none.
  absl::StatusOr<std::vector<std::string>> Take();

  const privacy::Rotation::Counts& counts() const { return counts_; }

 private:
  struct Place {
    size_t text;
    size_t at;  // in pending_
    uint32_t epoch;
    size_t block;  // in the epoch's blocks
    std::string old;
  };
  void Clear();

  const std::string label_;
  const uint32_t newest_;
  const Ask ask_;
  std::string pending_;       // the texts without the pseudonyms at places_
  std::vector<size_t> ends_;  // of texts: in pending_
  std::vector<Place> places_;
  std::map<uint32_t, std::string> blocks_;
  privacy::Rotation::Counts added_;   // of the texts that wait
  privacy::Rotation::Counts counts_;  // of those taken
};

}  // namespace sluice::ctl
