// The service over mutual TLS, as its callers meet it.
#include "services/pseudonymiser/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <set>

#include "common/privacy/key_file.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/privacy/pseudonym.h"
#include "common/rpc/testing.h"
#include "common/trail/chain.h"
#include "services/pseudonymiser/testing.h"
#include "tests/support/http_get.h"
#include "tests/support/wait_until.h"

namespace sluice::pseudonymiser {
namespace {

using contract::v1::PERSON_NAME;
using contract::v1::PHONE;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kPolicy = R"(callers:
  - caller: spiffe://force/processor
    may:
      - {calls: [pseudonymise, encrypt, format_preserve], domains: [intelligence, public]}
    limits: {bulk: true}
  - caller: spiffe://force/analyst
    may:
      - {calls: [decrypt, invert_format_preserved], domains: [intelligence]}
      - {calls: [request_reidentification], domains: [intelligence, public]}
      - {calls: [rotate], domains: [intelligence]}
      - {calls: [convert], domains: [intelligence], to: [research]}
    limits: {distinct_values_per_hour: 50, misses_per_hour: 20}
  - caller: spiffe://force/sergeant
    may: [{calls: [approve_reidentification, request_reidentification], domains: [intelligence]}]
  - caller: inspector.force
    may: [{calls: [approve_reidentification], domains: ["*"]}]
  - caller: spiffe://force/superintendent
    may: [{calls: [approve_reidentification], domains: [public]}]
  - caller: spiffe://force/admin
    may:
      - calls: [list_domains, create_domain, rotate_domain, retire_epoch, destroy_epoch]
        domains: ["*"]
      - {calls: [unlock_callers], domains: ["*"]}
)";

class ServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    service_.SetPolicy(kPolicy);
    absl::Status started = service_.Start();
    ASSERT_TRUE(started.ok()) << started;
  }

  v1::Pseudonymiser::Stub& As(const std::string& name) {
    auto& stub = stubs_[name];
    if (stub == nullptr) {
      stub = name == "inspector" ? service_.Connect(service_.CallerWith("DNS:inspector.force"))
                                 : service_.ConnectAs("spiffe://force/" + name);
    }
    return *stub;
  }

  // One call; `method` is of the stub.
  template <typename Request, typename Response>
  grpc::Status Call(const std::string& as,
                    grpc::Status (v1::Pseudonymiser::Stub::*method)(grpc::ClientContext*,
                                                                    const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    response->Clear();
    return (As(as).*method)(&context, request, response);
  }

  v1::PseudonymiseRequest Phones(const std::vector<std::string>& phones,
                                 const std::string& domain = "intelligence",
                                 v1::Form form = v1::BLOCK) {
    v1::PseudonymiseRequest request;
    request.add_target_list()->set_domain(domain);
    request.mutable_target_list(0)->set_form(form);
    for (const std::string& phone : phones) {
      request.mutable_values()->append(phone);
      request.add_ends(static_cast<uint32_t>(request.values().size()));
      request.mutable_kinds()->push_back(PHONE);
      request.mutable_targets()->push_back(0);
    }
    return request;
  }
  std::string Blocks(const std::string& domain, const std::string& phone = "+447700900123") {
    v1::PseudonymiseResponse response;
    grpc::Status status = Call("processor", &v1::Pseudonymiser::Stub::Pseudonymise,
                               Phones({phone}, domain), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.blocks();
  }
  std::string Encrypted(const std::string& phone = "+447700900123",
                        const std::string& domain = "intelligence") {
    v1::EncryptRequest request;
    request.set_domain(domain);
    request.set_kind(PHONE);
    request.add_values(phone);
    v1::EncryptResponse response;
    grpc::Status status = Call("processor", &v1::Pseudonymiser::Stub::Encrypt, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.encrypted_size() == 1 ? response.encrypted(0) : "";
  }

  v1::RequestReidentificationRequest Wanted(uint32_t values = 2) {
    v1::RequestReidentificationRequest request;
    request.mutable_scope()->set_domain("intelligence");
    request.mutable_scope()->add_kinds(PHONE);
    request.mutable_scope()->set_values_max(values);
    request.mutable_justification()->set_purpose("threat to life");
    request.mutable_justification()->set_legal_basis("DPA 2018 s.35(2)(b)");
    request.mutable_justification()->set_case_reference("OP-7");
    return request;
  }
  std::string Ask(const std::string& as = "analyst") {
    v1::RequestReidentificationResponse response;
    grpc::Status status =
        Call(as, &v1::Pseudonymiser::Stub::RequestReidentification, Wanted(), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.id();
  }
  grpc::Status Approve(const std::string& as, const std::string& id) {
    v1::ApproveReidentificationRequest request;
    request.set_id(id);
    *request.mutable_scope() = Wanted().scope();
    v1::ApproveReidentificationResponse response;
    return Call(as, &v1::Pseudonymiser::Stub::ApproveReidentification, request, &response);
  }
  std::string Granted() {
    std::string id = Ask();
    EXPECT_TRUE(Approve("sergeant", id).ok());
    EXPECT_TRUE(Approve("inspector", id).ok());
    return id;
  }
  grpc::Status Redeem(const std::string& as, const std::string& id,
                      const std::vector<std::string>& encrypted,
                      v1::RedeemReidentificationResponse* response,
                      contract::v1::IdentifierKind kind = PHONE) {
    v1::RedeemReidentificationRequest request;
    request.set_id(id);
    for (const std::string& text : encrypted) {
      auto& item = *request.add_items();
      item.set_encrypted(text);
      item.set_kind(kind);
    }
    return Call(as, &v1::Pseudonymiser::Stub::RedeemReidentification, request, response);
  }

  std::string Trail() { return TestService::Read(service_.trail()); }
  // Who is refused before its call is on the trail a moment later.
  bool OnTrail(const std::string& text) {
    return test_support::WaitUntil(std::chrono::seconds(30),
                                   [&] { return Trail().find(text) != std::string::npos; });
  }
  bool MetricComes(const std::string& line) {
    return test_support::WaitUntil(std::chrono::seconds(30), [&] { return Metric(line); });
  }
  // What Prometheus would be told.
  bool Metric(const std::string& line) {
    return service_.process().metrics().find(line) != std::string::npos;
  }
  void ReplacePolicy(const std::string& yaml) {
    service_.SetPolicy(yaml);
    ++policy_reads_;
    ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(30), [&] {
      return Metric(base::StrCat(
          R"(sluice_pseudonymiser_reads_total{file="policy",result="taken"} )", policy_reads_));
    }));
  }

  TestService service_;
  int policy_reads_ = 0;
  std::map<std::string, std::unique_ptr<v1::Pseudonymiser::Stub>> stubs_;
};

TEST_F(ServiceTest, PseudonymsAreThoseOfTheKeyring) {
  auto keyring = privacy::Keyring::Load(service_.keyring(), service_.kek());
  auto local = *privacy::LocalPseudonymiser::Create(*keyring);
  privacy::PseudonymBatch batch;
  privacy::PseudonymAnswer answer;
  batch.Add(PHONE, "+447700900123", std::array<uint16_t, 1>{*local->Domain("intelligence")});
  ASSERT_TRUE(local->Pseudonymise(batch, answer).ok());
  EXPECT_EQ(Blocks("intelligence"),
            std::string(reinterpret_cast<const char*>(answer.blocks[0].data()), 16));
  EXPECT_NE(Blocks("public"), Blocks("intelligence"));
}

TEST_F(ServiceTest, AStreamAnswersEveryRequestInItsOrder) {
  grpc::ClientContext context;
  auto stream = As("processor").PseudonymiseStream(&context);
  std::vector<std::string> expected;
  for (int i = 0; i < 20; ++i) {
    std::string phone = base::StrCat("+4477009001", 10 + i);
    expected.push_back(Blocks("intelligence", phone));
    ASSERT_TRUE(stream->Write(Phones({phone})));
  }
  stream->WritesDone();
  v1::PseudonymiseResponse response;
  for (const std::string& blocks : expected) {
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.blocks(), blocks);
  }
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ServiceTest, AStreamEndsWhenItsCallerIsRevoked) {
  grpc::ClientContext context;
  auto stream = As("processor").PseudonymiseStream(&context);
  v1::PseudonymiseResponse response;
  ASSERT_TRUE(stream->Write(Phones({"+447700900123"})));
  ASSERT_TRUE(stream->Read(&response));
  ReplacePolicy(base::StrCat(kPolicy, "revoked: [\"spiffe://force/processor\"]\n"));
  stream->Write(Phones({"+447700900123"}));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(ServiceTest, WithoutAClientCertificateOfTheAuthorityNobodyIsHeard) {
  grpc::ClientContext plain, foreign;
  for (grpc::ClientContext* context : {&plain, &foreign})
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  v1::ListDomainsResponse response;
  EXPECT_EQ(service_.Connect(std::nullopt)->ListDomains(&plain, {}, &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  // The right name, but signed by somebody else, whose word the client takes for the server.
  rpc::TlsFiles forged = service_.CallerWith("URI:spiffe://force/admin", "elsewhere");
  forged.authority = service_.Caller("spiffe://force/admin").authority;
  EXPECT_EQ(service_.Connect(forged)->ListDomains(&foreign, {}, &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(Trail(), Not(HasSubstr("ListDomains")));
}

TEST_F(ServiceTest, ACertificateThatOnlyHasACommonNameIsNobody) {
  grpc::ClientContext context;
  v1::ListDomainsResponse response;
  grpc::Status status =
      service_.Connect(service_.CallerWith(""))->ListDomains(&context, {}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(OnTrail("\"outcome\":\"refused\""));
}

TEST_F(ServiceTest, ByDefaultEverythingIsDeniedAndTheDenialIsOnTheTrail) {
  v1::PseudonymiseResponse response;
  auto pseudonymise = [&](const std::string& as, const v1::PseudonymiseRequest& request) {
    return Call(as, &v1::Pseudonymiser::Stub::Pseudonymise, request, &response);
  };
  grpc::Status stranger = pseudonymise("stranger", Phones({"+447700900123"}));
  EXPECT_EQ(stranger.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(response.blocks().empty());
  EXPECT_EQ(pseudonymise("processor", Phones({"+447700900123"}, "research")).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  // Who may not write to a domain can't try guesses there in any form.
  for (v1::Form form : {v1::BLOCK, v1::ENCRYPTED, v1::FORMAT_PRESERVED}) {
    EXPECT_EQ(pseudonymise("analyst", Phones({"+447700900123"}, "intelligence", form)).error_code(),
              grpc::StatusCode::PERMISSION_DENIED);
  }
  EXPECT_EQ(pseudonymise("analyst", Phones({}, "intelligence@previous")).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(OnTrail("spiffe://force/stranger"));
  EXPECT_THAT(Trail(), AllOf(HasSubstr("\"research\""), Not(HasSubstr("447700900123"))));
  EXPECT_TRUE(Metric(R"(refusals_total{method="Pseudonymise",reason="unknown_caller"} 1)"));
  EXPECT_TRUE(Metric(R"(refusals_total{method="Pseudonymise",reason="not_allowed"} 5)"));
}

TEST_F(ServiceTest, RefusalsNameNoValue) {
  v1::DecryptRequest request;
  request.set_domain("Ada Lovelace");
  request.set_kind(PERSON_NAME);
  request.add_encrypted("Ada Lovelace");
  v1::DecryptResponse response;
  grpc::Status status = Call("analyst", &v1::Pseudonymiser::Stub::Decrypt, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(status.error_message(), Not(HasSubstr("Ada")));
  v1::CreateDomainRequest create;
  create.set_name("Ada Lovelace");
  create.set_label("ada");
  v1::CreateDomainResponse created;
  EXPECT_EQ(Call("admin", &v1::Pseudonymiser::Stub::CreateDomain, create, &created).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(Trail(), Not(HasSubstr("Ada")));
}

TEST_F(ServiceTest, ARotationIsDoneWithoutTheIdentifier) {
  std::string old = Blocks("intelligence");
  v1::RotateDomainRequest begin;
  begin.set_domain("intelligence");
  v1::RotateDomainResponse begun;
  ASSERT_TRUE(Call("admin", &v1::Pseudonymiser::Stub::RotateDomain, begin, &begun).ok());
  EXPECT_EQ(begun.epoch(), 2u);
  std::string now = Blocks("intelligence");
  EXPECT_NE(now, old);
  EXPECT_EQ(Blocks("intelligence@1"), old);
  EXPECT_EQ(Blocks("intelligence@previous"), old);

  v1::RotateRequest rotate;
  rotate.set_domain("intelligence");
  rotate.set_from_epoch(1);
  rotate.set_blocks(old);
  v1::RotateResponse rotated;
  ASSERT_TRUE(Call("analyst", &v1::Pseudonymiser::Stub::Rotate, rotate, &rotated).ok());
  EXPECT_EQ(rotated.blocks(), now);
  EXPECT_EQ(rotated.label(), "int");
  EXPECT_EQ(rotated.epoch(), 2u);
  rotate.set_from_epoch(2);
  rotate.set_to_epoch(1);
  EXPECT_EQ(Call("analyst", &v1::Pseudonymiser::Stub::Rotate, rotate, &rotated).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  rotate.set_blocks("short");
  EXPECT_EQ(Call("analyst", &v1::Pseudonymiser::Stub::Rotate, rotate, &rotated).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  rotate.set_domain("public");
  EXPECT_EQ(Call("analyst", &v1::Pseudonymiser::Stub::Rotate, rotate, &rotated).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);

  // The epoch's end: retired, nothing is made or converted; destroyed, its keys are gone.
  v1::RetireEpochRequest retire;
  retire.set_domain("intelligence");
  retire.set_epoch(1);
  v1::RetireEpochResponse retired;
  v1::DestroyEpochRequest destroy;
  destroy.set_domain("intelligence");
  destroy.set_epoch(1);
  v1::DestroyEpochResponse destroyed;
  EXPECT_EQ(Call("admin", &v1::Pseudonymiser::Stub::DestroyEpoch, destroy, &destroyed).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  ASSERT_TRUE(Call("admin", &v1::Pseudonymiser::Stub::RetireEpoch, retire, &retired).ok());
  rotate.set_domain("intelligence");
  rotate.set_blocks(old);
  rotate.set_from_epoch(1);
  rotate.set_to_epoch(0);
  EXPECT_EQ(Call("analyst", &v1::Pseudonymiser::Stub::Rotate, rotate, &rotated).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  v1::PseudonymiseRequest pinned = Phones({"+447700900123"});
  pinned.mutable_target_list(0)->set_epoch(1);
  v1::PseudonymiseResponse response;
  EXPECT_EQ(
      Call("processor", &v1::Pseudonymiser::Stub::Pseudonymise, pinned, &response).error_code(),
      grpc::StatusCode::FAILED_PRECONDITION);
  ASSERT_TRUE(Call("admin", &v1::Pseudonymiser::Stub::DestroyEpoch, destroy, &destroyed).ok());
  v1::ListDomainsResponse list;
  ASSERT_TRUE(
      Call("admin", &v1::Pseudonymiser::Stub::ListDomains, v1::ListDomainsRequest(), &list).ok());
  ASSERT_EQ(list.domains_size(), 3);
  EXPECT_EQ(list.domains(0).epochs(0).state(), v1::DESTROYED);
  EXPECT_EQ(list.domains(0).epochs(1).state(), v1::ACTIVE);
  EXPECT_EQ(Blocks("intelligence"), now);
  EXPECT_THAT(Trail(),
              HasSubstr(R"("operation":"erasure","action":"DestroyEpoch","outcome":"done")"));
}

TEST_F(ServiceTest, AConversionLinksTwoDomainsWhereThePolicySaysSo) {
  v1::CreateDomainRequest create;
  v1::ConvertRequest convert;
  convert.set_from_domain("intelligence");
  convert.set_from_epoch(1);
  convert.set_to_domain("research");
  convert.set_blocks(Blocks("intelligence"));
  v1::ConvertResponse converted;
  ASSERT_TRUE(Call("analyst", &v1::Pseudonymiser::Stub::Convert, convert, &converted).ok());
  EXPECT_EQ(converted.label(), "res");
  auto keyring = privacy::Keyring::Load(service_.keyring(), service_.kek());
  auto local = *privacy::LocalPseudonymiser::Create(*keyring);
  privacy::PseudonymBatch batch;
  privacy::PseudonymAnswer answer;
  batch.Add(PHONE, "+447700900123", std::array<uint16_t, 1>{*local->Domain("research")});
  ASSERT_TRUE(local->Pseudonymise(batch, answer).ok());
  EXPECT_EQ(converted.blocks(),
            std::string(reinterpret_cast<const char*>(answer.blocks[0].data()), 16));
  EXPECT_THAT(Trail(), HasSubstr(R"("operation":"combination","action":"Convert")"));
  convert.set_to_domain("public");
  EXPECT_EQ(Call("analyst", &v1::Pseudonymiser::Stub::Convert, convert, &converted).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  convert.set_from_domain("research");
  convert.set_to_domain("intelligence");
  EXPECT_EQ(Call("analyst", &v1::Pseudonymiser::Stub::Convert, convert, &converted).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(ServiceTest, ADecryptionNeedsAPurposeAndRefusesWhatWasChanged) {
  std::string encrypted = Encrypted("07700 900123");
  v1::DecryptRequest request;
  request.set_domain("intelligence");
  request.set_kind(PHONE);
  request.add_encrypted(encrypted);
  v1::DecryptResponse response;
  EXPECT_EQ(Call("analyst", &v1::Pseudonymiser::Stub::Decrypt, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  request.mutable_justification()->set_purpose("call back");
  std::string changed = encrypted;
  changed.back() = changed.back() == 'a' ? 'b' : 'a';
  request.add_encrypted(changed);
  request.add_encrypted(Encrypted("07700900123", "public"));
  ASSERT_TRUE(Call("analyst", &v1::Pseudonymiser::Stub::Decrypt, request, &response).ok());
  ASSERT_EQ(response.values_size(), 3);
  EXPECT_EQ(response.values(0).value(), "+447700900123");
  EXPECT_EQ(response.values(1).value(), "");
  EXPECT_EQ(response.values(2).value(), "");
  EXPECT_THAT(Trail(), AllOf(HasSubstr("\"purpose\":\"call back\""), HasSubstr("\"count\":1"),
                             Not(HasSubstr(encrypted)), Not(HasSubstr("7700900123"))));
}

TEST_F(ServiceTest, AFormatPreservedValueComesBack) {
  v1::FormatPreserveRequest request;
  request.set_domain("intelligence");
  request.set_kind(PHONE);
  request.add_values("07700 900123");
  request.add_values("nonsense");
  v1::FormatPreserveResponse made;
  ASSERT_TRUE(Call("processor", &v1::Pseudonymiser::Stub::FormatPreserve, request, &made).ok());
  EXPECT_EQ(made.values(0).substr(0, 4), "+447");
  EXPECT_NE(made.values(0), "+447700900123");
  EXPECT_EQ(made.values(1), "");
  v1::InvertFormatPreservedRequest invert;
  invert.set_domain("intelligence");
  invert.set_kind(PHONE);
  invert.set_epoch(made.epoch());
  invert.add_values(made.values(0));
  invert.mutable_justification()->set_purpose("call back");
  v1::InvertFormatPreservedResponse inverted;
  ASSERT_TRUE(
      Call("analyst", &v1::Pseudonymiser::Stub::InvertFormatPreserved, invert, &inverted).ok());
  EXPECT_EQ(inverted.values(0).value(), "+447700900123");
  EXPECT_EQ(Call("processor", &v1::Pseudonymiser::Stub::InvertFormatPreserved, invert, &inverted)
                .error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(ServiceTest, ReidentificationNeedsTwoOthersAndHappensOnce) {
  std::string encrypted = Encrypted();
  std::string id = Ask();
  v1::RedeemReidentificationResponse response;
  EXPECT_EQ(Redeem("analyst", id, {encrypted}, &response).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(Approve("sergeant", id).ok());
  EXPECT_EQ(Approve("sergeant", id).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Approve("superintendent", id).error_code(), grpc::StatusCode::PERMISSION_DENIED)
      << "approves for another domain only";
  EXPECT_EQ(Approve("analyst", id).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(Approve("inspector", id).ok());
  EXPECT_EQ(Redeem("sergeant", id, {encrypted}, &response).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  ASSERT_TRUE(Redeem("analyst", id, {encrypted}, &response).ok());
  EXPECT_EQ(response.values(0).value(), "+447700900123");
  // Replay.
  grpc::Status again = Redeem("analyst", id, {encrypted}, &response);
  EXPECT_EQ(again.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(again.error_message(), HasSubstr("redeemed already"));
  EXPECT_EQ(response.values_size(), 0);
  EXPECT_THAT(
      Trail(),
      AllOf(HasSubstr(
                R"("operation":"disclosure","action":"RedeemReidentification","outcome":"done")"),
            HasSubstr(R"("case":"OP-7")"), HasSubstr(R"("recipients":["spiffe://force/analyst"])"),
            HasSubstr("redeemed already"), Not(HasSubstr("7700900123")),
            Not(HasSubstr(encrypted))));
  EXPECT_TRUE(Metric(R"(sluice_reidentifications_total{result="redeemed"} 1)"));
}

TEST_F(ServiceTest, NobodyApprovesTheirOwnRequest) {
  std::string id = Ask("sergeant");
  grpc::Status status = Approve("sergeant", id);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(Trail(), HasSubstr("nobody approves what they asked for themselves"));
}

TEST_F(ServiceTest, AGrantIsForItsDomainItsKindsAndItsCount) {
  std::string id = Granted(), encrypted = Encrypted();
  v1::RedeemReidentificationResponse response;
  EXPECT_EQ(Redeem("analyst", id, {encrypted, encrypted, encrypted}, &response).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Redeem("analyst", id, {Encrypted("07700900123", "public")}, &response).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Redeem("analyst", id, {encrypted}, &response, PERSON_NAME).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Redeem("analyst", id, {}, &response).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  char block[privacy::kBlockTextBytes];
  privacy::WriteBlock({}, block);
  grpc::Status pseudonym =
      Redeem("analyst", id, {"int1-" + std::string(block, sizeof(block))}, &response);
  EXPECT_EQ(pseudonym.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(pseudonym.error_message(), HasSubstr("MAC"));
  // None of these has used it up.
  EXPECT_TRUE(Redeem("analyst", id, {encrypted, encrypted}, &response).ok());
  EXPECT_EQ(response.values_size(), 2);
}

TEST_F(ServiceTest, AGrantExpires) {
  std::string id = Granted(), encrypted = Encrypted();
  service_.clock().Advance(std::chrono::hours(1));
  v1::RedeemReidentificationResponse response;
  grpc::Status status = Redeem("analyst", id, {encrypted}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("expired"));
}

TEST_F(ServiceTest, AGrantOutlivesARestartAndNotItsApproversAuthority) {
  std::string id = Granted(), encrypted = Encrypted();
  ReplacePolicy(base::StrCat(kPolicy, "revoked: [inspector.force]\n"));
  v1::RedeemReidentificationResponse response;
  EXPECT_EQ(Redeem("analyst", id, {encrypted}, &response).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  service_.SetPolicy(kPolicy);
  ASSERT_TRUE(service_.Start().ok());
  stubs_.clear();
  EXPECT_TRUE(Redeem("analyst", id, {encrypted}, &response).ok());
  ASSERT_TRUE(service_.Start().ok());
  stubs_.clear();
  EXPECT_EQ(Redeem("analyst", id, {encrypted}, &response).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION)
      << "it was redeemed before";
}

TEST_F(ServiceTest, ALockOutlivesARestart) {
  v1::EncryptRequest request;
  request.set_domain("public");
  request.set_kind(PHONE);
  v1::EncryptResponse response;
  for (int i = 0; i < 21; ++i)
    EXPECT_FALSE(Call("analyst", &v1::Pseudonymiser::Stub::Encrypt, request, &response).ok());
  ASSERT_TRUE(service_.Start().ok());
  stubs_.clear();
  v1::RequestReidentificationResponse requested;
  grpc::Status locked =
      Call("analyst", &v1::Pseudonymiser::Stub::RequestReidentification, Wanted(), &requested);
  EXPECT_EQ(locked.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(locked.error_message(), HasSubstr("locked"));
  EXPECT_TRUE(Metric("sluice_pseudonymiser_locked_callers 1"));
}

TEST_F(ServiceTest, WithoutAStateOnlyCallersWhomNoLimitLocksAreServed) {
  service_.SetState("");
  ASSERT_TRUE(service_.Start().ok());
  stubs_.clear();
  EXPECT_FALSE(Blocks("intelligence").empty());
  v1::RequestReidentificationResponse requested;
  grpc::Status refused =
      Call("analyst", &v1::Pseudonymiser::Stub::RequestReidentification, Wanted(), &requested);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(refused.error_message(), HasSubstr("`state`"));
  v1::RotateRequest rotate;
  rotate.set_domain("intelligence");
  rotate.set_from_epoch(1);
  rotate.set_blocks(std::string(16, 'x'));
  v1::RotateResponse rotated;
  EXPECT_EQ(Call("analyst", &v1::Pseudonymiser::Stub::Rotate, rotate, &rotated).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(ServiceTest, AStateThatIsDamagedStopsWhatDependsOnItAndNothingElse) {
  std::string id = Granted(), encrypted = Encrypted();
  const std::string good = TestService::Read(service_.path("state"));
  std::string bad = good;
  bad.back() ^= 1;
  TestService::Write(service_.path("state"), bad);
  v1::RedeemReidentificationResponse response;
  EXPECT_EQ(Redeem("analyst", id, {encrypted}, &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(Blocks("intelligence").empty());
  TestService::Write(service_.path("state"), good);
  std::filesystem::permissions(service_.path("state"), std::filesystem::perms::owner_read);
  EXPECT_TRUE(Redeem("analyst", id, {encrypted}, &response).ok());
}

TEST_F(ServiceTest, AGrantReachesWhatRetiredEpochsMade) {
  std::string encrypted = Encrypted();
  v1::RotateDomainRequest begin;
  begin.set_domain("intelligence");
  v1::RotateDomainResponse begun;
  ASSERT_TRUE(Call("admin", &v1::Pseudonymiser::Stub::RotateDomain, begin, &begun).ok());
  v1::RetireEpochRequest retire;
  retire.set_domain("intelligence");
  retire.set_epoch(1);
  v1::RetireEpochResponse retired;
  ASSERT_TRUE(Call("admin", &v1::Pseudonymiser::Stub::RetireEpoch, retire, &retired).ok());
  v1::DecryptRequest decrypt;
  decrypt.set_domain("intelligence");
  decrypt.set_kind(PHONE);
  decrypt.add_encrypted(encrypted);
  decrypt.mutable_justification()->set_purpose("call back");
  v1::DecryptResponse decrypted;
  ASSERT_TRUE(Call("analyst", &v1::Pseudonymiser::Stub::Decrypt, decrypt, &decrypted).ok());
  EXPECT_EQ(decrypted.values(0).value(), "");
  v1::RedeemReidentificationResponse response;
  ASSERT_TRUE(Redeem("analyst", Granted(), {encrypted}, &response).ok());
  EXPECT_EQ(response.values(0).value(), "+447700900123");
}

TEST_F(ServiceTest, RequestsAreSeenByTheirRequesterAndTheirApprovers) {
  Ask();
  auto seen = [&](const std::string& as) {
    v1::ListReidentificationsResponse response;
    grpc::Status status = Call(as, &v1::Pseudonymiser::Stub::ListReidentifications,
                               v1::ListReidentificationsRequest(), &response);
    return status.ok() ? response.reidentifications_size() : -1;
  };
  EXPECT_EQ(seen("analyst"), 1);
  EXPECT_EQ(seen("sergeant"), 1);
  EXPECT_EQ(seen("inspector"), 1);
  EXPECT_EQ(seen("superintendent"), 0);
  EXPECT_EQ(seen("processor"), -1);
}

TEST_F(ServiceTest, WhatARequestMayHoldIsSaidBeforeAnyWork) {
  auto wanted = Wanted();
  v1::RequestReidentificationResponse requested;
  auto ask = [&] {
    return Call("analyst", &v1::Pseudonymiser::Stub::RequestReidentification, wanted, &requested);
  };
  const std::string before = TestService::Read(service_.path("state"));
  wanted.add_recipients(std::string(1'200'000, 'r'));
  EXPECT_EQ(ask().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(ask().error_message(), HasSubstr("recipients[0]: has more than 200 bytes"));
  wanted = Wanted();
  for (int i = 0; i < 21; ++i) wanted.add_recipients("r");
  EXPECT_THAT(ask().error_message(), HasSubstr("recipients: has more than 20 items"));
  wanted = Wanted();
  wanted.mutable_scope()->mutable_kinds()->Resize(300'000, PHONE);
  EXPECT_THAT(ask().error_message(), HasSubstr("scope.kinds: has more than 100 items"));
  wanted.mutable_scope()->mutable_kinds()->Resize(2, PHONE);
  EXPECT_THAT(ask().error_message(), HasSubstr("scope.kinds[1]: is there twice"));
  EXPECT_EQ(TestService::Read(service_.path("state")), before);
  v1::CreateDomainRequest create;
  create.set_name("new");
  create.set_label(std::string(4'000'000, 'l'));
  v1::CreateDomainResponse created;
  grpc::Status label = Call("admin", &v1::Pseudonymiser::Stub::CreateDomain, create, &created);
  EXPECT_EQ(label.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_LT(label.error_message().size(), 200u);
}

TEST_F(ServiceTest, AnAnswerThatWouldBeTooLargeIsntMade) {
  v1::PseudonymiseRequest request;
  for (int i = 0; i < 256; ++i) request.add_target_list()->set_domain("intelligence");
  for (int i = 0; i < 15'000; ++i) {
    request.add_ends(0);
    request.mutable_kinds()->push_back(PHONE);
    request.mutable_target_counts()->push_back(static_cast<char>(255));
  }
  request.mutable_targets()->assign(15'000 * 255, '\0');
  v1::PseudonymiseResponse response;
  grpc::Status status =
      Call("processor", &v1::Pseudonymiser::Stub::Pseudonymise, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("the answer would be larger than"));
  EXPECT_TRUE(Metric(R"(sluice_pseudonymiser_refusals_total{method="Pseudonymise")"));
  EXPECT_FALSE(Metric(R"(sluice_pseudonymiser_values_total{method="Pseudonymise")"));
}

TEST_F(ServiceTest, OnePersonsRequestsAreListedHoweverManyTheyAre) {
  service_.SetMore("look_interval_ms: 10\nlimits: {message_kib: 64}\n");
  ASSERT_TRUE(service_.Start().ok());
  stubs_.clear();
  auto wanted = Wanted();
  for (int i = 0; i < 20; ++i) wanted.add_recipients(std::string(150, 'r'));
  for (int i = 0; i < 40; ++i) {
    v1::RequestReidentificationResponse requested;
    ASSERT_TRUE(
        Call("analyst", &v1::Pseudonymiser::Stub::RequestReidentification, wanted, &requested)
            .ok());
  }
  std::set<std::string> seen;
  v1::ListReidentificationsRequest list;
  int calls = 0;
  do {
    v1::ListReidentificationsResponse response;
    grpc::Status status =
        Call("sergeant", &v1::Pseudonymiser::Stub::ListReidentifications, list, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    for (const auto& one : response.reidentifications()) EXPECT_TRUE(seen.insert(one.id()).second);
    list.set_after(response.next());
    ++calls;
  } while (!list.after().empty());
  EXPECT_EQ(seen.size(), 40u);
  EXPECT_GT(calls, 1);
}

TEST_F(ServiceTest, IdleStreamsOfARevokedCallerOrAGreedyOneHoldNobodyUp) {
  std::string policy = base::StrCat(kPolicy, R"(  - caller: spiffe://force/greedy
    may: [{calls: [pseudonymise], domains: [public]}]
revoked: ["spiffe://force/leaver"]
)");
  ReplacePolicy(policy);
  struct Open {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReaderWriter<v1::PseudonymiseRequest, v1::PseudonymiseResponse>>
        stream;
  };
  std::vector<std::unique_ptr<Open>> streams;
  for (const char* caller : {"leaver", "greedy", "stranger"}) {
    for (int i = 0; i < 60; ++i) {
      auto open = std::make_unique<Open>();
      open->stream = As(caller).PseudonymiseStream(&open->context);
      streams.push_back(std::move(open));
    }
  }
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(Blocks("intelligence").empty());
  // Refused at once, without a message.
  for (size_t i : {size_t{0}, size_t{130}}) {
    v1::PseudonymiseResponse response;
    EXPECT_FALSE(streams[i]->stream->Read(&response));
    EXPECT_EQ(streams[i]->stream->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  }
  EXPECT_TRUE(MetricComes(R"(refusals_total{method="PseudonymiseStream",reason="limit"})"));
  for (auto& open : streams) open->context.TryCancel();
}

TEST_F(ServiceTest, ALockOnTheStateThatIsNeverLetGoHoldsNoProbeUp) {
  auto held = privacy::KeyFileLock::Take(service_.path("state"));
  ASSERT_TRUE(held.ok());
  const auto begun = std::chrono::steady_clock::now();
  for (int i = 0; i < 5; ++i) {
    for (const char* path : {"/metrics", "/livez", "/readyz"})
      EXPECT_THAT(*test_support::HttpGet(service_.process().http_port(), path), HasSubstr(" 200 "));
  }
  // Reading takes no lock; what would be written is refused within a bound.
  EXPECT_FALSE(Blocks("intelligence").empty());
  v1::ListReidentificationsResponse list;
  EXPECT_TRUE(Call("analyst", &v1::Pseudonymiser::Stub::ListReidentifications,
                   v1::ListReidentificationsRequest(), &list)
                  .ok());
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(10));
  v1::RequestReidentificationResponse requested;
  EXPECT_EQ(Call("analyst", &v1::Pseudonymiser::Stub::RequestReidentification, Wanted(), &requested)
                .error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ServiceTest, AStateThatCannotBeReadIsAbsentFromTheMetrics) {
  EXPECT_TRUE(MetricComes("sluice_pseudonymiser_locked_callers 0"));
  std::string bad = TestService::Read(service_.path("state"));
  bad.back() ^= 1;
  TestService::Write(service_.path("state"), bad);
  EXPECT_TRUE(MetricComes("sluice_pseudonymiser_state_readable 0"));
  EXPECT_FALSE(Metric("\nsluice_pseudonymiser_locked_callers "));
}

TEST_F(ServiceTest, AfterARestartAnotherKeyringOrAnOlderOneIsNoticed) {
  const std::string old = TestService::Read(service_.keyring());
  v1::RotateDomainRequest begin;
  begin.set_domain("intelligence");
  v1::RotateDomainResponse begun;
  ASSERT_TRUE(Call("admin", &v1::Pseudonymiser::Stub::RotateDomain, begin, &begun).ok());
  EXPECT_THAT(Trail(), HasSubstr("\"subject\":\"epoch 2, check "));
  service_.SetState("");
  service_.Stop();
  stubs_.clear();
  const std::string good = TestService::Read(service_.keyring());
  TestService::Write(service_.keyring(), old);
  EXPECT_THAT(std::string(service_.Start().message()), HasSubstr("it is an older copy"));
  auto other = privacy::Keyring::Create({{"intelligence", "int"}}, service_.random());
  ASSERT_TRUE(other->Save(service_.path("other"), service_.kek(), service_.random()).ok());
  TestService::Write(service_.keyring(), TestService::Read(service_.path("other")));
  EXPECT_THAT(std::string(service_.Start().message()), HasSubstr("is of the keyring"));
  TestService::Write(service_.keyring(), good);
  EXPECT_TRUE(service_.Start().ok());
}

TEST_F(ServiceTest, ABlockThatNoEpochMadeIsntConverted) {
  const std::string made = Blocks("intelligence");
  v1::ConvertRequest convert;
  convert.set_from_domain("intelligence");
  convert.set_from_epoch(1);
  convert.set_to_domain("research");
  convert.set_blocks(std::string(16, 'x') + made + Blocks("public"));
  v1::ConvertResponse converted;
  ASSERT_TRUE(Call("analyst", &v1::Pseudonymiser::Stub::Convert, convert, &converted).ok());
  EXPECT_TRUE(converted.checked());
  ASSERT_EQ(converted.unknown_size(), 2);
  EXPECT_EQ(converted.unknown(0), 0u);
  EXPECT_EQ(converted.unknown(1), 2u);
  EXPECT_EQ(converted.blocks().substr(0, 16), std::string(16, '\0'));
  EXPECT_THAT(Trail(), HasSubstr("\"count\":1,"));
}

TEST_F(ServiceTest, ARevokedCallerIsRefusedFromTheNextLookOn) {
  ReplacePolicy(base::StrCat(kPolicy, "revoked: [\"spiffe://force/processor\"]\n"));
  v1::PseudonymiseResponse response;
  EXPECT_EQ(Call("processor", &v1::Pseudonymiser::Stub::Pseudonymise, Phones({"+447700900123"}),
                 &response)
                .error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(Metric(R"(refusals_total{method="Pseudonymise",reason="revoked"} 1)"));
}

TEST_F(ServiceTest, ASweepLocksTheCallerUntilAnotherUnlocksIt) {
  v1::RotateRequest rotate;
  rotate.set_domain("intelligence");
  rotate.set_from_epoch(1);
  for (int i = 0; i < 60; ++i)
    rotate.mutable_blocks()->append(base::StrCat(1'000 + i, "abcdefghijkl"));
  v1::RotateResponse rotated;
  ASSERT_TRUE(Call("analyst", &v1::Pseudonymiser::Stub::Rotate, rotate, &rotated).ok());
  rotate.set_blocks(std::string(16, 'x'));
  grpc::Status locked = Call("analyst", &v1::Pseudonymiser::Stub::Rotate, rotate, &rotated);
  EXPECT_EQ(locked.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(locked.error_message(), HasSubstr("locked"));
  v1::RequestReidentificationResponse requested;
  EXPECT_EQ(Call("analyst", &v1::Pseudonymiser::Stub::RequestReidentification, Wanted(), &requested)
                .error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(Metric(R"(sluice_pseudonymiser_locks_total{reason="sweep"} 1)"));
  EXPECT_TRUE(MetricComes("sluice_pseudonymiser_locked_callers 1"));
  EXPECT_THAT(Trail(), HasSubstr(R"("action":"LockCaller")"));

  v1::UnlockCallerRequest unlock;
  unlock.set_caller("spiffe://force/analyst");
  v1::UnlockCallerResponse unlocked;
  EXPECT_EQ(Call("analyst", &v1::Pseudonymiser::Stub::UnlockCaller, unlock, &unlocked).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  v1::ListLockedCallersResponse list;
  ASSERT_TRUE(Call("admin", &v1::Pseudonymiser::Stub::ListLockedCallers,
                   v1::ListLockedCallersRequest(), &list)
                  .ok());
  ASSERT_EQ(list.callers_size(), 1);
  EXPECT_EQ(list.callers(0).reason(), "sweep");
  ASSERT_TRUE(Call("admin", &v1::Pseudonymiser::Stub::UnlockCaller, unlock, &unlocked).ok());
  EXPECT_TRUE(Call("analyst", &v1::Pseudonymiser::Stub::Rotate, rotate, &rotated).ok());
  EXPECT_EQ(Call("admin", &v1::Pseudonymiser::Stub::UnlockCaller, unlock, &unlocked).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServiceTest, RefusedCallsAreMissesAndLockTheCallerInTheEnd) {
  v1::EncryptRequest request;
  request.set_domain("public");
  request.set_kind(PHONE);
  v1::EncryptResponse response;
  for (int i = 0; i < 21; ++i)
    EXPECT_FALSE(Call("analyst", &v1::Pseudonymiser::Stub::Encrypt, request, &response).ok());
  EXPECT_TRUE(Metric(R"(sluice_pseudonymiser_locks_total{reason="misses"} 1)"));
}

TEST_F(ServiceTest, VolumeIsLimited) {
  std::string policy = kPolicy;
  policy.replace(policy.find("{bulk: true}"), 12, "{values_per_s: 3}");
  ReplacePolicy(policy);
  v1::PseudonymiseResponse response;
  auto pseudonymise = [&](std::vector<std::string> phones) {
    return Call("processor", &v1::Pseudonymiser::Stub::Pseudonymise, Phones(std::move(phones)),
                &response)
        .error_code();
  };
  EXPECT_EQ(pseudonymise({"a", "b", "c"}), grpc::StatusCode::OK);
  EXPECT_EQ(pseudonymise({"d"}), grpc::StatusCode::RESOURCE_EXHAUSTED);
  service_.clock().Advance(std::chrono::seconds(1));
  EXPECT_EQ(pseudonymise({"d"}), grpc::StatusCode::OK);
}

TEST_F(ServiceTest, JustificationIsRequiredOptionalOrOffAsThePolicySays) {
  v1::RotateDomainRequest request;
  request.set_domain("intelligence");
  v1::RotateDomainResponse response;
  auto rotate = [&] {
    return Call("admin", &v1::Pseudonymiser::Stub::RotateDomain, request, &response).error_code();
  };
  EXPECT_EQ(rotate(), grpc::StatusCode::OK);
  ReplacePolicy(base::StrCat("justification: required\n", kPolicy));
  EXPECT_EQ(rotate(), grpc::StatusCode::INVALID_ARGUMENT);
  request.mutable_justification()->set_purpose("yearly rotation");
  EXPECT_EQ(rotate(), grpc::StatusCode::OK);
  EXPECT_THAT(Trail(), HasSubstr("yearly rotation"));
  ReplacePolicy(base::StrCat("justification: off\n", kPolicy));
  request.mutable_justification()->set_purpose("a text that isn't kept");
  EXPECT_EQ(rotate(), grpc::StatusCode::OK);
  EXPECT_THAT(Trail(), Not(HasSubstr("isn't kept")));
  // Re-identification always needs one, whole.
  v1::RequestReidentificationRequest wanted = Wanted();
  wanted.mutable_justification()->clear_purpose();
  v1::RequestReidentificationResponse requested;
  EXPECT_EQ(Call("analyst", &v1::Pseudonymiser::Stub::RequestReidentification, wanted, &requested)
                .error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServiceTest, AReloadReadsAtOnceWhatALookWouldReadLater) {
  service_.SetMore("look_interval_ms: 600000\n");
  ASSERT_TRUE(service_.Start().ok());
  stubs_.clear();
  service_.SetPolicy(base::StrCat(kPolicy, "revoked: [\"spiffe://force/processor\"]\n"));
  EXPECT_FALSE(Blocks("intelligence").empty());
  service_.process().Reload();
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(30), [&] {
    return Metric(R"(reads_total{file="policy",result="taken"} 1)") &&
           Metric(R"(reads_total{file="keyring",result="taken"} 1)");
  }));
  v1::PseudonymiseResponse response;
  EXPECT_EQ(Call("processor", &v1::Pseudonymiser::Stub::Pseudonymise, Phones({"a"}), &response)
                .error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(ServiceTest, ABadPolicyIsRefusedAndTheOneInUseStays) {
  service_.SetPolicy("callers: [{caller: a, may: [{calls: [everything], domains: [\"*\"]}]}]");
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(30), [&] {
    return Metric(R"(sluice_pseudonymiser_read_refused{file="policy"} 1)");
  }));
  EXPECT_FALSE(Blocks("intelligence").empty());
  service_.SetPolicy(base::StrCat(kPolicy, "# mended\n"));
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(30), [&] {
    return Metric(R"(sluice_pseudonymiser_read_refused{file="policy"} 0)");
  }));
}

TEST_F(ServiceTest, AKeyringThatSomebodyElseRotatedIsTakenUp) {
  std::string old = Blocks("intelligence");
  auto keyring = privacy::Keyring::Load(service_.keyring(), service_.kek());
  ASSERT_TRUE(keyring->Rotate("intelligence", service_.random()).ok());
  ASSERT_TRUE(keyring->Save(service_.keyring(), service_.kek(), service_.random()).ok());
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(30), [&] {
    return Metric(R"(sluice_key_epoch{domain="intelligence"} 2)");
  }));
  EXPECT_NE(Blocks("intelligence"), old);
  EXPECT_EQ(Blocks("intelligence@1"), old);
}

TEST_F(ServiceTest, ATamperedAnOlderOrAnotherKeyringIsRefusedAndTheOneInUseStays) {
  const std::string good = TestService::Read(service_.keyring());
  std::string before = Blocks("intelligence");
  auto refused = [&](double times) {
    return test_support::WaitUntil(std::chrono::seconds(30), [&] {
      return Metric(base::StrCat(
          R"(sluice_pseudonymiser_reads_total{file="keyring",result="refused"} )", times));
    });
  };
  std::string tampered = good;
  tampered[tampered.size() / 2] ^= 1;
  TestService::Write(service_.keyring(), tampered);
  ASSERT_TRUE(refused(1));
  EXPECT_EQ(Blocks("intelligence"), before);
  TestService::Write(service_.keyring(), good.substr(0, good.size() - 20));
  ASSERT_TRUE(refused(2));
  // While the file is damaged, nothing may be written over it.
  v1::RotateDomainRequest begin;
  begin.set_domain("intelligence");
  v1::RotateDomainResponse begun;
  EXPECT_FALSE(Call("admin", &v1::Pseudonymiser::Stub::RotateDomain, begin, &begun).ok());
  EXPECT_EQ(TestService::Read(service_.keyring()), good.substr(0, good.size() - 20));

  TestService::Write(service_.keyring(), good);
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(30), [&] {
    return Metric(R"(sluice_pseudonymiser_read_refused{file="keyring"} 0)");
  }));
  ASSERT_TRUE(Call("admin", &v1::Pseudonymiser::Stub::RotateDomain, begin, &begun).ok());
  std::string after = Blocks("intelligence");
  TestService::Write(service_.keyring(), good);
  ASSERT_TRUE(refused(3)) << "an older copy would bring an old epoch back";
  EXPECT_EQ(Blocks("intelligence"), after);

  auto other = privacy::Keyring::Create({{"intelligence", "int"}}, service_.random());
  std::string path = service_.path("other");
  ASSERT_TRUE(other->Save(path, service_.kek(), service_.random()).ok());
  TestService::Write(service_.keyring(), TestService::Read(path));
  ASSERT_TRUE(refused(4));
  EXPECT_EQ(Blocks("intelligence"), after);
}

TEST_F(ServiceTest, ATamperedTrailStopsTheStart) {
  service_.Stop();
  stubs_.clear();
  std::string lines = Trail();
  lines.replace(lines.find("\"Start\""), 7, "\"start\"");
  TestService::Write(service_.trail(), lines);
  absl::Status started = service_.Start();
  EXPECT_EQ(started.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(started.message()), HasSubstr("line 1: was changed"));
}

TEST_F(ServiceTest, TheTrailIsWholeAndHasTheCounts) {
  for (int i = 0; i < 3; ++i) Blocks("intelligence");
  v1::PseudonymiseResponse response;
  for (int i = 0; i < 5; ++i)
    Call("stranger", &v1::Pseudonymiser::Stub::Pseudonymise, Phones({"a"}), &response);
  service_.Stop();
  std::string writer;
  trail::Head head;
  EXPECT_TRUE(trail::Verify(Trail(), writer, head).ok());
  EXPECT_EQ(writer, "test");
  EXPECT_THAT(Trail(),
              HasSubstr(R"("who":"spiffe://force/processor","operation":"alteration",)"
                        R"("action":"Pseudonymise","outcome":"done","domains":["intelligence"],)"
                        R"("count":3,)"));
  // All five are counted, on as many lines at most.
  int refused = 0;
  const std::string lines = Trail();
  for (size_t at = 0;
       (at = lines.find("the policy doesn't know the caller", at)) != std::string::npos; ++at)
    refused += std::atoi(lines.c_str() + lines.find("\"count\":", at) + 8);
  EXPECT_EQ(refused, 5);
}

TEST_F(ServiceTest, RefusalsOfACallerAreAFewLines) {
  v1::DecryptResponse response;
  v1::DecryptRequest request;
  request.set_domain(std::string(2'000'000, 'x'));
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(Call("analyst", &v1::Pseudonymiser::Stub::Decrypt, request, &response).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
  }
  service_.Stop();
  EXPECT_LT(Trail().size(), 5'000u);
}

TEST_F(ServiceTest, AStoppedServiceAnswersNobody) {
  auto list = [&] {
    v1::ListDomainsResponse response;
    return Call("admin", &v1::Pseudonymiser::Stub::ListDomains, v1::ListDomainsRequest(), &response)
        .error_code();
  };
  EXPECT_EQ(list(), grpc::StatusCode::OK);
  service_.Stop();
  EXPECT_EQ(list(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ServiceTest, ItsHealthAndItsServicesCanBeAskedFor) {
  auto channel = *rpc::Connect(
      {.address = service_.address(), .tls = service_.Caller("spiffe://force/anybody")}, "test");
  EXPECT_EQ(rpc::HealthOf(*channel, ""), 1);
  EXPECT_EQ(rpc::HealthOf(*channel, v1::Pseudonymiser::service_full_name()), 1);
  EXPECT_LT(rpc::HealthOf(*channel, "sluice.processor.v1.Processor"), 0);
  // A stream of reflection's would hold a thread, whoever it is by.
  EXPECT_EQ(rpc::ReflectedNames(channel), "");
  EXPECT_THAT(*test_support::HttpGet(service_.process().http_port(), "/livez"), HasSubstr(" 200 "));
  EXPECT_THAT(*test_support::HttpGet(service_.process().http_port(), "/readyz"),
              HasSubstr(" 200 "));
}

// The trail's file reaches a size that the process may not exceed, as on a full disk.
TEST_F(ServiceTest, ItIsNotReadyWhileTheTrailCannotBeWritten) {
  auto handler = signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit full = before;
  full.rlim_cur = Trail().size() + 10;
  setrlimit(RLIMIT_FSIZE, &full);
  v1::RotateDomainRequest rotate;
  rotate.set_domain("intelligence");
  v1::RotateDomainResponse rotated;
  grpc::Status refused = Call("admin", &v1::Pseudonymiser::Stub::RotateDomain, rotate, &rotated);
  auto unready = test_support::HttpGet(service_.process().http_port(), "/readyz");
  auto alive = test_support::HttpGet(service_.process().http_port(), "/livez");
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(*unready, AllOf(HasSubstr(" 503 "), HasSubstr("audit_trail")));
  EXPECT_THAT(*alive, HasSubstr(" 200 "));
  EXPECT_TRUE(test_support::WaitUntil(std::chrono::seconds(30), [&] {
    return test_support::HttpGet(service_.process().http_port(), "/readyz")->find(" 200 ") !=
           std::string::npos;
  }));
  EXPECT_TRUE(Call("admin", &v1::Pseudonymiser::Stub::RotateDomain, rotate, &rotated).ok());
  EXPECT_EQ(rotated.epoch(), 2u);
}

TEST_F(ServiceTest, WithoutLockedMemoryItStartsOrRefusesAsConfigured) {
  absl::Status unlocked = absl::FailedPreconditionError("keys may be swapped out: the heap");
  ASSERT_TRUE(service_.Start(unlocked).ok());
  EXPECT_TRUE(Metric("sluice_memory_locked 0"));
  service_.SetMore("memory_lock: require\n");
  absl::Status refused = service_.Start(unlocked);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("memory_lock: require"));
  ASSERT_TRUE(service_.Start().ok());
  EXPECT_TRUE(Metric("sluice_memory_locked 1"));
}

}  // namespace
}  // namespace sluice::pseudonymiser
