// The benchmark's event: 764 bytes of JSON, the same for every system that is compared.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace sluice::bench {

extern const std::string_view kWorkloadContract;  // file bench.proto, message bench.StopSearch
extern const std::string_view kWorkloadPipeline;  // YAML, without indentation

// 500,000 people, 1,000,000 officers, 33 boroughs; about one in a hundred broken in six ways in
// turn, one in a hundred with an unknown borough. The same seed gives the same events.
class Workload {
 public:
  explicit Workload(uint64_t seed) : random_(seed) {}
  std::string Next();

 private:
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }
  std::mt19937_64 random_;
  uint64_t count_ = 0;
};

}  // namespace sluice::bench
