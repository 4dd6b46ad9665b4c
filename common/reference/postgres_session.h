// One connection to PostgreSQL whose every wait has an end: the only file that includes libpq is
// its source.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/reference/interrupt.h"

namespace sluice::reference {

// Single-threaded. After an error the connection is spent: destroy it, which never waits.
//
// Errors: kUnavailable: no connection, no answer in time, or what a later try may mend;
// kCancelled: interrupted; kFailedPrecondition: the statement is wrong. They name no value: the
// server's own text is given only where it is about the statement (SQLSTATE class 42).
class PostgresSession {
 public:
  struct Options {
    // libpq's keyword=value pairs. Several hosts are tried in turn, each for connect_timeout
    // seconds (default 5).
    std::string connection;
    // What the server is told, for each statement.
    std::chrono::milliseconds statement_timeout{60'000};
    // How much longer an answer is waited for, by our own clock: a server that is frozen, or a
    // connection that is dead, tells nothing.
    std::chrono::milliseconds grace{3'000};
    std::shared_ptr<const Interrupt> interrupt;
  };
  static absl::StatusOr<std::unique_ptr<PostgresSession>> Connect(const Options& options);
  ~PostgresSession();
  PostgresSession(const PostgresSession&) = delete;
  PostgresSession& operator=(const PostgresSession&) = delete;

  // A read-only transaction that sees one moment, with the settings that rows are read with. They
  // are the transaction's own (SET LOCAL), so that a pool between us and the server keeps them
  // together.
  absl::Status Begin();
  absl::Status Commit();

  struct Column {
    std::string name;
    uint32_t type = 0;  // pg_type.oid; of a domain, what it is made of
  };
  // What a statement's rows would be. It isn't run.
  absl::StatusOr<std::vector<Column>> Describe(const std::string& statement);
  // One statement without rows.
  absl::Status Execute(const std::string& statement);
  // One statement, its rows one by one, so that memory is one row's: a text for each column, or
  // nullopt for NULL. Returns how many there were. An error of `each` ends it.
  using Row = std::span<const std::optional<std::string_view>>;
  absl::StatusOr<int64_t> Query(const std::string& statement,
                                absl::FunctionRef<absl::Status(Row)> each);

 private:
  struct Connection;
  explicit PostgresSession(const Options& options);
  absl::Status ConnectTo(std::span<const char* const> keywords, std::span<const char* const> values,
                         std::chrono::milliseconds timeout);
  // Waits for one of poll()'s events at the socket, for the deadline or the interrupt.
  absl::Status Wait(int events, std::chrono::steady_clock::time_point deadline) const;
  absl::Status Flush(std::chrono::steady_clock::time_point deadline);
  // Until the next result is whole.
  absl::Status Await(std::chrono::steady_clock::time_point deadline);
  // All results of what was sent.
  absl::StatusOr<int64_t> Results(absl::FunctionRef<absl::Status(Row)> each);
  std::chrono::steady_clock::time_point Deadline() const;

  const Options options_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace sluice::reference
