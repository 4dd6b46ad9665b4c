// A proxy between a client and any server on loopback that can fail at a chosen byte of the
// answers: in the middle of a row, of a fetch, of a commit.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"

namespace sluice::test_support {

// Thread-safe; one thread of its own does all input and output.
class TcpProxy {
 public:
  // What becomes of the answers, by how many bytes of them have passed since the fault was set.
  struct Fault {
    enum Kind {
      kNone,
      kCut,    // then the connection is reset
      kStall,  // then nothing passes in either direction, and the connection stays open
      kDelay,  // then each piece waits for `delay`
    } kind = kNone;
    int64_t after_bytes = 0;
    std::chrono::milliseconds delay{0};
  };

  // To this port on loopback.
  static absl::StatusOr<std::unique_ptr<TcpProxy>> Create(int upstream_port);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  int port() const { return port_; }
  // Of all connections, also those that are open. A stalled one goes on.
  void SetFault(Fault fault);
  // Bytes of answers that have passed since SetFault.
  int64_t answered() const;

 private:
  struct Connection {
    ~Connection();
    int client = -1, server = -1;
    std::string to_client, to_server;  // what is read and not yet written
    std::chrono::steady_clock::time_point not_before{};
    bool client_ended = false, server_ended = false;
    bool over = false;
  };

  TcpProxy(int listener, int port, int wake, int upstream_port)
      : listener_(listener), port_(port), wake_(wake), upstream_port_(upstream_port) {}
  void Run();
  void Accept() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // How many bytes of answers may pass now; below 0: any number.
  int64_t Allowed() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Stalled() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Serve(Connection& connection) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Wake() const;

  const int listener_, port_, wake_, upstream_port_;
  mutable base::Mutex mutex_;
  Fault fault_ ABSL_GUARDED_BY(mutex_);
  int64_t answered_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::list<Connection> connections_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace sluice::test_support
