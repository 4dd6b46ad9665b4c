// Pseudonyms, keys, sealing and generalisation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "common/base/strings.h"
#include "common/base/testing.h"
#include "common/privacy/epoch_record.h"
#include "common/privacy/generalise.h"
#include "common/privacy/key_file.h"
#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/privacy/pseudonym.h"
#include "common/privacy/seal.h"
#include "common/privacy/visible.h"

namespace sluice::privacy {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::string Hex(std::string_view hex) { return base::BytesOfHex(hex); }
std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
std::string Text(const base::SecretBytes& secret) {
  auto bytes = secret.Reveal(base::SecretAccess());
  return std::string(bytes.begin(), bytes.end());
}

TEST(Hkdf, KeepsRfc5869TestCase3) {
  auto key = Hkdf(Bytes(Hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b")), "", 42);
  ASSERT_TRUE(key.ok());
  EXPECT_EQ(
      Text(*key),
      Hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"));
}

TEST(AesGcm, KeepsNistTestCase16) {
  auto cipher = AesGcm::Create(
      Bytes(Hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")));
  ASSERT_TRUE(cipher.ok());
  std::string out, nonce = Hex("cafebabefacedbaddecaf888");
  ASSERT_TRUE(cipher
                  ->Encrypt(Bytes(nonce), Hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
                            Hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c"
                                "3c0c95956809532fcf0e2449a6b52"
                                "5b16aedf5aa0de657ba637b39"),
                            out)
                  .ok());
  EXPECT_EQ(out, Hex("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590db"
                     "b3da7b08b1056828838c5f61"
                     "e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"));
}

class KeyringTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "keyring-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    ring_ = (folder_ / "ring").string();
    kek_ = (folder_ / "kek").string();
    ASSERT_TRUE(Keyring::CreateKeyFile(kek_, random_).ok());
  }
  void TearDown() override { fs::remove_all(folder_); }

  Keyring Make() {
    auto keyring = Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random_);
    EXPECT_TRUE(keyring.ok()) << keyring.status();
    return *std::move(keyring);
  }
  std::string Read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  std::string LoadError() {
    return std::string(base::View(Keyring::Load(ring_, kek_).status().message()));
  }

  base::SystemRandom random_;
  fs::path folder_;
  std::string ring_, kek_;
};

TEST_F(KeyringTest, ComesBackFromItsFile) {
  Keyring keyring = Make();
  ASSERT_TRUE(keyring.Save(ring_, kek_, random_).ok());
  auto loaded = Keyring::Load(ring_, kek_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->domains()[1].label, "pub");
  EXPECT_TRUE(loaded->KindKey(contract::v1::PHONE)->Equals(*keyring.KindKey(contract::v1::PHONE)));
  EXPECT_TRUE(loaded->DomainKey("public", 1)->Equals(*keyring.DomainKey("public", 1)));
  struct stat info;
  ASSERT_EQ(stat(ring_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(KeyringTest, EveryKeyIsAnother) {
  Keyring keyring = Make();
  std::set<std::string> keys;
  for (int kind = 1; kind <= contract::v1::IdentifierKind_MAX; ++kind) {
    keys.insert(Text(*keyring.KindKey(static_cast<contract::v1::IdentifierKind>(kind))));
    keys.insert(Text(*keyring.ScopedKindKey(static_cast<contract::v1::IdentifierKind>(kind))));
  }
  for (const char* domain : {"intelligence", "intelligence", "public", "public"})
    ASSERT_TRUE(keyring.Rotate(domain, random_).ok());
  for (uint32_t epoch = 1; epoch <= 3; ++epoch) {
    for (std::string_view domain : {"intelligence", "public"}) {
      keys.insert(Text(*keyring.DomainKey(domain, epoch)));
      keys.insert(Text(*keyring.FormatKey(domain, epoch)));
      // AES-SIV's two halves are two keys.
      std::string pair = Text(*keyring.EncryptionKey(domain, epoch));
      keys.insert(pair.substr(0, 32));
      keys.insert(pair.substr(32));
    }
  }
  EXPECT_EQ(keys.size(), 2 * contract::v1::IdentifierKind_MAX + 24u);
}

TEST_F(KeyringTest, RefusesWhatIsDamagedOrAnothers) {
  ASSERT_TRUE(Make().Save(ring_, kek_, random_).ok());
  std::string good = Read(ring_);
  auto write = [&](const std::string& text) { std::ofstream(ring_, std::ios::binary) << text; };
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    write(bad);
    EXPECT_FALSE(Keyring::Load(ring_, kek_).ok()) << "byte " << i;
  }
  for (size_t size : {size_t{0}, size_t{5}, size_t{20}, good.size() - 1}) {
    write(good.substr(0, size));
    EXPECT_FALSE(Keyring::Load(ring_, kek_).ok()) << "cut to " << size;
  }
  write("SLUICE-KEYRING 5\n" + good.substr(17));
  EXPECT_THAT(LoadError(), HasSubstr("of a version that this program doesn't know"));
  write(good);
  fs::remove(kek_);
  ASSERT_TRUE(Keyring::CreateKeyFile(kek_, random_).ok());
  EXPECT_THAT(LoadError(), HasSubstr("it is another keyring's key"));
  EXPECT_EQ(Read(ring_), good);
}

TEST_F(KeyringTest, RefusesKeyFilesThatOthersCanRead) {
  ASSERT_TRUE(Make().Save(ring_, kek_, random_).ok());
  chmod(kek_.c_str(), 0644);
  EXPECT_THAT(LoadError(), HasSubstr("make it mode 0400"));
  EXPECT_THAT(std::string(Keyring::CreateKeyFile(kek_, random_).message()),
              HasSubstr("exists already"));
}

TEST_F(KeyringTest, OverwritesOnlyItself) {
  Keyring keyring = Make();
  ASSERT_TRUE(keyring.Save(ring_, kek_, random_).ok());
  ASSERT_TRUE(keyring.Save(ring_, kek_, random_).ok());
  std::string good = Read(ring_);
  EXPECT_THAT(std::string(Make().Save(ring_, kek_, random_).message()),
              HasSubstr("holds other keys"));
  std::string other = (folder_ / "other").string();
  ASSERT_TRUE(Keyring::CreateKeyFile(other, random_).ok());
  EXPECT_THAT(std::string(keyring.Save(ring_, other, random_).message()),
              HasSubstr("another keyring's key"));
  EXPECT_EQ(Read(ring_), good);
  std::ofstream(ring_, std::ios::binary) << "precious";
  EXPECT_FALSE(keyring.Save(ring_, kek_, random_).ok());
  EXPECT_EQ(Read(ring_), "precious");
  // The keyring, its record of epochs, its lock, and the two keys.
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 5);
}

// Root secret 00 01 .. 1f under the key-encryption key 11 11 .. 11, written apart from this code
// with Python's `cryptography`; the pseudonyms are those of before epochs had secrets.
TEST_F(KeyringTest, ReadsVersion1WithTheKeysThatItAlwaysHad) {
  fs::remove(kek_);
  std::ofstream(kek_) << std::string(64, '1');
  chmod(kek_.c_str(), 0400);
  std::ofstream(ring_, std::ios::binary)
      << Hex("534c554943452d4b455952494e4720310a6465666768696a6b6c6d6e6f7e08861da55c2c26f8c35e"
             "8a0368e94140ac9df985bbf8e8b0496d49834324696e6c509dde363f46aed1616ca7a201714a07e9"
             "bebb3ea3f8bba21b435d680dd729d6f889f839c488a6dc1279720576ba6ba1dde19a6bdb45b04123"
             "a3");
  auto keyring = Keyring::Load(ring_, kek_);
  ASSERT_TRUE(keyring.ok()) << keyring.status();
  auto pseudonym = [&] {
    auto pseudonymiser = LocalPseudonymiser::Create(*keyring);
    PseudonymBatch batch;
    PseudonymAnswer answer;
    batch.Add(contract::v1::PHONE, "+447700900123", std::vector<uint16_t>{0});
    EXPECT_TRUE((*pseudonymiser)->Pseudonymise(batch, answer).ok());
    char text[kBlockTextBytes];
    WriteBlock(answer.blocks[0], text);
    return PseudonymPrefix(answer.domains[0]) + std::string(text, kBlockTextBytes);
  };
  EXPECT_EQ(pseudonym(), "int1-ewollzocgj3sz6oyakem2kagpa");
  // Written again, it is of version 4, and still makes the same pseudonyms.
  ASSERT_TRUE(keyring->Save(ring_, kek_, random_).ok());
  EXPECT_TRUE(Read(ring_).starts_with("SLUICE-KEYRING 4\n"));
  keyring = Keyring::Load(ring_, kek_);
  ASSERT_TRUE(keyring.ok()) << keyring.status();
  EXPECT_EQ(pseudonym(), "int1-ewollzocgj3sz6oyakem2kagpa");
  // What has no secret of its own can't be destroyed, and nobody is to believe that it was.
  ASSERT_EQ(*keyring->Rotate("intelligence", random_), 2u);
  ASSERT_TRUE(keyring->Retire("intelligence", 1).ok());
  EXPECT_THAT(std::string(keyring->Destroy("intelligence", 1).message()),
              HasSubstr("comes from a keyring of version 1"));
}

// Root secret 00 01 .. 1f and an epoch's secret 20 21 .. 3f under the key-encryption key 11 11 ..
// 11, written apart from this code with Python's `cryptography`, as is the key that derives from
// them.
TEST_F(KeyringTest, ReadsVersion2WhichDoesNotSayWhenAnEpochWasBegun) {
  fs::remove(kek_);
  std::ofstream(kek_) << std::string(64, '1');
  chmod(kek_.c_str(), 0400);
  std::ofstream(ring_, std::ios::binary)
      << Hex("534c554943452d4b455952494e4720320a003c333333333333333333333333a6a17064e8b0570e"
             "909ac94f8509c10a24ea2d16a8fba78eda682ba781aca80843b8302dc60400becac4e24f1580b0"
             "21444444444444444444444444982fa562e020e787b3a2522928d6dbcc1f86e306d8b5a9652d49"
             "3a1328d9676ae85ea0a2e626b34ab7e2c6f8877551ed1f9cc3c8e485efca72f22f037d54620f60"
             "7bc4fb8d58711bd7c2c8fa369ad799d14cf54395c060110c5c8ff9a9646dbd9cb05b49b42221b0"
             "047e345f176dbb");
  auto keyring = Keyring::Load(ring_, kek_);
  ASSERT_TRUE(keyring.ok()) << keyring.status();
  EXPECT_EQ(keyring->generation(), 7u);
  EXPECT_EQ(keyring->Find("intelligence")->newest_begun_unix_ms(), 0);
  std::string key = Hex("f7b461dcc5bbe9e827d74cbbc45630514d8d98469bef47a116a4d122de6e09c9");
  EXPECT_EQ(Text(*keyring->DomainKey("intelligence", 1)), key);
  ASSERT_EQ(*keyring->Rotate("intelligence", random_, 1'700'000'000'000), 2u);
  ASSERT_TRUE(keyring->Save(ring_, kek_, random_).ok());
  keyring = Keyring::Load(ring_, kek_);
  ASSERT_TRUE(keyring.ok()) << keyring.status();
  EXPECT_EQ(Text(*keyring->DomainKey("intelligence", 1)), key);
  EXPECT_EQ(keyring->Find("intelligence")->epochs[0].begun_unix_ms, 0);
  EXPECT_EQ(keyring->Find("intelligence")->newest_begun_unix_ms(), 1'700'000'000'000);
}

TEST_F(KeyringTest, KnowsWhenEachEpochWasBegun) {
  auto keyring = Keyring::Create({{"intelligence", "int"}}, random_, 1'000);
  ASSERT_TRUE(keyring->AddDomain("public", "pub", random_, 2'000).ok());
  ASSERT_TRUE(keyring->Rotate("intelligence", random_, 3'000).ok());
  ASSERT_TRUE(keyring->Save(ring_, kek_, random_).ok());
  auto loaded = Keyring::Load(ring_, kek_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->Find("intelligence")->epochs[0].begun_unix_ms, 1'000);
  EXPECT_EQ(loaded->Find("intelligence")->newest_begun_unix_ms(), 3'000);
  EXPECT_EQ(loaded->Find("public")->newest_begun_unix_ms(), 2'000);
}

TEST_F(KeyringTest, ADestroyedEpochIsGoneFromTheFileAndTheOthersAreUnchanged) {
  Keyring keyring = Make();
  std::string first = Text(*keyring.DomainKey("intelligence", 1));
  ASSERT_EQ(*keyring.Rotate("intelligence", random_), 2u);
  std::string second = Text(*keyring.DomainKey("intelligence", 2));
  EXPECT_NE(first, second);
  EXPECT_EQ(Text(*keyring.DomainKey("intelligence", 1)), first);
  EXPECT_THAT(std::string(keyring.Destroy("intelligence", 1).message()), HasSubstr("is in use"));
  EXPECT_THAT(std::string(keyring.Retire("intelligence", 2).message()),
              HasSubstr("is its newest: rotate the domain first"));
  EXPECT_EQ(keyring.Retire("intelligence", 3).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(keyring.Rotate("none", random_).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(keyring.Retire("intelligence", 1).ok());
  ASSERT_TRUE(keyring.Destroy("intelligence", 1).ok());
  ASSERT_TRUE(keyring.Save(ring_, kek_, random_).ok());
  auto loaded = Keyring::Load(ring_, kek_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->Find("intelligence")->epochs[0].state, EpochState::kDestroyed);
  EXPECT_THAT(std::string(loaded->DomainKey("intelligence", 1).status().message()),
              HasSubstr("epoch 1 of domain 'intelligence' is destroyed"));
  EXPECT_EQ(Text(*loaded->DomainKey("intelligence", 2)), second);
  // The number isn't given again.
  EXPECT_EQ(*loaded->Rotate("intelligence", random_), 3u);
}

TEST_F(KeyringTest, TwoRotationsAtOnceDoNotLoseOne) {
  Keyring keyring = Make();
  ASSERT_TRUE(keyring.Save(ring_, kek_, random_).ok());
  auto one = Keyring::Load(ring_, kek_), other = Keyring::Load(ring_, kek_);
  ASSERT_TRUE(one->Rotate("public", random_).ok());
  ASSERT_TRUE(other->Rotate("intelligence", random_).ok());
  ASSERT_TRUE(one->Save(ring_, kek_, random_).ok());
  std::string good = Read(ring_);
  absl::Status late = other->Save(ring_, kek_, random_);
  EXPECT_EQ(late.code(), absl::StatusCode::kAborted) << late;
  EXPECT_EQ(Read(ring_), good);
}

TEST_F(KeyringTest, ACopyUnderAnotherKeyHasTheSameKeysAndOverwritesNothing) {
  Keyring keyring = Make();
  ASSERT_TRUE(keyring.Save(ring_, kek_, random_).ok());
  std::string copy = (folder_ / "copy").string(), other = (folder_ / "other").string();
  ASSERT_TRUE(Keyring::CreateKeyFile(other, random_).ok());
  auto key = FileKeyEncryption::Load(other, random_);
  ASSERT_TRUE(keyring.SaveCopy(copy, *key, random_).ok());
  EXPECT_FALSE(Keyring::Load(copy, kek_).ok());
  auto loaded = Keyring::Load(copy, other);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_TRUE(loaded->SameRoot(keyring));
  EXPECT_EQ(loaded->generation(), keyring.generation());
  EXPECT_TRUE(loaded->DomainKey("public", 1)->Equals(*keyring.DomainKey("public", 1)));
  EXPECT_THAT(std::string(keyring.SaveCopy(copy, *key, random_).message()),
              HasSubstr("nothing was overwritten"));
}

TEST_F(KeyringTest, WritesNothingThatItCouldNotRead) {
  Keyring keyring = Make();
  // Until it is full.
  size_t epochs = 0;
  absl::Status saved = keyring.Save(ring_, kek_, random_);
  ASSERT_TRUE(saved.ok());
  for (; epochs < 10'000; epochs += 100) {
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(keyring.Rotate("public", random_).ok());
    saved = keyring.Save(ring_, kek_, random_);
    if (!saved.ok()) break;
  }
  EXPECT_TRUE(absl::IsResourceExhausted(saved)) << saved;
  EXPECT_GT(epochs, 1'000u);
  auto loaded = Keyring::Load(ring_, kek_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->Find("public")->epochs.size(), epochs + 1);
}

TEST_F(KeyringTest, ItsLockIsWaitedForWithAnEnd) {
  ASSERT_TRUE(Make().Save(ring_, kek_, random_).ok());
  auto held = KeyFileLock::Take(ring_);
  ASSERT_TRUE(held.ok());
  absl::Status late = KeyFileLock::Take(ring_, 20).status();
  EXPECT_TRUE(absl::IsUnavailable(late)) << late;
  EXPECT_THAT(std::string(late.message()), HasSubstr("ring.lock: another process has held"));
}

TEST_F(KeyringTest, APipeInItsPlaceIsNotWaitedFor) {
  ASSERT_EQ(mkfifo(ring_.c_str(), 0600), 0);
  EXPECT_THAT(LoadError(), HasSubstr("isn't a file"));
}

TEST_F(KeyringTest, ItsFingerprintAndChecksTellItFromOthersAndStay) {
  base::CountingRandom counting(0);
  auto keyring = Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, counting);
  // Computed apart from this code, with Python's hmac.
  EXPECT_EQ(*keyring->Fingerprint(), "fc04dc04e86d101c");
  EXPECT_EQ(keyring->Find("intelligence")->epochs[0].check, "ca820a38a1212cdd");
  EXPECT_EQ(keyring->Find("public")->epochs[0].check, "8fa2759e107c071a");
  EXPECT_NE(*Make().Fingerprint(), "fc04dc04e86d101c");
  ASSERT_TRUE(keyring->Rotate("public", random_).ok());
  ASSERT_TRUE(keyring->Retire("public", 1).ok());
  ASSERT_TRUE(keyring->Destroy("public", 1).ok());
  ASSERT_TRUE(keyring->Save(ring_, kek_, random_).ok());
  auto loaded = Keyring::Load(ring_, kek_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(*loaded->Fingerprint(), "fc04dc04e86d101c");
  EXPECT_EQ(loaded->Find("public")->epochs[0].check, "8fa2759e107c071a")
      << "a destroyed one is known too";
}

TEST_F(KeyringTest, NoNumberIsUsedTwiceWithAnotherSecret) {
  Keyring keyring = Make();
  ASSERT_TRUE(keyring.Save(ring_, kek_, random_).ok());
  const std::string backup = Read(ring_);
  ASSERT_EQ(*keyring.Rotate("intelligence", random_), 2u);
  ASSERT_TRUE(keyring.Save(ring_, kek_, random_).ok());
  // An older copy that somebody put back by hand.
  std::ofstream(ring_, std::ios::binary | std::ios::trunc) << backup;
  auto old = Keyring::Load(ring_, kek_);
  ASSERT_TRUE(old.ok());
  ASSERT_TRUE(old->Rotate("intelligence", random_).ok());
  absl::Status saved = old->Save(ring_, kek_, random_);
  EXPECT_TRUE(absl::IsFailedPrecondition(saved));
  EXPECT_THAT(std::string(saved.message()), HasSubstr("it is an older copy"));
  EXPECT_EQ(Read(ring_), backup);
  // Nor where the copy came from elsewhere, and knew nothing of the record.
  std::string away = (folder_ / "away").string();
  std::ofstream(away, std::ios::binary) << backup;
  auto other = Keyring::Load(away, kek_);
  ASSERT_EQ(*other->Rotate("intelligence", random_), 2u);
  ASSERT_TRUE(other->Save(away, kek_, random_).ok());
  std::ofstream(ring_, std::ios::binary | std::ios::trunc) << Read(away);
  auto record_of = EpochRecord::Load(EpochRecord::PathOf(ring_), *other);
  ASSERT_TRUE(record_of.ok()) << record_of.status();
  EXPECT_THAT(std::string(record_of->Check(*other).message()),
              HasSubstr("has another secret under this number"));
  std::ofstream(ring_, std::ios::binary | std::ios::trunc) << backup;

  // Restored as it should be, where the record is still there.
  old = Keyring::Load(ring_, kek_);
  auto record = EpochRecord::Load(EpochRecord::PathOf(ring_), *old);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_THAT(std::string(record->Check(*old).message()), HasSubstr("it is an older copy"));
  ASSERT_TRUE(old->Restored(&*record, random_).ok());
  EXPECT_TRUE(record->Check(*old).ok());
  EXPECT_EQ(*old->Rotate("intelligence", random_), 3u);
  EXPECT_EQ(*old->Rotate("public", random_), 2u);
  // And where it has gone, too: nobody knows what was used.
  auto lost = Keyring::Load(ring_, kek_);
  ASSERT_TRUE(lost->Restored(nullptr, random_).ok());
  EXPECT_GE(*lost->Rotate("intelligence", random_), 1'002u);
}

TEST_F(KeyringTest, AWriterThatIsKilledBetweenRecordAndKeyringLeavesAUsableKeyring) {
  Keyring keyring = Make();
  ASSERT_TRUE(keyring.Save(ring_, kek_, random_).ok());
  ASSERT_EQ(*keyring.Rotate("intelligence", random_), 2u);
  // The keyring can't be written, and its record was.
  fs::create_directory(ring_ + ".new");
  EXPECT_FALSE(keyring.Save(ring_, kek_, random_).ok());
  fs::remove(ring_ + ".new");
  auto loaded = Keyring::Load(ring_, kek_);
  ASSERT_TRUE(loaded.ok());
  auto record = EpochRecord::Load(EpochRecord::PathOf(ring_), *loaded);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_TRUE(record->Check(*loaded).ok());
  EXPECT_EQ(*loaded->Rotate("intelligence", random_), 3u) << "2 may have been used";
  EXPECT_TRUE(loaded->Save(ring_, kek_, random_).ok());
}

TEST_F(KeyringTest, ARecordOfEpochsIsItsKeyringsAndUnchanged) {
  Keyring keyring = Make();
  const std::string path = (folder_ / "epochs").string();
  auto record = EpochRecord::LoadOrNew(path, keyring);
  ASSERT_TRUE(record.ok());
  EXPECT_TRUE(record->Learn(keyring));
  EXPECT_FALSE(record->Learn(keyring));
  ASSERT_TRUE(record->Save(path, keyring).ok());
  EXPECT_TRUE(EpochRecord::Load(path, keyring).ok());
  EXPECT_THAT(std::string(EpochRecord::Load(path, Make()).status().message()),
              HasSubstr("is of the keyring"));
  const std::string good = Read(path);
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bad;
    EXPECT_FALSE(EpochRecord::Load(path, keyring).ok()) << at;
  }
  std::ofstream(path, std::ios::binary | std::ios::trunc) << good.substr(0, good.size() / 2);
  EXPECT_FALSE(EpochRecord::Load(path, keyring).ok());
}

TEST_F(KeyringTest, TakesNewDomainsButNoSecondOfAName) {
  Keyring keyring = Make();
  ASSERT_TRUE(keyring.AddDomain("research", "res", random_).ok());
  EXPECT_TRUE(keyring.DomainKey("research", 1).ok());
  EXPECT_EQ(keyring.AddDomain("research", "rex", random_).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(keyring.AddDomain("other", "int", random_).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(keyring.AddDomain("a@2", "ab", random_).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(keyring.domains().size(), 3u);
}

TEST_F(KeyringTest, RefusesDomainsThatCannotBeToldApart) {
  EXPECT_FALSE(Keyring::Create({{"a", "x"}, {"a", "y"}}, random_).ok());
  EXPECT_FALSE(Keyring::Create({{"a", "x"}, {"b", "x"}}, random_).ok());
  EXPECT_FALSE(Keyring::Create({{"a", "X1"}}, random_).ok());
  EXPECT_FALSE(Keyring::Create({{std::string(129, 'a'), "x"}}, random_).ok());
  EXPECT_FALSE(Keyring::Create({{"a\nb", "x"}}, random_).ok());
}

TEST_F(KeyringTest, AMillionPseudonymsDifferByKindDomainEpochAndValueAndNeverCollide) {
  Keyring keyring = Make();
  ASSERT_TRUE(keyring.Rotate("intelligence", random_).ok());
  auto pseudonymiser = LocalPseudonymiser::Create(keyring);
  ASSERT_TRUE(pseudonymiser.ok()) << pseudonymiser.status();
  EXPECT_EQ((*pseudonymiser)->Domain("none").status().code(), absl::StatusCode::kNotFound);
  const std::array domains = {*(*pseudonymiser)->Domain("intelligence"),
                              *(*pseudonymiser)->Domain("intelligence@1"),
                              *(*pseudonymiser)->Domain("public")};
  constexpr size_t kValues = 1'000'000;
  std::vector<PseudonymBlock> seen;
  seen.reserve(kValues * domains.size());
  PseudonymBatch batch;
  PseudonymAnswer answer;
  for (size_t i = 0; i < kValues; i += 1000) {
    batch.Clear();
    for (size_t j = i; j < i + 1000; ++j) {
      batch.Add(j % 2 ? contract::v1::PHONE : contract::v1::PNC_ID, base::StrCat(j / 2), domains);
    }
    ASSERT_TRUE((*pseudonymiser)->Pseudonymise(batch, answer).ok());
    seen.insert(seen.end(), answer.blocks.begin(), answer.blocks.end());
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());
  EXPECT_EQ(seen.size(), kValues * domains.size());
  PseudonymBlock last = answer.blocks.back();
  ASSERT_TRUE((*pseudonymiser)->Pseudonymise(batch, answer).ok());
  EXPECT_EQ(answer.blocks.back(), last);
  EXPECT_EQ(PseudonymPrefix(answer.domains[domains[0]]), "int2-");
  EXPECT_EQ(PseudonymPrefix(answer.domains[domains[1]]), "int1-");
}

TEST(Pseudonym, TextComesBack) {
  PseudonymBlock block;
  for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<uint8_t>(i * 17 + 3);
  char text[kBlockTextBytes];
  EXPECT_EQ(WriteBlock(block, text), text + kBlockTextBytes);
  std::string pseudonym = PseudonymPrefix({"int", 12}) + std::string(text, kBlockTextBytes);
  auto parsed = ParsePseudonym(pseudonym);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->label, "int");
  EXPECT_EQ(parsed->epoch, 12u);
  EXPECT_EQ(parsed->block, block);
  // RFC 4648's alphabet, checked against its own vector for "foobar" by padding it to 16 bytes.
  PseudonymBlock foobar{};
  std::copy_n("foobar", 6, foobar.begin());
  WriteBlock(foobar, text);
  EXPECT_EQ(std::string_view(text, 9), "mzxw6ytbo");
  for (std::string_view bad :
       {"", "int1-", "int-aaaaaaaaaaaaaaaaaaaaaaaaaa", "int01-aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "INT1-aaaaaaaaaaaaaaaaaaaaaaaaaa", "int1-aaaaaaaaaaaaaaaaaaaaaaaaa1",
        "int1-aaaaaaaaaaaaaaaaaaaaaaaaab", "int99999999999-aaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
    EXPECT_FALSE(ParsePseudonym(bad).has_value()) << bad;
  }
}

TEST(Seal, OpensOnlyWithItsKeyAndUnchanged) {
  base::SystemRandom random;
  auto keys = NewSealingKeys(random), others = NewSealingKeys(random);
  ASSERT_TRUE(keys.ok() && others.ok());
  auto sealer = Sealer::Create(keys->public_pem, random);
  ASSERT_TRUE(sealer.ok()) << sealer.status();
  std::string first, second;
  ASSERT_TRUE((*sealer)->Seal("raw/0/1", "payload", first).ok());
  (*sealer)->NewBatch();
  ASSERT_TRUE((*sealer)->Seal("raw/0/2", "", second).ok());
  EXPECT_EQ(first.size(), Sealer::Overhead() + 7);
  EXPECT_EQ(first.find("payload"), std::string::npos);
  auto unsealer = Unsealer::Create(keys->private_pem);
  ASSERT_TRUE(unsealer.ok()) << unsealer.status();
  EXPECT_EQ(*(*unsealer)->Unseal("raw/0/1", first), "payload");
  EXPECT_EQ(*(*unsealer)->Unseal("raw/0/2", second), "");
  EXPECT_FALSE((*unsealer)->Unseal("raw/0/2", first).ok());
  EXPECT_FALSE((*Unsealer::Create(others->private_pem))->Unseal("raw/0/1", first).ok());
  for (size_t i = 0; i < first.size(); ++i) {
    std::string bad = first;
    bad[i] = static_cast<char>(bad[i] ^ 0x40);
    EXPECT_FALSE((*unsealer)->Unseal("raw/0/1", bad).ok()) << "byte " << i;
    EXPECT_FALSE((*unsealer)->Unseal("raw/0/1", first.substr(0, i)).ok()) << "cut to " << i;
  }
  EXPECT_THAT(std::string(Sealer::Create(keys->private_pem, random).status().message()),
              HasSubstr("public key in PEM"));
}

// Private key 00 01 02 ... 1f. Opened apart from this code too, with Python's `cryptography`:
// whoever changes the format can't open the quarantine of before.
TEST(Seal, OpensWhatWasSealedBefore) {
  constexpr std::string_view kPem =
      "-----BEGIN PRIVATE KEY-----\n"
      "MC4CAQAwBQYDK2VuBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
      "-----END PRIVATE KEY-----\n";
  std::string sealed =
      Hex("534c5131eedd883da0a94515358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254"
          "14a822d4"
          "7af5c4f4e611baa86b27ac06aaea171a1c01a08168240bcc59350ef06bbc8bb3d9ceb38eeab8a8a6be3aecf2"
          "00000000"
          "00000000000000002a554914fb09b6ccb7de298a47e22bef5271ecfd69d3d4");
  auto payload = (*Unsealer::Create(kPem))->Unseal("raw.e/3/7", sealed);
  ASSERT_TRUE(payload.ok()) << payload.status();
  EXPECT_EQ(*payload, "payload");
}

// One nonce twice under one data key would give both payloads away.
TEST(Seal, NeverUsesANonceTwiceInABatch) {
  base::SystemRandom random;
  auto sealer = *Sealer::Create(NewSealingKeys(random)->public_pem, random);
  const size_t nonce_at = Sealer::Overhead() - kGcmNonceBytes - kGcmTagBytes;
  std::set<std::string> heads, keys_and_nonces;
  for (int batch = 0; batch < 5; ++batch) {
    for (int i = 0; i < 300; ++i) {
      std::string sealed;
      ASSERT_TRUE(sealer->Seal("a", "p", sealed).ok());
      heads.insert(sealed.substr(0, nonce_at));
      keys_and_nonces.insert(sealed.substr(0, nonce_at + kGcmNonceBytes));
    }
    sealer->NewBatch();
  }
  EXPECT_EQ(heads.size(), 5u);
  EXPECT_EQ(keys_and_nonces.size(), 5u * 300);
}

TEST(Generalise, AgesTurnOnBirthdays) {
  EXPECT_EQ(AgeOn({2008, 3, 4}, {2026, 3, 3}), 17);
  EXPECT_EQ(AgeOn({2008, 3, 4}, {2026, 3, 4}), 18);
  EXPECT_EQ(AgeOn({2008, 2, 29}, {2026, 2, 28}), 17);
  EXPECT_EQ(AgeOn({2008, 2, 29}, {2026, 3, 1}), 18);
  EXPECT_EQ(AgeOn({2026, 3, 5}, {2026, 3, 4}), std::nullopt);
  EXPECT_EQ(AgeOn({1850, 1, 1}, {2026, 3, 4}), std::nullopt);
}

TEST(Generalise, BandsMeetAtTheirBounds) {
  constexpr int32_t kFrom[] = {18, 25, 35, 50};
  auto band = [&](int32_t age) {
    char out[8];
    return std::string(out, WriteAgeBand(age, kFrom, out));
  };
  EXPECT_EQ(band(0), "0-17");
  EXPECT_EQ(band(17), "0-17");
  EXPECT_EQ(band(18), "18-24");
  EXPECT_EQ(band(49), "35-49");
  EXPECT_EQ(band(50), "50+");
  EXPECT_EQ(band(150), "50+");
}

TEST(Generalise, DatesLoseTheirEnds) {
  char out[10];
  EXPECT_EQ(std::string(out, WriteDatePart({2026, 3, 4}, 4, out)), "2026");
  EXPECT_EQ(std::string(out, WriteDatePart({2026, 3, 4}, 7, out)), "2026-03");
  EXPECT_EQ(std::string(out, WriteDatePart({2026, 3, 4}, 10, out)), "2026-03-04");
}

TEST(Generalise, PointsOfOneSquareBecomeItsCentre) {
  for (int metres : {10, 500, 10'000}) {
    for (double latitude = 51.2; latitude < 51.8; latitude += 0.0173) {
      for (double longitude = -0.6; longitude < 0.4; longitude += 0.0331) {
        Point centre = GridCentre({latitude, longitude}, metres);
        Point again = GridCentre(centre, metres);
        EXPECT_EQ(centre.latitude, again.latitude);
        EXPECT_EQ(centre.longitude, again.longitude);
        EXPECT_LT(std::abs(centre.latitude - latitude) * 111'195, metres * 0.51);
        EXPECT_LT(std::abs(centre.longitude - longitude) * 69'700, metres * 0.51);
      }
    }
  }
}

TEST(Generalise, PointsAtTheEndsOfTheEarthStayOnIt) {
  for (int metres : {10, 999, 100'000}) {
    for (double latitude : {-90.0, -89.9999, -89.5, 0.0, 89.5, 89.9999, 90.0}) {
      for (double longitude : {-180.0, -179.9999, -0.0001, 0.0, 179.9999, 180.0}) {
        Point centre = GridCentre({latitude, longitude}, metres);
        EXPECT_LE(std::abs(centre.latitude), 90);
        EXPECT_LE(std::abs(centre.longitude), 180);
        Point again = GridCentre(centre, metres);
        EXPECT_EQ(centre.latitude, again.latitude);
        EXPECT_EQ(centre.longitude, again.longitude);
      }
    }
  }
}

double BoundOf(double value, double width) { return Buckets::Of(width)->BoundOf(value); }

TEST(Generalise, BucketsAreDecimalAndTheirOwnLowerBounds) {
  EXPECT_EQ(BoundOf(0.3, 0.1), 0.3);
  EXPECT_EQ(BoundOf(0.7, 0.1), 0.7);
  EXPECT_EQ(BoundOf(0.29, 0.1), 0.2);
  EXPECT_EQ(BoundOf(-0.01, 0.25), -0.25);
  EXPECT_EQ(BoundOf(1e12 + 1, 1000), 1e12);
  EXPECT_EQ(BoundOf(47, 10), 40);
  EXPECT_EQ(BoundOf(-1, 10), -10);
  EXPECT_EQ(BoundOf(-40, 10), -40);
  for (double width : {0.01, 0.1, 0.25, 0.3, 1.0, 2.5, 7.0, 1000.0}) {
    double before = -std::numeric_limits<double>::infinity();
    for (int i = -2000; i <= 2000; ++i) {
      double bucket = BoundOf(i * 0.37, width);
      EXPECT_EQ(BoundOf(bucket, width), bucket) << i << " by " << width;
      EXPECT_LE(bucket, i * 0.37);
      EXPECT_GT(bucket, i * 0.37 - width * (1 + 1e-9));
      EXPECT_GE(bucket, before);
      before = bucket;
    }
  }
}

TEST(Generalise, BucketsOfEverySortOfNumberAreNeverAboveIt) {
  // What a float says is its shortest decimal, not the binary fraction behind it.
  EXPECT_EQ(Buckets::Of(0.1)->BoundOf(0.7f), 0.7);
  EXPECT_EQ(Buckets::Of(0.1)->BoundOf(5.2f), 5.2);
  EXPECT_EQ(Buckets::Of(0.1)->BoundOf(-0.3f), -0.3);
  // No allowance for being nearly there.
  EXPECT_EQ(Buckets::Of(1e9)->BoundOf(int64_t{999'999'998}), 0);
  EXPECT_EQ(BoundOf(19.9999999999, 10), 10);
  EXPECT_EQ(BoundOf(-2e-9, 10), -10);
  EXPECT_EQ(BoundOf(5e-324, 10), 0);
  EXPECT_EQ(BoundOf(-5e-324, 10), -10);
  EXPECT_EQ(BoundOf(-0.0, 10), 0);
  EXPECT_EQ(BoundOf(1.7e308, 0.001), 1.7e308);
  EXPECT_TRUE(std::isnan(BoundOf(std::nan(""), 1)));
  // Beyond 2^53 a double that is near may be above.
  constexpr int64_t kLarge = (int64_t{1} << 53) + 3;
  double bound = Buckets::Of(1)->BoundOf(kLarge);
  EXPECT_LE(static_cast<__int128>(bound), kLarge);
  EXPECT_LE(Buckets::Of(1)->BoundOf(std::numeric_limits<uint64_t>::max()), 0x1p64 - 1);
  EXPECT_EQ(Buckets::Of(10)->BoundOf(std::numeric_limits<int64_t>::min()), -9223372036854775810.0);
  EXPECT_FALSE(Buckets::Of(0));
  EXPECT_FALSE(Buckets::Of(-1));
  EXPECT_FALSE(Buckets::Of(std::nan("")));
}

TEST(Generalise, MasksWholeCharacters) {
  auto masked = [](std::string_view text, size_t first, size_t last) {
    std::string out;
    AppendMasked(text, first, last, '*', out);
    return out;
  };
  EXPECT_EQ(masked("12345678", 0, 4), "****5678");
  EXPECT_EQ(masked("12345678", 2, 1), "12*****8");
  EXPECT_EQ(masked("Zo\xC3\xAB", 0, 1), "**\xC3\xAB");
  EXPECT_EQ(masked("ab", 5, 0), "**");
  EXPECT_EQ(masked("ab", ~size_t{0}, 1), "**");
  EXPECT_EQ(masked("", 1, 1), "");
}

TEST(Visible, TellsPunctuationFromWhatIsSomebodys) {
  for (std::string_view text : {"", "-", ".", "?", "--- / ---", "?-", "\u2026", "\u2013", "\u263A"})
    EXPECT_FALSE(HasLetterOrDigit(text)) << text;
  for (std::string_view text : {"x", "(7)", "-Z-", "\u00E9", "\u738B", "\u0663", "?\xFF"})
    EXPECT_TRUE(HasLetterOrDigit(text)) << text;
}

TEST(Generalise, WhatNobodySeesIsNoCharacter) {
  auto masked = [](std::string_view text, size_t first, size_t last) {
    std::string out;
    AppendMasked(text, first, last, '*', out);
    return out;
  };
  for (std::string_view nothing :
       {" ", "\t", "\u00A0", "\u200B", "\u200E", "\uFEFF", "\u2060", "\u00AD", "\u3164", "\u2800",
        "\U000E0041", "\u202E", "\u180E"}) {
    EXPECT_TRUE(IsBlank(nothing));
    EXPECT_EQ(masked(base::StrCat("Li", nothing), 2, 0), "**");
    EXPECT_EQ(masked(base::StrCat(nothing, "L", nothing, "i", nothing), 0, 2), "**");
    EXPECT_EQ(masked(base::StrCat("Lio", nothing), 2, 0), "Li*");
  }
  EXPECT_TRUE(IsBlank(""));
  EXPECT_FALSE(IsBlank("\u200B.\u200B"));
  // Of white space between two that show, a space does; letters hidden in tags don't.
  EXPECT_EQ(masked("a \u2003 bcd", 2, 0), "a b**");
  EXPECT_EQ(masked("a bcd", 1, 0), "a***");
  EXPECT_EQ(masked("L\U000E0069\U000E0070xyz", 1, 0), "L***");
  // A letter and its accents, and a family of three, are a character each.
  EXPECT_EQ(masked("o\u0308b", 1, 0), "o\u0308*");
  EXPECT_EQ(masked("\U0001F468\u200D\U0001F469\u200D\U0001F467xy", 1, 0),
            "\U0001F468\u200D\U0001F469\u200D\U0001F467**");
  EXPECT_EQ(masked("\U0001F1F3\U0001F1F1z", 1, 0), "\U0001F1F3\U0001F1F1*");
}

}  // namespace
}  // namespace sluice::privacy
