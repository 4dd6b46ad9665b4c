// What a process, or a thread of this one, has used so far.
#pragma once

#include <sys/types.h>

namespace sluice::bench {

struct ProcessUsage {
  double cpu_seconds = 0;
  double peak_kib = 0;  // resident
};

ProcessUsage UsageOf(pid_t pid);

// CPU time of the calling thread: what other processes do on the same core is no part of it.
double ThreadCpuSeconds();

}  // namespace sluice::bench
