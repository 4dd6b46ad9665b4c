// What a process that runs has used so far.
#pragma once

#include <sys/types.h>

namespace sluice::bench {

struct ProcessUsage {
  double cpu_seconds = 0;
  double peak_kib = 0;  // resident
};

ProcessUsage UsageOf(pid_t pid);

}  // namespace sluice::bench
