#include "common/rpc/acceptor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice::rpc {
namespace {

// A want of descriptors or memory isn't over at once.
constexpr int kPauseMs = 50;

telemetry::Fd Spare() { return telemetry::Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

// What one subscriber has: an IPv4 address, or the first half of an IPv6 one.
uint64_t AddressOf(const sockaddr_storage& peer) {
  uint64_t address = 0;
  if (peer.ss_family == AF_INET) {
    return reinterpret_cast<const sockaddr_in&>(peer).sin_addr.s_addr;
  }
  if (peer.ss_family == AF_INET6)
    std::memcpy(&address, &reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr, sizeof(address));
  return address;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Listen(const base::ListenAddress& address,
                                                           Limits limits) {
  auto socket = telemetry::Listen(address);
  if (!socket.ok()) return socket.status();
  // The other half is for files, Kafka and what else the process does.
  const int descriptors = telemetry::RaiseDescriptorLimit(2 * limits.connections_max);
  limits.connections_max = std::min(limits.connections_max, std::max(descriptors / 2, 1));
  telemetry::Fd wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (wake.get() < 0) return absl::UnavailableError(std::strerror(errno));
  return std::unique_ptr<Acceptor>(
      new Acceptor(*std::move(socket), std::move(wake), Spare(), limits));
}

Acceptor::~Acceptor() { Stop(); }

void Acceptor::Start(Hand hand) {
  hand_ = std::move(hand);
  thread_ = std::thread([this] { Run(); });
}

void Acceptor::Stop() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof(one)) < 0) {
  }  // it is full: it wakes already
  thread_.join();
}

Acceptor::Counts Acceptor::counts() {
  base::MutexLock lock(mutex_);
  ForgetEnded();
  counts_.open = static_cast<int64_t>(connections_.size());
  return counts_;
}

void Acceptor::Run() {
  int pause = 0;
  while (true) {
    // While it pauses it doesn't look at who waits.
    pollfd ready[] = {{wake_.get(), POLLIN, 0}, {pause > 0 ? -1 : listener_.get(), POLLIN, 0}};
    poll(ready, 2, pause > 0 ? pause : -1);
    if (ready[0].revents != 0) return;
    pause = 0;
    while (true) {
      errno = 0;
      if (AcceptOne()) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) pause = kPauseMs;
      break;
    }
  }
}

bool Acceptor::AcceptOne() {
  sockaddr_storage peer{};
  auto accept_next = [&] {
    socklen_t size = sizeof(peer);
    return accept4(listener_.get(), reinterpret_cast<sockaddr*>(&peer), &size,
                   SOCK_NONBLOCK | SOCK_CLOEXEC);
  };
  telemetry::Fd connection(accept_next());
  if (connection.get() < 0) {
    switch (errno) {
      case EINTR:
      case ECONNABORTED:
      case EPROTO:
      case EPERM:
        return true;  // this one has gone; the next may be there
      case EMFILE:
      case ENFILE: {
        // Refused with the descriptor that is kept for it: who waits in the queue would wait until
        // it gives up, and hide behind it whom there is room for.
        spare_ = telemetry::Fd();
        telemetry::Fd refused(accept_next());
        const bool there = refused.get() >= 0;
        refused = telemetry::Fd();
        spare_ = Spare();
        base::MutexLock lock(mutex_);
        if (there) ++counts_.refused_descriptors;
        errno = EMFILE;
        return false;
      }
      default:
        return false;
    }
  }
  struct stat file {};
  if (fstat(connection.get(), &file) != 0) return true;
  if (!Admit(AddressOf(peer), connection.get(), file.st_ino)) return true;
  const int one = 1;
  setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  hand_(listener_.get(), connection.Release());
  return true;
}

bool Acceptor::Full(uint64_t address) const {
  auto of = of_address_.find(address);
  return connections_.size() >= static_cast<size_t>(limits_.connections_max) ||
         (of != of_address_.end() && of->second >= limits_.connections_per_address_max);
}

bool Acceptor::Admit(uint64_t address, int descriptor, uint64_t socket) {
  base::MutexLock lock(mutex_);
  // Whatever had the descriptor before is closed.
  if (auto before = connections_.find(descriptor); before != connections_.end()) Forget(before);
  if (Full(address)) ForgetEnded();
  if (Full(address)) {
    const bool total = connections_.size() >= static_cast<size_t>(limits_.connections_max);
    ++(total ? counts_.refused_total : counts_.refused_address);
    return false;
  }
  connections_[descriptor] = {socket, address};
  ++of_address_[address];
  return true;
}

void Acceptor::Forget(std::unordered_map<int, Connection>::iterator& connection) {
  auto of = of_address_.find(connection->second.address);
  if (of != of_address_.end() && --of->second == 0) of_address_.erase(of);
  connection = connections_.erase(connection);
}

void Acceptor::ForgetEnded() {
  for (auto it = connections_.begin(); it != connections_.end();) {
    struct stat file {};
    if (fstat(it->first, &file) == 0 && S_ISSOCK(file.st_mode) &&
        file.st_ino == it->second.socket) {
      ++it;
    } else {
      Forget(it);
    }
  }
}

ConnectionMetrics::ConnectionMetrics(telemetry::Registry& registry)
    : open_(registry.NewGauge("sluice_rpc_connections", "Open connections to the gRPC port.")),
      refused_(registry.CounterFamily(
          {"sluice_rpc_connections_refused_total",
           "Connections to the gRPC port that were closed at once, by the bound that was reached.",
           {"bound"}})) {}

void ConnectionMetrics::Set(const Acceptor::Counts& counts) {
  open_.Set(static_cast<double>(counts.open));
  auto add = [&](std::string_view bound, uint64_t Acceptor::Counts::*count) {
    refused_.With({bound}).Add(static_cast<double>(counts.*count - told_.*count));
  };
  add("total", &Acceptor::Counts::refused_total);
  add("address", &Acceptor::Counts::refused_address);
  add("descriptors", &Acceptor::Counts::refused_descriptors);
  told_ = counts;
}

}  // namespace sluice::rpc
