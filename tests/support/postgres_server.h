// A real PostgreSQL for tests.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace sluice::test_support {

// One server on a free loopback port, with its data in a temporary folder; both stay the same over
// Kill and Restart, and go with the object. Single-threaded.
class PostgresServer {
 public:
  // FailedPrecondition when PostgreSQL is missing, with what to do.
  static absl::StatusOr<std::unique_ptr<PostgresServer>> Create();
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  // Returns when the server answers. An error carries the end of its log.
  absl::Status Start();
  // SIGKILL, to the server and its backends; returns when all of them have ended.
  void Kill();
  // SIGSTOP and SIGCONT, to the server and its backends.
  void Freeze();
  void Thaw();

  // libpq's connection string.
  std::string connection() const;
  // Statements, in a transaction of their own.
  absl::Status Execute(const std::string& sql);

 private:
  PostgresServer(std::string binaries, std::unique_ptr<TempDir> folder, int port)
      : binaries_(std::move(binaries)), folder_(std::move(folder)), port_(port) {}
  // To the server and its backends, which it returns.
  std::vector<pid_t> Signal(int signal);

  const std::string binaries_;
  const std::unique_ptr<TempDir> folder_;
  const int port_;
  std::unique_ptr<ChildProcess> process_;  // after folder_: ends before its data goes
};

}  // namespace sluice::test_support
