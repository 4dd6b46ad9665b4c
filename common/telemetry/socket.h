// Sockets that listen, and descriptors that close themselves.
#pragma once

#include <unistd.h>

#include <utility>

#include "absl/status/statusor.h"
#include "common/base/address.h"

namespace sluice::telemetry {

// Owns a file descriptor; -1 is none.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  // The caller closes it.
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

struct ListeningSocket {
  Fd fd;
  int port;  // that it got, where 0 was asked for
};

// A TCP socket that listens, without blocking, and shares its port with no other process. Error:
// kUnavailable with the system's text.
absl::StatusOr<ListeningSocket> Listen(const base::ListenAddress& address);

// Raises how many descriptors the process may have open to `wanted`, or as far as it may. How many
// that is.
int RaiseDescriptorLimit(int wanted);

}  // namespace sluice::telemetry
