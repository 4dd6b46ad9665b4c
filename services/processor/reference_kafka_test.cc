// Joins while reference data changes and its service fails, on a real Kafka and a real PostgreSQL:
// what is published is right, or the flow waits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include "common/base/random.h"
#include "common/base/sha256.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/reader.h"
#include "common/kafka/writer.h"
#include "common/privacy/keyring.h"
#include "common/privacy/seal.h"
#include "common/reference/testing.h"
#include "demo/generator.h"
#include "services/processor/processor.h"
#include "services/processor/shipped_pipeline_test.h"
#include "tests/support/child_process.h"
#include "tests/support/free_port.h"
#include "tests/support/http_get.h"
#include "tests/support/postgres_server.h"
#include "tests/support/shared_broker.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace sluice::processor {
namespace {

using namespace std::chrono_literals;
using reference::WriteText;
using test_support::ChildProcess;
using test_support::WaitUntil;
using ::testing::HasSubstr;

class ReferenceKafkaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    connection_.brokers = {test_support::SharedBroker().bootstrap()};
    suffix_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    base::SystemRandom random;
    ASSERT_TRUE(privacy::Keyring::CreateKeyFile(path("kek"), random).ok());
    auto keyring = privacy::Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random);
    ASSERT_TRUE(keyring->Save(path("keyring"), path("kek"), random).ok());
    WriteText(path("quarantine.pub"), privacy::NewSealingKeys(random)->public_pem);
    csv_ = test_support::ReadFile(root_ + "/deploy/config/boroughs.csv");
    WriteText(path("boroughs.csv"), csv_);
    service_port_ = *test_support::FreePort();
    std::vector<kafka::NewTopic> topics = {{raw(), 4}};
    for (const char* stem : {"clean.stops.intelligence", "clean.stops.public", "quarantine.stops"})
      topics.push_back({base::StrCat(stem, ".", suffix_), 2});
    topics.push_back({base::StrCat("quarantine.stops.", suffix_, ".positions"), 1});
    ASSERT_EQ((*kafka::Admin::Create(connection_))->CreateTopics(topics), absl::OkStatus());
  }

  std::string path(const std::string& name) const { return folder_->path() + "/" + name; }
  std::string raw() const { return "raw.stops." + suffix_; }
  std::string clean() const { return "clean.stops.intelligence." + suffix_; }
  std::string control() const { return "control.stops." + suffix_; }
  // A topic of pins and fences.
  void MakeControl() {
    auto admin = *kafka::Admin::Create(connection_);
    kafka::NewTopic topic{control(), 1, 1, {{"retention.ms", "-1"}}};
    ASSERT_EQ(admin->CreateTopics({&topic, 1}), absl::OkStatus());
    // A broker follows its controller.
    ASSERT_TRUE(WaitUntil(15s, [&] { return admin->LogEnds(control()).ok(); }));
  }
  // `remote: ...`, as `reference` has it.
  std::string Remote(std::string_view rest = "") const {
    return base::StrCat("remote: {address: \"127.0.0.1:", service_port_, "\", sets: [boroughs]",
                        rest, "}");
  }

  void WriteConfig(const std::string& instance, const std::string& group, std::string_view sets,
                   std::string_view control = "") {
    std::string text =
        base::StrCat("kafka: {brokers: [\"", connection_.brokers[0], "\"], group: ", suffix_, ".",
                     group, ", instance: ", group, "-", instance,
                     ", session_timeout_ms: 6000, transaction_timeout_ms: 3000}\n",
                     "commit: {events: 500}\ncontracts: [\"", root_, "/proto\"]\n",
                     "pseudonymiser: {local: {keyring: keyring, key_encryption_key: kek}}\n",
                     "reference:\n  ", sets, "\n  folder: kept-", group, "-", instance, "\n");
    if (!control.empty()) base::StrAppend(text, "  control: {topic: ", control, "}\n");
    // Each group is a pipeline of its own, though the topics are the same ones.
    base::StrAppend(text, "pipeline:\n  name: ", suffix_, ".", group, "\n",
                    ShippedPipeline(root_, "." + suffix_));
    WriteText(path(base::StrCat(group, "-", instance, ".yaml")), text);
  }
  std::unique_ptr<ChildProcess> StartProcess(const std::string& program,
                                             const std::string& config) {
    std::filesystem::remove(path(config + ".log"));  // it names the port
    auto process =
        ChildProcess::Start({{base::StrCat(binaries_, "/services/", program, "/sluice-", program),
                              "--config", path(config + ".yaml")},
                             {},
                             path(config + ".log"),
                             ""});
    EXPECT_TRUE(process.ok()) << process.status();
    return *std::move(process);
  }
  std::unique_ptr<ChildProcess> StartProcessor(const std::string& name) {
    auto process = StartProcess("processor", name);
    EXPECT_EQ(process->WaitForOutput("http_port", 60s), absl::OkStatus());
    return process;
  }
  // `column`: one more, in YAML; `guards`: of the set.
  std::unique_ptr<ChildProcess> StartService(std::string_view column = "",
                                             std::string_view guards = "") {
    WriteText(
        path("reference.yaml"),
        base::StrCat("folder: service\ntrail: trail\nlook_interval_ms: 50\n"
                     "listen: {grpc: \"127.0.0.1:",
                     service_port_,
                     "\"}\nsets:\n  - name: boroughs\n    csv: boroughs.csv\n    schema: {columns: "
                     "[{name: code}, {name: name, not_personal: true}, {name: command_unit, "
                     "not_personal: true}",
                     column, "], key: [{column: code}]}\n", guards));
    return StartProcess("reference", "reference");
  }

  // What an HTTP port answers.
  std::string Get(ChildProcess& process, std::string_view what) {
    EXPECT_EQ(process.WaitForOutput("http_port", 60s), absl::OkStatus());
    std::string log = process.Output();
    size_t at = log.find("\"http_port\":");
    int port = at == std::string::npos ? 0 : std::atoi(log.c_str() + at + 12);
    return test_support::HttpGet(port, what).value_or("");
  }
  // Of a metric without labels; -1: it isn't there.
  double Metric(ChildProcess& process, const std::string& name) {
    const std::string line = base::StrCat("\n", name, " ");
    std::string metrics = Get(process, "/metrics");
    size_t at = metrics.find(line);
    return at == std::string::npos ? -1 : std::atof(metrics.c_str() + at + line.size());
  }
  bool WaitForMetric(ChildProcess& process, const std::string& text) {
    return WaitUntil(60s, [&] { return Get(process, "/metrics").find(text) != std::string::npos; });
  }

  void Produce(int events) {
    auto writer = kafka::TopicWriter::Create({connection_});
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (int i = 0; i < events; ++i) {
      ASSERT_EQ((*writer)->Write({raw(), std::nullopt, base::StrCat(i), generator_.Next(), {}, {}}),
                absl::OkStatus());
    }
    ASSERT_EQ((*writer)->Flush(), absl::OkStatus());
    produced_ += events;
  }

  struct Result {
    std::string reference, value;
  };
  // By partition and offset, what the internal stream has of each event; each once.
  std::map<int32_t, std::map<int64_t, Result>> Results() {
    std::map<int32_t, std::map<int64_t, Result>> results;
    absl::Status read =
        kafka::TopicReader({connection_})
            .Read(std::vector<std::string>{clean()}, [&](const kafka::ReadRecord& record) {
              std::string source;
              Result result;
              for (const auto& header : record.headers) {
                if (header.name == "sluice-src") source = header.value;
                if (header.name == "sluice-ref") result.reference = header.value;
              }
              result.value = record.value.value_or("");
              size_t slash = source.rfind('/');
              size_t partition = source.rfind('/', slash - 1) + 1;
              EXPECT_TRUE(results[std::stoi(source.substr(partition))]
                              .emplace(std::stoll(source.substr(slash + 1)), result)
                              .second)
                  << "twice: " << source;
              return absl::OkStatus();
            });
    EXPECT_TRUE(read.ok()) << read;
    return results;
  }
  // The versions that each partition's events were joined to, in order.
  std::map<int32_t, std::vector<std::string>> Versions() {
    std::map<int32_t, std::vector<std::string>> versions;
    for (const auto& [partition, offsets] : Results()) {
      for (const auto& [offset, result] : offsets) {
        auto& of = versions[partition];
        if (of.empty() || of.back() != result.reference) of.push_back(result.reference);
      }
    }
    return versions;
  }
  bool WaitForIn(ChildProcess& process, int events) {
    return WaitForMetric(process, base::StrCat("sluice_events_in_total ", events, "\n"));
  }
  // Until the group has committed all that there is.
  bool WaitForAll() {
    auto admin = *kafka::Admin::Create(connection_);
    return WaitUntil(60s, [&] {
      auto committed = admin->Committed(suffix_ + ".g", raw());
      return committed.ok() && *committed == *admin->LogEnds(raw());
    });
  }
  void StopCleanly(ChildProcess& process) {
    ASSERT_EQ(process.Signal(SIGTERM), absl::OkStatus());
    auto ended = process.Wait(40s);
    ASSERT_TRUE(ended.ok()) << ended.status();
    EXPECT_EQ(*ended, test_support::Exit{}) << test_support::Tail(process.Output(), 20);
  }
  // The boroughs with one more column.
  std::string OfEdition(int edition) const {
    std::istringstream rows(csv_);
    std::string text, line;
    std::getline(rows, line);
    base::StrAppend(text, line, ",edition\n");
    while (std::getline(rows, line)) base::StrAppend(text, line, ",", edition, "\n");
    return text;
  }
  std::string Renamed(std::string_view from, std::string_view to) const {
    std::string text = csv_;
    size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos);
    return text.replace(at, from.size(), to);
  }

  const std::string root_ = std::getenv("SLUICE_SOURCE_DIR");
  const std::string binaries_ = std::getenv("SLUICE_BINARY_DIR");
  kafka::ConnectionOptions connection_;
  std::unique_ptr<test_support::TempDir> folder_ =
      *test_support::TempDir::Create("reference-kafka");
  std::string suffix_, csv_;
  int service_port_ = 0;
  demo::Generator generator_{11};
  int produced_ = 0;
};

TEST_F(ReferenceKafkaTest, AServiceThatIsLateFrozenKilledOrWrongIsNeverJoinedWrongly) {
  WriteConfig("a", "g", Remote(", age_s_max: 4"));
  auto processor = StartProcessor("g-a");
  Produce(300);
  // Without its sets it is alive, not ready, and says which it waits for.
  EXPECT_TRUE(WaitUntil(60s, [&] {
    return Get(*processor, "/readyz").find("waits for its reference sets: boroughs") !=
           std::string::npos;
  })) << Get(*processor, "/readyz");
  EXPECT_THAT(Get(*processor, "/livez"), HasSubstr("200"));
  constexpr std::string_view kEdition = ", {name: edition, type: integer}";
  constexpr std::string_view kGuards = "    rises: edition\n";
  const std::string old = OfEdition(1);
  csv_ = OfEdition(2);
  WriteText(path("boroughs.csv"), csv_);
  auto service = StartService(kEdition, kGuards);
  ASSERT_TRUE(WaitForIn(*processor, produced_));

  // Half a file, an empty one, another one, an older one: the last good version goes on, and an
  // alarm can see it.
  size_t half = csv_.find('\n', csv_.size() / 2) + 1;
  for (const std::string& wrong :
       {csv_.substr(0, half), std::string(), std::string("code\n1\n"), old}) {
    WriteText(path("boroughs.csv"), wrong);
    EXPECT_TRUE(WaitForMetric(*service, "sluice_reference_refused{set=\"boroughs\"} 1"));
    Produce(100);
    ASSERT_TRUE(WaitForIn(*processor, produced_));
    WriteText(path("boroughs.csv"), csv_);
    EXPECT_TRUE(WaitForMetric(*service, "sluice_reference_refused{set=\"boroughs\"} 0"));
  }
  for (const auto& [partition, versions] : Versions()) EXPECT_EQ(versions.size(), 1u);

  // Frozen: what is there is joined until it is too old; then nothing is.
  kill(service->pid(), SIGSTOP);
  Produce(100);
  ASSERT_TRUE(WaitForIn(*processor, produced_));
  // Seconds past it, so that the workers know.
  EXPECT_TRUE(WaitUntil(
      60s, [&] { return Metric(*processor, "sluice_reference_unconfirmed_seconds") >= 6; }));
  int before = produced_;
  Produce(100);
  EXPECT_TRUE(WaitUntil(60s, [&] {
    return Get(*processor, "/readyz").find("age_s_max (4 s)") != std::string::npos;
  })) << Get(*processor, "/readyz");
  EXPECT_TRUE(WaitForIn(*processor, before)) << "what came then waits";
  kill(service->pid(), SIGCONT);
  ASSERT_TRUE(WaitForIn(*processor, produced_));

  // Killed: the same, and a processor that is started meanwhile works from its own disk.
  service->Kill();
  StopCleanly(*processor);
  processor = StartProcessor("g-a");
  EXPECT_TRUE(WaitUntil(60s, [&] {
    std::string ready = Get(*processor, "/readyz");
    return ready.find("200") != std::string::npos || ready.find("age_s_max") != std::string::npos;
  }));
  Produce(100);
  WriteText(path("boroughs.csv"), Renamed("Camden", "Kamden"));
  service = StartService(kEdition, kGuards);
  ASSERT_TRUE(WaitForIn(*processor, 100));
  Produce(400);
  EXPECT_TRUE(WaitUntil(60s, [&] {
    std::string all;
    for (const auto& [partition, offsets] : Results())
      for (const auto& [offset, result] : offsets) all += result.value;
    if (all.find("Kamden") == std::string::npos) Produce(50);
    return all.find("Kamden") != std::string::npos;
  }));
  StopCleanly(*processor);
}

TEST_F(ReferenceKafkaTest, ASwapOfTheServicesHasOneBorderInEachPartitionOfThreeProcessors) {
  auto service = StartService();
  std::vector<std::unique_ptr<ChildProcess>> replicas;
  for (const char* instance : {"a", "b", "c"}) {
    WriteConfig(instance, "g", Remote());
    replicas.push_back(StartProcessor(base::StrCat("g-", instance)));
  }
  // A border needs events on both of its sides, and replicas that keep their partitions.
  auto has_events = [&](const auto& replica) {
    return Metric(*replica, "sluice_events_in_total") > 0;
  };
  ASSERT_TRUE(WaitUntil(60s, [&] {
    Produce(400);
    return Versions().size() == 4 && std::all_of(replicas.begin(), replicas.end(), has_events);
  }));
  WriteText(path("boroughs.csv"), Renamed("Camden", "Kamden"));
  std::map<int32_t, std::vector<std::string>> versions;
  EXPECT_TRUE(WaitUntil(60s, [&] {
    Produce(400);
    versions = Versions();
    return versions.size() == 4 && std::all_of(versions.begin(), versions.end(),
                                               [](const auto& of) { return of.second.size() > 1; });
  }));
  std::set<std::vector<std::string>> distinct;
  for (const auto& [partition, of] : Versions()) {
    EXPECT_EQ(of.size(), 2u) << "partition " << partition << ": " << testing::PrintToString(of);
    distinct.insert(of);
  }
  EXPECT_EQ(distinct.size(), 1u);
  for (const auto& replica : replicas) StopCleanly(*replica);
}

// Of the records of the clean topics from these offsets on, whatever their order is there: keys,
// values and headers.
struct Digest {
  size_t records = 0;
  std::string sha256;
  bool operator==(const Digest&) const = default;
};

class PinsKafkaTest : public ReferenceKafkaTest {
 protected:
  void SetUp() override {
    ReferenceKafkaTest::SetUp();
    MakeControl();
  }

  // `sluicectl reference fence`: its exit code, and what it says.
  std::pair<int, std::string> WriteFence(std::vector<std::string> rest = {}) {
    std::vector<std::string> command = {binaries_ + "/services/ctl/sluicectl",
                                        "reference",
                                        "fence",
                                        base::StrCat("127.0.0.1:", service_port_),
                                        "--config",
                                        path("g-a.yaml"),
                                        "--trail",
                                        path("fences.jsonl"),
                                        "--reason",
                                        "boundaries of May"};
    command.insert(command.end(), rest.begin(), rest.end());
    auto ctl = ChildProcess::Start({std::move(command), {}, path("ctl.log"), ""});
    EXPECT_TRUE(ctl.ok()) << ctl.status();
    auto ended = (*ctl)->Wait(40s);
    EXPECT_TRUE(ended.ok()) << ended.status();
    return {ended->code, (*ctl)->Output()};
  }
  std::vector<std::string> CleanTopics() const {
    return {clean(), "clean.stops.public." + suffix_};
  }
  // Where the clean topics end.
  std::vector<kafka::ReadRange> Ends() {
    std::vector<kafka::ReadRange> ends;
    auto admin = *kafka::Admin::Create(connection_);
    for (const std::string& topic : CleanTopics()) {
      auto log_ends = *admin->LogEnds(topic);
      for (size_t i = 0; i < log_ends.size(); ++i)
        ends.push_back({topic, static_cast<int32_t>(i), 0, log_ends[i]});
    }
    return ends;
  }
  Digest DigestOf(const std::vector<kafka::ReadRange>& ranges) {
    std::vector<std::string> hashes;
    absl::Status read =
        kafka::TopicReader({connection_}).Read(ranges, [&](const kafka::ReadRecord& record) {
          base::Sha256 hash;
          hash.AddPart(record.topic);
          hash.AddPart(record.key.value_or(""));
          hash.AddPart(record.value.value_or(""));
          for (const auto& header : record.headers) {
            hash.AddPart(header.name);
            hash.AddPart(header.value);
          }
          hashes.push_back(hash.Hex());
          return absl::OkStatus();
        });
    EXPECT_TRUE(read.ok()) << read;
    std::sort(hashes.begin(), hashes.end());
    base::Sha256 all;
    for (const std::string& hash : hashes) all.AddPart(hash);
    return {hashes.size(), all.Hex()};
  }
  // The ranges from the first ends to the second.
  static std::vector<kafka::ReadRange> Between(std::vector<kafka::ReadRange> from,
                                               const std::vector<kafka::ReadRange>& to) {
    for (size_t i = 0; i < from.size(); ++i)
      from[i] = {from[i].topic, from[i].partition, from[i].end, to[i].end};
    return from;
  }
  // Until the processor joins to a version that the service had not loaded when this was made.
  struct Before {
    std::set<std::string> files;
  };
  Before Loaded() const { return {reference::FilesIn(path("service/boroughs"))}; }
  bool WaitForAnother(ChildProcess& process, const Before& before,
                      std::chrono::seconds at_most = 60s) {
    return WaitUntil(at_most, [&] {
      std::string metrics = Get(process, "/metrics");
      const std::string_view begin = "\nsluice_snapshot_info{id=\"";
      size_t at = metrics.find(begin);
      if (at == std::string::npos) return false;
      at += begin.size();
      return !before.files.contains(metrics.substr(at, metrics.find('"', at) - at) + ".snapshot");
    });
  }
};

TEST_F(PinsKafkaTest, AReplayThatFollowsThePinsGivesTheSameBytesThroughASwap) {
  const char* asked = std::getenv("SLUICE_REPLAY_EVENTS");
  const int events = asked == nullptr ? 20'000 : std::atoi(asked);
  auto service = StartService();
  WriteConfig("a", "leads", Remote(), control());
  auto leader = StartProcessor("leads-a");
  Produce(events / 2);
  ASSERT_TRUE(WaitForIn(*leader, produced_));
  const Before before = Loaded();
  WriteText(path("boroughs.csv"), Renamed("Camden", "Kamden"));
  ASSERT_TRUE(WaitForAnother(*leader, before));
  Produce(events - events / 2);
  ASSERT_TRUE(WaitForIn(*leader, produced_));
  // Four partitions, two versions each.
  EXPECT_THAT(Get(*leader, "/metrics"), HasSubstr("sluice_reference_pins_total 8\n"));
  StopCleanly(*leader);
  auto versions = Versions();
  EXPECT_EQ(versions.size(), 4u);
  for (const auto& [partition, of] : versions) EXPECT_EQ(of.size(), 2u);
  std::vector<kafka::ReadRange> ends = Ends();
  Digest first = DigestOf(ends);
  EXPECT_GT(first.records, static_cast<size_t>(events));

  // A third version is the newest by now: it is joined to nothing.
  WriteText(path("boroughs.csv"), Renamed("Camden", "Qamden"));
  ASSERT_TRUE(WaitForMetric(
      *service, "sluice_reference_loads_total{result=\"accepted\",set=\"boroughs\"} 3"));
  WriteConfig("a", "again", Remote(), control() + ", follow: " + suffix_ + ".leads");
  // The topics hold the leader's results, so that it has to be said where the follower begins.
  std::vector<kafka::GroupOffset> begin;
  for (int32_t partition = 0; partition < 4; ++partition)
    begin.push_back({raw(), partition, 0, ""});
  ASSERT_TRUE(
      (*kafka::Admin::Create(connection_))->SetGroupOffsets(suffix_ + ".again", begin).ok());
  auto follower = StartProcessor("again-a");
  ASSERT_TRUE(WaitForIn(*follower, produced_)) << test_support::Tail(follower->Output(), 20);
  StopCleanly(*follower);
  Digest second = DigestOf(Between(ends, Ends()));
  EXPECT_EQ(second.records, first.records);
  EXPECT_EQ(second.sha256, first.sha256);
  std::printf("%d events, %zu records, SHA-256 %s twice\n", events, first.records,
              first.sha256.c_str());
}

TEST_F(PinsKafkaTest, AFenceIsTheBorderInEachPartitionOfThreeProcessorsThoughOneIsKilled) {
  auto service = StartService();
  std::vector<std::unique_ptr<ChildProcess>> replicas;
  for (const char* instance : {"a", "b", "c"}) {
    WriteConfig(instance, "g", Remote(), control() + ", swap: fenced");
    replicas.push_back(StartProcessor(base::StrCat("g-", instance)));
  }
  auto admin = *kafka::Admin::Create(connection_);
  Produce(400);
  for (const auto& replica : replicas) {
    EXPECT_TRUE(WaitUntil(60s, [&] {
      return Get(*replica, "/readyz").find("waits for the first fence") != std::string::npos;
    })) << Get(*replica, "/readyz");
  }
  auto first = WriteFence();
  EXPECT_EQ(first.first, 0) << first.second;
  ASSERT_TRUE(WaitForAll());

  const Before before = Loaded();
  WriteText(path("boroughs.csv"), Renamed("Camden", "Kamden"));
  ASSERT_TRUE(WaitForMetric(
      *service, "sluice_reference_loads_total{result=\"accepted\",set=\"boroughs\"} 2"));
  Produce(400);
  ASSERT_TRUE(WaitForAll());
  // Committed isn't visible at once: the markers follow.
  ASSERT_TRUE(WaitUntil(60s, [&] { return Versions().size() == 4; }));
  const std::vector<int64_t> border = *admin->LogEnds(raw());
  auto second = WriteFence();
  EXPECT_EQ(second.first, 0) << second.second;
  auto again = WriteFence();
  EXPECT_EQ(again.first, 2);
  EXPECT_THAT(again.second, HasSubstr("names these versions already"));
  // What was written, and by whom and why; what wasn't, isn't there.
  std::string trail = test_support::ReadFile(path("fences.jsonl"));
  EXPECT_EQ(std::count(trail.begin(), trail.end(), '\n'), 2) << trail;
  EXPECT_THAT(trail, HasSubstr("\"action\":\"WriteFence\""));
  EXPECT_THAT(trail, HasSubstr("\"justification\":\"boundaries of May\""));
  // They have heard of it: the older versions are joined to what is before it.
  for (const auto& replica : replicas) ASSERT_TRUE(WaitForAnother(*replica, before));
  replicas[1]->Kill();
  Produce(400);
  ASSERT_TRUE(WaitForAll());
  ASSERT_TRUE(WaitUntil(60s, [&] {
    auto versions = Versions();
    return std::all_of(versions.begin(), versions.end(),
                       [](const auto& of) { return of.second.size() > 1; });
  }));
  std::set<std::vector<std::string>> distinct;
  for (const auto& [partition, of] : Versions()) {
    ASSERT_EQ(of.size(), 2u) << "partition " << partition;
    distinct.insert(of);
  }
  ASSERT_EQ(distinct.size(), 1u);
  for (const auto& [partition, offsets] : Results()) {
    for (const auto& [offset, result] : offsets) {
      EXPECT_EQ(result.reference,
                (*distinct.begin())[offset < border[static_cast<size_t>(partition)] ? 0 : 1])
          << partition << "/" << offset;
    }
  }
  StopCleanly(*replicas[0]);
  StopCleanly(*replicas[2]);
}

// While events flow, ahead of where they are; with kills between the fence and its place; and back.
TEST_F(PinsKafkaTest, AFenceAheadUnderTrafficIsTheBorderAndSoIsOneBack) {
  constexpr int kAhead = 1'000, kMeanwhile = 50, kOfMeanwhile = 60;
  static_assert(kMeanwhile * kOfMeanwhile < 4 * kAhead, "heard of before any partition is there");
  auto service = StartService();
  std::map<std::string, std::unique_ptr<ChildProcess>> replicas;
  auto start = [&](const std::string& name) { replicas[name] = StartProcessor("g-" + name); };
  for (const std::string name : {"a", "b", "c"}) {
    WriteConfig(name, "g", Remote(), control() + ", swap: fenced");
    start(name);
  }
  auto wait_for_load = [&](int number) {
    return WaitForMetric(
        *service,
        base::StrCat("sluice_reference_loads_total{result=\"accepted\",set=\"boroughs\"} ",
                     number));
  };
  ASSERT_TRUE(wait_for_load(1));
  auto first = WriteFence();
  ASSERT_EQ(first.first, 0) << first.second;
  Produce(400);
  ASSERT_TRUE(WaitForAll());

  auto admin = *kafka::Admin::Create(connection_);
  auto fence_ahead = [&] {
    std::vector<int64_t> border = *admin->LogEnds(raw());
    auto fence = WriteFence({"--ahead", base::StrCat(kAhead)});
    EXPECT_EQ(fence.first, 0) << fence.second;
    for (int64_t& offset : border) offset += kAhead;
    return border;
  };
  const Before before = Loaded();
  WriteText(path("boroughs.csv"), Renamed("Camden", "Kamden"));
  ASSERT_TRUE(wait_for_load(2));
  const std::vector<int64_t> forth = fence_ahead();
  int rounds = 0;
  for (const auto& [name, replica] : replicas) {
    EXPECT_TRUE(WaitUntil(60s,
                          [&, &process = *replica] {
                            if (++rounds <= kMeanwhile) Produce(kOfMeanwhile);
                            return WaitForAnother(process, before, 0s);
                          }))
        << name << " hears of it";
  }
  replicas["a"]->Kill();
  start("a");
  Produce(4 * kAhead + 400);
  ASSERT_TRUE(WaitForAll());

  WriteText(path("boroughs.csv"), csv_);
  ASSERT_TRUE(wait_for_load(3));
  const std::vector<int64_t> back = fence_ahead();
  Produce(400);
  for (const std::string name : {"a", "b", "c"}) {
    replicas[name]->Kill();
    start(name);
  }
  Produce(4 * kAhead + 400);
  ASSERT_TRUE(WaitForAll());
  // Committed isn't visible at once: the markers follow.
  EXPECT_TRUE(WaitUntil(60s, [&] {
    auto versions = Versions();
    return versions.size() == 4 && std::all_of(versions.begin(), versions.end(),
                                               [](const auto& of) { return of.second.size() > 2; });
  }));
  for (const auto& [name, replica] : replicas) StopCleanly(*replica);
  const std::vector<std::string> in_turn = Versions().begin()->second;
  ASSERT_EQ(in_turn.size(), 3u);
  EXPECT_EQ(in_turn[0], in_turn[2]);
  int wrong = 0;
  for (const auto& [partition, offsets] : Results()) {
    const auto at = static_cast<size_t>(partition);
    for (const auto& [offset, result] : offsets)
      wrong += result.reference != in_turn[offset < forth[at] ? 0 : offset < back[at] ? 1 : 2];
  }
  EXPECT_EQ(wrong, 0) << "events on the wrong side of a fence";
}

TEST_F(PinsKafkaTest, AFenceIntoATopicThatIsntThereIsRefusedWithItsName) {
  auto service = StartService();
  ASSERT_TRUE(WaitForMetric(
      *service, "sluice_reference_loads_total{result=\"accepted\",set=\"boroughs\"} 1"));
  WriteConfig("a", "g", Remote(), "nowhere." + suffix_ + ", swap: fenced");
  auto refused = WriteFence();
  EXPECT_NE(refused.first, 0);
  EXPECT_THAT(refused.second, HasSubstr("nowhere." + suffix_));
  EXPECT_EQ(test_support::ReadFile(path("fences.jsonl")), "");
}

TEST_F(PinsKafkaTest, KillsAroundASwapLoseAndDoubleNothingAndNoPartitionGoesBack) {
  auto service = StartService();
  std::map<std::string, std::unique_ptr<ChildProcess>> replicas;
  for (const std::string name : {"a", "b"}) {
    WriteConfig(name, "g", Remote(), control());
    replicas[name] = StartProcessor("g-" + name);
  }
  auto admin = *kafka::Admin::Create(connection_);
  Produce(1000);
  ASSERT_TRUE(WaitForAll());
  WriteText(path("boroughs.csv"), Renamed("Camden", "Kamden"));
  // Wherever they stand: before the swap, in it, behind it.
  for (const char* name : {"a", "b", "a", "b"}) {
    Produce(500);
    replicas[name]->Kill();
    replicas[name] = StartProcessor(base::StrCat("g-", name));
  }
  ASSERT_TRUE(WaitForMetric(
      *service, "sluice_reference_loads_total{result=\"accepted\",set=\"boroughs\"} 2"));
  EXPECT_TRUE(WaitUntil(60s, [&] {
    Produce(100);
    auto versions = Versions();
    return versions.size() == 4 && std::all_of(versions.begin(), versions.end(),
                                               [](const auto& of) { return of.second.size() > 1; });
  }));
  ASSERT_TRUE(WaitForAll());
  for (const auto& [name, replica] : replicas) StopCleanly(*replica);
  for (const auto& [partition, of] : Versions()) EXPECT_EQ(of.size(), 2u) << partition;
  size_t results = 0;
  for (const auto& [partition, offsets] : Results()) results += offsets.size();
  absl::Status read = kafka::TopicReader({connection_})
                          .Read(std::vector<std::string>{"quarantine.stops." + suffix_},
                                [&](const kafka::ReadRecord&) {
                                  ++results;
                                  return absl::OkStatus();
                                });
  EXPECT_TRUE(read.ok()) << read;
  EXPECT_EQ(results, static_cast<size_t>(produced_));
}

TEST_F(PinsKafkaTest, AReplicaThatIsBehindWaitsAndNoPartitionGoesBack) {
  auto service = StartService();
  WriteConfig("a", "g", Remote(), control());
  auto processor = StartProcessor("g-a");
  Produce(400);
  ASSERT_TRUE(WaitForIn(*processor, produced_));
  StopCleanly(*processor);
  // What a replica has that knows the first version only.
  std::filesystem::copy(path("kept-g-a"), path("behind"), std::filesystem::copy_options::recursive);
  const Before before = Loaded();
  WriteText(path("boroughs.csv"), Renamed("Camden", "Kamden"));
  processor = StartProcessor("g-a");
  ASSERT_TRUE(WaitForAnother(*processor, before));
  Produce(400);
  ASSERT_TRUE(WaitForIn(*processor, 400));
  StopCleanly(*processor);
  service->Kill();
  std::filesystem::remove_all(path("kept-g-a"));
  std::filesystem::rename(path("behind"), path("kept-g-a"));
  auto behind = StartProcessor("g-a");
  Produce(100);
  EXPECT_TRUE(WaitUntil(60s, [&] {
    return Get(*behind, "/readyz").find("waits for activation") != std::string::npos;
  })) << Get(*behind, "/readyz");
  EXPECT_THAT(Get(*behind, "/metrics"), HasSubstr("sluice_events_in_total 0\n"));
  service = StartService();
  ASSERT_TRUE(WaitForIn(*behind, 100));
  StopCleanly(*behind);
  for (const auto& [partition, of] : Versions()) EXPECT_EQ(of.size(), 2u);
}

TEST_F(ReferenceKafkaTest, ATableOfPostgresIsJoinedFollowedAndOutlived) {
  auto server = test_support::PostgresServer::Create();
  ASSERT_TRUE(server.ok()) << server.status();
  ASSERT_EQ((*server)->Start(), absl::OkStatus());
  std::string insert = "CREATE TABLE boroughs (code text, name text, command_unit text); ";
  std::istringstream rows(csv_);
  std::string line;
  std::getline(rows, line);
  while (std::getline(rows, line)) {
    size_t first = line.find(','), second = line.find(',', first + 1);
    base::StrAppend(insert, "INSERT INTO boroughs VALUES ('", line.substr(0, first), "', '",
                    line.substr(first + 1, second - first - 1), "', '", line.substr(second + 1),
                    "'); ");
  }
  ASSERT_EQ((*server)->Execute(insert), absl::OkStatus());
  WriteConfig(
      "a", "g",
      base::StrCat("local: {sets: [{name: boroughs, postgres: {connection: \"",
                   (*server)->connection(),
                   "\", query: select * from boroughs, look_interval_ms: 100}, schema: {columns: "
                   "[{name: code}, {name: name, not_personal: true}, {name: command_unit, "
                   "not_personal: true}], key: [{column: code}]}}]}"));
  auto processor = StartProcessor("g-a");
  Produce(300);
  ASSERT_TRUE(WaitForIn(*processor, produced_));
  auto joined = [&](std::string_view name) {
    for (const auto& [partition, offsets] : Results())
      for (const auto& [offset, result] : offsets)
        if (result.value.find(name) != std::string::npos) return true;
    return false;
  };
  // Committed isn't visible at once: the markers follow.
  ASSERT_TRUE(WaitUntil(60s, [&] { return joined("Camden"); }));
  ASSERT_EQ((*server)->Execute("UPDATE boroughs SET name = 'Kamden' WHERE name = 'Camden'"),
            absl::OkStatus());
  EXPECT_TRUE(WaitUntil(60s, [&] {
    Produce(100);
    return joined("Kamden");
  }));
  // Emptied, and then away: the last good version goes on.
  ASSERT_EQ((*server)->Execute("DELETE FROM boroughs"), absl::OkStatus());
  EXPECT_TRUE(WaitForMetric(*processor, "sluice_config_reload_refused 1"));
  (*server)->Kill();
  Produce(300);
  EXPECT_TRUE(WaitForIn(*processor, produced_));
  StopCleanly(*processor);
}

TEST_F(ReferenceKafkaTest, ARowOnItsWayIsWaitedForOverAKillAndOneThatNeverComesAsLongAsIsSaid) {
  const std::string csv =
      "local: {sets: [{name: boroughs, csv: boroughs.csv, key: code, not_personal: [name, "
      "command_unit]}]}";
  auto without = [](std::string text, std::string_view code) {
    size_t at = text.find(code);
    return text.erase(at, text.find('\n', at) + 1 - at);
  };
  auto configure = [&](std::string_view on_missing) {
    WriteConfig("a", "g", csv);
    std::string text = test_support::ReadFile(path("g-a.yaml"));
    constexpr std::string_view kKeep = "on_missing: keep";
    WriteText(path("g-a.yaml"), text.replace(text.find(kKeep), kKeep.size(), on_missing));
  };
  auto held = [&](ChildProcess& process) {
    return WaitUntil(60s, [&] {
      return Get(process, "/readyz").find("waits for a row of the reference set 'boroughs'") !=
             std::string::npos;
    });
  };
  const std::string no_hackney = without(csv_, "E09000012");
  WriteText(path("boroughs.csv"), without(no_hackney, "E09000007"));
  configure("on_missing: wait, wait_ms: 3600000");
  auto processor = StartProcessor("g-a");
  Produce(300);
  EXPECT_TRUE(held(*processor)) << Get(*processor, "/readyz");
  processor->Kill();
  processor = StartProcessor("g-a");
  EXPECT_TRUE(held(*processor)) << Get(*processor, "/readyz");

  // Camden comes, Hackney doesn't: once the first are through, those are still waited for.
  WriteText(path("boroughs.csv"), no_hackney);
  ASSERT_TRUE(WaitForMetric(*processor, "sluice_config_reloads_total{result=\"accepted\"} 1"));
  EXPECT_TRUE(held(*processor)) << Get(*processor, "/readyz");
  configure("on_missing: wait, wait_ms: 1");
  ASSERT_TRUE(WaitForAll());
  StopCleanly(*processor);

  size_t camden = 0, events = 0;
  for (const auto& [partition, offsets] : Results()) {
    for (const auto& [offset, result] : offsets) {
      ++events;
      camden += result.value.find("Camden") != std::string::npos;
      EXPECT_EQ(result.value.find("E09000012"), std::string::npos) << partition << "/" << offset;
      EXPECT_EQ(result.value.find("E09000007") != std::string::npos,
                result.value.find("Camden") != std::string::npos)
          << partition << "/" << offset;
    }
  }
  EXPECT_GT(camden, 0u);
  size_t missing = 0;
  absl::Status read = kafka::TopicReader({connection_})
                          .Read(std::vector<std::string>{"quarantine.stops." + suffix_},
                                [&](const kafka::ReadRecord& record) {
                                  ++events;
                                  for (const auto& header : record.headers)
                                    missing += header.value == "sluice.reference_missing";
                                  return absl::OkStatus();
                                });
  EXPECT_TRUE(read.ok()) << read;
  EXPECT_GT(missing, 0u);
  EXPECT_EQ(events, static_cast<size_t>(produced_));
}

TEST_F(ReferenceKafkaTest, AHangupHasTheConfigurationReadAgain) {
  WriteConfig("a", "g",
              "local: {sets: [{name: boroughs, csv: boroughs.csv, key: code, not_personal: [name, "
              "command_unit]}]}");
  auto processor = StartProcessor("g-a");
  EXPECT_THAT(Get(*processor, "/metrics"),
              HasSubstr("sluice_config_reloads_total{result=\"accepted\"} 0"));
  ASSERT_EQ(processor->Signal(SIGHUP), absl::OkStatus());
  EXPECT_TRUE(WaitForMetric(*processor, "sluice_config_reloads_total{result=\"accepted\"} 1"));
  Produce(100);
  EXPECT_TRUE(WaitForIn(*processor, produced_));
  StopCleanly(*processor);
}

}  // namespace
}  // namespace sluice::processor
