// The processor with its keys in the pseudonymiser's process, both as processes of their own, on a
// real Kafka, through what goes wrong between them. After each: every raw event has exactly one
// result, in order, and nothing has passed untreated.
#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/stat.h>

#include <cstring>
#include <set>
#include <sstream>

#include "common/kafka/reader.h"
#include "common/privacy/rotation.h"
#include "services/processor/processor_test.h"
#include "services/processor/testing.h"
#include "tests/support/certificates.h"
#include "tests/support/free_port.h"
#include "tests/support/sanitized.h"

// SHA256_Init and its sisters: what an HMAC's key leaves behind can't be had from EVP.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace sluice::processor {
namespace {

using ::testing::HasSubstr;

class RemoteKafkaTest : public ProcessorKafkaTest {
 protected:
  void SetUp() override {
    ProcessorKafkaTest::SetUp();
    port_ = *test_support::FreePort();
    processor_ = certificates_.Issue("authority", "processor", "URI:spiffe://sluice/processor");
    IssueServer(3600);
    std::ofstream(path("policy.yaml"))
        << "callers: [{caller: \"spiffe://sluice/processor\", limits: {bulk: true},\n"
        << "  may: [{calls: [pseudonymise, encrypt, format_preserve], domains: [\"*\"]}]},\n"
        << " {caller: \"spiffe://sluice/admin\", may: [{calls: [rotate_domain], domains: "
           "[\"*\"]}]}]\n";
    std::ofstream(path("keys.yaml"))
        << "keyring: keyring\nkey_encryption_key: kek\npolicy: policy.yaml\n"
        << "state: state\nlook_interval_ms: 100\naudit: {file: audit.log, writer: test}\n"
        << "listen: {grpc: \"localhost:" << port_ << "\", tls: {certificate: \""
        << server_.certificate << "\", private_key: \"" << server_.private_key
        << "\", client_ca: \"" << server_.authority << "\"}}\n";
    UseRemoteKeys();
  }

  std::string path(const std::string& file) const { return folder_->path() + "/" + file; }
  void IssueServer(long valid_s) {
    server_ = certificates_.Issue("authority", "pseudonymiser", "DNS:localhost", valid_s);
  }
  void UseRemoteKeys() {
    pseudonymiser_ = base::StrCat(
        "remote: {address: \"localhost:", port_, "\", deadline_ms: 1000, tls: {certificate: \"",
        processor_.certificate, "\", private_key: \"", processor_.private_key, "\", client_ca: \"",
        processor_.authority, "\"}}");
    ASSERT_TRUE(LoadConfig("first").has_value());
  }

  std::unique_ptr<ChildProcess> StartKeys() {
    std::filesystem::remove(path("keys.log"));
    auto process = ChildProcess::Start(
        {{Environment("SLUICE_BINARY_DIR") + "/services/pseudonymiser/sluice-pseudonymiser",
          "--config", path("keys.yaml")},
         {},
         path("keys.log"),
         ""});
    EXPECT_TRUE(process.ok()) << process.status();
    absl::Status started = (*process)->WaitForOutput("grpc_port", 60s);
    EXPECT_TRUE(started.ok()) << started;
    return *std::move(process);
  }
  // Until the processor has said so once more than before.
  void WaitUntilItWaits(std::string_view reason) {
    EXPECT_TRUE(test_support::WaitUntil(
        60s,
        [&] {
          std::string text = test_support::ReadFile(log()).substr(seen_);
          size_t at = text.find("dependency_unavailable");
          return at != std::string::npos && text.find(reason, at) != std::string::npos;
        }))
        << reason << "\n"
        << test_support::Tail(test_support::ReadFile(log()), 10);
    seen_ = test_support::ReadFile(log()).size();
  }

  void ReadClean(const std::function<void(const kafka::ReadRecord&)>& see) {
    std::vector<std::string> clean = OutputTopics(*setup_->pipeline);
    clean.pop_back();
    absl::Status read =
        kafka::TopicReader({Connection()}).Read(clean, [&](const kafka::ReadRecord& record) {
          see(record);
          return absl::OkStatus();
        });
    EXPECT_TRUE(read.ok()) << read;
  }
  // Every identifier of the stream that pseudonymises them is one, and the raw ones are nowhere.
  void ExpectTreated() {
    size_t records = 0;
    ReadClean([&](const kafka::ReadRecord& record) {
      std::string value(record.value.value_or(""));
      ++records;
      for (const char* raw : {"7700 900", "7700900", "Ashdown", "Yardley"})
        EXPECT_EQ(value.find(raw), std::string::npos);
      if (record.topic != setup_->pipeline->streams()[0].topic) return;
      for (const char* field : {"\"pnc_id\":\"int", "\"phone\":\"int", "\"name\":\"int"})
        EXPECT_NE(value.find(field), std::string::npos);
    });
    EXPECT_GT(records, 0u);
  }
  void ReloadKeyring() {
    auto keyring = privacy::Keyring::Load(path("keyring"), path("kek"));
    ASSERT_TRUE(keyring.ok()) << keyring.status();
    setup_->keyring = *std::move(keyring);
  }
  // The service as the processor asks it.
  std::shared_ptr<KeyService> Keys() const {
    KeyService::Options options;
    options.channel.address = base::StrCat("localhost:", port_);
    options.channel.tls = {processor_.certificate, processor_.private_key, processor_.authority};
    auto service = KeyService::Create(std::move(options));
    EXPECT_TRUE(service.ok()) << service.status();
    return service.ok() ? *service : nullptr;
  }
  // As an operator does where the service has the keys.
  void RotateByTheService(const std::string& domain) {
    auto admin = certificates_.Issue("authority", "admin", "URI:spiffe://sluice/admin");
    auto process = ChildProcess::Start(
        {{Environment("SLUICE_BINARY_DIR") + "/services/ctl/sluicectl", "domains", "rotate", domain,
          "--purpose", "yearly", "--pseudonymiser", base::StrCat("localhost:", port_),
          "--tls-certificate", admin.certificate, "--tls-private-key", admin.private_key,
          "--tls-authority", admin.authority},
         {},
         path("ctl.log"),
         ""});
    ASSERT_TRUE(process.ok()) << process.status();
    auto ended = (*process)->Wait(60s);
    ASSERT_TRUE(ended.ok()) << ended.status();
    ASSERT_EQ(*ended, test_support::Exit{}) << (*process)->Output();
    EXPECT_THAT((*process)->Output(), HasSubstr("epoch 2"));
    ReloadKeyring();
  }
  // As an operator's `sluicectl keys rotate` does.
  void Rotate(const std::string& domain) {
    ReloadKeyring();
    ASSERT_TRUE(setup_->keyring->Rotate(domain, random_).ok());
    absl::Status saved = setup_->keyring->Save(path("keyring"), path("kek"), random_);
    ASSERT_TRUE(saved.ok()) << saved;
  }
  static void ExpectBoundedMemory(ChildProcess& process) {
    if (test_support::kSanitized) return;
    const int64_t peak_mib = PeakMib(process);
    EXPECT_GT(peak_mib, 0);
    EXPECT_LT(peak_mib, 256);
  }
  static int64_t PeakMib(ChildProcess& process) {
    std::istringstream status(
        test_support::ReadFile(base::StrCat("/proc/", process.pid(), "/status")));
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmHWM:")) return std::atoll(line.c_str() + 6) / 1024;
    }
    return -1;
  }

  base::SystemRandom random_;
  test_support::Certificates certificates_;
  test_support::CertificateFiles processor_, server_;
  int port_ = 0;
  size_t seen_ = 0;  // of the processor's log
};

TEST_F(RemoteKafkaTest, APseudonymiserThatIsKilledOrFrozenLosesNothing) {
  auto keys = StartKeys();
  Produce(6000);
  auto process = Start();
  WaitForSomeResults();
  keys->Kill();
  Produce(4000);
  WaitUntilItWaits("UNAVAILABLE");
  keys = StartKeys();
  // It is connected again by then.
  ExpectConserved();
  ASSERT_TRUE(keys->Signal(SIGSTOP).ok());
  Produce(4000);
  WaitUntilItWaits("DEADLINE_EXCEEDED");
  EXPECT_THAT(Metrics(*process), HasSubstr("sluice_key_service_away 1"));
  ASSERT_TRUE(keys->Signal(SIGCONT).ok());
  Produce(1000);
  ExpectConserved();
  ExpectTreated();
  EXPECT_THAT(Metrics(*process), HasSubstr("sluice_key_service_away 0"));
  ExpectBoundedMemory(*process);
  StopCleanly(*process);
}

TEST_F(RemoteKafkaTest, APseudonymiserThatComesLaterOrWithAnExpiredCertificateIsWaitedFor) {
  auto process = Start();
  Produce(2000);
  WaitUntilItWaits("UNAVAILABLE");
  IssueServer(-60);
  auto keys = StartKeys();
  WaitUntilItWaits("certificate");
  EXPECT_EQ(Audit().in, 0u);
  keys->Kill();
  IssueServer(3600);
  keys = StartKeys();
  ExpectConserved();
  ExpectTreated();
  StopCleanly(*process);
}

TEST_F(RemoteKafkaTest, APseudonymiserThatRefusesIsWaitedFor) {
  std::string policy = test_support::ReadFile(path("policy.yaml"));
  std::ofstream(path("policy.yaml")) << "callers: [{caller: somebody}]\n";
  auto keys = StartKeys();
  auto process = Start();
  Produce(1000);
  WaitUntilItWaits("PERMISSION_DENIED");
  EXPECT_EQ(Audit().in, 0u);
  std::ofstream(path("policy.new")) << policy;
  std::filesystem::rename(path("policy.new"), path("policy.yaml"));
  ExpectConserved();
  StopCleanly(*process);
}

TEST_F(RemoteKafkaTest, ANewerKeyringIsTakenAtABatchsBorder) {
  auto keys = StartKeys();
  auto process = Start();
  Produce(3000);
  ExpectConserved();
  keys->Kill();
  Rotate("intelligence");
  keys = StartKeys();
  Produce(3000);
  ExpectConserved();
  ExpectTreated();
  // An audit without keys at hand finds the same, under both epochs.
  RemotePseudonymiser remote(Keys(), random_);
  auto audited =
      audit::Audit({Connection(), setup_->config.kafka().group()}, *setup_->pipeline, remote);
  ASSERT_TRUE(audited.ok()) << audited.status();
  EXPECT_TRUE(audited->conserved());
  EXPECT_EQ(audited->in, static_cast<uint64_t>(produced_));
  // By raw partition, first the old epoch and then the new one, never both in a record.
  std::map<std::string, std::map<int64_t, std::string>> epochs;
  ReadClean([&](const kafka::ReadRecord& record) {
    if (record.topic != setup_->pipeline->streams()[0].topic) return;
    std::string value(record.value.value_or("")), source;
    const bool old = value.find("\"int1-") != std::string::npos;
    EXPECT_NE(old, value.find("\"int2-") != std::string::npos);
    for (const auto& header : record.headers)
      if (header.name == "sluice-src") source = header.value;
    const size_t slash = source.rfind('/');
    epochs[source.substr(0, slash)][std::stoll(source.substr(slash + 1))] = old ? "int1" : "int2";
  });
  EXPECT_EQ(epochs.size(), 4u);
  for (const auto& [partition, offsets] : epochs) {
    std::vector<std::string> seen;
    for (const auto& [offset, epoch] : offsets)
      if (seen.empty() || seen.back() != epoch) seen.push_back(epoch);
    EXPECT_THAT(seen, ::testing::ElementsAre("int1", "int2")) << partition;
  }
  StopCleanly(*process);
}

TEST_F(RemoteKafkaTest, AServiceThatAnswersSlowlyByHalvesOrNotAtAllLosesNothing) {
  FakeKeyService service;
  service.Use(*setup_->keyring);
  rpc::ServerOptions options;
  options.address = base::StrCat("127.0.0.1:", port_);
  options.tls = {server_.certificate, server_.private_key, server_.authority};
  auto server = *rpc::Server::Create(std::move(options), {&service});
  ASSERT_EQ(server->Start(), absl::OkStatus());
  std::mt19937 random(20260304);  // the hooks run one at a time
  service.Before([&](const auto&) {
    if (random() % 4 == 0) std::this_thread::sleep_for(20ms);
    constexpr grpc::StatusCode kCodes[] = {grpc::UNAVAILABLE, grpc::RESOURCE_EXHAUSTED,
                                           grpc::INTERNAL};
    return random() % 5 == 0 ? grpc::Status(kCodes[random() % 3], "") : grpc::Status::OK;
  });
  service.Spoil([&](auto& response) {
    if (random() % 5 == 0) response.mutable_blocks()->resize(response.blocks().size() / 2);
  });
  auto process = Start();
  for (int i = 0; i < 5; ++i) Produce(1000);
  ExpectConserved();
  ExpectTreated();
  EXPECT_THAT(Metrics(*process), HasSubstr("code=\"BAD_ANSWER\""));
  ExpectBoundedMemory(*process);
  StopCleanly(*process);
}

// What a key leaves in the memory of who uses it.
struct Traces {
  std::set<std::string> keys;   // as they were derived; AES' first round keys are the key itself
  std::set<std::string> hmacs;  // SHA-256's states after the pads
};

Traces TracesOf(const privacy::Keyring& keyring) {
  constexpr base::SecretAccess kAccess{};
  Traces traces;
  auto add = [&](const absl::StatusOr<base::SecretBytes>& key) {
    ASSERT_TRUE(key.ok());
    auto bytes = key->Reveal(kAccess);
    traces.keys.emplace(reinterpret_cast<const char*>(bytes.data()), 16);
  };
  for (const privacy::KeyringDomain& domain : keyring.domains()) {
    add(keyring.DomainKey(domain.name, domain.newest()));
    add(keyring.FormatKey(domain.name, domain.newest()));
  }
  for (int kind = 0; kind <= contract::v1::IdentifierKind_MAX; ++kind) {
    for (bool scoped : {false, true}) {
      auto id = static_cast<contract::v1::IdentifierKind>(kind);
      auto key = scoped ? keyring.ScopedKindKey(id) : keyring.KindKey(id);
      EXPECT_TRUE(key.ok());
      auto bytes = key->Reveal(kAccess);
      for (uint8_t with : {0x36, 0x5c}) {
        uint8_t pad[64];
        for (size_t i = 0; i < sizeof(pad); ++i) pad[i] = with ^ (i < bytes.size() ? bytes[i] : 0);
        SHA256_CTX state;
        SHA256_Init(&state);
        SHA256_Transform(&state, pad);
        traces.hmacs.emplace(reinterpret_cast<const char*>(state.h), 16);
      }
      traces.keys.emplace(reinterpret_cast<const char*>(bytes.data()), 16);
    }
  }
  return traces;
}

// How many of the traces stand in the process's memory; nullopt: it can't be read.
constexpr ssize_t kTraceBytes = 16;
constexpr uint64_t kPieceBytes = 64 * 1024;
std::optional<size_t> CountIn(pid_t pid, const std::set<std::string>& traces) {
  int memory = open(base::StrCat("/proc/", pid, "/mem").c_str(), O_RDONLY | O_CLOEXEC);
  if (memory < 0) return std::nullopt;
  std::set<std::string> seen;
  // By their first bytes, so that memory is gone through once.
  std::map<uint32_t, std::vector<const std::string*>> by_start;
  std::vector<bool> starts(1 << 16);
  for (const std::string& trace : traces) {
    uint32_t start = 0;
    std::memcpy(&start, trace.data(), sizeof(start));
    by_start[start].push_back(&trace);
    starts[start & 0xffff] = true;
  }
  std::istringstream maps(test_support::ReadFile(base::StrCat("/proc/", pid, "/maps")));
  for (std::string line; std::getline(maps, line);) {
    char* end = nullptr;
    const uint64_t from = std::strtoull(line.c_str(), &end, 16);
    const uint64_t to = std::strtoull(end + 1, &end, 16);
    if (end[1] != 'r' || end[2] != 'w') continue;
    // Piece by piece, each with the end of the one before: a read stops short of a page that isn't
    // there, and what lies behind it counts too.
    std::string bytes;
    for (uint64_t piece = from; piece < to; piece += kPieceBytes) {
      const uint64_t begin = piece == from ? from : piece - kTraceBytes + 1;
      bytes.resize(std::min(piece + kPieceBytes, to) - begin);
      const ssize_t size = pread(memory, bytes.data(), bytes.size(), static_cast<off_t>(begin));
      for (ssize_t at = 0; at + kTraceBytes <= size; ++at) {
        uint32_t start = 0;
        std::memcpy(&start, bytes.data() + at, sizeof(start));
        if (!starts[start & 0xffff]) continue;
        auto found = by_start.find(start);
        if (found == by_start.end()) continue;
        for (const std::string* trace : found->second)
          if (std::memcmp(bytes.data() + at, trace->data(), kTraceBytes) == 0) seen.insert(*trace);
      }
    }
  }
  close(memory);
  return seen.size();
}

TEST_F(RemoteKafkaTest, NoKeyIsInTheProcessorsMemory) {
  if (test_support::kSanitized) GTEST_SKIP() << "a sanitizer's memory can't be gone through";
  const Traces traces = TracesOf(*setup_->keyring);
  auto keys = StartKeys();
  auto process = Start();
  Produce(2000);
  ExpectConserved();
  std::optional<size_t> found = CountIn(process->pid(), traces.keys);
  if (!found) GTEST_SKIP() << "this user can't read a non-dumpable process's memory; run as root";
  EXPECT_EQ(*found, 0u);
  EXPECT_EQ(CountIn(process->pid(), traces.hmacs), 0u);
  StopCleanly(*process);

  // The same with the keys at hand: they are found, or the search proves nothing.
  pseudonymiser_ = "local: {keyring: keyring, key_encryption_key: kek}";
  ASSERT_TRUE(LoadConfig("first").has_value());
  process = Start();
  Produce(100);
  ExpectConserved();
  EXPECT_GT(CountIn(process->pid(), traces.keys).value_or(0), 0u);
  EXPECT_EQ(CountIn(process->pid(), traces.hmacs), traces.hmacs.size());
  StopCleanly(*process);
}

// Two streams that share a domain, and the same two in the epoch before.
class RotationKafkaTest : public RemoteKafkaTest, public ::testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    for (const char* name : {"partner", "before", "partner_before"}) {
      base::StrAppend(more_streams_, "    - name: ", name, "\n      topic: ", Topic(name),
                      "\n      domain: intelligence",
                      std::string_view(name).ends_with("before") ? "@previous" : "",
                      "\n      internal: true\n      treat: {PNC_ID: pseudonymise");
      for (const char* kind : {"PERSON_NAME", "PHONE", "EMAIL", "WARRANT_NUMBER", "SHOULDER_NUMBER",
                               "VRM", "ADDRESS", "FREE_IDENTIFIER", "POSTCODE", "DATE_OF_BIRTH",
                               "GENDER", "ETHNICITY", "LOCATION", "FREE_TEXT"})
        base::StrAppend(more_streams_, ", ", kind, ": drop");
      more_streams_ += "}\n";
    }
    RemoteKafkaTest::SetUp();
  }

  static std::string Topic(const std::string& stream) {
    return base::StrCat("clean.rotation.", GetParam() ? "service." : "file.", stream);
  }

  // Of a stream's records of one phase: pseudonym and event id.
  using Rows = std::vector<std::pair<std::string, std::string>>;
  static std::set<std::pair<std::string, std::string>> Join(const Rows& left, const Rows& right) {
    std::multimap<std::string, std::string> by_pseudonym(right.begin(), right.end());
    std::set<std::pair<std::string, std::string>> joined;
    for (const auto& [pseudonym, id] : left) {
      auto [from, to] = by_pseudonym.equal_range(pseudonym);
      for (; from != to; ++from) joined.emplace(id, from->second);
    }
    return joined;
  }
  // As an operator's `sluicectl keys convert` does with a stored file.
  Rows Converted(Rows rows) const {
    auto rotation = privacy::Rotation::Create(*setup_->keyring, "intelligence");
    EXPECT_TRUE(rotation.ok());
    privacy::Rotation::Counts counts;
    for (auto& [pseudonym, id] : rows) {
      std::string converted;
      EXPECT_EQ(rotation->Convert(pseudonym, converted, counts), absl::OkStatus());
      pseudonym = converted;
    }
    return rows;
  }
  static std::set<std::string> EpochsIn(const Rows& rows) {
    std::set<std::string> epochs;
    for (const auto& row : rows) epochs.insert(row.first.substr(0, row.first.find('-')));
    return epochs;
  }
  // Until the service makes pseudonyms of this epoch.
  void WaitForEpoch(uint32_t epoch) {
    auto service = Keys();
    EXPECT_TRUE(test_support::WaitUntil(30s, [&] {
      RemotePseudonymiser remote(service, random_);
      privacy::PseudonymBatch batch;
      batch.Add(contract::v1::PNC_ID, "1981/0000034U", std::array{*remote.Domain("intelligence")});
      privacy::PseudonymAnswer answer;
      return remote.Pseudonymise(batch, answer).ok() && answer.domains[0].epoch == epoch;
    }));
  }
};

INSTANTIATE_TEST_SUITE_P(Begun, RotationKafkaTest, ::testing::Bool(), [](const auto& by_service) {
  return by_service.param ? "ByTheServicesCall" : "InTheKeyringsFile";
});

TEST_P(RotationKafkaTest, AJoinHasTheSameRowsBeforeDuringAndAfterARotation) {
  constexpr int kEvents = 2000;  // of a phase, the same in each
  auto keys = StartKeys();
  auto process = Start();
  Produce(kEvents);
  ExpectConserved();
  std::vector<int64_t> in_partition;
  auto ranges =
      (*kafka::Admin::Create(Connection()))->Ranges(setup_->pipeline->config().input().topic());
  ASSERT_TRUE(ranges.ok());
  for (const auto& range : *ranges) in_partition.push_back(range.end - range.begin);

  generator_ = demo::Generator(7);
  Produce(kEvents / 2);
  ExpectConserved();
  if (GetParam()) {
    RotateByTheService("intelligence");
  } else {
    Rotate("intelligence");
  }
  WaitForEpoch(2);
  for (int i = 0; i < 4; ++i) {
    Produce(kEvents / 8, kEvents / 2 + i * kEvents / 8);
    ExpectConserved();
  }
  generator_ = demo::Generator(7);
  Produce(kEvents);
  ExpectConserved();
  StopCleanly(*process);

  // By stream and phase.
  std::map<std::string, std::array<Rows, 3>> rows;
  ReadClean([&](const kafka::ReadRecord& record) {
    if (record.topic == setup_->pipeline->streams()[1].topic) return;  // the public one
    std::string value(record.value.value_or("")), source;
    auto field = [&](const std::string& name) {
      size_t at = value.find(base::StrCat("\"", name, "\":\"")) + name.size() + 4;
      return value.substr(at, value.find('"', at) - at);
    };
    for (const auto& header : record.headers)
      if (header.name == "sluice-src") source = header.value;
    const size_t slash = source.rfind('/');
    const size_t partition = std::stoul(source.substr(source.rfind('/', slash - 1) + 1));
    const auto phase =
        static_cast<size_t>(std::stoll(source.substr(slash + 1)) / in_partition[partition]);
    ASSERT_LT(phase, 3u);
    rows[std::string(record.topic)][phase].emplace_back(field("pnc_id"), field("event_id"));
  });
  const auto& left = rows[setup_->pipeline->streams()[0].topic];
  const auto& right = rows[Topic("partner")];
  const auto& left_before = rows[Topic("before")];
  const auto& right_before = rows[Topic("partner_before")];

  const auto before = Join(left[0], right[0]);
  EXPECT_GT(before.size(), kEvents * 9 / 10u);
  // While both epochs are published, who stays with the old one misses nothing.
  using Epochs = std::set<std::string>;
  EXPECT_EQ(EpochsIn(left[1]), (Epochs{"int1", "int2"}));
  EXPECT_EQ(EpochsIn(left_before[1]), Epochs{"int1"});
  EXPECT_EQ(Join(left_before[1], right_before[1]), before);
  EXPECT_EQ(Join(left[0], left_before[2]), Join(left[0], left[0]));
  // Nor who goes over to the new one and has what is stored converted.
  EXPECT_EQ(Join(Converted(left[1]), Converted(right[1])), before);
  EXPECT_EQ(Join(Converted(left[0]), right[2]), before);
  EXPECT_EQ(EpochsIn(left[2]), Epochs{"int2"});
  EXPECT_EQ(Join(left[2], right[2]), before);
  // Without that, old and new don't join: the epochs are unlinkable.
  EXPECT_TRUE(Join(left[0], right[2]).empty());
}

}  // namespace
}  // namespace sluice::processor
