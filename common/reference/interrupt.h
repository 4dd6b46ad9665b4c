// Ends what waits for a source or reads one: a process that is told to end has seconds.
#pragma once

namespace sluice::reference {

// Thread-safe. Once raised it stays so.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  void Raise();
  bool raised() const;
  // For poll(): readable once it is raised. Below 0: there is none, and waits must be short.
  int fd() const { return fd_; }

 private:
  const int fd_;  // an eventfd
};

}  // namespace sluice::reference
