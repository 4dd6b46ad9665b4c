#include "common/stream/failpoint.h"

#include <sys/mman.h>

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

EventFault::EventFault() {
  const char* variable = std::getenv("SLUICE_FAILPOINT");
  constexpr std::string_view kName = "fault_at_event:";
  if (variable == nullptr || !std::string_view(variable).starts_with(kName)) return;
  std::string_view place = std::string_view(variable).substr(kName.size());
  const size_t slash = place.find('/');
  if (slash == place.npos) return;
  int32_t partition = -1;
  int64_t offset = -1;
  if (absl::SimpleAtoi(absl::string_view(place.data(), slash), &partition) &&
      absl::SimpleAtoi(absl::string_view(place.data() + slash + 1, place.size() - slash - 1),
                       &offset)) {
    partition_ = partition;
    offset_ = offset;
  }
}

void EventFault::Fault() {
  // Not raise(): the processor's own faults come from the kernel, and say so.
  void* nowhere = mmap(nullptr, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *static_cast<volatile char*>(nowhere) = 1;
  std::abort();
}

}  // namespace sluice::stream
