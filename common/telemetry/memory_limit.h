// How much memory this process may use before the kernel ends it.
#pragma once

#include <string>

namespace sluice::telemetry {

// The smallest limit of the control groups (version 1 or 2) that a process is in; infinity when
// none sets one. `proc_cgroup` is /proc/PID/cgroup, `mount` where the groups are mounted.
double MemoryLimitBytes(const std::string& proc_cgroup = "/proc/self/cgroup",
                        const std::string& mount = "/sys/fs/cgroup");

}  // namespace sluice::telemetry
