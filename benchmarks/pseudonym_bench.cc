// Pseudonyms made in this process: what the engine pays for one, from canonical value to text.
#include <algorithm>

#include "benchmarks/bench.h"
#include "benchmarks/people.h"
#include "benchmarks/process_usage.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/privacy/pseudonym.h"

namespace sluice::bench {
// The best of many passes over batches of 1,000 values: hashing, enciphering, and writing the text.
absl::Status RunPseudonym(const Options&, Report& report) {
  base::SystemRandom random;
  SLUICE_ASSIGN_OR_RETURN(auto keyring, privacy::Keyring::Create({{"bench", "bench"}}, random));
  SLUICE_ASSIGN_OR_RETURN(auto pseudonymiser, privacy::LocalPseudonymiser::Create(keyring));
  SLUICE_ASSIGN_OR_RETURN(uint16_t domain, pseudonymiser->Domain("bench"));
  constexpr size_t kBatches = 40, kPeople = 250;
  std::vector<privacy::PseudonymBatch> batches(kBatches);
  uint32_t person = 0;
  size_t values = 0;
  for (privacy::PseudonymBatch& batch : batches) {
    for (size_t i = 0; i < kPeople; ++i) AddPerson(person++, domain, batch);
    values += batch.values().size();
  }
  privacy::PseudonymAnswer answer;
  std::string text(privacy::kPseudonymBytesMax, '\0');
  unsigned seen = 0;  // so that no text is left unwritten
  double best = 1e9;
  for (int pass = 0; pass < 40; ++pass) {
    double start = ThreadCpuSeconds();
    for (const privacy::PseudonymBatch& batch : batches) {
      SLUICE_RETURN_IF_ERROR(pseudonymiser->Pseudonymise(batch, answer));
      for (const privacy::PseudonymBlock& block : answer.blocks) {
        privacy::WriteBlock(block, text.data());
        seen += static_cast<unsigned char>(text[25]);
      }
    }
    best = std::min(best, (ThreadCpuSeconds() - start) * 1e9 / static_cast<double>(values));
  }
  if (seen == 0) return absl::InternalError("no pseudonym was written");
  report.Add("pseudonym.ns_per_value", best, "ns");
  return absl::OkStatus();
}

}  // namespace sluice::bench
