// Deletes a topic, as an operator's tool does: nothing of the project itself does so.
#pragma once

#include <chrono>
#include <string>

#include "absl/status/status.h"

namespace sluice::test_support {

// Returns when the broker has taken it; a topic of the same name can be made some moments later.
absl::Status DeleteTopic(const std::string& bootstrap, const std::string& topic,
                         std::chrono::milliseconds timeout = std::chrono::seconds(20));

}  // namespace sluice::test_support
