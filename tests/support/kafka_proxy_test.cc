#include "tests/support/kafka_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::test_support {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Fate = KafkaProxy::Fate;

constexpr seconds kSoon(10);         // far longer than anything here takes
constexpr milliseconds kMoment(80);  // long enough for what must not happen to happen

std::string Bytes(uint64_t value, int width) {
  std::string bytes;
  for (int shift = 8 * (width - 1); shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<char>(value >> shift));
  }
  return bytes;
}

std::string Framed(const std::string& frame) { return Bytes(frame.size(), 4) + frame; }

std::string EndTxnFrame(int32_t id, bool commit, const std::string& client_id) {
  return Framed(Bytes(kEndTxn, 2) + Bytes(1, 2) + Bytes(id, 4) + Bytes(client_id.size(), 2) +
                client_id + Bytes(2, 2) + "tx" + Bytes(4000, 8) + Bytes(3, 2) + Bytes(commit, 1));
}

// Reads one frame; empty at the end of the connection.
std::string ReadFrame(int fd) {
  const auto read = [fd](size_t size) {
    std::string bytes(size, 0);
    return recv(fd, bytes.data(), size, MSG_WAITALL) == static_cast<ssize_t>(size) ? bytes : "";
  };
  const std::string length = read(4);
  if (length.empty()) return "";
  uint32_t size = 0;
  for (const char byte : length) size = size << 8 | static_cast<uint8_t>(byte);
  return read(size);
}

sockaddr_in Loopback(int port) {
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(port))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// Answers every EndTxn with its correlation id as the error code, and remembers them in order.
class FakeBroker {
 public:
  FakeBroker() {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = Loopback(0);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~FakeBroker() {
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    HangUp();
    for (auto& thread : threads_) thread.join();
    for (const int fd : connections_) close(fd);
    close(listener_);
  }
  int port() const { return port_; }
  void HangUp() {
    base::MutexLock lock(mutex_);
    for (const int fd : connections_) shutdown(fd, SHUT_RDWR);
  }
  std::vector<int> seen() {
    base::MutexLock lock(mutex_);
    return seen_;
  }

 private:
  void Accept() {
    while (true) {
      const int fd = accept(listener_, nullptr, nullptr);
      if (fd < 0) return;
      base::MutexLock lock(mutex_);
      connections_.push_back(fd);
      threads_.emplace_back([this, fd] { Answer(fd); });
    }
  }
  void Answer(int fd) {
    for (std::string frame = ReadFrame(fd); !frame.empty(); frame = ReadFrame(fd)) {
      const std::string id = frame.substr(4, 4);
      {
        base::MutexLock lock(mutex_);
        seen_.push_back(id[3]);
      }
      const std::string answer = Framed(id + Bytes(0, 4) + id.substr(2, 2));
      send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
    }
  }

  int listener_ = -1;
  int port_ = 0;
  std::thread acceptor_;
  base::Mutex mutex_;
  std::vector<int> connections_;
  std::vector<std::thread> threads_;
  std::vector<int> seen_;
};

class Client {
 public:
  explicit Client(int port, std::string id = "sluice-1") : id_(std::move(id)) {
    fd_ = socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = Loopback(port);
    EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  ~Client() { Leave(); }
  void Leave() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  void Send(const std::string& bytes) { send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  void EndTxn(int32_t id, bool commit = true) { Send(EndTxnFrame(id, commit, id_)); }
  // The correlation id of the next answer; 0 when the connection has ended, -1 when nothing comes.
  int Answer(milliseconds timeout = kSoon) {
    const timeval limit{.tv_sec = timeout.count() / 1000, .tv_usec = timeout.count() % 1000 * 1000};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    errno = 0;
    const std::string frame = ReadFrame(fd_);
    if (!frame.empty()) return frame[3];
    return errno == EAGAIN ? -1 : 0;
  }
  bool WasReset() {
    char byte;
    return recv(fd_, &byte, 1, 0) < 0 && errno == ECONNRESET;
  }

 private:
  int fd_ = -1;
  const std::string id_;
};

class KafkaProxyTest : public ::testing::Test {
 protected:
  KafkaProxyTest() { proxy_->SetUpstream(broker_.port()); }

  FakeBroker broker_;
  std::unique_ptr<KafkaProxy> proxy_ = *KafkaProxy::Create({});
};

TEST_F(KafkaProxyTest, PassesRequestsAndAnswersInOrder) {
  Client client(proxy_->port());
  for (int id = 1; id <= 3; ++id) client.EndTxn(id);
  for (int id = 1; id <= 3; ++id) EXPECT_EQ(client.Answer(), id);
  EXPECT_THAT(broker_.seen(), ElementsAre(1, 2, 3));
}

TEST_F(KafkaProxyTest, ReassemblesAFrameThatComesByteByByte) {
  Client client(proxy_->port());
  for (const char byte : EndTxnFrame(5, true, "sluice-1")) client.Send(std::string(1, byte));
  EXPECT_EQ(client.Answer(), 5);
}

TEST_F(KafkaProxyTest, LogsWhoAskedWhatAndTheAnswer) {
  Client client(proxy_->port());
  client.EndTxn(47, /*commit=*/false);
  ASSERT_EQ(client.Answer(), 47);
  const auto log = proxy_->requests();
  ASSERT_EQ(log.size(), 1u);
  EXPECT_EQ(log[0].api_key, kEndTxn);
  EXPECT_EQ(log[0].client_id, "sluice-1");
  EXPECT_EQ(log[0].producer_id, 4000);
  EXPECT_EQ(log[0].producer_epoch, 3);
  EXPECT_EQ(log[0].committed, false);
  EXPECT_EQ(log[0].fate, Fate::kForwarded);
  EXPECT_TRUE(log[0].answered);
  EXPECT_EQ(log[0].error, 47);
}

TEST_F(KafkaProxyTest, ForgetsTheOldestRequestsBeyondItsLimit) {
  auto proxy = *KafkaProxy::Create({.logged_requests_max = 2});
  proxy->SetUpstream(broker_.port());
  auto* held = proxy->Hold({.api_key = kEndTxn});
  Client first(proxy->port());
  first.EndTxn(1);
  ASSERT_TRUE(held->WaitUntilMatched(kSoon));
  Client second(proxy->port());
  for (int id = 2; id <= 4; ++id) {
    second.EndTxn(id);
    EXPECT_EQ(second.Answer(), id);
  }
  ASSERT_EQ(proxy->requests().size(), 2u);
  EXPECT_EQ(proxy->requests()[0].correlation_id, 3);
  held->Release();
  EXPECT_EQ(*held->WaitUntilAnswered(kSoon), 1);  // known still to its rule
}

TEST_F(KafkaProxyTest, HoldStopsTheRequestAndAllBehindItButNoOtherConnection) {
  auto* held = proxy_->Hold({.api_key = kEndTxn});
  Client client(proxy_->port());
  client.EndTxn(1);
  client.EndTxn(2);
  ASSERT_TRUE(held->WaitUntilMatched(kSoon));
  Client other(proxy_->port());
  other.EndTxn(3);
  EXPECT_EQ(other.Answer(), 3);
  EXPECT_EQ(client.Answer(kMoment), -1);
  EXPECT_THAT(broker_.seen(), ElementsAre(3));
  EXPECT_EQ(held->first()->fate, Fate::kHeld);

  held->Release();
  EXPECT_EQ(client.Answer(), 1);
  EXPECT_EQ(client.Answer(), 2);
  EXPECT_EQ(*held->WaitUntilAnswered(kSoon), 1);
  EXPECT_EQ(held->first()->fate, Fate::kReleased);
}

TEST_F(KafkaProxyTest, AHeldRequestIsExecutedEvenWhenItsClientHasLeft) {
  auto* held = proxy_->Hold({.api_key = kEndTxn});
  Client client(proxy_->port());
  client.EndTxn(1);
  client.EndTxn(2);
  ASSERT_TRUE(held->WaitUntilMatched(kSoon));
  client.Leave();
  EXPECT_EQ(held->WaitUntilAnswered(kMoment).status().code(), absl::StatusCode::kDeadlineExceeded);
  held->Release();
  EXPECT_EQ(*held->WaitUntilAnswered(kSoon), 1);
}

TEST_F(KafkaProxyTest, HoldCutClosesTheClientAtOnceAndExecutesLater) {
  auto* held = proxy_->HoldCut({.api_key = kEndTxn});
  Client client(proxy_->port());
  client.EndTxn(1);
  EXPECT_EQ(client.Answer(), 0);
  EXPECT_THAT(broker_.seen(), IsEmpty());
  held->Release();
  EXPECT_EQ(*held->WaitUntilAnswered(kSoon), 1);
  EXPECT_THAT(broker_.seen(), ElementsAre(1));
}

TEST_F(KafkaProxyTest, CutClosesTheConnectionAndTheBrokerNeverSeesTheRequest) {
  auto* cut = proxy_->Cut({.api_key = kEndTxn, .times = KafkaProxy::kAlways});
  for (int id = 1; id <= 2; ++id) {
    Client client(proxy_->port());
    client.EndTxn(id);
    EXPECT_EQ(client.Answer(), 0);
  }
  EXPECT_TRUE(cut->WaitUntilMatched(kSoon, 2));
  EXPECT_EQ(cut->WaitUntilAnswered(kSoon).status().code(), absl::StatusCode::kUnavailable);
  cut->Disable();
  Client client(proxy_->port());
  client.EndTxn(3);
  EXPECT_EQ(client.Answer(), 3);
  EXPECT_THAT(broker_.seen(), ElementsAre(3));
}

TEST_F(KafkaProxyTest, WhatWentBeforeACutIsStillAnsweredByTheBroker) {
  proxy_->Cut({.api_key = kEndTxn, .skip = 1});
  Client client(proxy_->port());
  client.Send(EndTxnFrame(1, true, "a") + EndTxnFrame(2, true, "a"));
  client.Answer();
  while (broker_.seen().empty()) std::this_thread::yield();
  EXPECT_THAT(broker_.seen(), ElementsAre(1));
}

TEST_F(KafkaProxyTest, MatchesByClientCountAndPredicate) {
  auto* cut = proxy_->Cut({.api_key = kEndTxn,
                           .client_id_prefix = "sluice",
                           .skip = 1,
                           .where = [](const KafkaRequest& r) { return r.committed == false; }});
  Client stranger(proxy_->port(), "console");
  stranger.EndTxn(1, false);
  EXPECT_EQ(stranger.Answer(), 1);
  Client client(proxy_->port());
  client.EndTxn(2, true);  // not by the predicate
  EXPECT_EQ(client.Answer(), 2);
  client.EndTxn(3, false);  // skipped
  EXPECT_EQ(client.Answer(), 3);
  client.EndTxn(4, false);
  EXPECT_EQ(client.Answer(), 0);
  EXPECT_EQ(cut->first()->correlation_id, 4);
}

TEST_F(KafkaProxyTest, DelayHoldsARequestForItsTime) {
  auto* delayed = proxy_->Delay({.api_key = kEndTxn}, kMoment);
  Client client(proxy_->port());
  const auto before = steady_clock::now();
  client.EndTxn(1);
  EXPECT_EQ(client.Answer(), 1);
  EXPECT_GE(steady_clock::now() - before, kMoment);
  EXPECT_EQ(*delayed->WaitUntilAnswered(kSoon), 1);
}

TEST_F(KafkaProxyTest, BlackholeKeepsTheConnectionOpenAndSilent) {
  proxy_->Blackhole({.api_key = kEndTxn});
  Client client(proxy_->port());
  client.EndTxn(1);
  client.EndTxn(2);
  EXPECT_EQ(client.Answer(kMoment), -1);
  broker_.HangUp();
  EXPECT_EQ(client.Answer(kMoment), -1);
  EXPECT_THAT(broker_.seen(), IsEmpty());
}

TEST_F(KafkaProxyTest, ABrokerThatHangsUpEndsTheConnectionAndTheWaiting) {
  auto* held = proxy_->Hold({.api_key = kEndTxn, .skip = 1});
  Client client(proxy_->port());
  client.EndTxn(1);
  ASSERT_EQ(client.Answer(), 1);
  client.EndTxn(2);
  ASSERT_TRUE(held->WaitUntilMatched(kSoon));
  broker_.HangUp();
  EXPECT_EQ(client.Answer(), 0);
  EXPECT_EQ(held->WaitUntilAnswered(kSoon).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(KafkaProxyTest, WithoutAnUpstreamConnectionsEnd) {
  auto proxy = *KafkaProxy::Create({});
  EXPECT_EQ(Client(proxy->port()).Answer(), 0);
}

TEST_F(KafkaProxyTest, WhatIsNotKafkaEndsTheConnection) {
  Client client(proxy_->port());
  client.Send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.Answer(), 0);
}

TEST_F(KafkaProxyTest, ResetConnectionsSendsRst) {
  Client client(proxy_->port());
  client.EndTxn(1);
  ASSERT_EQ(client.Answer(), 1);
  proxy_->ResetConnections();
  EXPECT_TRUE(client.WasReset());
}

TEST_F(KafkaProxyTest, APausedLinkPassesNothingAndLosesNothing) {
  Client client(proxy_->port());
  proxy_->SetLink({.paused = true});
  client.EndTxn(1);
  EXPECT_EQ(client.Answer(kMoment), -1);
  EXPECT_THAT(broker_.seen(), IsEmpty());
  proxy_->SetLink({});
  EXPECT_EQ(client.Answer(), 1);
}

TEST_F(KafkaProxyTest, LatencyCountsInBothDirections) {
  proxy_->SetLink({.latency = kMoment});
  Client client(proxy_->port());
  const auto before = steady_clock::now();
  client.EndTxn(1);
  EXPECT_EQ(client.Answer(), 1);
  EXPECT_GE(steady_clock::now() - before, 2 * kMoment);
}

TEST_F(KafkaProxyTest, ARateLimitSpreadsBytesOverTime) {
  proxy_->SetLink({.bytes_per_second = 10'000});
  Client client(proxy_->port());
  const std::string frame = EndTxnFrame(1, true, std::string(2'000, 'x'));
  const auto before = steady_clock::now();
  client.Send(frame);
  EXPECT_EQ(client.Answer(), 1);
  EXPECT_GE(steady_clock::now() - before, milliseconds(190));
}

TEST_F(KafkaProxyTest, EndsWhileRequestsAreHeld) {
  proxy_->Hold({.api_key = kEndTxn});
  Client client(proxy_->port());
  client.EndTxn(1);
  proxy_.reset();
  EXPECT_EQ(client.Answer(), 0);
}

}  // namespace
}  // namespace sluice::test_support
