// No value of an event, of a header, of a key or of a reference set comes out of a running service
// by any other door than its clean topics: everything is full of markers and broken in every way,
// in every format; afterwards each marker is looked for, whole and by half, as it stands and as
// encodings write it, in all that the processor, the pseudonymiser and the reference service say.
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/util/json_util.h>

#include <set>

#include "common/kafka/reader.h"
#include "common/reference/testing.h"
#include "common/rpc/channel.h"
#include "services/processor/processor_test.h"
#include "sluice/processor/v1/processor.grpc.pb.h"
#include "sluice/pseudonymiser/v1/pseudonymiser.grpc.pb.h"
#include "sluice/reference/v1/reference.grpc.pb.h"
#include "tests/support/certificates.h"
#include "tests/support/free_port.h"
#include "tests/support/markers.h"
#include "tests/support/shared_broker.h"

namespace sluice::processor {
namespace {

using test_support::WaitUntil;

class MarkerHuntKafkaTest : public ::testing::Test {
 protected:
  struct Flow {
    std::string name, input;  // what `input` has behind the topic
    std::optional<processor::Setup> setup;
    std::unique_ptr<ChildProcess> process;
    uint64_t produced = 0;
  };

  void SetUp() override {
    if (std::getenv("SLUICE_HOSTILE") == nullptr) GTEST_SKIP() << "./run test-hostile runs it";
    connection_.brokers = {test_support::SharedBroker().bootstrap()};
    base::SystemRandom random;
    ASSERT_TRUE(privacy::Keyring::CreateKeyFile(path("kek"), random).ok());
    auto keyring = privacy::Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random);
    ASSERT_TRUE(keyring->Save(path("keyring"), path("kek"), random).ok());
    reference::WriteText(path("quarantine.pub"), privacy::NewSealingKeys(random)->public_pem);
    csv_ = test_support::ReadFile(root_ + "/deploy/config/boroughs.csv");
    reference::WriteText(path("boroughs.csv"), csv_);
    keys_port_ = *test_support::FreePort();
    sets_port_ = *test_support::FreePort();
    caller_ = certificates_.Issue("authority", "caller", "URI:spiffe://sluice/processor");
    auto server = certificates_.Issue("authority", "pseudonymiser", "DNS:localhost");
    reference::WriteText(
        path("policy.yaml"),
        "callers: [{caller: \"spiffe://sluice/processor\", limits: {bulk: true},\n  may: [{calls: "
        "[pseudonymise, encrypt, decrypt, format_preserve, invert_format_preserved], "
        "domains: [\"*\"]}]}]\n");
    reference::WriteText(
        path("keys.yaml"),
        base::StrCat(
            "keyring: keyring\nkey_encryption_key: kek\npolicy: policy.yaml\nstate: state\n"
            "audit: {file: audit.log, writer: test}\nlisten: {grpc: \"localhost:",
            keys_port_, "\", tls: {certificate: \"", server.certificate, "\", private_key: \"",
            server.private_key, "\", client_ca: \"", server.authority, "\"}}\n"));
    reference::WriteText(
        path("sets.yaml"),
        base::StrCat("folder: sets\ntrail: trail\nlook_interval_ms: 50\nlisten: {grpc: "
                     "\"127.0.0.1:",
                     sets_port_,
                     "\"}\nsets:\n  - name: boroughs\n    csv: boroughs.csv\n    schema: {columns: "
                     "[{name: code}, {name: name, not_personal: true}, {name: command_unit, "
                     "not_personal: true}], key: [{column: code}]}\n"));
    keys_ = Start("pseudonymiser", "keys");
    sets_ = Start("reference", "sets");
    for (auto* service : {keys_.get(), sets_.get()})
      ASSERT_EQ(service->WaitForOutput("\"grpc_port\":", 60s), absl::OkStatus());
  }

  std::string path(const std::string& name) const { return folder_->path() + "/" + name; }

  std::unique_ptr<ChildProcess> Start(const std::string& program, const std::string& config) {
    auto process = ChildProcess::Start({{base::StrCat(Environment("SLUICE_BINARY_DIR"),
                                                      "/services/", program, "/sluice-", program),
                                         "--config", path(config + ".yaml")},
                                        {},
                                        path(config + ".log"),
                                        ""});
    EXPECT_TRUE(process.ok()) << process.status();
    return *std::move(process);
  }

  void StartFlow(Flow& flow) {
    std::string pipeline = ShippedPipeline(root_, ".hunt." + flow.name);
    const std::string topic = "topic: raw.stops.hunt." + flow.name;
    pipeline.replace(pipeline.find(topic), topic.size(), topic + flow.input);
    reference::WriteText(
        path(flow.name + ".yaml"),
        base::StrCat("kafka: {brokers: [\"", connection_.brokers[0], "\"], group: hunt.", flow.name,
                     ", instance: hunt-", flow.name, "}\ncontracts: [\"", root_,
                     "/proto\"]\ndeaths_folder: deaths-", flow.name,
                     "\npseudonymiser: {remote: {address: \"localhost:", keys_port_,
                     "\", tls: {certificate: \"", caller_.certificate, "\", private_key: \"",
                     caller_.private_key, "\", client_ca: \"", caller_.authority,
                     "\"}}}\nreference: {remote: {address: \"127.0.0.1:", sets_port_,
                     "\", sets: [boroughs]}, folder: kept-", flow.name,
                     ", control: {topic: control.hunt.", flow.name, "}}\npipeline:\n", pipeline));
    auto setup = LoadSetup(path(flow.name + ".yaml"));
    ASSERT_TRUE(setup.ok()) << setup.status();
    flow.setup.emplace(*std::move(setup));
    std::vector<kafka::NewTopic> topics = {
        {flow.setup->pipeline->config().input().topic(), 2},
        {PositionsTopic(flow.setup->pipeline->config()), 1},
        {"control.hunt." + flow.name, 1, 1, {{"retention.ms", "-1"}}}};
    for (const std::string& out : OutputTopics(*flow.setup->pipeline)) topics.push_back({out, 1});
    auto admin = *kafka::Admin::Create(connection_);
    ASSERT_EQ(admin->CreateTopics(topics), absl::OkStatus());
    ASSERT_TRUE(WaitUntil(15s, [&] { return admin->LogEnds("control.hunt." + flow.name).ok(); }));
    flow.process = Start("processor", flow.name);
  }

  std::string Marker() { return markers_.Letters(); }

  // An event that would be clean, with a marker wherever one fits.
  std::string Event(const std::string& more = "") {
    return base::StrCat(
        R"({"event_id":"6f9619ff-8b86-4011-b42d-00cf4fc964ff","occurred_at":"2026-03-04T05:06:07Z",)",
        R"("type":"Person search","officer":{"warrant_no":")", Marker(), R"(","shoulder_no":")",
        Marker(), R"(","borough":")", Marker(), R"("},"subject":{"name":")", Marker(), " ",
        Marker(), R"(","date_of_birth":"1987-06-05","phone":"07700 900987","address":")", Marker(),
        R"("},"location":{"latitude":51.5,"longitude":-0.1,"postcode":"SW1A 1AA"},)",
        R"("legislation":"x","grounds":")", Marker(), R"(","video_reference":")", Marker(), "\"",
        more, "}");
  }

  std::vector<std::string> BrokenJson() {
    std::vector<std::string> events;
    const std::string whole = Event();
    for (size_t cut = 1; cut < whole.size(); cut += 23) events.push_back(whole.substr(0, cut));
    for (size_t at = 0; at < whole.size(); at += 19) {
      events.push_back(whole);
      events.back()[at] = whole[at] == '"' ? '\'' : '"';
    }
    for (const char* member : {"event_id", "occurred_at", "type", "officer", "subject", "vehicle",
                               "location", "legislation", "outcome", "grounds"}) {
      auto with = [&](const std::string& value) {
        events.push_back(base::StrCat("{\"", member, "\":", value, "}"));
        events.push_back(Event(base::StrCat(",\"", member, "\":", value)));
      };
      with(base::StrCat("\"", Marker(), "\""));
      with(base::StrCat("{\"", Marker(), "\":\"", Marker(), "\"}"));
      with(base::StrCat("[\"", Marker(), "\",\"", Marker(), "\"]"));
      with(markers_.Digits());
      with(base::StrCat("0.", markers_.Digits(), "e", markers_.Digits()));
    }
    for (const char* member :
         {"phone", "pnc_id", "date_of_birth", "gender", "ethnicity", "email"}) {
      events.push_back(base::StrCat("{\"subject\":{\"", member, "\":\"", Marker(), "\"}}"));
      events.push_back(base::StrCat("{\"subject\":{\"", member, "\":", markers_.Digits(), "}}"));
    }
    const std::string once = Marker();
    events.push_back(Event(base::StrCat(",\"", once, "\":1,\"", once, "\":2")));
    events.push_back(Event(base::StrCat(",\"grounds\":\"", Marker(), "\xFF\"")));
    events.push_back(Event(base::StrCat(",\"grounds\":\"", Marker(), "\\ud800\"")));
    std::string deep = "1";
    for (int i = 0; i < 60; ++i) deep = base::StrCat("{\"", Marker(), "\":", deep, "}");
    events.push_back(deep);
    events.push_back(Marker());
    events.push_back(base::StrCat("\"", Marker(), "\""));
    events.push_back(Event());
    return events;
  }

  std::vector<std::string> BrokenProtobuf(const processor::Setup& setup) {
    std::vector<std::string> events;
    google::protobuf::DynamicMessageFactory factory;
    std::unique_ptr<google::protobuf::Message> message(
        factory.GetPrototype(&setup.pipeline->contract().descriptor())->New());
    std::string json = Event();
    // protobuf's own parser doesn't know the contract's spellings.
    const std::string type = R"("type":"Person search",)";
    json.erase(json.find(type), type.size());
    google::protobuf::util::JsonParseOptions options;
    options.ignore_unknown_fields = true;
    auto parsed = google::protobuf::util::JsonStringToMessage(json, message.get(), options);
    EXPECT_TRUE(parsed.ok()) << parsed.ToString();
    const std::string whole = message->SerializeAsString();
    EXPECT_GT(whole.size(), 100u);
    for (size_t cut = 1; cut < whole.size(); cut += 7) events.push_back(whole.substr(0, cut));
    for (size_t at = 0; at < whole.size(); at += 5) {
      events.push_back(whole);
      events.back()[at] = static_cast<char>(events.back()[at] ^ 0x15);
    }
    // Unknown fields: a text, and a group of one.
    const std::string text = base::StrCat("\xA2\x06\x10", Marker());
    events.push_back(whole + text);
    events.push_back(base::StrCat(whole, "\xAB\x06", text, "\xAC\x06"));
    events.push_back(base::StrCat(whole, "\xAB\x06", text));
    events.push_back(Marker());
    events.push_back(Event());
    events.push_back(whole);
    return events;
  }

  void Produce(Flow& flow, const std::vector<std::string>& events) {
    auto writer = kafka::TopicWriter::Create({connection_});
    ASSERT_TRUE(writer.ok());
    for (const std::string& event : events) {
      const std::string key = Marker(), name = Marker(), value = Marker(),
                        digits = markers_.Digits();
      const std::vector<stream::Header> headers = {{name, value},
                                                   {"traceparent", value},
                                                   {"sluice-generation", digits},
                                                   {"sluice-reason", value},
                                                   {"ce_id", value},
                                                   {"content-type", value}};
      ASSERT_TRUE((*writer)
                      ->Write({flow.setup->pipeline->config().input().topic(),
                               std::nullopt,
                               key,
                               event,
                               headers,
                               {}})
                      .ok());
      ++flow.produced;
    }
    ASSERT_TRUE((*writer)->Flush().ok());
  }

  std::string Get(ChildProcess& process, std::string_view what) {
    EXPECT_EQ(process.WaitForOutput("http_port", 60s), absl::OkStatus());
    const std::string log = process.Output();
    const size_t at = log.find("\"http_port\":");
    const int port = at == std::string::npos ? 0 : std::atoi(log.c_str() + at + 12);
    return test_support::HttpGet(port, what).value_or("");
  }
  double Metric(ChildProcess& process, const std::string& name) {
    const std::string metrics = Get(process, "/metrics");
    const size_t at = metrics.find(base::StrCat("\n", name, " "));
    return at == std::string::npos ? -1 : std::atof(metrics.c_str() + at + name.size() + 2);
  }

  void Say(std::string_view what, std::string_view text) { said_.emplace_back(what, text); }
  template <typename Stub, typename Method, typename Request, typename Response>
  grpc::Status Call(Stub& stub, Method method, const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 30s);
    grpc::Status status = (stub.*method)(&context, request, &response);
    ++(status.ok() ? answered_ : refused_);
    Say("an error of gRPC", status.error_message() + status.error_details());
    return status;
  }

  // Requests to the pseudonymiser that say what they must not, of the caller that may.
  void AskKeys() {
    namespace v1 = pseudonymiser::v1;
    using Stub = v1::Pseudonymiser::Stub;
    auto channel = rpc::Connect(
        {.address = base::StrCat("localhost:", keys_port_),
         .tls = rpc::TlsFiles{caller_.certificate, caller_.private_key, caller_.authority}},
        "test");
    ASSERT_TRUE(channel.ok()) << channel.status();
    auto stub = v1::Pseudonymiser::NewStub(*channel);
    for (int kind : {0, 1, 2, 7, 99}) {
      const auto of_kind = static_cast<contract::v1::IdentifierKind>(kind);
      v1::EncryptRequest encrypt;
      encrypt.set_domain("intelligence");
      encrypt.set_kind(of_kind);
      encrypt.add_values(Marker());
      encrypt.add_values(std::string(20'000, 'x') + Marker());
      v1::EncryptResponse encrypted;
      Call(*stub, &Stub::Encrypt, encrypt, encrypted);
      v1::FormatPreserveRequest preserve;
      preserve.set_domain("intelligence");
      preserve.set_kind(of_kind);
      preserve.add_values(Marker());
      preserve.add_values(markers_.Digits());
      v1::FormatPreserveResponse preserved;
      Call(*stub, &Stub::FormatPreserve, preserve, preserved);
      v1::DecryptRequest decrypt;
      decrypt.set_domain("intelligence");
      decrypt.set_kind(of_kind);
      decrypt.add_encrypted("int1e-" + Marker());
      decrypt.mutable_justification()->set_purpose("purpose");
      v1::DecryptResponse decrypted;
      Call(*stub, &Stub::Decrypt, decrypt, decrypted);
      v1::PseudonymiseRequest pseudonymise;
      pseudonymise.add_target_list()->set_domain("intelligence");
      pseudonymise.set_values(Marker());
      pseudonymise.add_ends(static_cast<uint32_t>(kind == 7 ? 900 : 16));
      pseudonymise.set_kinds(std::string(1, static_cast<char>(kind)));
      pseudonymise.set_targets(Marker());
      v1::PseudonymiseResponse response;
      Call(*stub, &Stub::Pseudonymise, pseudonymise, response);
    }
    v1::ConvertRequest convert;
    convert.set_from_domain("intelligence");
    convert.set_to_domain("public");
    convert.set_blocks(Marker() + "x");
    v1::ConvertResponse converted;
    Call(*stub, &Stub::Convert, convert, converted);
  }

  // Versions of the set that are refused, each for another reason.
  void BreakSets() {
    namespace v1 = reference::v1;
    auto channel = rpc::Connect({.address = base::StrCat("127.0.0.1:", sets_port_)}, "test");
    ASSERT_TRUE(channel.ok()) << channel.status();
    auto stub = v1::Reference::NewStub(*channel);
    auto row = [&] { return base::StrCat(Marker(), ",", Marker(), ",", markers_.Digits(), "\n"); };
    const std::string twice = Marker(), header = "code,name,command_unit\n";
    std::vector<std::string> broken = {row() + row(),
                                       base::StrCat(header, row(), Marker(), "\n"),
                                       base::StrCat(header, twice, ",a,b\n", twice, ",c,d\n"),
                                       base::StrCat("code,name,", Marker(), "\n", row()),
                                       base::StrCat(header, "\"", row()),
                                       base::StrCat(header, Marker(), "\"", row()),
                                       base::StrCat(header, Marker(), "\xFF", row()),
                                       base::StrCat(twice, ",", twice, ",", header, row())};
    for (const std::string& csv : broken) {
      reference::WriteText(path("boroughs.csv"), csv);
      v1::LoadRequest load;
      load.set_set("boroughs");
      load.set_justification("test");
      v1::LoadResponse loaded;
      EXPECT_FALSE(Call(*stub, &v1::Reference::Stub::Load, load, loaded).ok());
      v1::GetStatusResponse status;
      EXPECT_TRUE(
          Call(*stub, &v1::Reference::Stub::GetStatus, v1::GetStatusRequest(), status).ok());
      EXPECT_NE(status.sets(0).refusal(), "");
      Say("the reference service's status", status.DebugString());
    }
    v1::LookupRequest lookup;
    lookup.set_set("boroughs");
    lookup.set_explain(true);
    for (int parts : {0, 1, 2, 40}) {
      lookup.clear_questions();
      v1::Question& question = *lookup.add_questions();
      for (int i = 0; i < parts; ++i) question.add_key(Marker());
      question.set_at(parts == 1 ? Marker() : "");
      question.set_value(Marker());
      v1::LookupResponse answer;
      Call(*stub, &v1::Reference::Stub::Lookup, lookup, answer);
      Say("a lookup's answer", answer.DebugString());
    }
    reference::WriteText(path("boroughs.csv"), csv_);
  }

  void AskProcessor(Flow& flow) {
    const std::string log = flow.process->Output();
    const int port = std::atoi(log.c_str() + log.find("\"grpc_port\":") + 12);
    auto channel = rpc::Connect({.address = base::StrCat("127.0.0.1:", port)}, "test");
    ASSERT_TRUE(channel.ok()) << channel.status();
    auto stub = v1::Processor::NewStub(*channel);
    v1::GetStatusResponse status;
    EXPECT_TRUE(Call(*stub, &v1::Processor::Stub::GetStatus, v1::GetStatusRequest(), status).ok());
    Say("the processor's status", status.DebugString());
    for (const std::string& event : {Marker(), Event().substr(0, 100), std::string()}) {
      v1::ExplainRequest request;
      request.mutable_event()->set_value(event);
      request.mutable_event()->set_key(Marker());
      v1::ExplainResponse response;
      Call(*stub, &v1::Processor::Stub::Explain, request, response);
      Say("an explanation", response.DebugString());
    }
  }

  // All that a process says of itself.
  void Listen(const std::string& name, ChildProcess& process) {
    for (const char* what : {"/metrics", "/livez", "/readyz", "/healthz"})
      Say(name + what, Get(process, what));
    Say(name + "'s log", process.Output());
    for (const char* file : {"cmdline", "environ", "comm"})
      Say(base::StrCat(name, "'s ", file),
          test_support::ReadFile(base::StrCat("/proc/", process.pid(), "/", file)));
  }

  void ListenToTopic(const std::string& topic) {
    size_t records = 0;
    absl::Status read =
        kafka::TopicReader({connection_})
            .Read(std::vector<std::string>{topic}, [&](const kafka::ReadRecord& record) {
              ++records;
              Say(topic, record.key.value_or(""));
              Say(topic, record.value.value_or(""));
              for (const auto& header : record.headers)
                Say(topic, base::StrCat(header.name, "=", header.value));
              return absl::OkStatus();
            });
    EXPECT_TRUE(read.ok()) << read;
    EXPECT_GT(records, 0u) << topic;
  }

  const std::string root_ = Environment("SLUICE_SOURCE_DIR");
  const std::unique_ptr<test_support::TempDir> folder_ =
      *test_support::TempDir::Create("marker-hunt");
  test_support::Certificates certificates_;
  test_support::CertificateFiles caller_;
  kafka::ConnectionOptions connection_;
  test_support::Markers markers_{20260305};
  std::string csv_;
  int keys_port_ = 0, sets_port_ = 0;
  std::unique_ptr<ChildProcess> keys_, sets_;
  std::vector<std::pair<std::string, std::string>> said_;
  int answered_ = 0, refused_ = 0;
};

TEST_F(MarkerHuntKafkaTest, NothingOfAnEventOrARowIsSaidAnywhere) {
  std::vector<Flow> flows(3);
  flows[0].name = "json";
  flows[1].name = "framed";
  flows[1].input = ", schema_ids: [7]";
  flows[2].name = "binary";
  flows[2].input = ", format: protobuf";
  for (Flow& flow : flows) ASSERT_NO_FATAL_FAILURE(StartFlow(flow));
  const std::vector<std::string> json = BrokenJson();
  ASSERT_NO_FATAL_FAILURE(Produce(flows[0], json));
  std::vector<std::string> framed;
  for (size_t i = 0; i < json.size(); i += 2)
    framed.push_back(
        base::StrCat(std::string("\0\0\0\0", 4), i % 10 == 0 ? "\x08" : "\x07",
                     json[i].substr(0, i % 6 == 0 ? json[i].size() / 2 : json[i].npos)));
  ASSERT_NO_FATAL_FAILURE(Produce(flows[1], framed));
  ASSERT_NO_FATAL_FAILURE(Produce(flows[2], BrokenProtobuf(*flows[2].setup)));
  ASSERT_NO_FATAL_FAILURE(AskKeys());
  for (Flow& flow : flows) {
    EXPECT_TRUE(WaitUntil(60s,
                          [&] {
                            return Metric(*flow.process, "sluice_events_in_total") ==
                                   static_cast<double>(flow.produced);
                          }))
        << flow.name << ": " << Metric(*flow.process, "sluice_events_in_total") << " of "
        << flow.produced << "\n"
        << test_support::Tail(flow.process->Output(), 10);
  }
  // With events already joined: what is refused must not reach them.
  ASSERT_NO_FATAL_FAILURE(BreakSets());
  for (Flow& flow : flows) {
    ASSERT_NO_FATAL_FAILURE(AskProcessor(flow));
    Listen(flow.name, *flow.process);
    const config::v1::Pipeline& pipeline = flow.setup->pipeline->config();
    for (const std::string& topic :
         {pipeline.quarantine().topic(), PositionsTopic(pipeline), "control.hunt." + flow.name})
      ListenToTopic(topic);
    Say("deaths", test_support::ReadFile(path("deaths-" + flow.name + "/deaths")));
  }
  Listen("pseudonymiser", *keys_);
  Listen("reference", *sets_);
  for (const char* file : {"audit.log", "state"}) Say(file, test_support::ReadFile(path(file)));
  for (const char* folder : {"trail", "sets"}) {
    // The versions that were taken are without markers, too.
    if (!std::filesystem::is_directory(path(folder))) {
      Say(folder, test_support::ReadFile(path(folder)));
      continue;
    }
    for (const auto& file : std::filesystem::recursive_directory_iterator(path(folder)))
      if (file.is_regular_file())
        Say(file.path().string(), test_support::ReadFile(file.path().string()));
  }
  // Each place was there to be looked at.
  EXPECT_GT(markers_.size(), 500u);
  EXPECT_GT(answered_, 10);
  EXPECT_GT(refused_, 10);
  std::set<std::string> silent, heard;
  for (const auto& [what, text] : said_) (text.empty() ? silent : heard).insert(what);
  for (const char* what : {"json/metrics", "json/readyz", "json's log", "json's cmdline",
                           "pseudonymiser/metrics", "reference's log", "audit.log", "state",
                           "the reference service's status", "an error of gRPC", "an explanation"})
    EXPECT_TRUE(heard.contains(what)) << what;
  for (const auto& [what, text] : said_) EXPECT_EQ(markers_.FindIn(text), "") << what;
}

}  // namespace
}  // namespace sluice::processor
