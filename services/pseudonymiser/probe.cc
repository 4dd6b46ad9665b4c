#include "services/pseudonymiser/probe.h"

#include "common/rpc/status.h"

namespace sluice::pseudonymiser {
namespace {

constexpr std::string_view kRefusals[] = {"unauthenticated", "unknown_caller", "revoked",
                                          "not_allowed",     "locked",         "limit",
                                          "grant",           "other"};

}  // namespace

std::string_view RefusalName(Refusal refusal) { return kRefusals[static_cast<size_t>(refusal)]; }

Probe::Probe(telemetry::Registry& registry)
    : calls_(registry.CounterFamily(
          {"sluice_rpc_calls_total", "gRPC calls that have ended.", {"method", "code"}})),
      call_seconds_(registry.HistogramFamily(
          {"sluice_rpc_call_seconds", "How long gRPC calls took, without the wire.", {"method"}},
          telemetry::SecondsBuckets())),
      values_(registry.CounterFamily({"sluice_pseudonymiser_values_total",
                                      "Values and pseudonyms that were treated.",
                                      {"method"}})),
      refusals_(registry.CounterFamily({"sluice_pseudonymiser_refusals_total",
                                        "Calls refused, by reason.",
                                        {"method", "reason"}})),
      locks_(registry.CounterFamily({"sluice_pseudonymiser_locks_total",
                                     "Callers locked because they swept or missed too often.",
                                     {"reason"}})),
      locked_callers_(registry.GaugeFamily(
          {"sluice_pseudonymiser_locked_callers",
           "Callers that are locked until somebody unlocks them; absent while the state can't be "
           "read.",
           {}})),
      state_readable_(registry.GaugeFamily(
          {"sluice_pseudonymiser_state_readable",
           "1: the state that the replicas share can be read; 0: nothing that depends on it is "
           "done. Absent without a state.",
           {}})),
      reidentifications_(registry.CounterFamily(
          {"sluice_reidentifications_total", "Acts of re-identification.", {"result"}})),
      keyring_generation_(registry.NewGauge("sluice_keyring_generation",
                                            "How often the keyring in use has been written.")),
      epoch_(registry.GaugeFamily(
          {"sluice_key_epoch", "The epoch that makes a domain's new pseudonyms.", {"domain"}})),
      epoch_begun_(registry.GaugeFamily(
          {"sluice_key_epoch_begun_timestamp_seconds",
           "When the epoch that makes a domain's new pseudonyms was begun. Absent if unknown.",
           {"domain"}})),
      reads_(registry.CounterFamily({"sluice_pseudonymiser_reads_total",
                                     "Changed files that were read while it runs.",
                                     {"file", "result"}})),
      read_refused_(registry.GaugeFamily({"sluice_pseudonymiser_read_refused",
                                          "1: the file as it is was refused; what was read before "
                                          "is in use.",
                                          {"file"}})),
      lines_(registry.NewCounter("sluice_audit_lines_total", "Lines written to the audit trail.")),
      write_failures_(registry.NewCounter("sluice_audit_write_failures_total",
                                          "Lines that couldn't be written to the audit trail.")),
      unpublished_(registry.GaugeFamily(
          {"sluice_audit_unpublished_bytes",
           "Bytes of the audit trail that aren't in its topic yet. Absent if unknown.",
           {}})),
      publish_failures_(registry.NewCounter("sluice_audit_publish_failures_total",
                                            "Tries to publish the audit trail that failed.")),
      memory_locked_(registry.NewGauge("sluice_memory_locked",
                                       "1: keys can't be swapped out; 0: they could be.")) {}

void Probe::Unpublished(std::optional<uint64_t> bytes) {
  if (bytes) {
    unpublished_.With({}).Set(static_cast<double>(*bytes));
  } else {
    unpublished_.RemoveAll();
  }
}

void Probe::Called(std::string_view method, const grpc::Status& status,
                   std::chrono::steady_clock::duration took) {
  calls_.With({method, rpc::CodeName(status.error_code())}).Add();
  call_seconds_.With({method}).Observe(std::chrono::duration<double>(took).count());
}

void Probe::Values(std::string_view method, uint64_t values) {
  values_.With({method}).Add(static_cast<double>(values));
}

void Probe::Refused(std::string_view method, Refusal refusal) {
  refusals_.With({method, RefusalName(refusal)}).Add();
}

void Probe::Locked(std::string_view reason) { locks_.With({reason}).Add(); }

void Probe::LockedCallers(std::optional<size_t> callers) {
  state_readable_.With({}).Set(callers ? 1 : 0);
  if (callers) {
    locked_callers_.With({}).Set(static_cast<double>(*callers));
  } else {
    locked_callers_.RemoveAll();
  }
}

void Probe::Keyring(const privacy::Keyring& keyring) {
  keyring_generation_.Set(static_cast<double>(keyring.generation()));
  for (const privacy::KeyringDomain& domain : keyring.domains()) {
    epoch_.With({domain.name}).Set(domain.newest());
    int64_t begun_ms = domain.newest_begun_unix_ms();
    if (begun_ms != 0) epoch_begun_.With({domain.name}).Set(static_cast<double>(begun_ms) / 1000);
  }
}

void Probe::KeyringRead(const absl::Status& status) {
  reads_.With({"keyring", status.ok() ? "taken" : "refused"}).Add();
  read_refused_.With({"keyring"}).Set(status.ok() ? 0 : 1);
}

void Probe::PolicyRead(const absl::Status& status) {
  reads_.With({"policy", status.ok() ? "taken" : "refused"}).Add();
  read_refused_.With({"policy"}).Set(status.ok() ? 0 : 1);
}

void Probe::Recorded(bool written) { (written ? lines_ : write_failures_).Add(); }

}  // namespace sluice::pseudonymiser
