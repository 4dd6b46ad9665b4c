#include "tests/support/tcp_proxy.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

namespace sluice::test_support {
namespace {

using namespace std::chrono_literals;

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

// Says the same to everyone who asks.
class Speaker {
 public:
  explicit Speaker(std::string text) : text_(std::move(text)) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = Loopback(0);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      for (int client; (client = accept(listener_, nullptr, nullptr)) >= 0; close(client)) {
        char asked;
        if (recv(client, &asked, 1, 0) == 1) send(client, text_.data(), text_.size(), MSG_NOSIGNAL);
        // Until the other end has gone.
        while (recv(client, &asked, 1, 0) == 1) continue;
      }
    });
  }
  ~Speaker() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  int port() const { return port_; }

 private:
  const std::string text_;
  int listener_ = -1, port_ = 0;
  std::thread thread_;
};

struct Heard {
  std::string text;
  bool reset = false;
  std::chrono::steady_clock::duration took{};
};

// Asks, and listens for so many bytes, or until nothing comes for `patience`.
Heard Ask(int port, size_t bytes, std::chrono::milliseconds patience = 300ms) {
  Heard heard;
  int client = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = Loopback(port);
  EXPECT_EQ(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  timeval wait{0, static_cast<suseconds_t>(patience.count() * 1000)};
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
  const auto began = std::chrono::steady_clock::now();
  send(client, "?", 1, MSG_NOSIGNAL);
  while (heard.text.size() < bytes) {
    char piece[100];
    ssize_t got = recv(client, piece, sizeof(piece), 0);
    if (got <= 0) {
      heard.reset = got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
      break;
    }
    heard.text.append(piece, static_cast<size_t>(got));
  }
  heard.took = std::chrono::steady_clock::now() - began;
  close(client);
  return heard;
}

TEST(TcpProxy, PassesWhatItIsGivenAndFailsAtTheByte) {
  const std::string text = "0123456789";
  Speaker speaker(text);
  auto created = TcpProxy::Create(speaker.port());
  ASSERT_TRUE(created.ok()) << created.status();
  TcpProxy& proxy = **created;
  EXPECT_EQ(Ask(proxy.port(), 10).text, text);
  EXPECT_EQ(proxy.answered(), 10);

  proxy.SetFault({TcpProxy::Fault::kCut, 4});
  Heard cut = Ask(proxy.port(), 10, 5000ms);
  // A reset may overtake what was sent before it.
  EXPECT_EQ(text.substr(0, cut.text.size()), cut.text);
  EXPECT_LE(cut.text.size(), 4u);
  EXPECT_TRUE(cut.reset);

  proxy.SetFault({TcpProxy::Fault::kStall, 4});
  Heard stalled = Ask(proxy.port(), 10);
  EXPECT_EQ(stalled.text, "0123");
  EXPECT_FALSE(stalled.reset);

  proxy.SetFault({TcpProxy::Fault::kDelay, 0, 100ms});
  Heard late = Ask(proxy.port(), 10, 5000ms);
  EXPECT_EQ(late.text, text);
  EXPECT_GE(late.took, 100ms);

  proxy.SetFault({});
  EXPECT_EQ(Ask(proxy.port(), 10).text, text);
}

}  // namespace
}  // namespace sluice::test_support
