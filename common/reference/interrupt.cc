#include "common/reference/interrupt.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

namespace sluice::reference {

Interrupt::Interrupt() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Interrupt::~Interrupt() {
  if (fd_ >= 0) close(fd_);
}

void Interrupt::Raise() {
  const uint64_t one = 1;
  // Full only where it was raised before.
  [[maybe_unused]] ssize_t written = write(fd_, &one, sizeof(one));
}

bool Interrupt::raised() const {
  pollfd wait{fd_, POLLIN, 0};
  return poll(&wait, 1, 0) > 0;
}

}  // namespace sluice::reference
