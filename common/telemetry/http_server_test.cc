#include "common/telemetry/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::telemetry {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

int Connect(int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  return fd;
}

// The whole answer, up to where the server closes.
std::string Ask(int port, std::string_view method, std::string_view path) {
  int fd = Connect(port);
  std::string request = base::StrCat(method, ' ', path, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t n; (n = read(fd, buffer, sizeof(buffer))) > 0;)
    answer.append(buffer, static_cast<size_t>(n));
  close(fd);
  return answer;
}

std::unique_ptr<HttpServer> Serve(HttpServer::Options options, Registry& registry) {
  auto server = HttpServer::Create(std::move(options), registry);
  EXPECT_TRUE(server.ok()) << server.status();
  absl::Status started = (*server)->Start();
  EXPECT_TRUE(started.ok()) << started;
  return *std::move(server);
}

TEST(HttpServer, ServesMetrics) {
  Registry registry;
  registry.NewCounter("events_total", "h").Add(7);
  auto server = Serve({}, registry);
  ASSERT_GT(server->port(), 0);
  EXPECT_THAT(Ask(server->port(), "GET", "/metrics"),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"),
                    HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"),
                    HasSubstr("\nevents_total 7\n")));
}

TEST(HttpServer, HeadHasTheHeadersOnly) {
  Registry registry;
  auto server = Serve({}, registry);
  EXPECT_THAT(Ask(server->port(), "HEAD", "/livez"),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Content-Length: 24\r\n"),
                    EndsWith("\r\n\r\n")));
}

TEST(HttpServer, TellsOfEveryCheck) {
  Registry registry;
  std::atomic<bool> kafka = false;
  HttpServer::Options options;
  options.ready = {{"kafka",
                    [&] {
                      return Health{kafka, kafka ? "" : "no \"broker\""};
                    }},
                   {"plan", [] {
                      return Health{true, ""};
                    }}};
  auto server = Serve(std::move(options), registry);
  EXPECT_THAT(
      Ask(server->port(), "GET", "/readyz"),
      AllOf(
          StartsWith("HTTP/1.1 503 Service Unavailable\r\n"),
          HasSubstr("Content-Type: application/json\r\n"),
          EndsWith(R"({"ok":false,"checks":[{"name":"kafka","ok":false,"reason":"no \"broker\""},)"
                   R"({"name":"plan","ok":true,"reason":""}]})"
                   "\n")));
  EXPECT_THAT(Ask(server->port(), "GET", "/livez"), StartsWith("HTTP/1.1 200 OK\r\n"));
  kafka = true;
  EXPECT_THAT(Ask(server->port(), "GET", "/readyz?verbose"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST(HttpServer, OtherPathsListWhatThereIs) {
  Registry registry;
  auto server = Serve({}, registry);
  for (const char* path : {"/", "/etc/passwd", "/../../etc/passwd", "/metrics/x"}) {
    EXPECT_THAT(Ask(server->port(), "GET", path), AllOf(StartsWith("HTTP/1.1 404 Not Found\r\n"),
                                                        EndsWith("/metrics\n/livez\n/readyz\n")));
  }
}

TEST(HttpServer, TakesGetAndHeadOnly) {
  Registry registry;
  auto server = Serve({}, registry);
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS"}) {
    EXPECT_THAT(Ask(server->port(), method, "/metrics"),
                AllOf(StartsWith("HTTP/1.1 405 "), HasSubstr("Allow: GET, HEAD\r\n")));
  }
}

TEST(HttpServer, ASilentClientDoesNotHoldTheOthersUpForever) {
  Registry registry;
  auto server = Serve({.connections_max = 8, .request_timeout_ms = 60'000}, registry);
  // More than there may be at a time: the oldest of them goes.
  std::vector<int> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(Connect(server->port()));
  for (int i = 0; i < 5; ++i) {
    auto start = std::chrono::steady_clock::now();
    EXPECT_THAT(Ask(server->port(), "GET", "/livez"), StartsWith("HTTP/1.1 200"));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(1'000));
  }
  for (int fd : silent) close(fd);
}

TEST(HttpServer, ASlowClientIsCutOff) {
  Registry registry;
  auto server = Serve({.request_timeout_ms = 100}, registry);
  int slow = Connect(server->port());
  ASSERT_EQ(write(slow, "GET /li", 7), 7);
  char byte = 0;
  EXPECT_EQ(read(slow, &byte, 1), 0);
  close(slow);
}

TEST(HttpServer, AProbeIsAnsweredWhileMetricsAndTheOtherProbesChecksHang) {
  Registry registry;
  std::mutex held;
  std::unique_lock<std::mutex> hold(held);
  registry.OnCollect([&] { std::lock_guard<std::mutex> wait(held); });
  HttpServer::Options options;
  options.ready = {{"files", [&] {
                      std::lock_guard<std::mutex> wait(held);
                      return Health{true, ""};
                    }}};
  auto server = Serve(std::move(options), registry);
  std::vector<int> scrapes;
  for (int i = 0; i < 3; ++i) {
    scrapes.push_back(Connect(server->port()));
    std::string_view request = "GET /metrics HTTP/1.1\r\n\r\n";
    ASSERT_EQ(write(scrapes.back(), request.data(), request.size()),
              static_cast<ssize_t>(request.size()));
  }
  EXPECT_THAT(Ask(server->port(), "GET", "/readyz"),
              AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("a lock or a call hangs")));
  EXPECT_THAT(Ask(server->port(), "GET", "/livez"), StartsWith("HTTP/1.1 200"));
  hold.unlock();
  for (int fd : scrapes) {
    char buffer[12];
    EXPECT_EQ(recv(fd, buffer, sizeof(buffer), MSG_WAITALL), 12);
    EXPECT_EQ(std::string_view(buffer, 12), "HTTP/1.1 200");
    close(fd);
  }
  // The check that hung ends, and the next one holds.
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  std::string ready;
  do {
    ready = Ask(server->port(), "GET", "/readyz");
  } while (!ready.starts_with("HTTP/1.1 200") && std::chrono::steady_clock::now() < until);
  EXPECT_THAT(ready, StartsWith("HTTP/1.1 200"));
}

// Whoever has sent a request gets an answer, also where this process is what is slow.
TEST(HttpServer, WhoWaitsForMetricsIsAnsweredAlsoWhenTheyDoNotCome) {
  Registry registry;
  std::mutex held;
  std::unique_lock<std::mutex> hold(held);
  registry.OnCollect([&] { std::lock_guard<std::mutex> wait(held); });
  auto server = Serve({.connections_max = 4, .request_timeout_ms = 200}, registry);
  EXPECT_THAT(Ask(server->port(), "GET", "/metrics"),
              AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("still being collected")));
  hold.unlock();
}

TEST(HttpServer, AProbeFindsRoomWhereAllConnectionsWaitForMetrics) {
  Registry registry;
  std::mutex held;
  std::unique_lock<std::mutex> hold(held);
  registry.OnCollect([&] { std::lock_guard<std::mutex> wait(held); });
  auto server = Serve({.connections_max = 4, .request_timeout_ms = 60'000}, registry);
  std::vector<int> scrapes;
  for (int i = 0; i < 8; ++i) {
    scrapes.push_back(Connect(server->port()));
    std::string_view request = "GET /metrics HTTP/1.1\r\n\r\n";
    ASSERT_EQ(write(scrapes.back(), request.data(), request.size()),
              static_cast<ssize_t>(request.size()));
  }
  for (int i = 0; i < 4; ++i)
    EXPECT_THAT(Ask(server->port(), "GET", "/livez"), StartsWith("HTTP/1.1 200"));
  // Those that had to go were told.
  char buffer[12];
  EXPECT_EQ(recv(scrapes[0], buffer, sizeof(buffer), MSG_WAITALL), 12);
  EXPECT_EQ(std::string_view(buffer, 12), "HTTP/1.1 503");
  hold.unlock();
  for (int fd : scrapes) close(fd);
}

TEST(HttpServer, AResultIsGivenAgainWhileANewerOneDoesNotCome) {
  Registry registry;
  std::mutex held;
  HttpServer::Options options;
  options.live = {{"worker", [&] {
                     std::lock_guard<std::mutex> wait(held);
                     return Health{true, ""};
                   }}};
  auto server = Serve(std::move(options), registry);
  EXPECT_THAT(Ask(server->port(), "GET", "/livez"), StartsWith("HTTP/1.1 200"));
  std::lock_guard<std::mutex> hold(held);
  for (int i = 0; i < 3; ++i)
    EXPECT_THAT(Ask(server->port(), "GET", "/livez"), StartsWith("HTTP/1.1 200"));
}

TEST(HttpServer, RefusesWhatIsNoRequest) {
  Registry registry;
  auto server = Serve({}, registry);
  EXPECT_THAT(Ask(server->port(), "\x16\x03\x01", "\x02 \x03"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Ask(server->port(), "GET", std::string(20'000, 'a')),
              testing::AnyOf(StartsWith("HTTP/1.1 404 "), StartsWith("HTTP/1.1 431 ")));
}

TEST(HttpServer, ServesOnAnIpv6Address) {
  Registry registry;
  auto server = HttpServer::Create({.address = "[::1]:0"}, registry);
  ASSERT_TRUE(server.ok());
  absl::Status started = (*server)->Start();
  EXPECT_TRUE(started.ok()) << started;
  EXPECT_GT((*server)->port(), 0);
}

TEST(HttpServer, RefusesAPortInUseAndNamesIt) {
  Registry registry;
  auto server = Serve({}, registry);
  std::string address = base::StrCat("127.0.0.1:", server->port());
  auto second = HttpServer::Create({.address = address}, registry);
  ASSERT_TRUE(second.ok());
  absl::Status status = (*second)->Start();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr(address));
}

TEST(HttpServer, RefusesAddressesThatAreNotOnePlainAddress) {
  Registry registry;
  for (const char* address :
       {"", "8080", "localhost", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:80s",
        "127.0.0.1:80,0.0.0.0:81", "example.org:80", "+80", ":80", "[::1:80"}) {
    auto server = HttpServer::Create({.address = address}, registry);
    EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument) << address;
  }
  EXPECT_FALSE(HttpServer::Create({.connections_max = 0}, registry).ok());
  EXPECT_TRUE(HttpServer::Create({.address = "localhost:0"}, registry).ok());
}

TEST(HttpServer, StopsAtOnce) {
  Registry registry;
  auto server = Serve({}, registry);
  auto start = std::chrono::steady_clock::now();
  server.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(1500));
}

TEST(HttpServer, AnswersManyClientsAtOnce) {
  Registry registry;
  // Each of the eight has one open at a time, and one that the server has yet to see closed.
  auto server = Serve({.connections_max = 16, .request_timeout_ms = 60'000}, registry);
  std::vector<std::thread> clients;
  std::atomic<int> answered = 0;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      for (int j = 0; j < 20; ++j) {
        answered += Ask(server->port(), "GET", "/metrics").starts_with("HTTP/1.1 200") ? 1 : 0;
      }
    });
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(answered, 160);
}

}  // namespace
}  // namespace sluice::telemetry
