// The pseudonymiser's metrics: the only place where their names appear.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "common/privacy/keyring.h"
#include "common/rpc/status.h"
#include "common/telemetry/metrics.h"

namespace sluice::pseudonymiser {

// Why a call was refused; the label of a metric and a word of the trail.
enum class Refusal {
  kUnauthenticated,
  kUnknownCaller,
  kRevoked,
  kNotAllowed,
  kLocked,
  kLimit,
  kGrant,
  kOther
};
std::string_view RefusalName(Refusal refusal);

// Thread-safe.
class Probe {
 public:
  explicit Probe(telemetry::Registry& registry);

  void Called(std::string_view method, const grpc::Status& status,
              std::chrono::steady_clock::duration took);
  void Values(std::string_view method, uint64_t values);
  void Refused(std::string_view method, Refusal refusal);
  void Locked(std::string_view reason);
  // nullopt: the state can't be read.
  void LockedCallers(std::optional<size_t> callers);
  // requested, approved, redeemed or refused.
  void Reidentification(std::string_view result) { reidentifications_.With({result}).Add(); }

  // What is in use from now on.
  void Keyring(const privacy::Keyring& keyring);
  void KeyringRead(const absl::Status& status);
  void PolicyRead(const absl::Status& status);

  void Recorded(bool written);
  // nullopt: it isn't known.
  void Unpublished(std::optional<uint64_t> bytes);
  void PublishFailed() { publish_failures_.Add(); }
  void MemoryLocked(bool locked) { memory_locked_.Set(locked ? 1 : 0); }

 private:
  telemetry::Family<telemetry::Counter> calls_;
  telemetry::Family<telemetry::Histogram> call_seconds_;
  telemetry::Family<telemetry::Counter> values_;
  telemetry::Family<telemetry::Counter> refusals_;
  telemetry::Family<telemetry::Counter> locks_;
  telemetry::Family<telemetry::Gauge> locked_callers_;
  telemetry::Family<telemetry::Gauge> state_readable_;
  telemetry::Family<telemetry::Counter> reidentifications_;
  telemetry::Gauge keyring_generation_;
  telemetry::Family<telemetry::Gauge> epoch_, epoch_begun_;
  telemetry::Family<telemetry::Counter> reads_;
  telemetry::Family<telemetry::Gauge> read_refused_;
  telemetry::Counter lines_;
  telemetry::Counter write_failures_;
  telemetry::Family<telemetry::Gauge> unpublished_;
  telemetry::Counter publish_failures_;
  telemetry::Gauge memory_locked_;
};

}  // namespace sluice::pseudonymiser
