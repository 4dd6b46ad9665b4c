#include "tests/support/child_process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <condition_variable>
#include <fstream>
#include <functional>
#include <iterator>
#include <thread>
#include <utility>

#include "common/base/strings.h"
#include "tests/support/wait_until.h"

extern char** environ;

namespace sluice::test_support {
namespace {

// The kernel sends the death signal when the *thread* that forked ends. So all forks happen on one
// thread that never does.
class LastingThread {
 public:
  static LastingThread& Get() {
    static auto* thread = new LastingThread;
    return *thread;
  }

  void Run(const std::function<void()>& work) {
    base::MutexLock one_at_a_time(callers_);
    base::MutexLock lock(mutex_);
    work_ = &work;
    changed_.notify_all();
    Await(lock, [this] { return work_ == nullptr; });
  }

 private:
  LastingThread() {
    std::thread([this] { Loop(); }).detach();
  }

  void Loop() {
    base::MutexLock lock(mutex_);
    while (true) {
      Await(lock, [this] { return work_ != nullptr; });
      (*work_)();
      work_ = nullptr;
      changed_.notify_all();
    }
  }

  template <typename Predicate>
  void Await(base::MutexLock& lock, Predicate ready) {
    while (!lock.WaitFor(changed_, std::chrono::hours(1), ready)) {
    }
  }

  base::Mutex callers_;
  base::Mutex mutex_;
  std::condition_variable changed_;
  const std::function<void()>* work_ = nullptr;
};

// Everything the child needs between fork and exec, where no memory may be allocated.
struct Launch {
  std::vector<char*> arguments;
  std::vector<char*> environment;
  int out = STDOUT_FILENO;
  int err = STDERR_FILENO;
  int report = -1;  // errno of a failed exec goes here
  pid_t parent = 0;
};

[[noreturn]] void BecomeChild(const Launch& launch) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != launch.parent) _exit(127);  // died before it could be noticed
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(in, STDIN_FILENO);
  dup2(launch.err, STDERR_FILENO);
  dup2(launch.out, STDOUT_FILENO);
  // Sockets that a library opened without O_CLOEXEC would outlive us in the child.
  close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
  execvpe(launch.arguments[0], launch.arguments.data(), launch.environment.data());
  int error = errno;
  (void)!write(launch.report, &error, sizeof(error));
  _exit(127);
}

std::vector<std::string> Environment(const std::map<std::string, std::string>& changes) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (!changes.contains(std::string(text.substr(0, text.find('='))))) result.emplace_back(text);
  }
  for (const auto& [name, value] : changes) result.push_back(base::StrCat(name, "=", value));
  return result;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() { Reset(-1); }
  int get() const { return fd_; }
  void Reset(int fd) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_;
};

absl::Status OpenOutput(const std::string& path, FileDescriptor& out) {
  out.Reset(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (out.get() >= 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, base::StrCat("can't write ", path));
}

}  // namespace

std::string Exit::ToString() const {
  return signal != 0 ? base::StrCat("signal ", signal) : base::StrCat("exit code ", code);
}

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(Options options) {
  if (options.command.empty()) return absl::InvalidArgumentError("command is empty");
  Launch launch;
  FileDescriptor out;
  FileDescriptor err;
  if (!options.stdout_path.empty()) {
    if (auto status = OpenOutput(options.stdout_path, out); !status.ok()) return status;
    launch.out = launch.err = out.get();
  }
  if (!options.stderr_path.empty()) {
    if (auto status = OpenOutput(options.stderr_path, err); !status.ok()) return status;
    launch.err = err.get();
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  FileDescriptor report_in(ends[0]);
  FileDescriptor report_out(ends[1]);
  std::vector<std::string> environment = Environment(options.environment);
  launch.arguments = Pointers(options.command);
  launch.environment = Pointers(environment);
  launch.report = report_out.get();
  launch.parent = getpid();

  pid_t pid = -1;
  int fork_errno = 0;
  LastingThread::Get().Run([&] {
    pid = fork();
    if (pid == 0) BecomeChild(launch);
    fork_errno = errno;
  });
  if (pid < 0) return absl::ErrnoToStatus(fork_errno, "fork");
  report_out.Reset(-1);
  int error = 0;
  ssize_t got;
  do {
    got = read(report_in.get(), &error, sizeof(error));
  } while (got < 0 && errno == EINTR);
  if (got == sizeof(error)) {
    waitpid(pid, nullptr, 0);
    return absl::ErrnoToStatus(error, base::StrCat("can't run ", options.command[0]));
  }
  return std::unique_ptr<ChildProcess>(new ChildProcess(std::move(options), pid));
}

ChildProcess::ChildProcess(Options options, pid_t pid) : options_(std::move(options)), pid_(pid) {}

ChildProcess::~ChildProcess() { Kill(); }

bool ChildProcess::Reap() {
  int status = 0;
  if (!exit_.has_value() && waitpid(pid_, &status, WNOHANG) == pid_) {
    exit_ =
        WIFSIGNALED(status) ? Exit{.signal = WTERMSIG(status)} : Exit{.code = WEXITSTATUS(status)};
  }
  return exit_.has_value();
}

bool ChildProcess::running() {
  base::MutexLock lock(mutex_);
  return !Reap();
}

absl::Status ChildProcess::Signal(int signal) {
  base::MutexLock lock(mutex_);
  if (Reap()) {
    return absl::FailedPreconditionError(
        base::StrCat(options_.command[0], " has ended with ", exit_->ToString()));
  }
  if (kill(pid_, signal) != 0) return absl::ErrnoToStatus(errno, "kill");
  return absl::OkStatus();
}

absl::StatusOr<Exit> ChildProcess::Wait(std::chrono::milliseconds timeout) {
  if (!WaitUntil(timeout, [this] { return !running(); })) {
    return absl::DeadlineExceededError(
        base::StrCat(options_.command[0], " still runs after ", timeout.count(), " ms"));
  }
  base::MutexLock lock(mutex_);
  return *exit_;
}

void ChildProcess::Kill() {
  (void)Signal(SIGKILL);  // fails only when there is nothing left to kill
  (void)Wait(std::chrono::minutes(1));
}

std::string ChildProcess::Output() const { return ReadFile(options_.stdout_path); }

absl::Status ChildProcess::WaitForOutput(std::string_view text, std::chrono::milliseconds timeout) {
  bool ended = false;
  const bool found = WaitUntil(timeout, [&] {
    if (ended) return true;
    ended = !running();  // asked before the look, so that the last words are not missed
    return Output().find(text) != std::string::npos;
  });
  const std::string output = Output();
  if (found && output.find(text) != std::string::npos) return absl::OkStatus();
  const std::string message =
      base::StrCat(options_.command[0], ended ? " ended" : " took too long", " without \"", text,
                   "\"; the end of its output:\n", Tail(output, 30));
  return ended ? absl::AbortedError(message) : absl::DeadlineExceededError(message);
}

std::string_view Tail(std::string_view text, int lines) {
  size_t at = text.size();
  if (at > 0 && text.back() == '\n') --at;
  for (; lines > 0; --lines) {
    if (at == 0) return text;
    const size_t newline = text.rfind('\n', at - 1);
    if (newline == std::string_view::npos) return text;
    at = newline;
  }
  return text.substr(at + 1);
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace sluice::test_support
