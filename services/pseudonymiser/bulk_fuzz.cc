// Any bytes as a request: it is refused, or answered with as many blocks as it has targets.
#include <cstdint>
#include <cstdlib>

#include "common/base/testing.h"
#include "common/privacy/local_pseudonymiser.h"
#include "services/pseudonymiser/bulk.h"
#include "tests/fuzz/planted.h"

using namespace sluice;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const keys = [] {
    base::CountingRandom random;
    auto keyring = privacy::Keyring::Create({{"a", "a"}, {"b", "b"}}, random);
    return privacy::LocalPseudonymiser::Create(*keyring)->release();
  }();
  pseudonymiser::v1::PseudonymiseRequest request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) return 0;
  auto targets = pseudonymiser::ResolveTargets(request, *keys);
  if (!targets.ok()) return 0;
  privacy::PseudonymBatch batch;
  if (!pseudonymiser::ReadBatch(request, *targets, batch).ok()) return 0;
  privacy::PseudonymAnswer answer;
  if (!keys->Pseudonymise(batch, answer).ok()) std::abort();
  pseudonymiser::v1::PseudonymiseResponse response;
  pseudonymiser::WriteAnswer(batch, answer, *targets, response);
  if (response.blocks().size() != request.targets().size() * 16) std::abort();
  fuzz::Planted(batch.values().size() == 5 && batch.has_texts());
  return 0;
}
