// Hostile callers of every kind beside a processor: it is never refused and keeps its pace, memory
// stays bounded, and a restart works afterwards.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/strings.h"
#include "services/pseudonymiser/testing.h"
#include "tests/support/child_process.h"
#include "tests/support/http_get.h"
#include "tests/support/sanitized.h"

namespace sluice::pseudonymiser {
namespace {

using contract::v1::PHONE;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using test_support::ChildProcess;
using ::testing::HasSubstr;

// SLUICE_ATTACK_S: how long; a minute in `./run test-attack`.
seconds Duration() {
  const char* given = std::getenv("SLUICE_ATTACK_S");
  return seconds(given == nullptr ? 6 : std::atoi(given));
}

// What the chart gives the service.
constexpr long kMemoryKibMax = 512 * 1024;

constexpr const char* kPolicy = R"(callers:
  - caller: spiffe://force/processor
    may: [{calls: [pseudonymise], domains: [intelligence]}]
    limits: {bulk: true}
  - caller: spiffe://force/greedy
    may:
      - {calls: [pseudonymise, request_reidentification, list_domains], domains: ["*"]}
  - caller: spiffe://force/leaver
    may: [{calls: [pseudonymise], domains: ["*"]}]
revoked: ["spiffe://force/leaver"]
)";

class AttackTest : public ::testing::Test {
 protected:
  void SetUp() override {
    service_.SetPolicy(kPolicy);
    // Writes the configuration.
    ASSERT_TRUE(service_.Start().ok());
    service_.Stop();
    Run();
  }

  void Run() {
    std::remove(service_.path("log").c_str());
    const std::string program = std::getenv("SLUICE_BINARY_DIR");
    auto child = ChildProcess::Start({{program + "/services/pseudonymiser/sluice-pseudonymiser",
                                       "--config", service_.path("pseudonymiser.yaml")},
                                      {},
                                      service_.path("log"),
                                      ""});
    ASSERT_TRUE(child.ok()) << child.status();
    child_ = *std::move(child);
    absl::Status started = child_->WaitForOutput("\"event\":\"started\"", seconds(30));
    ASSERT_TRUE(started.ok()) << started;
    const std::string log = child_->Output();
    grpc_port_ = std::atoi(log.c_str() + log.find("\"grpc_port\":") + 12);
    http_port_ = std::atoi(log.c_str() + log.find("\"http_port\":") + 12);
  }

  std::unique_ptr<v1::Pseudonymiser::Stub> As(const std::string& name) {
    auto channel = rpc::Connect({.address = base::StrCat("127.0.0.1:", grpc_port_),
                                 .tls = service_.Caller("spiffe://force/" + name),
                                 .message_bytes_max = 16 * 1024 * 1024,
                                 .own_connection = true},
                                "test");
    EXPECT_TRUE(channel.ok()) << channel.status();
    return v1::Pseudonymiser::NewStub(*channel);
  }

  static v1::PseudonymiseRequest Values(size_t values, size_t bytes = 13) {
    v1::PseudonymiseRequest request;
    request.add_target_list()->set_domain("intelligence");
    for (size_t i = 0; i < values; ++i) {
      request.mutable_values()->append(bytes, static_cast<char>('0' + i % 10));
      request.add_ends(static_cast<uint32_t>(request.values().size()));
      request.mutable_kinds()->push_back(PHONE);
      request.mutable_targets()->push_back(0);
    }
    return request;
  }

  long MemoryKib() {
    const std::string status = TestService::Read(base::StrCat("/proc/", child_->pid(), "/status"));
    return std::atol(status.c_str() + status.find("VmHWM:") + 6);
  }

  // Calls `act` at a pace until the end.
  template <typename Act>
  void Every(milliseconds pace, Act act) {
    threads_.emplace_back([this, pace, act = std::move(act)]() mutable {
      for (auto next = steady_clock::now(); !stop_; next += pace) {
        std::this_thread::sleep_until(next);
        if (!stop_) act();
      }
    });
  }

  TestService service_;
  std::unique_ptr<ChildProcess> child_;
  int grpc_port_ = 0, http_port_ = 0;
  std::atomic<bool> stop_ = false;
  std::vector<std::thread> threads_;
};

struct Stream {
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::PseudonymiseRequest, v1::PseudonymiseResponse>> at;
};

TEST_F(AttackTest, AProcessorIsServedWhateverOthersDo) {
  // Half-open connections, and ones that say half a greeting.
  std::vector<int> sockets;
  for (int i = 0; i < 60; ++i) {
    const int one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(grpc_port_));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(connect(one, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
    if (i % 2 == 1) {
      ASSERT_EQ(send(one, "\x16\x03\x01\x02", 4, MSG_NOSIGNAL), 4);
    }
    sockets.push_back(one);
  }
  // Streams that are opened and left: of a stranger, a leaver and a caller that may.
  auto stranger = As("stranger"), leaver = As("leaver"), greedy = As("greedy");
  std::vector<std::unique_ptr<Stream>> streams;
  for (auto* stub : {stranger.get(), leaver.get(), greedy.get()}) {
    for (int i = 0; i < 60; ++i) {
      auto& stream = *streams.emplace_back(std::make_unique<Stream>());
      stream.at = stub->PseudonymiseStream(&stream.context);
    }
  }
  // One that sends and never reads.
  auto deaf = As("greedy");
  auto& never_read = *streams.emplace_back(std::make_unique<Stream>());
  never_read.at = deaf->PseudonymiseStream(&never_read.context);

  auto call = [](auto& stub, auto method, const auto& request, auto response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + seconds(30));
    return (stub.*method)(&context, request, &response);
  };
  using Stub = v1::Pseudonymiser::Stub;
  const v1::PseudonymiseRequest large = Values(900, 4'000), oversized = Values(1'500, 4'000);
  Every(milliseconds(20),
        [&] { call(*stranger, &Stub::Pseudonymise, Values(1), v1::PseudonymiseResponse()); });
  Every(milliseconds(20), [&] {
    call(*leaver, &Stub::ListDomains, v1::ListDomainsRequest(), v1::ListDomainsResponse());
  });
  for (int i = 0; i < 6; ++i) {
    Every(milliseconds(200),
          [&] { call(*greedy, &Stub::Pseudonymise, large, v1::PseudonymiseResponse()); });
  }
  Every(milliseconds(300),
        [&] { call(*greedy, &Stub::Pseudonymise, oversized, v1::PseudonymiseResponse()); });
  Every(milliseconds(100), [&] {
    v1::RequestReidentificationRequest request;
    request.mutable_scope()->set_domain("intelligence");
    request.mutable_scope()->add_kinds(PHONE);
    request.mutable_scope()->set_values_max(1);
    request.mutable_justification()->set_purpose(std::string(500, 'p'));
    request.mutable_justification()->set_legal_basis(std::string(500, 'l'));
    request.mutable_justification()->set_case_reference(std::string(500, 'c'));
    for (int i = 0; i < 20; ++i) request.add_recipients(std::string(200, 'r'));
    call(*greedy, &Stub::RequestReidentification, request, v1::RequestReidentificationResponse());
    request.add_recipients(std::string(1'000'000, 'r'));
    call(*greedy, &Stub::RequestReidentification, request, v1::RequestReidentificationResponse());
  });
  Every(milliseconds(50), [&] { never_read.at->Write(Values(500)); });

  // 5,000 values a second.
  auto processor = As("processor");
  const v1::PseudonymiseRequest batch = Values(100);
  const auto begun = steady_clock::now(), end = begun + Duration();
  uint64_t calls = 0;
  steady_clock::duration longest{};
  for (auto next = begun; next < end; next += milliseconds(20)) {
    std::this_thread::sleep_until(next);
    const auto at = steady_clock::now();
    grpc::Status status = call(*processor, &Stub::Pseudonymise, batch, v1::PseudonymiseResponse());
    longest = std::max(longest, steady_clock::now() - at);
    ASSERT_TRUE(status.ok()) << "call " << calls << ": " << status.error_code() << " "
                             << status.error_message();
    ++calls;
    if (calls % 50 != 0) continue;
    EXPECT_THAT(*test_support::HttpGet(http_port_, "/livez"), HasSubstr(" 200 "));
  }
  const auto took = steady_clock::now() - begun;
  stop_ = true;
  for (auto& stream : streams) stream->context.TryCancel();
  for (std::thread& thread : threads_) thread.join();
  RecordProperty("calls", std::to_string(calls));
  RecordProperty("longest_ms",
                 std::to_string(std::chrono::duration_cast<milliseconds>(longest).count()));
  if (!test_support::kSanitized) {
    // A machine that others use too shows no more than that it isn't stopped.
    const bool strict = std::getenv("SLUICE_ATTACK_S") != nullptr;
    EXPECT_LT(took, strict ? Duration() * 11 / 10 : Duration() * 5) << "it keeps its average pace";
    const long memory = MemoryKib();
    RecordProperty("memory_kib", std::to_string(memory));
    EXPECT_LT(memory, kMemoryKibMax);
  }
  for (int one : sockets) close(one);
  EXPECT_LT(std::filesystem::file_size(service_.trail()), 2'000'000u);

  ASSERT_TRUE(child_->Signal(SIGTERM).ok());
  auto ended = child_->Wait(seconds(30));
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(*ended, test_support::Exit{});
  Run();
  EXPECT_TRUE(call(*As("processor"), &Stub::Pseudonymise, batch, v1::PseudonymiseResponse()).ok());
}

}  // namespace
}  // namespace sluice::pseudonymiser
