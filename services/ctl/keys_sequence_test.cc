// Commands on keyrings in any order, twice, killed half-way, with copies put back: whatever is
// done, no pseudonym is made that another secret made under the same number, and none is converted
// to another person's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "common/privacy/epoch_record.h"
#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/privacy/pseudonym.h"
#include "services/ctl/testing.h"
#include "tests/support/temp_dir.h"

namespace sluice::ctl {
namespace {

using base::StrCat;
using privacy::Keyring;
namespace fs = std::filesystem;

// SLUICE_KEYS_COMMANDS: how many; ten thousand in `./run test-keys`.
int Commands() {
  const char* given = std::getenv("SLUICE_KEYS_COMMANDS");
  return given == nullptr ? 300 : std::atoi(given);
}

constexpr std::array<const char*, 2> kDomains = {"intelligence", "public"};
constexpr std::array<const char*, 2> kLabels = {"int", "pub"};
constexpr int kPeople = 5;

class KeysSequence : public ::testing::Test {
 protected:
  // Who a pseudonym is of, as the one that made it knows.
  struct Truth {
    size_t keyring;
    size_t domain;
    int person;
  };

  std::string Folder(size_t keyring) { return StrCat(folder_->path(), "/", keyring); }
  std::string Ring(size_t keyring) { return Folder(keyring) + "/keyring"; }
  std::string Kek(size_t keyring) { return Folder(keyring) + "/kek"; }
  size_t Any(size_t below) { return std::uniform_int_distribution<size_t>(0, below - 1)(random_); }
  static std::string Read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  Ended Keys(size_t keyring, const std::string& command, std::vector<std::string> more,
             const std::string& in = "") {
    std::vector<std::string> call = {
        "keys", command, "--keyring", Ring(keyring), "--key-encryption-key", Kek(keyring)};
    call.insert(call.end(), more.begin(), more.end());
    return RunCtl(std::move(call), in);
  }

  // Of the domain's newest epoch; empty: the keyring can't be used.
  std::vector<std::string> Make(size_t keyring, size_t domain) {
    std::vector<std::string> made;
    auto loaded = Keyring::Load(Ring(keyring), Kek(keyring));
    if (!loaded.ok() || loaded->Find(kDomains[domain]) == nullptr) return made;
    // As a processor and the pseudonymiser do before they make any.
    auto record =
        privacy::EpochRecord::LoadOrNew(privacy::EpochRecord::PathOf(Ring(keyring)), *loaded);
    if (!record.ok() || !record->Check(*loaded).ok()) return made;
    auto pseudonymiser = *privacy::LocalPseudonymiser::Create(*loaded);
    const uint16_t index = *pseudonymiser->Domain(kDomains[domain]);
    privacy::PseudonymBatch batch;
    privacy::PseudonymAnswer answer;
    for (int person = 0; person < kPeople; ++person)
      batch.Add(contract::v1::PERSON_NAME, StrCat("person ", person),
                std::array<uint16_t, 1>{index});
    EXPECT_TRUE(pseudonymiser->Pseudonymise(batch, answer).ok());
    for (int person = 0; person < kPeople; ++person) {
      std::string text;
      privacy::AppendPseudonym(answer.domains[index], answer.blocks[static_cast<size_t>(person)],
                               text);
      made.push_back(text);
    }
    // A number belongs to one secret, for ever.
    const std::string number = StrCat(keyring, " ", kLabels[domain], answer.domains[index].epoch);
    const std::string check = loaded->Find(kDomains[domain])->epochs.back().check;
    auto [at, added] = checks_.try_emplace(number, check);
    EXPECT_EQ(at->second, check) << number << " was used with two secrets";
    return made;
  }

  void MakeSome(size_t keyring) {
    for (size_t domain = 0; domain < kDomains.size(); ++domain) {
      const auto made = Make(keyring, domain);
      for (size_t person = 0; person < made.size(); ++person)
        truths_[made[person]] = {keyring, domain, static_cast<int>(person)};
    }
  }

  // All pseudonyms that there ever were, by this keyring.
  void Convert(size_t keyring, size_t domain) {
    std::string text;
    for (const auto& [pseudonym, truth] : truths_) text += pseudonym + "\n";
    Ended ended = Keys(keyring, "convert", {"--domain", kDomains[domain]}, text);
    if (ended.code != 0 && ended.code != 1) return;
    const auto now = Make(keyring, domain);
    size_t begin = 0;
    bool left = false;
    for (const auto& [pseudonym, truth] : truths_) {
      const size_t end = ended.out.find('\n', begin);
      ASSERT_NE(end, std::string::npos);
      const std::string converted = ended.out.substr(begin, end - begin);
      begin = end + 1;
      if (!pseudonym.starts_with(kLabels[domain])) {
        EXPECT_EQ(converted, pseudonym);
        continue;
      }
      if (converted == pseudonym) {
        left = left || (!now.empty() && (truth.keyring != keyring ||
                                         converted != now[static_cast<size_t>(truth.person)]));
        continue;
      }
      ++converted_;
      EXPECT_EQ(truth.keyring, keyring) << "another keyring's was converted";
      EXPECT_EQ(truth.domain, domain);
      if (!now.empty()) {
        EXPECT_EQ(converted, now[static_cast<size_t>(truth.person)]);
      }
    }
    // What was left isn't passed over in silence.
    if (left) {
      EXPECT_EQ(ended.code, 1) << ended.err;
    }
  }

  void Step() {
    const size_t keyring = Any(2), domain = Any(2);
    const std::string ring = Ring(keyring), epoch = StrCat(1 + Any(6));
    switch (Any(12)) {
      case 0:
      case 1:
        Keys(keyring, "rotate", {"--domain", kDomains[domain]});
        break;
      case 2:
        Keys(keyring, "retire", {"--domain", kDomains[domain], "--epoch", epoch});
        break;
      case 3:
        Keys(keyring, "destroy", {"--domain", kDomains[domain], "--epoch", epoch, "--yes"});
        break;
      case 4: {
        const std::string to = StrCat(Folder(keyring), "/backup", backups_[keyring].size());
        if (Keys(keyring, "backup", {"--to", to, "--to-key", backup_key_}).code == 0)
          backups_[keyring].push_back(to);
        break;
      }
      case 5: {
        const std::string kept = Read(ring);
        const bool foreign = Any(4) == 0;
        const auto& from = backups_[foreign ? 1 - keyring : keyring];
        if (from.empty()) break;
        const bool removed = foreign || Any(2) == 0;
        if (removed) fs::remove(ring);
        // The record goes with the keyring, as on another machine; older copies then do, too:
        // nobody would know that they are older.
        if (removed && !foreign && Any(3) == 0) {
          fs::remove(privacy::EpochRecord::PathOf(ring));
          copies_[keyring].clear();
        }
        Ended ended =
            Keys(keyring, "restore", {"--from", from[Any(from.size())], "--from-key", backup_key_});
        EXPECT_EQ(ended.code == 0, removed && !foreign) << ended.err;
        if (foreign) PutBack(keyring, kept);
        break;
      }
      case 6:
        // An older copy, by hand.
        if (!copies_[keyring].empty())
          PutBack(keyring, copies_[keyring][Any(copies_[keyring].size())]);
        break;
      case 7:
        // Killed after the record of epochs was written, and before the keyring was.
        fs::remove(ring + ".new");
        fs::create_directory(ring + ".new");
        EXPECT_NE(Keys(keyring, "rotate", {"--domain", kDomains[domain]}).code, 0);
        fs::remove(ring + ".new");
        break;
      case 8:
        // Killed while a file was being written.
        fs::remove_all(ring + ".new");
        std::ofstream(ring + ".new") << "half";
        std::ofstream(privacy::EpochRecord::PathOf(ring) + ".new") << "half";
        break;
      case 9: {
        // The other keyring's file and key, and back.
        if (!fs::exists(privacy::EpochRecord::PathOf(ring))) break;
        const std::string mine = Read(ring), key = Read(Kek(keyring));
        fs::copy_file(Ring(1 - keyring), ring, fs::copy_options::overwrite_existing);
        fs::copy_file(Kek(1 - keyring), Kek(keyring), fs::copy_options::overwrite_existing);
        auto loaded = Keyring::Load(ring, Kek(keyring));
        if (loaded.ok()) {
          auto record =
              privacy::EpochRecord::LoadOrNew(privacy::EpochRecord::PathOf(ring), *loaded);
          EXPECT_FALSE(record.ok()) << "another keyring is noticed";
        }
        EXPECT_NE(Keys(keyring, "rotate", {"--domain", kDomains[domain]}).code, 0);
        std::ofstream(Kek(keyring), std::ios::trunc) << key;
        PutBack(keyring, mine);
        break;
      }
      default:
        Convert(keyring, domain);
        break;
    }
    copies_[keyring].push_back(Read(ring));
    MakeSome(keyring);
  }

  void PutBack(size_t keyring, const std::string& bytes) {
    std::ofstream(Ring(keyring), std::ios::binary | std::ios::trunc) << bytes;
  }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("keys-sequence");
  const std::string backup_key_ = folder_->path() + "/backup-kek";
  std::mt19937 random_{20'261'130};
  std::map<size_t, std::vector<std::string>> backups_, copies_;
  std::map<std::string, Truth> truths_;
  std::map<std::string, std::string> checks_;
  int converted_ = 0;
};

TEST_F(KeysSequence, NothingThatIsDoneMakesAWrongPseudonymInSilence) {
  ASSERT_EQ(RunCtl({"keys", "encryption-key", "--to", backup_key_}).code, 0);
  for (size_t keyring : {0, 1}) {
    fs::create_directory(Folder(keyring));
    ASSERT_EQ(
        Keys(keyring, "init", {"--domain", "intelligence=int", "--domain", "public=pub"}).code, 0);
    MakeSome(keyring);
  }
  for (int i = 0; i < Commands() && !HasFailure(); ++i) {
    SCOPED_TRACE(StrCat("command ", i));
    Step();
  }
  EXPECT_GT(converted_, 0);
  EXPECT_GT(truths_.size(), 20u);
}

}  // namespace
}  // namespace sluice::ctl
