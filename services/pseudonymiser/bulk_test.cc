#include "services/pseudonymiser/bulk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/testing.h"
#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"

namespace sluice::pseudonymiser {
namespace {

using contract::v1::PERSON_NAME;
using contract::v1::PHONE;
using privacy::Form;
using ::testing::HasSubstr;

class Bulk : public ::testing::Test {
 protected:
  void SetUp() override {
    base::CountingRandom random;
    auto keyring = privacy::Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random);
    ASSERT_TRUE(keyring->Rotate("intelligence", random).ok());
    keys_ = *privacy::LocalPseudonymiser::Create(*keyring);
  }

  void Target(const std::string& domain, v1::Form form = v1::BLOCK, uint32_t epoch = 0) {
    v1::Target& target = *request_.add_target_list();
    target.set_domain(domain);
    target.set_form(form);
    target.set_epoch(epoch);
  }
  void Value(const std::string& value, int kind, const std::vector<int>& targets) {
    request_.mutable_values()->append(value);
    request_.add_ends(static_cast<uint32_t>(request_.values().size()));
    request_.mutable_kinds()->push_back(static_cast<char>(kind));
    request_.mutable_target_counts()->push_back(static_cast<char>(targets.size()));
    for (int target : targets) request_.mutable_targets()->push_back(static_cast<char>(target));
  }

  absl::Status Answer() {
    auto targets = ResolveTargets(request_, *keys_);
    if (!targets.ok()) return targets.status();
    batch_.Clear();
    if (absl::Status read = ReadBatch(request_, *targets, batch_); !read.ok()) return read;
    if (absl::Status made = keys_->Pseudonymise(batch_, answer_); !made.ok()) return made;
    response_.Clear();
    WriteAnswer(batch_, answer_, *targets, response_);
    return absl::OkStatus();
  }
  absl::Status Refusal() {
    absl::Status status = Answer();
    EXPECT_FALSE(status.ok());
    return status;
  }

  std::unique_ptr<privacy::LocalPseudonymiser> keys_;
  v1::PseudonymiseRequest request_;
  v1::PseudonymiseResponse response_;
  privacy::PseudonymBatch batch_;
  privacy::PseudonymAnswer answer_;
};

// Everything that the port can ask: several targets for a value, every form, scopes, older epochs.
TEST_F(Bulk, TheAnswerIsWhatTheLocalPortGives) {
  Target("intelligence");
  Target("public");
  Target("intelligence@1");
  Target("intelligence@previous");
  Target("intelligence", v1::ENCRYPTED);
  Target("public", v1::FORMAT_PRESERVED);
  Value("ada", PERSON_NAME, {0, 1, 4});
  Value("", PERSON_NAME, {1});
  Value("+447700900123", PHONE, {2, 3, 4, 5});
  Value(std::string("\0\3evtada", 8), PERSON_NAME | 0x80, {0});
  Value("not a phone", PHONE, {5});
  Value("unwanted", PHONE, {});
  ASSERT_TRUE(Answer().ok());

  privacy::PseudonymBatch batch;
  privacy::PseudonymAnswer answer;
  const uint16_t newest = *keys_->Domain("intelligence"), pub = *keys_->Domain("public"),
                 old = *keys_->Domain("intelligence@1");
  auto value = [&](std::string_view text, contract::v1::IdentifierKind kind) {
    batch.bytes().append(text);
    batch.EndValue(kind);
  };
  value("ada", PERSON_NAME);
  batch.AddTarget(newest, Form::kBlock);
  batch.AddTarget(pub, Form::kBlock);
  batch.AddTarget(newest, Form::kEncrypted);
  value("", PERSON_NAME);
  batch.AddTarget(pub, Form::kBlock);
  value("+447700900123", PHONE);
  batch.AddTarget(old, Form::kBlock);
  batch.AddTarget(old, Form::kBlock);
  batch.AddTarget(newest, Form::kEncrypted);
  batch.AddTarget(pub, Form::kFormatPreserved);
  batch.BeginScope("evt");
  batch.bytes().append("ada");
  batch.EndValue(PERSON_NAME, true);
  batch.AddTarget(newest, Form::kBlock);
  value("not a phone", PHONE);
  batch.AddTarget(pub, Form::kFormatPreserved);
  value("unwanted", PHONE);
  ASSERT_TRUE(keys_->Pseudonymise(batch, answer).ok());

  ASSERT_EQ(response_.blocks().size(), batch.targets().size() * 16);
  for (size_t i = 0; i < batch.targets().size(); ++i) {
    std::string theirs = response_.blocks().substr(i * 16, 16);
    std::string ours(reinterpret_cast<const char*>(answer.blocks[i].data()), 16);
    if (batch.targets()[i].form != Form::kBlock) ours.assign(16, '\0');
    EXPECT_EQ(theirs, ours) << i;
  }
  EXPECT_EQ(response_.texts(), answer.texts);
  EXPECT_THAT(response_.text_ends(), ::testing::ElementsAreArray(answer.text_ends));
  EXPECT_FALSE(answer.text(6).empty());
  EXPECT_TRUE(answer.text(8).empty());
  EXPECT_EQ(response_.target_epochs(0).label(), "int");
  EXPECT_EQ(response_.target_epochs(0).epoch(), 2u);
  EXPECT_EQ(response_.target_epochs(2).epoch(), 1u);
  EXPECT_EQ(response_.target_epochs(3).epoch(), 1u);
}

TEST_F(Bulk, WithoutTargetCountsEachValueHasOneTarget) {
  Target("public");
  Value("ada", PERSON_NAME, {0});
  Value("bob", PERSON_NAME, {0});
  request_.clear_target_counts();
  ASSERT_TRUE(Answer().ok());
  EXPECT_EQ(response_.blocks().size(), 32u);
  EXPECT_EQ(response_.text_ends_size(), 0);
}

TEST_F(Bulk, APinnedEpochIsUsedAndTheCurrentOneIsTold) {
  Target("intelligence", v1::BLOCK, 1);
  Target("intelligence@previous", v1::BLOCK, 2);
  ASSERT_TRUE(Answer().ok());
  EXPECT_EQ(response_.target_epochs(0).epoch(), 1u);
  EXPECT_EQ(response_.target_epochs(0).current_epoch(), 2u);
  EXPECT_EQ(response_.target_epochs(1).epoch(), 2u);
  EXPECT_EQ(response_.target_epochs(1).current_epoch(), 1u);
  request_.mutable_target_list(0)->set_epoch(7);
  EXPECT_EQ(Refusal().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(Bulk, AnUnknownDomainIsRefusedAndNotRepeated) {
  Target("Ada Lovelace");
  absl::Status status = Refusal();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), ::testing::Not(HasSubstr("Ada")));
}

TEST_F(Bulk, ARequestThatContradictsItselfIsRefused) {
  Target("public");
  Target("public", v1::ENCRYPTED);
  Value("ada", PERSON_NAME, {0});
  Value("bob", PERSON_NAME, {0, 1});
  ASSERT_TRUE(Answer().ok());
  const v1::PseudonymiseRequest good = request_;
  auto refused = [&](auto change, const char* field) {
    request_ = good;
    change(request_);
    absl::Status status = Refusal();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(status.message()), HasSubstr(field));
  };
  refused([](auto& r) { r.set_ends(1, 7); }, "ends");
  refused([](auto& r) { r.set_ends(0, 6), r.set_ends(1, 5); }, "ends");
  refused([](auto& r) { r.mutable_values()->push_back('x'); }, "ends");
  refused([](auto& r) { r.mutable_kinds()->pop_back(); }, "kinds");
  refused([](auto& r) { (*r.mutable_kinds())[0] = 99; }, "kinds");
  refused([](auto& r) { r.mutable_target_counts()->pop_back(); }, "target_counts");
  refused([](auto& r) { r.clear_target_counts(); }, "targets");
  refused([](auto& r) { r.mutable_targets()->pop_back(); }, "targets");
  refused([](auto& r) { r.mutable_targets()->push_back(0); }, "targets");
  refused([](auto& r) { (*r.mutable_targets())[0] = 2; }, "targets");
  refused([](auto& r) { r.mutable_target_list(0)->set_form(static_cast<v1::Form>(9)); }, "form");
  // A scope of more bytes than there are, and a text of a value in a scope.
  refused([](auto& r) { (*r.mutable_kinds())[0] = static_cast<char>(PERSON_NAME | 0x80); },
          "scope");
  refused(
      [](auto& r) {
        r.set_values(std::string("ada\0\0bob", 8));
        r.set_ends(1, 8);
        (*r.mutable_kinds())[1] = static_cast<char>(PERSON_NAME | 0x80);
      },
      "BLOCK is the only form");
  refused(
      [](auto& r) {
        for (int i = 0; i < 300; ++i) r.add_target_list()->set_domain("public");
      },
      "target_list");
}

}  // namespace
}  // namespace sluice::pseudonymiser
