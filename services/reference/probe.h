// The reference service's metrics: the only place where their names stand.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/telemetry/metrics.h"
#include "sluice/reference/v1/reference.pb.h"

namespace sluice::reference {

// Thread-safe.
class Probe {
 public:
  explicit Probe(telemetry::Registry& registry);

  // A source was read and had nothing new (`unchanged`).
  void Loaded(std::string_view set, std::string_view result) const;
  void Refused(std::string_view set, std::string_view reason, bool away) const;
  void Activated(std::string_view set, std::string_view id, size_t rows, uint64_t activation) const;
  // For the collection of gauges.
  void Sets(const v1::GetStatusResponse& status) const;

  void Call(std::string_view method, std::string_view code) const;
  void Denied(std::string_view method, std::string_view caller) const;
  void Watchers(int change) const;
  void Sent(std::string_view set, bool difference, size_t bytes) const;

 private:
  telemetry::Family<telemetry::Counter> loads_, calls_, sent_bytes_;
  telemetry::Family<telemetry::Gauge> rows_, age_, looked_, confirmed_, full_read_interval_,
      never_hold_, refused_, held_;
  telemetry::Gauge activation_, watchers_;
};

}  // namespace sluice::reference
