#include "services/processor/remote_pseudonymiser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <random>

#include "common/base/random.h"
#include "common/privacy/pseudonym.h"
#include "services/processor/testing.h"
#include "tests/support/certificates.h"
#include "tests/support/free_port.h"
#include "tests/support/wait_until.h"

namespace sluice::processor {
namespace {

using namespace std::chrono_literals;
using namespace contract::v1;
using privacy::Form;
using privacy::PseudonymAnswer;
using privacy::PseudonymBatch;
using ::testing::HasSubstr;
using ::testing::Not;

class RemotePseudonymiserTest : public ::testing::Test {
 protected:
  void SetUp() override {
    keyring_ = *privacy::Keyring::Create({{"desk", "desk"}, {"open", "open"}}, random_);
    service_.Use(*keyring_);
    options_.deadline = 5s;
    options_.sleep = [this](std::chrono::milliseconds time) { slept_.push_back(time); };
    port_ = *test_support::FreePort();
    StartServer();
    Connect();
  }

  void StartServer(std::optional<rpc::TlsFiles> tls = {}) {
    rpc::ServerOptions options;
    options.address = base::StrCat("127.0.0.1:", port_);
    options.tls = std::move(tls);
    server_ = *rpc::Server::Create(std::move(options), {&service_});
    ASSERT_EQ(server_->Start(), absl::OkStatus());
  }
  void Connect() {
    options_.channel.address = base::StrCat("localhost:", port_);
    auto keys = KeyService::Create(options_);
    ASSERT_TRUE(keys.ok()) << keys.status();
    keys_ = *keys;
    remote_ = std::make_unique<RemotePseudonymiser>(keys_, random_);
  }

  // Values of several kinds and lengths, for several domains, in all forms.
  void FillBatch(privacy::Pseudonymiser& pseudonymiser, size_t values, PseudonymBatch& batch) {
    std::mt19937 random(7);
    batch.Clear();
    std::array domains = {*pseudonymiser.Domain("desk"), *pseudonymiser.Domain("open"),
                          *pseudonymiser.Domain("desk@previous")};
    for (size_t i = 0; i < values; ++i) {
      const bool scoped = random() % 5 == 0;
      if (scoped) batch.BeginScope(base::StrCat("2026-", random() % 12));
      const bool phone = !scoped && random() % 3 == 0;
      if (phone) {
        base::StrAppend(batch.bytes(), "+4477009", 10'000 + random() % 90'000);
      } else {
        batch.bytes().append(random() % 90, static_cast<char>('a' + i % 26));
      }
      batch.EndValue(phone ? PHONE : PERSON_NAME, scoped);
      for (size_t targets = random() % 4; targets > 0; --targets) {
        Form form = scoped ? Form::kBlock : static_cast<Form>(random() % (phone ? 3 : 2));
        batch.AddTarget(domains[random() % domains.size()], form);
      }
    }
  }
  void FillNames(size_t values, PseudonymBatch& batch) {
    batch.Clear();
    for (size_t i = 0; i < values; ++i)
      batch.Add(PERSON_NAME, base::StrCat("person ", i), std::array{*remote_->Domain("desk")});
  }
  absl::Status Ask(PseudonymAnswer& answer, size_t values = 3) {
    PseudonymBatch batch;
    FillNames(values, batch);
    return remote_->Pseudonymise(batch, answer);
  }
  uint32_t EpochAsked() {
    PseudonymAnswer answer;
    absl::Status asked = Ask(answer);
    EXPECT_EQ(asked, absl::OkStatus());
    return asked.ok() ? answer.domains[*remote_->Domain("desk")].epoch : 0;
  }

  base::SystemRandom random_;
  std::optional<privacy::Keyring> keyring_;
  FakeKeyService service_;
  int port_ = 0;
  std::unique_ptr<rpc::Server> server_;
  KeyService::Options options_;
  std::vector<std::chrono::milliseconds> slept_;
  std::shared_ptr<KeyService> keys_;
  std::unique_ptr<RemotePseudonymiser> remote_;
};

TEST_F(RemotePseudonymiserTest, MakesWhatTheLocalOneMakes) {
  ASSERT_TRUE(keyring_->Rotate("desk", random_).ok());
  service_.Use(*keyring_);
  auto local = *privacy::LocalPseudonymiser::Create(*keyring_);
  for (size_t values_per_call : {1, 7, 1000}) {
    options_.values_per_call = values_per_call;
    Connect();
    for (size_t values : {0, 1, 6, 7, 8, 200}) {
      PseudonymBatch batch, local_batch;
      FillBatch(*remote_, values, batch);
      FillBatch(*local, values, local_batch);
      PseudonymAnswer ours, theirs;
      ASSERT_EQ(remote_->Pseudonymise(batch, ours), absl::OkStatus());
      ASSERT_EQ(local->Pseudonymise(local_batch, theirs), absl::OkStatus());
      for (size_t i = 0; i < batch.targets().size(); ++i) {
        if (batch.targets()[i].form == Form::kBlock) {
          EXPECT_EQ(ours.blocks[i], theirs.blocks[i]);
        } else {
          EXPECT_EQ(ours.text(i), theirs.text(i));
        }
        const auto& domain = ours.domains[batch.targets()[i].domain];
        EXPECT_EQ(privacy::PseudonymPrefix(domain),
                  privacy::PseudonymPrefix(theirs.domains[local_batch.targets()[i].domain]));
      }
      EXPECT_EQ(ours.texts, theirs.texts);
      EXPECT_EQ(ours.text_ends, theirs.text_ends);
    }
    EXPECT_LE(service_.values_most(), values_per_call);
  }
}

TEST_F(RemotePseudonymiserTest, CutsBigValuesIntoCallsThatFit) {
  options_.bytes_per_call = 100'000;
  Connect();
  PseudonymBatch batch;
  for (char c : {'a', 'b', 'c', 'd'})
    batch.Add(PERSON_NAME, std::string(60'000, c), std::array{*remote_->Domain("desk")});
  PseudonymAnswer answer;
  ASSERT_EQ(remote_->Pseudonymise(batch, answer), absl::OkStatus());
  EXPECT_EQ(service_.values_most(), 1u);
  EXPECT_EQ(answer.blocks.size(), 4u);
}

TEST_F(RemotePseudonymiserTest, HasNoMoreCallsUnderWayThanItMay) {
  options_.values_per_call = 1;
  options_.in_flight = 3;
  Connect();
  PseudonymAnswer answer;
  EXPECT_EQ(Ask(answer, 40), absl::OkStatus());
  // One more told the epochs.
  EXPECT_EQ(service_.calls(), 41);
  EXPECT_LE(service_.under_way_most(), 3);
}

TEST_F(RemotePseudonymiserTest, KeepsAnEpochUntilTheNextBatch) {
  EXPECT_EQ(EpochAsked(), 1u);
  remote_->NewBatch();
  EXPECT_EQ(EpochAsked(), 1u);
  ASSERT_TRUE(keyring_->Rotate("desk", random_).ok());
  service_.Use(*keyring_);
  EXPECT_EQ(EpochAsked(), 1u);
  EXPECT_EQ(EpochAsked(), 1u);
  EXPECT_EQ(keys_->EpochOf("desk"), 1u);
  remote_->NewBatch();
  EXPECT_EQ(EpochAsked(), 2u);
  EXPECT_EQ(keys_->EpochOf("desk"), 2u);
}

TEST_F(RemotePseudonymiserTest, WaitsForTheBatchsEndWhereItsEpochIsRetired) {
  EXPECT_EQ(EpochAsked(), 1u);
  ASSERT_TRUE(keyring_->Rotate("desk", random_).ok());
  ASSERT_TRUE(keyring_->Retire("desk", 1).ok());
  service_.Use(*keyring_);
  PseudonymAnswer answer;
  EXPECT_EQ(Ask(answer).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Ask(answer).code(), absl::StatusCode::kUnavailable);
  remote_->NewBatch();
  EXPECT_EQ(EpochAsked(), 2u);

  // Nothing was answered since: there is nothing to wait for.
  remote_->NewBatch();
  ASSERT_TRUE(keyring_->Rotate("desk", random_).ok());
  ASSERT_TRUE(keyring_->Retire("desk", 2).ok());
  service_.Use(*keyring_);
  EXPECT_EQ(EpochAsked(), 3u);
}

TEST_F(RemotePseudonymiserTest, KnowsWhichEpochsAreActiveWhereItCanAsk) {
  ASSERT_TRUE(keyring_->Rotate("desk", random_).ok());
  service_.Use(*keyring_);
  EXPECT_TRUE(remote_->Domain("desk@1").ok());
  ASSERT_TRUE(keyring_->Retire("desk", 1).ok());
  service_.Use(*keyring_);
  Connect();
  EXPECT_EQ(remote_->Domain("desk@1").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(remote_->Domain("desk@9").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(remote_->Domain("desk@2").ok());
  // What isn't there doesn't hinder what is.
  EXPECT_EQ(EpochAsked(), 2u);
  server_.reset();
  EXPECT_TRUE(remote_->Domain("desk@3").ok());
}

TEST_F(RemotePseudonymiserTest, TriesAgainWhatFailsForTheMoment) {
  EXPECT_EQ(EpochAsked(), 1u);
  int failures = 2;
  service_.Before([&](const auto&) {
    return failures-- > 0 ? grpc::Status(grpc::UNAVAILABLE, "") : grpc::Status::OK;
  });
  const int before = service_.calls();
  PseudonymAnswer answer;
  EXPECT_EQ(Ask(answer), absl::OkStatus());
  EXPECT_EQ(service_.calls() - before, 3);
  ASSERT_EQ(slept_.size(), 2u);
  EXPECT_GE(slept_[0], options_.backoff / 2);
  EXPECT_LE(slept_[0], options_.backoff);
  EXPECT_GE(slept_[1], options_.backoff);
  EXPECT_LE(slept_[1], options_.backoff * 2);
}

TEST_F(RemotePseudonymiserTest, AsksOnlyForWhatFailedAgain) {
  options_.values_per_call = 1;
  options_.in_flight = 1;
  Connect();
  EXPECT_EQ(EpochAsked(), 1u);
  std::atomic<int> calls = 0;
  service_.Before([&](const auto&) {
    return ++calls == 3 ? grpc::Status(grpc::UNAVAILABLE, "") : grpc::Status::OK;
  });
  PseudonymAnswer answer;
  EXPECT_EQ(Ask(answer, 4), absl::OkStatus());
  EXPECT_EQ(calls, 5);
}

TEST_F(RemotePseudonymiserTest, GivesUpAfterSomeAttemptsAndGoesOnLater) {
  service_.Before([](const auto&) { return grpc::Status(grpc::RESOURCE_EXHAUSTED, ""); });
  PseudonymAnswer answer;
  absl::Status asked = Ask(answer);
  EXPECT_EQ(asked.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(service_.calls(), 3);
  EXPECT_THAT(std::string(asked.message()), HasSubstr("its limit for this caller is reached"));
  EXPECT_EQ(keys_->away(), std::string(asked.message()));
  service_.Before({});
  EXPECT_EQ(Ask(answer), absl::OkStatus());
  EXPECT_EQ(keys_->away(), std::nullopt);
}

TEST_F(RemotePseudonymiserTest, WaitsAtEveryRefusalWithoutTellingWhatThePeerSays) {
  for (grpc::StatusCode code :
       {grpc::PERMISSION_DENIED, grpc::UNAUTHENTICATED, grpc::NOT_FOUND, grpc::INVALID_ARGUMENT,
        grpc::UNIMPLEMENTED, grpc::INTERNAL, grpc::UNKNOWN, grpc::DATA_LOSS}) {
    service_.Before([=](const auto&) { return grpc::Status(code, "person 1"); });
    const int before = service_.calls();
    PseudonymAnswer answer;
    absl::Status asked = Ask(answer);
    EXPECT_EQ(asked.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(service_.calls() - before, 1) << code;
    EXPECT_THAT(std::string(asked.message()), Not(HasSubstr("person 1")));
    EXPECT_TRUE(answer.blocks.empty());
  }
}

TEST_F(RemotePseudonymiserTest, TakesNoAnswerThatDoesNotFitTheQuestion) {
  using Response = FakeKeyService::Response;
  std::vector<std::function<void(Response&)>> spoilt = {
      [](Response& r) { r.mutable_blocks()->resize(r.blocks().size() / 2); },
      [](Response& r) { r.mutable_blocks()->resize(r.blocks().size() / 32 * 16); },
      [](Response& r) { r.mutable_blocks()->append(16, 'x'); },
      [](Response& r) { r.clear_blocks(); },
      [](Response& r) { r.clear_target_epochs(); },
      [](Response& r) { r.add_target_epochs()->set_epoch(1); },
      [](Response& r) { r.mutable_target_epochs(0)->set_epoch(2); },
      [](Response& r) { r.mutable_target_epochs(0)->set_epoch(0); },
      [](Response& r) { r.mutable_target_epochs(0)->set_current_epoch(0); },
      [](Response& r) { r.mutable_target_epochs(0)->set_label(""); },
      [](Response& r) { r.mutable_target_epochs(0)->set_label("a,b"); },
      [](Response& r) { r.clear_text_ends(); },
      [](Response& r) { r.clear_texts(); },
      [](Response& r) { r.mutable_texts()->push_back('x'); },
      [](Response& r) { r.set_text_ends(0, 5); },
      [](Response& r) { r.set_text_ends(1, 1'000'000); },
      [](Response& r) {  // the value itself, unencrypted
        r.set_texts("Ann");
        r.set_text_ends(1, 3);
      },
  };
  PseudonymBatch batch;
  uint16_t desk = *remote_->Domain("desk");
  batch.bytes() = "Ann";
  batch.EndValue(PERSON_NAME);
  batch.AddTarget(desk, Form::kBlock);
  batch.AddTarget(desk, Form::kEncrypted);
  PseudonymAnswer answer;
  ASSERT_EQ(remote_->Pseudonymise(batch, answer), absl::OkStatus());
  for (size_t i = 0; i < spoilt.size(); ++i) {
    service_.Spoil(spoilt[i]);
    absl::Status asked = remote_->Pseudonymise(batch, answer);
    EXPECT_EQ(asked.code(), absl::StatusCode::kUnavailable) << i;
    EXPECT_THAT(std::string(asked.message()), HasSubstr("BAD_ANSWER")) << i;
    EXPECT_TRUE(answer.blocks.empty() && answer.texts.empty()) << i;
  }
  service_.Spoil({});
  EXPECT_EQ(remote_->Pseudonymise(batch, answer), absl::OkStatus());
}

TEST_F(RemotePseudonymiserTest, WaitsNoLongerThanItsDeadlineAndThenTakesANewConnection) {
  EXPECT_EQ(EpochAsked(), 1u);
  options_.deadline = 50ms;
  Connect();
  PseudonymAnswer answer;
  ASSERT_TRUE(test_support::WaitUntil(10s, [&] { return Ask(answer).ok(); }));
  const size_t connections = service_.connections();
  service_.Hold();
  auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 2; ++i) {
    absl::Status asked = Ask(answer);
    EXPECT_EQ(asked.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(asked.message()), HasSubstr("no answer within deadline_ms"));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  service_.Release();
  ASSERT_TRUE(test_support::WaitUntil(10s, [&] { return Ask(answer).ok(); }));
  EXPECT_GT(service_.connections(), connections);
}

TEST_F(RemotePseudonymiserTest, GoesOnWhenTheServiceIsBack) {
  EXPECT_EQ(EpochAsked(), 1u);
  server_.reset();
  PseudonymAnswer answer;
  absl::Status asked = Ask(answer);
  EXPECT_EQ(asked.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(asked.message()), HasSubstr("it can't be reached"));
  StartServer();
  EXPECT_TRUE(test_support::WaitUntil(20s, [&] { return Ask(answer).ok(); }));
}

TEST_F(RemotePseudonymiserTest, TrustsOnlyItsOwnAuthority) {
  test_support::Certificates certificates;
  auto ours = certificates.Issue("authority", "processor", "DNS:processor");
  auto server = certificates.Issue("authority", "server", "DNS:localhost");
  auto stranger = certificates.Issue("stranger", "other", "DNS:localhost");
  options_.channel.tls = {ours.certificate, ours.private_key, ours.authority};
  PseudonymAnswer answer;

  server_.reset();
  StartServer(rpc::TlsFiles{server.certificate, server.private_key, server.authority});
  Connect();
  EXPECT_EQ(Ask(answer), absl::OkStatus());

  server_.reset();
  StartServer(rpc::TlsFiles{stranger.certificate, stranger.private_key, server.authority});
  Connect();
  EXPECT_EQ(Ask(answer).code(), absl::StatusCode::kUnavailable);
}

class CountingProbe final : public KeyServiceProbe {
 public:
  void KeyServiceCall(std::string_view code, std::chrono::nanoseconds took,
                      size_t values) const override {
    EXPECT_GT(took.count(), 0);
    base::StrAppend(seen, code, ' ', values, '\n');
  }
  mutable std::string seen;
};

TEST_F(RemotePseudonymiserTest, TellsItsProbeOfEveryCall) {
  CountingProbe probe;
  keys_->Observe(&probe);
  EXPECT_EQ(EpochAsked(), 1u);
  service_.Spoil([](auto& response) { response.clear_blocks(); });
  PseudonymAnswer answer;
  EXPECT_FALSE(Ask(answer, 2).ok());
  EXPECT_EQ(probe.seen, "OK 0\nOK 3\nBAD_ANSWER 2\n");
}

}  // namespace
}  // namespace sluice::processor
