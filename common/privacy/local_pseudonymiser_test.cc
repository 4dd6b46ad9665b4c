#include "common/privacy/local_pseudonymiser.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <new>
#include <set>

#include "absl/strings/escaping.h"
#include "common/base/strings.h"
#include "common/base/testing.h"
#include "common/privacy/identifier.h"
#include "common/privacy/pseudonym.h"

namespace {

thread_local size_t allocations = 0;

void* CountedAllocate(size_t size) {
  ++allocations;
  void* memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

// What the steady state promises is counted here.
void* operator new(size_t size) { return CountedAllocate(size); }
void* operator new[](size_t size) { return CountedAllocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace sluice::privacy {
namespace {

using namespace contract::v1;

Keyring FixedKeyring(uint32_t epochs = 1, size_t check_bytes = Keyring::kCheckBytes) {
  base::CountingRandom random(0);  // the root secret, then the epochs' secrets
  Keyring keyring =
      *Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random, 0, check_bytes);
  for (uint32_t epoch = 2; epoch <= epochs; ++epoch)
    EXPECT_EQ(*keyring.Rotate("intelligence", random), epoch);
  return keyring;
}

std::unique_ptr<LocalPseudonymiser> Fixed(uint32_t epochs = 1) {
  return *LocalPseudonymiser::Create(FixedKeyring(epochs));
}

std::string TextOf(const PseudonymAnswer& answer, size_t target, uint16_t domain) {
  char block[kBlockTextBytes];
  WriteBlock(answer.blocks[target], block);
  return PseudonymPrefix(answer.domains[domain]) + std::string(block, sizeof(block));
}

// Expected values were computed apart from this code, with Python's hmac and `openssl enc`: whoever
// changes one of them changes every pseudonym that was ever published.
TEST(LocalPseudonymiser, KeepsItsKnownAnswers) {
  PseudonymBatch batch;
  const std::array<uint16_t, 2> both = {0, 1};
  batch.Add(PHONE, "+447700900123", both);
  batch.Add(PNC_ID, "1981/0000034U", both);
  batch.Add(ADDRESS, std::string(130, 'a'), both);
  auto answers = [&](size_t check_bytes) {
    auto pseudonymiser = *LocalPseudonymiser::Create(FixedKeyring(1, check_bytes));
    PseudonymAnswer answer;
    EXPECT_TRUE(pseudonymiser->Pseudonymise(batch, answer).ok());
    std::vector<std::string> texts;
    for (size_t i = 0; i < 6; ++i) texts.push_back(TextOf(answer, i, i % 2));
    return texts;
  };
  EXPECT_EQ(answers(Keyring::kCheckBytes),
            (std::vector<std::string>{
                "int1-4ptmh5dxm3yu2wjloarzdrsc7a", "pub1-c6og63zwzkt55xg7nblsx4fsb4",
                "int1-6a5k3q6r4xtrwlk3quvifcmbvm", "pub1-pui2vf2eabqkz34qefw3x5fcj4",
                "int1-lfaje6mwiwnvjueb557a3glyfy", "pub1-zz5er4kelw4y4bfzjwbm43o4la"}));
  // Keyrings of before there were check bytes.
  EXPECT_EQ(answers(0), (std::vector<std::string>{
                            "int1-r4yfwgibs4ctumsetrto24uva4", "pub1-dpk45aq662yasrm6pwqz4xvjpe",
                            "int1-phyvtkiwcpumr7cej7riyftxzm", "pub1-xjrve6r7boaa4l3rgletesfsha",
                            "int1-khlu734hmw7yznxbzenx77njyi", "pub1-6a4qihx64doec57itdhdrnkeia"}));
}

// Rotation and conversion need no identifier: decipher under one key, encipher under the other.
TEST(LocalPseudonymiser, OuterLayerIsAPermutationThatRotatesAndConverts) {
  Keyring keyring = FixedKeyring(2);
  auto convert = [&](PseudonymBlock block, std::string_view from, uint32_t from_epoch,
                     std::string_view to, uint32_t to_epoch) {
    auto crypt = [&](std::string_view domain, uint32_t epoch, bool encrypt) {
      auto key = keyring.DomainKey(domain, epoch);
      EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
      int size = 0;
      EVP_CipherInit_ex(context, EVP_aes_256_ecb(), nullptr,
                        key->Reveal(base::SecretAccess()).data(), nullptr, encrypt);
      EVP_CIPHER_CTX_set_padding(context, 0);
      EVP_CipherUpdate(context, block.data(), &size, block.data(), 16);
      EVP_CIPHER_CTX_free(context);
    };
    crypt(from, from_epoch, false);
    crypt(to, to_epoch, true);
    return block;
  };
  auto before = Fixed(1), after = Fixed(2);
  PseudonymBatch batch;
  for (int i = 0; i < 100; ++i)
    batch.Add(PERSON_NAME, base::StrCat("name ", i), std::array<uint16_t, 2>{0, 1});
  PseudonymAnswer old_answer, new_answer;
  ASSERT_TRUE(before->Pseudonymise(batch, old_answer).ok());
  ASSERT_TRUE(after->Pseudonymise(batch, new_answer).ok());
  EXPECT_EQ(new_answer.domains[0].epoch, 2u);
  for (size_t i = 0; i < old_answer.blocks.size(); i += 2) {
    EXPECT_NE(old_answer.blocks[i], new_answer.blocks[i]);
    EXPECT_EQ(old_answer.blocks[i + 1], new_answer.blocks[i + 1]);  // `public` stays in epoch 1
    EXPECT_EQ(convert(old_answer.blocks[i], "intelligence", 1, "intelligence", 2),
              new_answer.blocks[i]);
    EXPECT_EQ(convert(new_answer.blocks[i], "intelligence", 2, "public", 1),
              new_answer.blocks[i + 1]);
  }
}

// So that a stream can go on in the old epoch for a while, beside one in the new epoch.
TEST(LocalPseudonymiser, MakesPseudonymsOfAnOlderEpochWhereAskedTo) {
  auto first = Fixed(1), third = Fixed(3);
  EXPECT_EQ(*first->Domain("intelligence@previous"), *first->Domain("intelligence"));
  EXPECT_EQ(*first->Domain("intelligence@1"), *first->Domain("intelligence"));
  EXPECT_EQ(*third->Domain("intelligence@previous"), *third->Domain("intelligence@2"));
  EXPECT_EQ(*third->Domain("public@previous"), *third->Domain("public"));
  for (const char* none : {"intelligence@4", "intelligence@", "intelligence@x", "none@1"})
    EXPECT_EQ(third->Domain(none).status().code(), absl::StatusCode::kNotFound) << none;
  // Never an older one, nor the newest, instead of the one before.
  Keyring keyring = FixedKeyring(3);
  ASSERT_TRUE(keyring.Retire("intelligence", 2).ok());
  EXPECT_TRUE(absl::IsNotFound(
      (*LocalPseudonymiser::Create(keyring))->Domain("intelligence@previous").status()));
  ASSERT_TRUE(keyring.Retire("intelligence", 1).ok());
  EXPECT_TRUE(absl::IsNotFound(
      (*LocalPseudonymiser::Create(keyring))->Domain("intelligence@previous").status()));
  const std::array<uint16_t, 2> both = {*third->Domain("intelligence"),
                                        *third->Domain("intelligence@1")};
  PseudonymBatch batch, old_batch;
  batch.Add(PHONE, "+447700900123", both);
  old_batch.Add(PHONE, "+447700900123", std::array<uint16_t, 1>{*first->Domain("intelligence")});
  PseudonymAnswer answer, old_answer;
  ASSERT_TRUE(third->Pseudonymise(batch, answer).ok());
  ASSERT_TRUE(first->Pseudonymise(old_batch, old_answer).ok());
  EXPECT_EQ(answer.domains[both[0]].epoch, 3u);
  EXPECT_EQ(answer.domains[both[1]].epoch, 1u);
  EXPECT_EQ(answer.blocks[1], old_answer.blocks[0]);
  EXPECT_NE(answer.blocks[0], answer.blocks[1]);
}

TEST(LocalPseudonymiser, SaysTheEpochOfThisAnswerInAReusedOne) {
  PseudonymBatch batch;
  batch.Add(PHONE, "+447700900123", std::array<uint16_t, 1>{0});
  PseudonymAnswer answer;
  ASSERT_TRUE(Fixed(1)->Pseudonymise(batch, answer).ok());
  EXPECT_EQ(answer.domains[0].epoch, 1u);
  ASSERT_TRUE(Fixed(2)->Pseudonymise(batch, answer).ok());
  EXPECT_EQ(answer.domains[0].epoch, 2u);
}

TEST(LocalPseudonymiser, RefusesWhatIsNotThereAndGoesOnUnharmed) {
  auto pseudonymiser = Fixed();
  PseudonymBatch good, bad_domain, bad_kind;
  good.Add(PHONE, "+447700900123", std::array<uint16_t, 1>{0});
  for (int i = 0; i < 50; ++i)
    bad_domain.Add(PHONE, "+447700900123", std::array<uint16_t, 2>{0, 2});
  bad_kind.Add(static_cast<IdentifierKind>(IdentifierKind_MAX + 1), "x",
               std::array<uint16_t, 1>{0});
  PseudonymAnswer expected, answer;
  ASSERT_TRUE(pseudonymiser->Pseudonymise(good, expected).ok());
  for (const PseudonymBatch* bad : {&bad_domain, &bad_kind}) {
    absl::Status status = pseudonymiser->Pseudonymise(*bad, answer);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(answer.blocks.empty());
    ASSERT_TRUE(pseudonymiser->Pseudonymise(good, answer).ok());
    EXPECT_EQ(answer.blocks, expected.blocks);
  }
}

TEST(LocalPseudonymiser, MakesTheFormThatEachTargetAsksFor) {
  Keyring keyring = FixedKeyring();
  auto pseudonymiser = *LocalPseudonymiser::Create(keyring);
  PseudonymBatch batch, blocks;
  PseudonymAnswer answer, expected;
  batch.bytes() += "+447700900123";
  batch.EndValue(PHONE);
  EXPECT_EQ(batch.AddTarget(0, Form::kBlock), 0u);
  EXPECT_EQ(batch.AddTarget(0, Form::kEncrypted), 1u);
  EXPECT_EQ(batch.AddTarget(1, Form::kFormatPreserved), 2u);
  batch.bytes() += "?ask at the desk";
  batch.EndValue(PHONE);
  batch.AddTarget(1, Form::kFormatPreserved);
  batch.AddTarget(1, Form::kBlock);
  ASSERT_TRUE(pseudonymiser->Pseudonymise(batch, answer).ok());
  blocks.Add(PHONE, "+447700900123", std::array<uint16_t, 1>{0});
  blocks.Add(PHONE, "?ask at the desk", std::array<uint16_t, 1>{1});
  ASSERT_TRUE(pseudonymiser->Pseudonymise(blocks, expected).ok());
  EXPECT_TRUE(expected.text_ends.empty());
  EXPECT_EQ(answer.blocks[0], expected.blocks[0]);
  EXPECT_EQ(answer.blocks[4], expected.blocks[1]);
  EXPECT_EQ(answer.text(0), "");
  EXPECT_EQ(answer.text(3), "");

  auto siv_key = keyring.EncryptionKey("intelligence", 1), ff1_key = keyring.FormatKey("public", 1);
  auto cipher = ValueCipher::Create(siv_key->Reveal(base::SecretAccess()), "intelligence");
  auto preserver = FormatPreserver::Create(ff1_key->Reveal(base::SecretAccess()));
  std::string decrypted, restored;
  ASSERT_TRUE(cipher->Decrypt(PHONE, answer.text(1), decrypted).ok());
  EXPECT_EQ(decrypted, "+447700900123");
  EXPECT_TRUE(answer.text(2).starts_with("+447"));
  ASSERT_TRUE(preserver->Decrypt(PHONE, answer.text(2), restored).ok());
  EXPECT_EQ(restored, "+447700900123");
}

TEST(LocalPseudonymiser, AValueInAScopeIsAnotherValue) {
  auto pseudonymiser = Fixed();
  PseudonymBatch batch;
  PseudonymAnswer answer;
  auto add = [&](std::string_view scope, std::string_view value) {
    batch.BeginScope(scope);
    batch.bytes() += value;
    batch.EndValue(PHONE, true);
    batch.AddTarget(0, Form::kBlock);
  };
  batch.Add(PHONE, "ab", std::array<uint16_t, 1>{0});
  batch.Add(PHONE, std::string("\0\1ab", 4), std::array<uint16_t, 1>{0});
  add("", "ab");
  add("a", "b");
  add("a", "ab");
  add("ab", "");
  add("a", "b");
  add(std::string(300, 'x'), "b");
  ASSERT_TRUE(pseudonymiser->Pseudonymise(batch, answer).ok());
  EXPECT_EQ(answer.blocks[3], answer.blocks[6]);
  answer.blocks.erase(answer.blocks.begin() + 6);
  EXPECT_EQ(std::set(answer.blocks.begin(), answer.blocks.end()).size(), 7u);
}

TEST(LocalPseudonymiser, MakesNoTextOfAValueInAScope) {
  auto pseudonymiser = Fixed();
  PseudonymBatch batch;
  PseudonymAnswer answer;
  batch.BeginScope("2026");
  batch.bytes() += "+447700900123";
  batch.EndValue(PHONE, true);
  batch.AddTarget(0, Form::kEncrypted);
  EXPECT_EQ(pseudonymiser->Pseudonymise(batch, answer).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(answer.texts.empty() && answer.blocks.empty());
}

TEST(LocalPseudonymiser, AnswersAnEmptyBatch) {
  PseudonymAnswer answer;
  ASSERT_TRUE(Fixed()->Pseudonymise(PseudonymBatch(), answer).ok());
  EXPECT_TRUE(answer.blocks.empty());
}

TEST(LocalPseudonymiser, NeverGivesOnePseudonymTwice) {
  auto pseudonymiser = Fixed();
  std::vector<PseudonymBlock> seen;
  PseudonymBatch batch;
  PseudonymAnswer answer;
  // A million identifiers, three kinds by turns, in two domains.
  constexpr int kValues = 334'000, kChunk = 1000;
  for (int i = 0; i < kValues; i += kChunk) {
    batch.Clear();
    for (int j = i; j < i + kChunk; ++j) {
      std::string value = std::to_string(j);
      for (IdentifierKind kind : {PHONE, PNC_ID, FREE_IDENTIFIER}) {
        batch.Add(kind, value, std::array<uint16_t, 2>{0, 1});
      }
    }
    ASSERT_TRUE(pseudonymiser->Pseudonymise(batch, answer).ok());
    seen.insert(seen.end(), answer.blocks.begin(), answer.blocks.end());
  }
  EXPECT_EQ(seen.size(), size_t{kValues} * 3 * 2);
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());
}

TEST(LocalPseudonymiser, AllocatesNothingInTheSteadyState) {
  auto pseudonymiser = Fixed();
  PseudonymBatch batch;
  PseudonymAnswer answer;
  std::string pseudonym;
  auto run = [&] {
    batch.Clear();
    for (int i = 0; i < 100; ++i) {
      for (const auto& [kind, value] :
           std::initializer_list<std::pair<IdentifierKind, std::string_view>>{
               {PERSON_NAME, "Oluwaseun ADEBAYO"},
               {PERSON_NAME, "Zo\u00EB O\u2019Brien"},
               {PHONE, "+44 (0)7700 900123"},
               {PHONE, "not a phone number but a remark of some length"},
               {EMAIL, "Some.One@Example.com"},
               {PNC_ID, "81/34U"},
               {CRO, "65656/91H"},
               {ASN, "10/01VK/01/375807W"},
               {NHS_NUMBER, "943 476 5870"},
               {NINO, "AB 12 34 56 C"},
               {VRM, "ab12 cde"},
               {DRIVING_LICENCE, "MORGA657054SM9IJ"},
               {PASSPORT, "123456789"},
               {WARRANT_NUMBER, "012345"},
               {SHOULDER_NUMBER, "123AB"},
               {POSTCODE, "sw1a1aa"},
               {UPRN, "000100023336956"},
               {ADDRESS, "Flat 2, 10 High Street, London SW1A 1AA"},
               {IP_ADDRESS, "2001:DB8::1:2"},
               {FREE_IDENTIFIER, "CAD 123/01JAN26"},
               {EVENT_ID, "6F9619FF-8B86-D011-B42D-00CF4FC964FF"},
               {SOURCE_POSITION, "raw.stops/3/123456"}}) {
        AppendCanonical(kind, value, batch.bytes());
        batch.AddTargets(kind, std::array<uint16_t, 2>{0, 1});
      }
    }
    return pseudonymiser->Pseudonymise(batch, answer).ok();
  };
  ASSERT_TRUE(run());
  ASSERT_TRUE(run());
  const size_t before = allocations;
  const bool ok = run();
  EXPECT_EQ(allocations, before);
  EXPECT_TRUE(ok);
}

}  // namespace
}  // namespace sluice::privacy
