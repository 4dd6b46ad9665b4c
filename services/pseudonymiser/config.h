// The service's configuration, read and checked.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "sluice/config/v1/pseudonymiser.pb.h"

namespace sluice::pseudonymiser {

// With every path as the working folder knows it, and every default filled in. Errors name file,
// line and what to change. `writer`: the replica's name where the file gives none.
absl::StatusOr<config::v1::PseudonymiserService> LoadConfig(const std::string& path,
                                                            const std::string& writer);

}  // namespace sluice::pseudonymiser
