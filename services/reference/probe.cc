#include "services/reference/probe.h"

#include "common/telemetry/log.h"

namespace sluice::reference {

using telemetry::SafeText;
using telemetry::Severity;

Probe::Probe(telemetry::Registry& registry)
    : loads_(registry.CounterFamily(
          {"sluice_reference_loads_total",
           "Versions read from a set's source: accepted, refused, unchanged, or away where it "
           "couldn't be read.",
           {"set", "result"},
           1000})),
      calls_(registry.CounterFamily(
          {"sluice_rpc_calls_total", "gRPC calls that have ended.", {"method", "code"}})),
      sent_bytes_(registry.CounterFamily({"sluice_reference_sent_bytes_total",
                                          "Of snapshots, whole or as differences.",
                                          {"set", "kind"},
                                          1000})),
      rows_(registry.GaugeFamily(
          {"sluice_reference_rows", "Of the active version of a set.", {"set"}, 1000})),
      age_(registry.GaugeFamily({"sluice_reference_age_seconds",
                                 "Since the active version of a set was loaded.",
                                 {"set"},
                                 1000})),
      looked_(registry.GaugeFamily({"sluice_reference_looked_seconds",
                                    "Since a set's source was last looked at with success.",
                                    {"set"},
                                    1000})),
      confirmed_(registry.GaugeFamily({"sluice_reference_confirmed_seconds",
                                       "Since a set's source was last read in full and had the "
                                       "version in use.",
                                       {"set"},
                                       1000})),
      full_read_interval_(registry.GaugeFamily({"sluice_reference_full_read_interval_seconds",
                                                "How often a set's source is read in full at "
                                                "least.",
                                                {"set"},
                                                1000})),
      never_hold_(registry.GaugeFamily({"sluice_reference_rows_never_hold",
                                        "Rows of a set's source that are left out, as they begin "
                                        "and end at once.",
                                        {"set"},
                                        1000})),
      refused_(registry.GaugeFamily(
          {"sluice_reference_refused",
           "1: a set's source can't be read, or what it has is refused; the version before it "
           "goes on.",
           {"set"},
           1000})),
      held_(registry.GaugeFamily({"sluice_reference_held",
                                  "1: a person holds a set at its version, and newer ones wait.",
                                  {"set"},
                                  1000})),
      activation_(registry.NewGauge("sluice_reference_activation",
                                    "Number of the last change of active versions.")),
      watchers_(
          registry.NewGauge("sluice_reference_watchers", "Calls that wait for new versions.")) {}

void Probe::Loaded(std::string_view set, std::string_view result) const {
  loads_.With({set, result}).Add();
}

void Probe::Refused(std::string_view set, std::string_view reason, bool away) const {
  loads_.With({set, away ? "away" : "refused"}).Add();
  Log(away ? Severity::kWarning : Severity::kError, "version_refused",
      {{"set", SafeText(set)}, {"reason", SafeText(reason)}});
}

void Probe::Activated(std::string_view set, std::string_view id, size_t rows,
                      uint64_t activation) const {
  loads_.With({set, "accepted"}).Add();
  Log(Severity::kInfo, "version_active",
      {{"set", SafeText(set)},
       {"id", SafeText(id)},
       {"rows", static_cast<uint64_t>(rows)},
       {"activation", activation}});
}

void Probe::Sets(const v1::GetStatusResponse& status) const {
  activation_.Set(static_cast<double>(status.activation()));
  for (const auto& set : status.sets()) {
    rows_.With({set.name()}).Set(static_cast<double>(set.rows()));
    if (set.has_age_seconds()) age_.With({set.name()}).Set(set.age_seconds());
    if (set.has_looked_seconds()) looked_.With({set.name()}).Set(set.looked_seconds());
    if (set.has_confirmed_seconds()) confirmed_.With({set.name()}).Set(set.confirmed_seconds());
    full_read_interval_.With({set.name()}).Set(set.full_read_interval_seconds());
    never_hold_.With({set.name()}).Set(static_cast<double>(set.rows_never_hold()));
    refused_.With({set.name()}).Set(set.refusal().empty() ? 0 : 1);
    held_.With({set.name()}).Set(set.held() ? 1 : 0);
  }
}

void Probe::Call(std::string_view method, std::string_view code) const {
  calls_.With({method, code}).Add();
}

void Probe::Denied(std::string_view method, std::string_view caller) const {
  Log(Severity::kWarning, "call_denied",
      {{"method", SafeText(method)}, {"caller", SafeText(caller)}});
}

void Probe::Watchers(int change) const { watchers_.Add(change); }

void Probe::Sent(std::string_view set, bool difference, size_t bytes) const {
  sent_bytes_.With({set, difference ? "difference" : "whole"}).Add(static_cast<double>(bytes));
}

}  // namespace sluice::reference
