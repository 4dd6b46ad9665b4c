// Contracts, loaded at run time: a new kind of event needs no rebuild.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/contract/plan.h"

namespace sluice::contract {

// A set of contracts that may import one another. Immutable once loaded, thread-safe.
//
// buf/validate/validate.proto, sluice/contract/v1/options.proto and google/protobuf/*.proto can be
// imported without being there: they come from this program.
class Contracts {
 public:
  // Each path is a folder, whose .proto files are all loaded and import one another relative to it,
  // or a file with a google.protobuf.FileDescriptorSet. All mistakes are reported, one line each,
  // with file and line.
  static absl::StatusOr<std::unique_ptr<Contracts>> Load(const std::vector<std::string>& paths);

  // The same from text in memory, as pairs of file name and content.
  static absl::StatusOr<std::unique_ptr<Contracts>> LoadText(
      const std::vector<std::pair<std::string, std::string>>& files);

  ~Contracts();

  // Full names of the messages that are events, sorted.
  std::vector<std::string> EventNames() const;

  // Compiles one event's message. All mistakes are reported, one line each: `file:line: field: what
  // is wrong; what to change`.
  absl::StatusOr<std::shared_ptr<const Plan>> Compile(std::string_view message) const;

 private:
  struct State;
  explicit Contracts(std::shared_ptr<State> state);
  static absl::StatusOr<std::unique_ptr<Contracts>> Finish(std::shared_ptr<State> state);

  std::shared_ptr<State> state_;
};

}  // namespace sluice::contract
