#include "services/processor/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <fstream>

#include "common/base/strings.h"
#include "common/privacy/seal.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "services/processor/shipped_pipeline_test.h"
#include "tests/support/certificates.h"
#include "tests/support/temp_dir.h"

namespace sluice::processor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kEvent = R"json({"event_id":"6f9619ff-8b86-4011-b42d-00cf4fc964ff",
  "occurred_at":"2026-03-04T05:06:07Z","type":"Person search",
  "officer":{"warrant_no":"918273","shoulder_no":"4321ZZ","borough":"E09000007"},
  "location":{"latitude":51.5,"longitude":-0.1},"subject":{"name":"Canary Markername","date_of_birth":"1987-06-05"},
  "legislation":"PACE 1984 (section 1)","grounds":"x","surprise":1})json";

class FakeControls final : public Controls {
 public:
  Edition current() const override { return {setup, setup->pipeline}; }
  void FillStatus(v1::GetStatusResponse& status) const override { status.set_paused(paused); }
  void Pause() override { paused = true; }
  void Resume() override { paused = false; }
  absl::Status SetOffsets(const v1::SetOffsetsRequest& request,
                          v1::SetOffsetsResponse& response) override {
    for (const auto& at : request.partitions()) response.add_done(at.partition());
    ++sets;
    return absl::OkStatus();
  }
  std::atomic<int> sets = 0;
  std::atomic<bool> paused = false;
  std::shared_ptr<const processor::Setup> setup;
};

v1::SetOffsetsRequest SetOffsetsOf(std::vector<std::pair<int32_t, int64_t>> offsets) {
  v1::SetOffsetsRequest request;
  request.set_topic("raw");
  request.set_topic_id("id");
  request.set_set_by("me@here");
  request.set_reason("a test");
  for (const auto& [partition, offset] : offsets) {
    request.add_partitions()->set_partition(partition);
    request.mutable_partitions()->rbegin()->set_next_offset(offset);
  }
  return request;
}

class ServiceTest : public ::testing::Test {
 protected:
  // `listen` is YAML of the section `listen`.
  void Serve(const std::string& listen, std::optional<rpc::TlsFiles> tls = std::nullopt) {
    std::string root = std::getenv("SLUICE_SOURCE_DIR");
    const std::string& path = folder_->path();
    ASSERT_TRUE(privacy::Keyring::CreateKeyFile(path + "/kek", random_).ok());
    auto keyring = privacy::Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random_);
    ASSERT_TRUE(keyring->Save(path + "/keyring", path + "/kek", random_).ok());
    std::ofstream(path + "/quarantine.pub") << privacy::NewSealingKeys(random_)->public_pem;
    std::ofstream config(path + "/processor.yaml");
    config << "kafka: {brokers: [a:1], group: g, instance: i}\n"
           << "listen: " << listen << "\ncontracts: [\"" << root << "/proto\"]\n"
           << "pseudonymiser: {local: {keyring: keyring, key_encryption_key: kek}}\n"
           << "reference: {local: {sets: [{name: boroughs, csv: \"" << root
           << "/deploy/config/boroughs.csv\", key: code, not_personal: [name, "
              "command_unit]}]}}\npipeline:\n";
    config << ShippedPipeline(root);
    config.close();
    auto setup = LoadSetup(path + "/processor.yaml");
    ASSERT_TRUE(setup.ok()) << setup.status();
    controls_.setup = std::make_shared<const processor::Setup>(*std::move(setup));
    service_ =
        std::make_unique<Service>(controls_.setup->config.listen(), controls_, random_, registry_);
    auto server = rpc::Server::Create({.tls = std::move(tls)}, {service_.get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ASSERT_TRUE(server_->Start().ok());
  }

  std::unique_ptr<v1::Processor::Stub> Connect(std::optional<rpc::TlsFiles> tls = std::nullopt) {
    auto channel = rpc::Connect(
        {.address = base::StrCat("127.0.0.1:", server_->port()), .tls = std::move(tls)}, "test");
    EXPECT_TRUE(channel.ok()) << channel.status();
    return v1::Processor::NewStub(*channel);
  }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("service-test");
  base::SystemRandom random_;
  telemetry::Registry registry_;
  FakeControls controls_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<rpc::Server> server_;
};

TEST_F(ServiceTest, ExplainSaysWhatBecomesOfAnEventAndWhy) {
  Serve("{}");
  v1::ExplainRequest request;
  request.mutable_event()->set_value(kEvent);
  grpc::ClientContext context;
  v1::ExplainResponse response;
  grpc::Status status = Connect()->Explain(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.verdict(), v1::CLEAN) << response.ShortDebugString();
  EXPECT_EQ(response.unknown_fields(), 1u);
  ASSERT_EQ(response.clean_size(), 2);
  EXPECT_THAT(response.clean(0).value(), HasSubstr("int1-"));
  EXPECT_THAT(response.clean(0).value(), Not(HasSubstr("Markername")));
  ASSERT_EQ(response.repairs_size(), 1);
  EXPECT_EQ(response.repairs(0).path(), "type");
  EXPECT_EQ(response.repairs(0).kind(), "enum_spelling");
  bool named = false;
  for (const v1::FieldTreatment& field : response.treatments()) {
    if (field.path() != "subject.name") continue;
    named = true;
    EXPECT_EQ(field.classification(), "PERSON_NAME");
    EXPECT_EQ(field.treatments().at("intelligence"), "pseudonymise");
    EXPECT_EQ(field.treatments().at("public"), "drop");
  }
  EXPECT_TRUE(named);
}

TEST_F(ServiceTest, ExplainNamesEveryViolationWithoutItsValue) {
  Serve("{}");
  v1::ExplainRequest request;
  request.mutable_event()->set_value(R"({"event_id":"nonsense","type":"no such type"})");
  grpc::ClientContext context;
  v1::ExplainResponse response;
  ASSERT_TRUE(Connect()->Explain(&context, request, &response).ok());
  EXPECT_EQ(response.verdict(), v1::QUARANTINED);
  EXPECT_EQ(response.clean_size(), 0);
  std::vector<std::string> rules;
  for (const v1::Violation& violation : response.violations())
    rules.push_back(violation.path() + ":" + violation.rule());
  EXPECT_THAT(rules, ::testing::IsSupersetOf({"event_id:string.uuid", "occurred_at:required"}));
  EXPECT_THAT(response.DebugString(), Not(HasSubstr("nonsense")));
}

TEST_F(ServiceTest, ProcessAnswersEveryEventInOrder) {
  Serve("{}");
  grpc::ClientContext context;
  auto stream = Connect()->Process(&context);
  for (int i = 0; i < 100; ++i) {
    v1::ProcessRequest request;
    request.mutable_event()->set_value(i % 10 == 3 ? "broken" : kEvent);
    request.set_source_position(base::StrCat("calls/0/", i));
    ASSERT_TRUE(stream->Write(request));
  }
  stream->WritesDone();
  v1::ProcessResponse response;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(stream->Read(&response)) << i;
    if (i % 10 == 3) {
      EXPECT_EQ(response.verdict(), v1::QUARANTINED);
      EXPECT_FALSE(response.sealed().empty());
      EXPECT_EQ(response.violations_size(), 1);
      continue;
    }
    ASSERT_EQ(response.verdict(), v1::CLEAN);
    ASSERT_EQ(response.clean_size(), 2);
    std::string source;
    for (const v1::Header& header : response.clean(0).headers())
      if (header.name() == "sluice-src") source = header.value();
    EXPECT_EQ(source, base::StrCat("calls/0/", i));
  }
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ServiceTest, ProcessRefusesAnEventWithoutAPosition) {
  Serve("{}");
  for (const char* position : {"", "a", "a/1", "a/b/1", "/1/2", "a/1/-2", "a/1/2x"}) {
    grpc::ClientContext context;
    auto stream = Connect()->Process(&context);
    v1::ProcessRequest request;
    request.mutable_event()->set_value(kEvent);
    request.set_source_position(position);
    stream->Write(request);
    v1::ProcessResponse response;
    EXPECT_FALSE(stream->Read(&response)) << position;
    grpc::Status status = stream->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << position;
    EXPECT_THAT(status.error_message(), HasSubstr("topic/partition/offset"));
  }
}

TEST_F(ServiceTest, OffsetsAreSetOnlyByAWholeRequest) {
  Serve("{}");
  auto ask = [this](const v1::SetOffsetsRequest& request) {
    grpc::ClientContext context;
    v1::SetOffsetsResponse response;
    grpc::Status status = Connect()->SetOffsets(&context, request, &response);
    return status.ok() ? base::StrCat("done ", response.done_size()) : status.error_message();
  };
  EXPECT_EQ(ask(SetOffsetsOf({{0, 5}, {3, 0}})), "done 2");
  EXPECT_THAT(ask(SetOffsetsOf({})), HasSubstr("partitions"));
  EXPECT_THAT(ask(SetOffsetsOf({{0, 5}, {0, 6}})), HasSubstr("each once"));
  EXPECT_THAT(ask(SetOffsetsOf({{-1, 5}})), HasSubstr("each once"));
  EXPECT_THAT(ask(SetOffsetsOf({{1, -5}})), HasSubstr("each once"));
  v1::SetOffsetsRequest request = SetOffsetsOf({{0, 5}});
  request.clear_reason();
  EXPECT_THAT(ask(request), HasSubstr("reason"));
  request.set_reason(" \t ");
  EXPECT_THAT(ask(request), HasSubstr("reason")) << "blanks say nothing";
  request = SetOffsetsOf({{0, 5}});
  request.set_set_by(std::string(2000, 'x'));
  EXPECT_THAT(ask(request), HasSubstr("set_by"));
  EXPECT_EQ(controls_.sets, 1);
}

TEST_F(ServiceTest, OverTlsOnlyNamedCallersMayDoMoreThanLook) {
  test_support::Certificates certificates;
  auto issue = [&](const std::string& name, const std::string& names) {
    test_support::CertificateFiles files = certificates.Issue("site", name, names);
    return rpc::TlsFiles{files.certificate, files.private_key, files.authority, 1};
  };
  rpc::TlsFiles server = issue("server", "IP:127.0.0.1");
  Serve(base::StrCat("{tls: {certificate: \"", server.certificate, "\", private_key: \"",
                     server.private_key, "\", client_ca: \"", server.authority,
                     "\"}, callers: [\"spiffe://force/ns/ops\"]}"),
        server);
  auto pause = [&](const rpc::TlsFiles& client) {
    grpc::ClientContext context;
    v1::PauseResponse response;
    return Connect(client)->Pause(&context, {}, &response);
  };
  rpc::TlsFiles stranger = issue("stranger", "URI:spiffe://force/ns/other");
  grpc::Status denied = pause(stranger);
  EXPECT_EQ(denied.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(denied.error_message(), HasSubstr("listen.callers"));
  EXPECT_FALSE(controls_.paused);
  auto set = [&](const rpc::TlsFiles& client) {
    grpc::ClientContext call;
    v1::SetOffsetsResponse response;
    return Connect(client)->SetOffsets(&call, SetOffsetsOf({{0, 5}}), &response).error_code();
  };
  EXPECT_EQ(set(stranger), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(controls_.sets, 0);
  EXPECT_EQ(set(issue("setter", "URI:spiffe://force/ns/ops")), grpc::StatusCode::OK);
  EXPECT_EQ(controls_.sets, 1);
  grpc::ClientContext context;
  v1::GetStatusResponse status;
  EXPECT_TRUE(Connect(stranger)->GetStatus(&context, {}, &status).ok());
  EXPECT_EQ(status.contract(), "policing.stops.v1.StopSearch");

  EXPECT_TRUE(pause(issue("ops", "URI:spiffe://force/ns/ops")).ok());
  EXPECT_TRUE(controls_.paused);
  EXPECT_THAT(registry_.Serialize(),
              HasSubstr(R"(sluice_rpc_calls_total{code="PERMISSION_DENIED",method="Pause"} 1)"));
}

}  // namespace
}  // namespace sluice::processor
