#include <sys/resource.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/telemetry/memory_limit.h"
#include "common/telemetry/metrics.h"

namespace sluice::telemetry {
namespace {

// Seconds since the Unix epoch, or 0 if /proc doesn't say. proc(5): field 22 of /proc/self/stat is
// in ticks since the machine's start, `btime` of /proc/stat in seconds.
double StartSeconds() {
  std::ifstream stat("/proc/self/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), std::istreambuf_iterator<char>());
  // The second field is the program's name, which may hold spaces and brackets.
  size_t at = text.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = text.find(' ', at + 1);
  if (at == std::string::npos) return 0;
  double ticks = std::strtod(text.c_str() + at, nullptr);

  std::ifstream machine("/proc/stat");
  std::string key;
  double boot = 0;
  while (machine >> key) {
    if (key == "btime" && machine >> boot) break;
  }
  return boot + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double CpuSeconds() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

// Without the descriptor that the count itself needs.
double OpenFds() {
  std::error_code error;
  std::filesystem::directory_iterator fds("/proc/self/fd", error);
  double count = -1;
  for (; !error && fds != std::filesystem::directory_iterator(); fds.increment(error)) ++count;
  return count < 0 ? 0 : count;
}

}  // namespace

void AddProcessMetrics(Registry& registry) {
  Counter cpu = registry.NewCounter("process_cpu_seconds_total", "User and system time used.");
  Gauge resident = registry.NewGauge("process_resident_memory_bytes", "Memory in RAM.");
  Gauge mapped = registry.NewGauge("process_virtual_memory_bytes", "Memory mapped.");
  Gauge memory_limit =
      registry.NewGauge("process_memory_limit_bytes",
                        "Memory that the control group allows; +Inf: it sets no limit.");
  Gauge open_fds = registry.NewGauge("process_open_fds", "Open file descriptors.");
  Gauge max_fds = registry.NewGauge("process_max_fds", "File descriptors that may be open.");
  registry.NewGauge("process_start_time_seconds", "When the process began, since the Unix epoch.")
      .Set(StartSeconds());
  registry.OnCollect([=] {
    cpu.Add(CpuSeconds() - cpu.Value());
    double pages_mapped = 0, pages_resident = 0;
    std::ifstream("/proc/self/statm") >> pages_mapped >> pages_resident;
    const double page_bytes = static_cast<double>(sysconf(_SC_PAGESIZE));
    mapped.Set(pages_mapped * page_bytes);
    resident.Set(pages_resident * page_bytes);
    memory_limit.Set(MemoryLimitBytes());
    open_fds.Set(OpenFds());
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    max_fds.Set(static_cast<double>(limit.rlim_cur));
  });
}

}  // namespace sluice::telemetry
