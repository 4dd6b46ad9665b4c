// Takes a server's connections in, so many at a time: in all, and from one address.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/telemetry/metrics.h"
#include "common/telemetry/socket.h"

namespace sluice::rpc {

// gRPC's own listener takes whatever comes, and stops listening for good when the process has no
// descriptor left. Here a connection beyond a bound is closed at once, and a want of descriptors
// passes. Thread-safe.
class Acceptor {
 public:
  struct Limits {
    // At a time. Of all peers; lowered to half of the descriptors that the process may have open.
    int connections_max = 4096;
    // Of one IP address (IPv6: one /64, which is what one subscriber has).
    int connections_per_address_max = 256;
  };
  struct Counts {
    int64_t open = 0;
    uint64_t refused_total = 0;        // connections_max was reached
    uint64_t refused_address = 0;      // connections_per_address_max was
    uint64_t refused_descriptors = 0;  // the process had none left
  };
  // Gets a connection, non-blocking, and closes it in the end.
  using Hand = std::function<void(int listener, int connection)>;

  // Listens; nothing is accepted before Start(). Error: kUnavailable.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Listen(const base::ListenAddress& address,
                                                          Limits limits);
  // Stop().
  ~Acceptor();

  int port() const { return port_; }
  // Accepts on a thread of its own. Once.
  void Start(Hand hand);
  // Accepts no more, and waits for the hand.
  void Stop();

  Counts counts();

 private:
  // A connection that is still open is known by its descriptor and the socket's number: the one who
  // got it closes it, and the next file may have the same descriptor.
  struct Connection {
    uint64_t socket;
    uint64_t address;
  };

  Acceptor(telemetry::ListeningSocket socket, telemetry::Fd wake, telemetry::Fd spare,
           Limits limits)
      : listener_(std::move(socket.fd)),
        wake_(std::move(wake)),
        spare_(std::move(spare)),
        port_(socket.port),
        limits_(limits) {}
  void Run();
  // Takes one; false: there is none for now.
  bool AcceptOne();
  bool Full(uint64_t address) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether there is room for a connection of `address` with this descriptor; then it has it.
  bool Admit(uint64_t address, int descriptor, uint64_t socket);
  void Forget(std::unordered_map<int, Connection>::iterator& connection)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetEnded() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const telemetry::Fd listener_, wake_;
  telemetry::Fd spare_;  // given up to refuse a connection when there is no other
  const int port_;
  const Limits limits_;
  Hand hand_;
  std::thread thread_;
  base::Mutex mutex_;
  std::unordered_map<int, Connection> connections_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<uint64_t, int> of_address_ ABSL_GUARDED_BY(mutex_);
  Counts counts_ ABSL_GUARDED_BY(mutex_);
};

// An acceptor's counts as metrics. Set() is called by one thread at a time.
class ConnectionMetrics {
 public:
  explicit ConnectionMetrics(telemetry::Registry& registry);
  void Set(const Acceptor::Counts& counts);

 private:
  telemetry::Gauge open_;
  telemetry::Family<telemetry::Counter> refused_;
  Acceptor::Counts told_;
};

}  // namespace sluice::rpc
