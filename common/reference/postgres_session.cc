#include "common/reference/postgres_session.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>

#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::reference {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kConnectTimeout{5'000};

struct ResultDeleter {
  void operator()(PGresult* result) const { PQclear(result); }
};
using ResultPtr = std::unique_ptr<PGresult, ResultDeleter>;

struct OptionsDeleter {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

absl::Status NoConnection() {
  return absl::UnavailableError(
      "postgres: no connection: is the server there, and does postgres.connection name it?");
}

absl::Status ResultError(const PGresult* result) {
  const char* field = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  // A connection that is lost has no state.
  if (field == nullptr) return NoConnection();
  const std::string_view state = field;
  const char* primary =
      state.starts_with("42") ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : nullptr;
  std::string_view text = primary == nullptr ? "" : primary;
  text = text.substr(0, text.find('\n'));
  std::string what = base::StrCat("postgres: the query failed (SQLSTATE ", state, ")",
                                  text.empty() ? "" : ": ", text);
  // Lost connections, refused ones, no resources, cancelled or shut down, serialization: a later
  // try may do.
  for (std::string_view passing : {"08", "53", "57", "40", "55", "58", "XX"})
    if (state.starts_with(passing)) return absl::UnavailableError(what);
  return absl::FailedPreconditionError(what);
}

}  // namespace

struct PostgresSession::Connection {
  ~Connection() { PQfinish(connection); }
  PGconn* connection = nullptr;
};

PostgresSession::PostgresSession(const Options& options) : options_(options) {}
PostgresSession::~PostgresSession() = default;

steady_clock::time_point PostgresSession::Deadline() const {
  return steady_clock::now() + options_.statement_timeout + options_.grace;
}

absl::StatusOr<std::unique_ptr<PostgresSession>> PostgresSession::Connect(const Options& options) {
  char* message = nullptr;
  std::unique_ptr<PQconninfoOption, OptionsDeleter> parsed(
      PQconninfoParse(options.connection.c_str(), &message));
  if (parsed == nullptr) {
    // The text may name a secret.
    PQfreemem(message);
    return absl::FailedPreconditionError(
        "postgres: postgres.connection isn't made of keyword=value pairs that libpq knows");
  }
  std::map<std::string, std::string> values = {{"client_encoding", "UTF8"},
                                               {"fallback_application_name", "sluice-reference"}};
  for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option)
    if (option->val != nullptr) values[option->keyword] = option->val;
  milliseconds timeout = kConnectTimeout;
  if (auto given = values.find("connect_timeout"); given != values.end()) {
    int seconds = 0;
    std::from_chars(given->second.data(), given->second.data() + given->second.size(), seconds);
    if (seconds > 0) timeout = std::chrono::seconds(seconds);
  }
  // libpq moves on to the next host only where it waits itself.
  auto list = [&](const char* keyword) {
    std::vector<std::string> parts;
    if (auto given = values.find(keyword); given != values.end() && !given->second.empty())
      parts = absl::StrSplit(given->second, ',');
    return parts;
  };
  const std::vector<std::string> hosts = list("host"), addresses = list("hostaddr"),
                                 ports = list("port");
  const size_t tries = std::max({hosts.size(), addresses.size(), size_t{1}});
  absl::Status last = NoConnection();
  for (size_t i = 0; i < tries; ++i) {
    std::map<std::string, std::string> one = values;
    auto take = [&](const char* keyword, const std::vector<std::string>& parts, bool only) {
      if (parts.empty()) return;
      one[keyword] = parts.size() == 1 && only ? parts[0] : i < parts.size() ? parts[i] : "";
    };
    take("host", hosts, false);
    take("hostaddr", addresses, false);
    take("port", ports, true);
    std::vector<const char*> keywords, texts;
    for (const auto& [keyword, value] : one) {
      keywords.push_back(keyword.c_str());
      texts.push_back(value.c_str());
    }
    keywords.push_back(nullptr);
    texts.push_back(nullptr);
    std::unique_ptr<PostgresSession> session(new PostgresSession(options));
    last = session->ConnectTo(keywords, texts, timeout);
    if (last.ok()) return session;
    if (absl::IsCancelled(last)) break;
  }
  return last;
}

absl::Status PostgresSession::ConnectTo(std::span<const char* const> keywords,
                                        std::span<const char* const> values, milliseconds timeout) {
  const auto deadline = steady_clock::now() + timeout;
  connection_ = std::make_unique<Connection>();
  connection_->connection = PQconnectStartParams(keywords.data(), values.data(), 0);
  PGconn* connection = connection_->connection;
  if (connection == nullptr || PQstatus(connection) == CONNECTION_BAD) return NoConnection();
  // As if it had just said that it writes: libpq's rule for the first wait.
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while (state != PGRES_POLLING_OK) {
    SLUICE_RETURN_IF_ERROR(Wait(state == PGRES_POLLING_WRITING ? POLLOUT : POLLIN, deadline));
    state = PQconnectPoll(connection);
    if (state == PGRES_POLLING_FAILED) return NoConnection();
  }
  // Nothing waits within libpq from here on, its farewell at the end neither.
  if (PQsetnonblocking(connection, 1) != 0) return NoConnection();
  PQsetNoticeReceiver(
      connection, [](void*, const PGresult*) {}, nullptr);
  return absl::OkStatus();
}

absl::Status PostgresSession::Wait(int events, steady_clock::time_point deadline) const {
  while (true) {
    auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0)
      return absl::UnavailableError("postgres: the server doesn't answer in time");
    pollfd waits[2] = {{PQsocket(connection_->connection), static_cast<int16_t>(events), 0},
                       {options_.interrupt == nullptr ? -1 : options_.interrupt->fd(), POLLIN, 0}};
    if (waits[0].fd < 0) return NoConnection();
    int ready = poll(waits, 2, static_cast<int>(std::min<int64_t>(left.count() + 1, 60'000)));
    if (ready < 0 && errno != EINTR) return NoConnection();
    if (ready > 0 && waits[1].revents != 0) return absl::CancelledError("postgres: interrupted");
    if (ready > 0 && waits[0].revents != 0) return absl::OkStatus();
  }
}

absl::Status PostgresSession::Flush(steady_clock::time_point deadline) {
  while (true) {
    int left = PQflush(connection_->connection);
    if (left < 0) return NoConnection();
    if (left == 0) return absl::OkStatus();
    SLUICE_RETURN_IF_ERROR(Wait(POLLOUT | POLLIN, deadline));
    // The server may have something to say before it takes more.
    if (PQconsumeInput(connection_->connection) == 0) return NoConnection();
  }
}

absl::Status PostgresSession::Await(steady_clock::time_point deadline) {
  SLUICE_RETURN_IF_ERROR(Flush(deadline));
  while (PQisBusy(connection_->connection) != 0) {
    SLUICE_RETURN_IF_ERROR(Wait(POLLIN, deadline));
    if (PQconsumeInput(connection_->connection) == 0) return NoConnection();
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> PostgresSession::Query(const std::string& statement,
                                               absl::FunctionRef<absl::Status(Row)> each) {
  PGconn* connection = connection_->connection;
  // By the extended protocol, which takes one statement and no more.
  if (PQsendQueryParams(connection, statement.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) ==
          0 ||
      PQsetSingleRowMode(connection) == 0)
    return NoConnection();
  return Results(each);
}

absl::StatusOr<int64_t> PostgresSession::Results(absl::FunctionRef<absl::Status(Row)> each) {
  PGconn* connection = connection_->connection;
  int64_t rows = 0;
  absl::Status failed;
  std::vector<std::optional<std::string_view>> row;
  const auto deadline = Deadline();
  while (true) {
    SLUICE_RETURN_IF_ERROR(Await(deadline));
    ResultPtr result(PQgetResult(connection));
    if (result == nullptr) break;
    switch (PQresultStatus(result.get())) {
      case PGRES_SINGLE_TUPLE: {
        row.clear();
        for (int i = 0; i < PQnfields(result.get()); ++i) {
          row.emplace_back();
          if (PQgetisnull(result.get(), 0, i) == 0) {
            row.back() = std::string_view(PQgetvalue(result.get(), 0, i),
                                          static_cast<size_t>(PQgetlength(result.get(), 0, i)));
          }
        }
        ++rows;
        SLUICE_RETURN_IF_ERROR(each(row));
        break;
      }
      case PGRES_TUPLES_OK:
      case PGRES_COMMAND_OK:
      case PGRES_EMPTY_QUERY:
        break;
      default:
        failed = ResultError(result.get());
    }
  }
  if (!failed.ok()) return failed;
  return rows;
}

absl::Status PostgresSession::Execute(const std::string& statement) {
  return Query(statement, [](Row) { return absl::OkStatus(); }).status();
}

absl::StatusOr<std::vector<PostgresSession::Column>> PostgresSession::Describe(
    const std::string& statement) {
  PGconn* connection = connection_->connection;
  const auto deadline = Deadline();
  std::vector<Column> columns;
  for (bool describe : {false, true}) {
    int sent = describe ? PQsendDescribePrepared(connection, "")
                        : PQsendPrepare(connection, "", statement.c_str(), 0, nullptr);
    if (sent == 0) return NoConnection();
    absl::Status failed;
    while (true) {
      SLUICE_RETURN_IF_ERROR(Await(deadline));
      ResultPtr result(PQgetResult(connection));
      if (result == nullptr) break;
      if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) {
        failed = ResultError(result.get());
        continue;
      }
      for (int i = 0; describe && i < PQnfields(result.get()); ++i)
        columns.push_back({PQfname(result.get(), i), PQftype(result.get(), i)});
    }
    if (!failed.ok()) return failed;
  }
  return columns;
}

absl::Status PostgresSession::Begin() {
  // One round trip; nothing in it takes the transaction's snapshot yet.
  const std::string begin = base::StrCat(
      "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = ",
      static_cast<int64_t>(options_.statement_timeout.count()),
      "; SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = "
      "'iso_8601'; SET LOCAL extra_float_digits = 3; SET LOCAL client_encoding = 'UTF8'; SET LOCAL "
      "cursor_tuple_fraction = 1");
  if (PQsendQuery(connection_->connection, begin.c_str()) == 0) return NoConnection();
  return Results([](Row) { return absl::OkStatus(); }).status();
}

absl::Status PostgresSession::Commit() { return Execute("COMMIT"); }

}  // namespace sluice::reference
