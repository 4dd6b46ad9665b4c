#include "common/stream/failpoint.h"

#include <csignal>
#include <cstdlib>

#include "absl/strings/numbers.h"

namespace sluice::stream {

Failpoint::Failpoint(std::string_view name) {
  const char* variable = std::getenv("SLUICE_FAILPOINT");
  if (variable == nullptr) return;
  std::string_view wanted(variable);
  size_t colon = wanted.find(':');
  if (wanted.substr(0, colon) != name) return;
  int count = 1;
  if (colon != wanted.npos &&
      !absl::SimpleAtoi(absl::string_view(variable + colon + 1, wanted.size() - colon - 1),
                        &count)) {
    return;
  }
  passes_left_ = count;
}

void Failpoint::Count() {
  if (passes_left_.fetch_sub(1) == 1) std::raise(SIGKILL);
}

}  // namespace sluice::stream
