// The modes of operation against the vectors that their standards publish, and against OpenSSL's
// own where it has them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <random>
#include <set>

#include "absl/strings/escaping.h"
#include "common/base/strings.h"
#include "common/privacy/aes_gcm.h"
#include "common/privacy/aes_siv.h"
#include "common/privacy/ff1.h"
#include "common/privacy/keyring.h"
#include "common/privacy/pseudonym.h"
#include "common/privacy/value_cipher.h"

namespace sluice::privacy {
namespace {

std::string Hex(std::string_view text) { return base::BytesOfHex(text); }
std::string ToHex(std::string_view bytes) {
  return absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
}
std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// RFC 5297 A.1, deterministic authenticated encryption.
TEST(AesSiv, KeepsRfc5297ExampleA1) {
  std::string key = Hex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
  auto siv = AesSiv::Create(Bytes(key));
  ASSERT_TRUE(siv.ok()) << siv.status();
  auto associated = siv->Associate({Hex("101112131415161718191a1b1c1d1e1f2021222324252627")});
  ASSERT_TRUE(associated.ok());
  std::string sealed, opened;
  ASSERT_TRUE(siv->Encrypt(*associated, Hex("112233445566778899aabbccddee"), sealed).ok());
  EXPECT_EQ(ToHex(sealed), "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c");
  ASSERT_TRUE(siv->Decrypt(*associated, sealed, opened).ok());
  EXPECT_EQ(ToHex(opened), "112233445566778899aabbccddee");
}

// RFC 5297 A.2, with a nonce as the last of three strings.
TEST(AesSiv, KeepsRfc5297ExampleA2) {
  std::string key = Hex("7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f");
  auto siv = AesSiv::Create(Bytes(key));
  ASSERT_TRUE(siv.ok()) << siv.status();
  auto associated = siv->Associate(
      {Hex("00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100"),
       Hex("102030405060708090a0"), Hex("09f911029d74e35bd84156c5635688c0")});
  ASSERT_TRUE(associated.ok());
  std::string plain = "this is some plaintext to encrypt using SIV-AES";
  std::string sealed, opened;
  ASSERT_TRUE(siv->Encrypt(*associated, plain, sealed).ok());
  EXPECT_EQ(ToHex(sealed),
            "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3f7"
            "48ba8af829ea64ad544a272e9c485b62a3fd5c0d");
  ASSERT_TRUE(siv->Decrypt(*associated, sealed, opened).ok());
  EXPECT_EQ(opened, plain);
}

// AES-256-SIV has no vectors in the RFC; OpenSSL is the other implementation.
TEST(AesSiv, AgreesWithOpenSsl) {
  EVP_CIPHER* cipher = EVP_CIPHER_fetch(nullptr, "AES-256-SIV", nullptr);
  ASSERT_NE(cipher, nullptr);
  std::mt19937_64 random(1);
  auto bytes = [&](size_t size) {
    std::string out(size, '\0');
    for (char& c : out) c = static_cast<char>(random());
    return out;
  };
  for (size_t size = 1; size < 100; ++size) {
    std::string key = bytes(kSivKeyBytes), header = bytes(size % 40 + 1), plain = bytes(size);
    std::string theirs(size + kSivTagBytes, '\0');
    auto* at = reinterpret_cast<unsigned char*>(theirs.data());
    EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
    int written = 0;
    ASSERT_EQ(EVP_EncryptInit_ex(context, cipher, nullptr, Bytes(key).data(), nullptr), 1);
    ASSERT_EQ(EVP_EncryptUpdate(context, nullptr, &written, Bytes(header).data(),
                                static_cast<int>(header.size())),
              1);
    ASSERT_EQ(EVP_EncryptUpdate(context, at + kSivTagBytes, &written, Bytes(plain).data(),
                                static_cast<int>(plain.size())),
              1);
    ASSERT_EQ(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kSivTagBytes, at), 1);
    EVP_CIPHER_CTX_free(context);
    auto siv = AesSiv::Create(Bytes(key));
    std::string ours;
    ASSERT_TRUE(siv->Encrypt(*siv->Associate({header}), plain, ours).ok());
    EXPECT_EQ(ours, theirs) << size << " bytes";
  }
  EVP_CIPHER_free(cipher);
}

TEST(AesSiv, OpensNothingThatWasChanged) {
  std::string key(kSivKeyBytes, 'k');
  auto siv = AesSiv::Create(Bytes(key));
  auto associated = *siv->Associate({"public", "PHONE"});
  std::string sealed, out = "before";
  ASSERT_TRUE(siv->Encrypt(associated, "+447700900123", sealed).ok());
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string bad = sealed;
    bad[i] = static_cast<char>(bad[i] ^ 0x80);
    EXPECT_EQ(siv->Decrypt(associated, bad, out).code(), absl::StatusCode::kDataLoss) << i;
    EXPECT_FALSE(siv->Decrypt(associated, sealed.substr(0, i), out).ok()) << i;
  }
  EXPECT_FALSE(siv->Decrypt(*siv->Associate({"publicP", "HONE"}), sealed, out).ok());
  EXPECT_EQ(out, "before");
  for (size_t bad : {0, 16, 31, 33, 63, 65, 128})
    EXPECT_FALSE(AesSiv::Create(Bytes(std::string(bad, 'k'))).ok()) << bad;
}

struct Ff1Sample {
  std::string_view key, tweak;
  uint32_t radix;
  std::string_view plain, encrypted;
};

std::string Numerals(std::string_view text) {
  std::string out;
  for (char c : text) out.push_back(static_cast<char>(c <= '9' ? c - '0' : c - 'a' + 10));
  return out;
}

// NIST's FF1 samples 1 to 9 for SP 800-38G.
TEST(Ff1, KeepsNistsSamples) {
  constexpr std::string_view k128 = "2b7e151628aed2a6abf7158809cf4f3c";
  constexpr std::string_view k192 = "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f";
  constexpr std::string_view k256 =
      "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f7f036d6f04fc6a94";
  constexpr std::string_view kTen = "39383736353433323130", kEleven = "3737373770717273373737";
  constexpr std::string_view kShort = "0123456789", kLong = "0123456789abcdefghi";
  for (const Ff1Sample& sample : {
           Ff1Sample{k128, "", 10, kShort, "2433477484"},
           Ff1Sample{k128, kTen, 10, kShort, "6124200773"},
           Ff1Sample{k128, kEleven, 36, kLong, "a9tv40mll9kdu509eum"},
           Ff1Sample{k192, "", 10, kShort, "2830668132"},
           Ff1Sample{k192, kTen, 10, kShort, "2496655549"},
           Ff1Sample{k192, kEleven, 36, kLong, "xbj3kv35jrawxv32ysr"},
           Ff1Sample{k256, "", 10, kShort, "6657667009"},
           Ff1Sample{k256, kTen, 10, kShort, "1001623463"},
           Ff1Sample{k256, kEleven, 36, kLong, "xs8a0azh2avyalyzuwd"},
       }) {
    std::string key = Hex(sample.key), tweak = Hex(sample.tweak);
    auto ff1 = Ff1::Create(Bytes(key));
    ASSERT_TRUE(ff1.ok()) << ff1.status();
    std::string text = Numerals(sample.plain);
    std::span<uint8_t> numerals(reinterpret_cast<uint8_t*>(text.data()), text.size());
    ASSERT_TRUE(ff1->Encrypt(sample.radix, tweak, numerals).ok());
    EXPECT_EQ(text, Numerals(sample.encrypted)) << sample.encrypted;
    ASSERT_TRUE(ff1->Decrypt(sample.radix, tweak, numerals).ok());
    EXPECT_EQ(text, Numerals(sample.plain)) << sample.encrypted;
  }
}

TEST(Ff1, IsAPermutationOfItsWholeDomain) {
  std::string key(32, 'k');
  auto ff1 = Ff1::Create(Bytes(key));
  std::vector<bool> seen(1 << 20);
  for (uint32_t i = 0; i < seen.size(); ++i) {
    auto out = ff1->Encrypt("t", 20, i);
    ASSERT_TRUE(out.ok() && *out < seen.size());
    EXPECT_FALSE(seen[static_cast<size_t>(*out)]);
    seen[static_cast<size_t>(*out)] = true;
    if (i % 1000 == 0) {
      EXPECT_EQ(*ff1->Decrypt("t", 20, *out), i);
    }
  }
}

// The two ways to give a binary string are one.
TEST(Ff1, ANumberIsItsNumerals) {
  std::string key(32, 'k');
  auto ff1 = Ff1::Create(Bytes(key));
  std::mt19937_64 random(7);
  for (uint32_t bits : {20u, 21u, 33u, 64u, 65u, 101u}) {
    Ff1::Number number = (Ff1::Number{random()} << 64 | random()) & ((Ff1::Number{1} << bits) - 1);
    std::vector<uint8_t> numerals(bits);
    for (uint32_t i = 0; i < bits; ++i) numerals[i] = number >> (bits - 1 - i) & 1;
    ASSERT_TRUE(ff1->Encrypt(2, "tweak", numerals).ok());
    auto out = ff1->Encrypt("tweak", bits, number);
    ASSERT_TRUE(out.ok());
    for (uint32_t i = 0; i < bits; ++i) EXPECT_EQ(numerals[i], *out >> (bits - 1 - i) & 1);
    EXPECT_TRUE(*ff1->Decrypt("tweak", bits, *out) == number);
  }
}

TEST(Ff1, RefusesSmallDomainsAndWhatItCannotHold) {
  std::string key(32, 'k');
  auto ff1 = Ff1::Create(Bytes(key));
  auto crypt = [&](uint32_t radix, size_t length, size_t tweak_bytes = 0, uint8_t numeral = 0) {
    std::vector<uint8_t> numerals(length, numeral);
    return ff1->Encrypt(radix, std::string(tweak_bytes, 't'), numerals).code();
  };
  using enum absl::StatusCode;
  EXPECT_EQ(crypt(10, 5), kInvalidArgument);
  EXPECT_EQ(crypt(10, 6), kOk);
  EXPECT_EQ(crypt(2, 19), kInvalidArgument);
  EXPECT_EQ(crypt(2, 20), kOk);
  EXPECT_EQ(crypt(36, 3), kInvalidArgument);
  EXPECT_EQ(crypt(36, 4), kOk);
  EXPECT_EQ(crypt(36, 200), kInvalidArgument);
  EXPECT_EQ(crypt(37, 10), kInvalidArgument);
  EXPECT_EQ(crypt(1, 10), kInvalidArgument);
  EXPECT_EQ(crypt(10, 10, 255), kOk);
  EXPECT_EQ(crypt(10, 10, 256), kInvalidArgument);
  EXPECT_EQ(crypt(10, 10, 0, 10), kInvalidArgument);
  EXPECT_EQ(crypt(10, 0), kInvalidArgument);
  EXPECT_EQ(ff1->Encrypt("", 20, 1 << 20).status().code(), kInvalidArgument);
}

// RFC 4231 test cases 1 to 4, 6 and 7: the hash that pseudonyms are made with, as OpenSSL has it
// (LocalPseudonymiser checks its own form of it against this one whenever it is created).
TEST(Hmac, KeepsRfc4231) {
  struct Case {
    std::string key, data;
    std::string_view mac;
  };
  for (const Case& c : {
           Case{std::string(20, '\x0b'), "Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
           Case{"Jefe", "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
           Case{std::string(20, '\xaa'), std::string(50, '\xdd'),
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
           Case{Hex("0102030405060708090a0b0c0d0e0f10111213141516171819"), std::string(50, '\xcd'),
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
           Case{std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
           Case{std::string(131, '\xaa'),
                "This is a test using a larger than block-size key and a larger than block-size "
                "data. The key needs to be hashed before being used by the HMAC algorithm.",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
       }) {
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    HMAC(EVP_sha256(), c.key.data(), static_cast<int>(c.key.size()), Bytes(c.data).data(),
         c.data.size(), mac, &size);
    EXPECT_EQ(ToHex({reinterpret_cast<char*>(mac), size}), c.mac);
  }
}

// McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13 to 15 (AES-256);
// privacy_test.cc has 16.
TEST(AesGcm, KeepsMcGrewAndViegasTestCases13To15) {
  auto sealed = [](std::string_view key, std::string_view nonce, std::string_view aad,
                   std::string_view plain) {
    std::string raw_key = Hex(key), raw_nonce = Hex(nonce), out, back;
    auto cipher = AesGcm::Create(Bytes(raw_key));
    EXPECT_TRUE(cipher->Encrypt(Bytes(raw_nonce), Hex(aad), Hex(plain), out).ok());
    EXPECT_TRUE(cipher->Decrypt(Bytes(raw_nonce), Hex(aad), out, back).ok());
    EXPECT_EQ(ToHex(back), plain);
    return ToHex(out);
  };
  const std::string zero(64, '0');
  EXPECT_EQ(sealed(zero, "000000000000000000000000", "", ""), "530f8afbc74536b9a963b4f1c4cb738b");
  EXPECT_EQ(sealed(zero, "000000000000000000000000", "", "00000000000000000000000000000000"),
            "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
  constexpr std::string_view kKey =
      "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
  EXPECT_EQ(
      sealed(kKey, "cafebabefacedbaddecaf888", "",
             "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c9595680953"
             "2fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"),
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b10"
      "56828838c5f61e6393ba7a0abcc9f662898015adb094dac5d93471bdec1a502270e3cc6c");
}

TEST(ValueCipher, LengthsAreThoseOfTheClasses) {
  std::string key(kSivKeyBytes, 'k');
  auto cipher = ValueCipher::Create(Bytes(key), "public");
  ASSERT_TRUE(cipher.ok());
  for (size_t bytes : {0, 1, 30, 31, 32, 63, 64, 127, 128, 4095, 4096, 8191, 8192, 10'000}) {
    std::string value(bytes, bytes % 2 == 0 ? 'x' : '\x80'), encrypted, back = "before";
    ASSERT_TRUE(cipher->Encrypt(contract::v1::ADDRESS, value, encrypted).ok());
    size_t padded = ValueCipher::PaddedBytes(bytes);
    EXPECT_GT(padded, bytes);
    EXPECT_LE(padded, std::max<size_t>(32, 2 * (bytes + 1)));
    EXPECT_EQ(encrypted.size(), 16 + padded);
    ASSERT_TRUE(cipher->Decrypt(contract::v1::ADDRESS, encrypted, back).ok());
    EXPECT_EQ(back, "before" + value);
  }
  EXPECT_EQ(ValueCipher::PaddedBytes(31), 32u);
  EXPECT_EQ(ValueCipher::PaddedBytes(32), 64u);
  EXPECT_EQ(ValueCipher::PaddedBytes(4096), 8192u);
  EXPECT_EQ(ValueCipher::PaddedBytes(8192), 12'288u);
}

TEST(ValueCipher, ComesBackOnlyAsItsKindInItsDomain) {
  std::string key(kSivKeyBytes, 'k'), other_key(kSivKeyBytes, 'o');
  auto cipher = ValueCipher::Create(Bytes(key), "public");
  auto elsewhere = ValueCipher::Create(Bytes(key), "partners");
  auto later = ValueCipher::Create(Bytes(other_key), "public");
  ASSERT_TRUE(cipher.ok() && elsewhere.ok() && later.ok());
  std::string encrypted, again, out;
  ASSERT_TRUE(cipher->Encrypt(contract::v1::PHONE, "+447700900123", encrypted).ok());
  ASSERT_TRUE(cipher->Encrypt(contract::v1::PHONE, "+447700900123", again).ok());
  EXPECT_EQ(encrypted, again);
  ASSERT_TRUE(cipher->Decrypt(contract::v1::PHONE, encrypted, out).ok());
  EXPECT_EQ(out, "+447700900123");
  EXPECT_FALSE(cipher->Decrypt(contract::v1::FREE_IDENTIFIER, encrypted, out).ok());
  EXPECT_FALSE(elsewhere->Decrypt(contract::v1::PHONE, encrypted, out).ok());
  EXPECT_FALSE(later->Decrypt(contract::v1::PHONE, encrypted, out).ok());
  auto no_kind = static_cast<contract::v1::IdentifierKind>(contract::v1::IdentifierKind_MAX + 1);
  EXPECT_FALSE(cipher->Encrypt(no_kind, "x", out).ok());
  EXPECT_FALSE(cipher->Decrypt(no_kind, encrypted, out).ok());
  EXPECT_EQ(out, "+447700900123");
}

TEST(EncryptedText, ComesBackAndIsNoPseudonym) {
  for (size_t size = 17; size < 60; ++size) {
    std::string bytes, text;
    for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i * 37 + size));
    AppendEncrypted({"int", 12}, bytes, text);
    EXPECT_TRUE(text.starts_with("int12e-"));
    EXPECT_FALSE(ParsePseudonym(text).has_value());
    auto parsed = ParseEncrypted(text);
    ASSERT_TRUE(parsed.has_value()) << text;
    EXPECT_EQ(parsed->label, "int");
    EXPECT_EQ(parsed->epoch, 12u);
    EXPECT_EQ(parsed->encrypted, bytes);
  }
  for (std::string_view bad :
       {"", "e-", "int1e-", "int1-aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "int1e-aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "int1e-aaaaaaaaaaaaaaaaaaaaaaaaaaab", "int1e-aaaaaaaaaaaaaaaaaaaaaaaaaaa1",
        "int1e-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "inte1-aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "int0e-aaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
    EXPECT_FALSE(ParseEncrypted(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace sluice::privacy
