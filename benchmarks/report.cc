#include <cstdio>
#include <fstream>

#include "benchmarks/bench.h"

namespace sluice::bench {

void Report::Add(const std::string& name, double value, const std::string& unit) {
  figures_.push_back({name, value});
  std::printf("%s %.6g %s\n", name.c_str(), value, unit.c_str());
  std::fflush(stdout);
}

absl::Status Report::WriteJson(const std::string& path) const {
  std::ofstream out(path);
  out << "{";
  for (size_t i = 0; i < figures_.size(); ++i)
    out << (i ? "," : "") << "\n  \"" << figures_[i].name << "\": " << figures_[i].value;
  out << "\n}\n";
  return out.good() ? absl::OkStatus() : absl::InternalError(path + ": can't be written");
}

}  // namespace sluice::bench
