#include "services/pseudonymiser/conversion.h"

#include <gtest/gtest.h>

#include "common/base/testing.h"
#include "common/privacy/identifier.h"
#include "common/privacy/pseudonym.h"

namespace sluice::pseudonymiser {
namespace {

// Whatever its canonical form is: an answer's size is known before any work is done for it.
TEST(EncryptedTextBytesMax, IsNoLessThanWhatIsMadeOfAnyValue) {
  constexpr base::SecretAccess kAccess{};
  base::CountingRandom random;
  auto keyring = privacy::Keyring::Create({{"a", "a"}}, random);
  auto key = keyring->EncryptionKey("a", 1);
  auto cipher = privacy::ValueCipher::Create(key->Reveal(kAccess), "a");
  for (int number = 1; number <= contract::v1::IdentifierKind_MAX; ++number) {
    if (!contract::v1::IdentifierKind_IsValid(number)) continue;
    const auto kind = static_cast<contract::v1::IdentifierKind>(number);
    for (std::string_view piece :
         {"a", "7", " ", "A b-", "\xEF\xB7\xBA", "\xEF\xAC\x83", "\xE3\x8B\x8C", "\xC3\x9F",
          "\xCC\x81\xCC\xA7", "07700 900123", "a@b."}) {
      for (size_t bytes : {1, 31, 32, 500, 4'095, 4'096, 16'384}) {
        std::string value, canonical, encrypted, text;
        while (value.size() + piece.size() <= bytes) value += piece;
        privacy::AppendCanonical(kind, value, canonical);
        ASSERT_TRUE(cipher->Encrypt(kind, canonical, encrypted).ok());
        privacy::AppendEncrypted({"a", 1}, encrypted, text);
        EXPECT_LE(text.size(), EncryptedTextBytesMax(value))
            << contract::v1::IdentifierKind_Name(kind) << " " << piece << " " << bytes;
      }
    }
  }
}

}  // namespace
}  // namespace sluice::pseudonymiser
