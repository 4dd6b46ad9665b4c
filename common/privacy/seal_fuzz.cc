// Any bytes as a sealed payload: only what was sealed is opened.
#include "common/base/testing.h"
#include "common/privacy/seal.h"
#include "tests/fuzz/planted.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  struct Keys {
    base::CountingRandom random;
    privacy::SealingKeys keys = *privacy::NewSealingKeys(random);
    std::unique_ptr<privacy::Sealer> sealer = *privacy::Sealer::Create(keys.public_pem, random);
    std::unique_ptr<privacy::Unsealer> unsealer = *privacy::Unsealer::Create(keys.private_pem);
  };
  static auto* const keys = new Keys();
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  fuzz::Require(!keys->unsealer->Unseal("raw/0/1", bytes).ok(), "what nobody sealed was opened");
  privacy::Unsealer::Create(bytes).IgnoreError();
  privacy::Sealer::Create(bytes, keys->random).IgnoreError();
  if (size < 4) return 0;
  // The input says where a right one is changed.
  std::string sealed;
  keys->sealer->NewBatch();
  fuzz::Require(keys->sealer->Seal("raw/0/1", bytes, sealed).ok(), "sealing failed");
  const size_t at = (data[0] | data[1] << 8 | data[2] << 16) % sealed.size();
  fuzz::Require(*keys->unsealer->Unseal("raw/0/1", sealed) == bytes, "another payload");
  fuzz::Planted(data[3] == 'p' && at == sealed.size() - 1);
  sealed[at] = static_cast<char>(sealed[at] ^ (data[3] | 1));
  fuzz::Require(!keys->unsealer->Unseal("raw/0/1", sealed).ok(), "a changed byte went unseen");
  return 0;
}
