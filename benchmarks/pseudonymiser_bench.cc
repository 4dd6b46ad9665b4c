// The pseudonymiser's service over loopback gRPC with mutual TLS, asked by the processor's client.
#include <algorithm>

#include "benchmarks/bench.h"
#include "benchmarks/people.h"
#include "benchmarks/process_usage.h"
#include "benchmarks/site.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "services/processor/remote_pseudonymiser.h"

namespace sluice::bench {

// Values by CPU second of the service's process, the best of several rounds; the client's share is
// this thread's.
absl::Status RunPseudonymiser(const Options& options, Report& report) {
  SLUICE_ASSIGN_OR_RETURN(auto site, Site::Create());
  SLUICE_ASSIGN_OR_RETURN(auto process, site->StartPseudonymiser(options.programs));
  processor::KeyService::Options service;
  service.channel.address = site->pseudonymiser_address();
  service.channel.tls = site->processor_tls();
  service.deadline = std::chrono::seconds(10);
  service.values_per_call = 1000;
  SLUICE_ASSIGN_OR_RETURN(auto keys, processor::KeyService::Create(std::move(service)));
  base::SystemRandom random;
  processor::RemotePseudonymiser remote(keys, random);
  SLUICE_ASSIGN_OR_RETURN(uint16_t domain, remote.Domain("bench"));

  privacy::PseudonymBatch batch;
  for (uint32_t person = 0; person < 4000; ++person) AddPerson(person, domain, batch);
  const auto values = static_cast<double>(batch.values().size());
  privacy::PseudonymAnswer answer;
  SLUICE_RETURN_IF_ERROR(remote.Pseudonymise(batch, answer));
  constexpr int kRounds = 5, kBatches = 250;
  double served = 0, client_ns = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    const double before = UsageOf(process->pid()).cpu_seconds, start = ThreadCpuSeconds();
    for (int i = 0; i < kBatches; ++i) SLUICE_RETURN_IF_ERROR(remote.Pseudonymise(batch, answer));
    const double spent = ThreadCpuSeconds() - start;
    const double cpu = UsageOf(process->pid()).cpu_seconds - before;
    served = std::max(served, values * kBatches / cpu);
    client_ns = std::min(client_ns, spent * 1e9 / (values * kBatches));
  }
  report.Add("pseudonymiser.values_per_core_second", served, "values/s");
  report.Add("pseudonymiser.client_ns_per_value", client_ns, "ns");
  return absl::OkStatus();
}

}  // namespace sluice::bench
