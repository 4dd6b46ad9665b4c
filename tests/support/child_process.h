// Another process under a test's, a demo's or a benchmark's control.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"

namespace sluice::test_support {

// How a process ended: `signal` is 0 when it ended by itself, with `code`.
struct Exit {
  int code = 0;
  int signal = 0;
  bool operator==(const Exit&) const = default;
  std::string ToString() const;
};

// Runs one program. The program is killed when this object goes and also when this process dies in
// any way (PR_SET_PDEATHSIG), so that nothing is left behind. It has a process group of its own: a
// Ctrl-C at the terminal reaches only us, and we end it in our order. Its stdin is /dev/null.
// Thread-safe; the thread that starts it may end before it.
class ChildProcess {
 public:
  struct Options {
    std::vector<std::string> command;  // program (looked up in PATH without a slash) and arguments
    std::map<std::string, std::string> environment;  // added to ours, or instead of ours
    std::string stdout_path;                         // appended to; empty: our stdout
    std::string stderr_path;                         // appended to; empty: where stdout goes
  };
  // NotFound when there is no such program.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(Options options);

  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  bool running();

  // FailedPrecondition when the process has ended.
  absl::Status Signal(int signal);

  // DeadlineExceeded when it still runs after `timeout`.
  absl::StatusOr<Exit> Wait(std::chrono::milliseconds timeout);

  // SIGKILL, and waits for the end.
  void Kill();

  // What is in stdout_path by now.
  std::string Output() const;

  // Waits until `text` is in stdout_path. Aborted when the process ends without it,
  // DeadlineExceeded when it takes too long; both with the last lines of the output.
  absl::Status WaitForOutput(std::string_view text, std::chrono::milliseconds timeout);

 private:
  ChildProcess(Options options, pid_t pid);
  bool Reap() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  const pid_t pid_;
  base::Mutex mutex_;  // between a signal and the reaping after which the pid may be another's
  std::optional<Exit> exit_ ABSL_GUARDED_BY(mutex_);
};

// The last `lines` lines of `text`.
std::string_view Tail(std::string_view text, int lines);

// The whole file; empty when it can't be read.
std::string ReadFile(const std::string& path);

}  // namespace sluice::test_support
