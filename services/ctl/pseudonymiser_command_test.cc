// The commands that call the pseudonymiser, against a real one over mutual TLS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "common/privacy/local_pseudonymiser.h"
#include "common/privacy/pseudonym.h"
#include "services/ctl/testing.h"
#include "services/pseudonymiser/testing.h"

namespace sluice::ctl {
namespace {

using ::testing::HasSubstr;

constexpr const char* kPolicy = R"(callers:
  - caller: spiffe://force/admin
    may:
      - calls: [list_domains, create_domain, rotate_domain, retire_epoch, destroy_epoch, unlock_callers]
        domains: ["*"]
  - caller: spiffe://force/converter
    may:
      - {calls: [rotate], domains: [intelligence]}
      - {calls: [convert], domains: [intelligence], to: [research]}
    limits: {bulk: true}
  - caller: spiffe://force/analyst
    may: [{calls: [request_reidentification, encrypt], domains: [intelligence]}]
  - caller: spiffe://force/sergeant
    may: [{calls: [approve_reidentification], domains: [intelligence]}]
  - caller: spiffe://force/inspector
    may: [{calls: [approve_reidentification], domains: [intelligence]}]
)";

class PseudonymiserCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    service_.SetPolicy(kPolicy);
    absl::Status started = service_.Start();
    ASSERT_TRUE(started.ok()) << started;
  }
  Ended As(const std::string& who, std::vector<std::string> arguments, const std::string& in = "") {
    auto [at, added] = callers_.try_emplace(who);
    if (added) at->second = service_.Caller("spiffe://force/" + who);
    for (const std::string& argument :
         {std::string("--pseudonymiser"), service_.address(), std::string("--tls-certificate"),
          at->second.certificate, std::string("--tls-private-key"), at->second.private_key,
          std::string("--tls-authority"), at->second.authority})
      arguments.push_back(argument);
    return RunCtl(std::move(arguments), in);
  }
  std::string Pseudonym(const std::string& domain, const std::string& phone = "+447700900123") {
    auto keyring = privacy::Keyring::Load(service_.keyring(), service_.kek());
    auto local = *privacy::LocalPseudonymiser::Create(*keyring);
    privacy::PseudonymBatch batch;
    privacy::PseudonymAnswer answer;
    uint16_t index = *local->Domain(domain);
    batch.Add(contract::v1::PHONE, phone, std::array<uint16_t, 1>{index});
    EXPECT_TRUE(local->Pseudonymise(batch, answer).ok());
    std::string text;
    privacy::AppendPseudonym(answer.domains[index], answer.blocks[0], text);
    return text;
  }
  std::string Encrypted() {
    grpc::ClientContext context;
    pseudonymiser::v1::EncryptRequest request;
    request.set_domain("intelligence");
    request.set_kind(contract::v1::PHONE);
    request.add_values("07700 900123");
    pseudonymiser::v1::EncryptResponse response;
    EXPECT_TRUE(
        service_.ConnectAs("spiffe://force/analyst")->Encrypt(&context, request, &response).ok());
    return response.encrypted(0);
  }

  pseudonymiser::TestService service_;
  std::map<std::string, rpc::TlsFiles> callers_;
};

TEST_F(PseudonymiserCommand, ADomainsLife) {
  EXPECT_EQ(As("admin", {"domains", "create", "partners", "--label", "par"}).code, 0);
  EXPECT_EQ(As("admin", {"domains", "create", "partners", "--label", "par"}).code, 2);
  Ended rotated = As("admin", {"domains", "rotate", "partners", "--purpose", "yearly"});
  EXPECT_EQ(rotated.code, 0) << rotated.err;
  EXPECT_THAT(rotated.out, HasSubstr("epoch 2"));
  EXPECT_EQ(As("admin", {"domains", "retire", "partners", "--epoch", "2"}).code, 2);
  EXPECT_EQ(As("admin", {"domains", "retire", "partners", "--epoch", "1"}).code, 0);
  Ended unsure = As("admin", {"domains", "destroy", "partners", "--epoch", "1"});
  EXPECT_EQ(unsure.code, 2);
  EXPECT_THAT(unsure.err, HasSubstr("--yes"));
  EXPECT_THAT(As("admin", {"domains", "list"}).out, HasSubstr("retired"));
  EXPECT_EQ(As("admin", {"domains", "destroy", "partners", "--epoch", "1", "--yes"}).code, 0);
  Ended list = As("admin", {"domains", "list", "--output", "json"});
  EXPECT_EQ(list.code, 0);
  EXPECT_THAT(list.out, HasSubstr("\"destroyed\""));
  EXPECT_EQ(As("analyst", {"domains", "list"}).code, 4);
  EXPECT_EQ(As("analyst", {"domains", "rotate", "intelligence"}).code, 4);
}

TEST_F(PseudonymiserCommand, AFileOfOldPseudonymsIsRotatedThroughTheService) {
  std::vector<std::string> old, now;
  for (int i = 0; i < 25; ++i) old.push_back(Pseudonym("intelligence", base::StrCat("p", i)));
  ASSERT_EQ(As("admin", {"domains", "rotate", "intelligence"}).code, 0);
  std::string text, expected;
  for (int i = 0; i < 25; ++i) {
    now.push_back(Pseudonym("intelligence", base::StrCat("p", i)));
    base::StrAppend(text, "{\"who\":\"", old[i], "\",\"again\":\"", old[i], "\",\"new\":\"", now[i],
                    "\",\"other\":\"", Pseudonym("public"), "\"}\n");
    base::StrAppend(expected, "{\"who\":\"", now[i], "\",\"again\":\"", now[i], "\",\"new\":\"",
                    now[i], "\",\"other\":\"", Pseudonym("public"), "\"}\n");
  }
  // Batches that end within a line, and a last line without its end.
  Ended converted =
      As("converter", {"pseudonyms", "rotate", "--domain", "intelligence", "--batch", "7"},
         text + old[0]);
  EXPECT_EQ(converted.code, 0) << converted.err;
  EXPECT_EQ(converted.out, expected + now[0]);
  EXPECT_THAT(converted.err, HasSubstr("51 pseudonyms converted, 25 of the newest epoch"));

  ASSERT_EQ(As("admin", {"domains", "retire", "intelligence", "--epoch", "1"}).code, 0);
  Ended late = As("converter", {"pseudonyms", "rotate", "--domain", "intelligence"}, old[0]);
  EXPECT_EQ(late.code, 1);
  EXPECT_EQ(late.out, old[0]);
  EXPECT_EQ(As("analyst", {"pseudonyms", "rotate", "--domain", "intelligence"}, old[0]).code, 4);
}

TEST_F(PseudonymiserCommand, AFileIsConvertedToAnotherDomainWhereThePolicySaysSo) {
  std::string from = Pseudonym("intelligence"), to = Pseudonym("research");
  std::string path = service_.path("in.csv");
  pseudonymiser::TestService::Write(path, "id,phone\n1," + from + "\n");
  Ended converted = As(
      "converter", {"pseudonyms", "convert", "--from", "intelligence", "--to", "research", path});
  EXPECT_EQ(converted.code, 0) << converted.err;
  EXPECT_EQ(converted.out, "id,phone\n1," + to + "\n");
  Ended refused =
      As("converter", {"pseudonyms", "convert", "--from", "intelligence", "--to", "public", path});
  EXPECT_EQ(refused.code, 4);
  EXPECT_EQ(refused.out, "");
}

TEST_F(PseudonymiserCommand, ReidentificationFromItsRequestToItsRedemption) {
  std::string encrypted = Encrypted();
  std::vector<std::string> ask = {"reidentify", "request", "--domain",  "intelligence",
                                  "--kind",     "PHONE",   "--purpose", "threat to life"};
  EXPECT_EQ(As("analyst", ask).code, 2) << "a legal basis and a case are required";
  ask.insert(ask.end(), {"--legal-basis", "DPA 2018 s.35(2)(b)", "--case", "OP-7"});
  Ended asked = As("analyst", ask);
  ASSERT_EQ(asked.code, 0) << asked.err;
  std::string id = asked.out.substr(0, asked.out.find('\n'));
  std::vector<std::string> redeem = {"reidentify", "redeem", id, "--kind", "PHONE", encrypted};
  EXPECT_EQ(As("analyst", redeem).code, 2);
  EXPECT_EQ(As("analyst", {"reidentify", "approve", id}).code, 4);
  Ended list = As("sergeant", {"reidentify", "list"});
  EXPECT_THAT(list.out, HasSubstr("threat to life"));
  EXPECT_THAT(list.out, HasSubstr("requested"));
  Ended first = As("sergeant", {"reidentify", "approve", id});
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.out, HasSubstr("1 of 2 approvals"));
  EXPECT_EQ(As("sergeant", {"reidentify", "approve", id}).code, 4);
  EXPECT_EQ(As("inspector", {"reidentify", "approve", id}).code, 0);
  Ended redeemed = As("analyst", redeem);
  EXPECT_EQ(redeemed.code, 0) << redeemed.err;
  EXPECT_EQ(redeemed.out, "+447700900123\n");
  Ended replay = As("analyst", redeem);
  EXPECT_EQ(replay.code, 2);
  EXPECT_EQ(replay.out, "");
  EXPECT_EQ(As("inspector", {"reidentify", "approve", "00"}).code, 2);
}

TEST_F(PseudonymiserCommand, NobodyIsLocked) {
  EXPECT_EQ(As("admin", {"callers", "locked"}).code, 0);
  EXPECT_EQ(As("admin", {"callers", "unlock", "spiffe://force/analyst"}).code, 2);
  EXPECT_EQ(As("analyst", {"callers", "locked"}).code, 4);
}

TEST_F(PseudonymiserCommand, AServiceThatIsAwayEndsWithThree) {
  std::string address = service_.address();
  ASSERT_EQ(As("admin", {"domains", "list"}).code, 0);
  service_.Stop();
  const rpc::TlsFiles& tls = callers_["admin"];
  EXPECT_EQ(
      RunCtl({"domains", "list", "--pseudonymiser", address, "--tls-certificate", tls.certificate,
              "--tls-private-key", tls.private_key, "--tls-authority", tls.authority})
          .code,
      3);
  EXPECT_EQ(RunCtl({"domains", "list", "--pseudonymiser", address, "--tls-certificate", "x"}).code,
            2);
}

}  // namespace
}  // namespace sluice::ctl
