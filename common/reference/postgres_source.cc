#include "common/reference/postgres_source.h"

#include <optional>
#include <pqxx/pqxx>
#include <vector>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/base/utf8.h"
#include "common/enrichment/row_reader.h"

namespace sluice::reference {
namespace {

using enrichment::Column;
using event::Value;
// libpqxx 7 (Debian 13) has another name for it.
#if PQXX_VERSION_MAJOR >= 7
using Transaction =
    pqxx::transaction<pqxx::isolation_level::repeatable_read, pqxx::write_policy::read_only>;
#else
using Transaction = pqxx::transaction<pqxx::repeatable_read, pqxx::read_only>;
#endif

constexpr int kStatementTimeoutMs = 60'000;
constexpr int kLookIntervalMs = 10'000;
constexpr const char* kFetch = "FETCH 10000 FROM sluice_rows";

// What PostgreSQL writes, as ParseCell reads it; nullopt: no value.
std::optional<std::string_view> CellText(const Column& column, const pqxx::field& field,
                                         std::string& scratch) {
  if (field.is_null()) return std::nullopt;
  std::string_view text(field.c_str(), field.size());
  if (column.type == v1::Column::boolean) {
    if (text == "t") return "true";
    if (text == "f") return "false";
    return text;
  }
  if (column.type != v1::Column::date && column.type != v1::Column::time) return text;
  // Without end.
  if (text == "infinity" || text == "-infinity") return std::nullopt;
  if (column.type == v1::Column::date || text.size() < 11 || text[10] != ' ') return text;
  // `2026-03-04 05:06:07+00`.
  scratch = text;
  scratch[10] = 'T';
  if (scratch.ends_with("+00")) scratch.replace(scratch.size() - 3, 3, "Z");
  return scratch;
}

// Where each column of the schema stands in the query's rows.
absl::StatusOr<std::vector<pqxx::row::size_type>> PlacesOf(const enrichment::Schema& schema,
                                                           const pqxx::result& result) {
  std::vector<pqxx::row::size_type> places;
  for (const Column& column : schema.columns()) {
    std::string names;
    std::optional<pqxx::row::size_type> place;
    for (pqxx::row::size_type i = 0; i < result.columns(); ++i) {
      base::StrAppend(names, names.empty() ? "" : ", ", result.column_name(i));
      if (column.source == result.column_name(i)) place = i;
    }
    if (!place) {
      return absl::InvalidArgumentError(
          base::StrCat("postgres: the query has no column '", column.source, "'; it has: ", names));
    }
    places.push_back(*place);
  }
  return places;
}

}  // namespace

struct PostgresSource::Session {
  explicit Session(const config::v1::Postgres& config)
      : connection(config.connection().find("connect_timeout") == std::string::npos
                       ? config.connection() + " connect_timeout=5"
                       : config.connection()) {
    int timeout =
        config.statement_timeout_ms() == 0 ? kStatementTimeoutMs : config.statement_timeout_ms();
    pqxx::nontransaction(connection)
        .exec(base::StrCat("SET statement_timeout = ", timeout,
                           "; SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'"));
    connection.set_client_encoding("UTF8");
  }
  pqxx::connection connection;
};

PostgresSource::PostgresSource(const config::v1::Postgres& config,
                               std::shared_ptr<const enrichment::Schema> schema, Store store)
    : config_(config), schema_(std::move(schema)), store_(std::move(store)) {}

PostgresSource::~PostgresSource() = default;

std::chrono::milliseconds PostgresSource::look_interval() const {
  return std::chrono::milliseconds(config_.look_interval_ms() == 0 ? kLookIntervalMs
                                                                   : config_.look_interval_ms());
}

template <typename Work>
auto PostgresSource::With(Work work) -> decltype(work(std::declval<Session&>())) {
  try {
    if (session_ == nullptr) session_ = std::make_unique<Session>(config_);
    return work(*session_);
  } catch (const pqxx::broken_connection&) {
    session_.reset();
    return absl::UnavailableError(
        "postgres: no connection: is the server there, and does postgres.connection name it?");
  } catch (const pqxx::sql_error& error) {
    session_.reset();
    const std::string& state = error.sqlstate();
    // Class 42 is about the statement and who may run it; others may tell a row's values.
    std::string_view text = state.starts_with("42") ? error.what() : "";
    text = text.substr(0, text.find('\n'));
    std::string what = base::StrCat("postgres: the query failed (SQLSTATE ", state, ")",
                                    text.empty() ? "" : ": ", text);
    // Cancelled, out of resources, shutting down, or serialization: a later try may do.
    if (state.starts_with("57") || state.starts_with("53") || state.starts_with("40") ||
        state.empty())
      return absl::UnavailableError(what);
    return absl::FailedPreconditionError(what);
  } catch (const std::exception&) {
    session_.reset();
    return absl::UnavailableError("postgres: the query couldn't be run");
  }
}

absl::StatusOr<std::string> PostgresSource::Mark() {
  return With([&](Session& session) -> absl::StatusOr<std::string> {
    if (config_.changes().empty()) {
      // Whether it is there is worth knowing.
      Transaction(session.connection).exec("SELECT 1");
      return "";
    }
    Transaction transaction(session.connection);
    pqxx::result result = transaction.exec(config_.changes());
    if (result.size() != 1)
      return absl::FailedPreconditionError("postgres.changes: must give one row");
    std::string mark;
    for (const pqxx::field& field : result[0])
      base::StrAppend(mark, field.is_null() ? "" : field.c_str(), '\n');
    return mark;
  });
}

absl::StatusOr<RowsPtr> PostgresSource::Read() {
  return With([&](Session& session) -> absl::StatusOr<RowsPtr> {
    Transaction transaction(session.connection);
    transaction.exec("DECLARE sluice_rows NO SCROLL CURSOR FOR " + config_.query());
    SLUICE_ASSIGN_OR_RETURN(auto builder, store_.Begin(schema_));
    std::vector<pqxx::row::size_type> places;
    std::vector<Value> row(schema_->columns().size());
    base::Arena arena;
    std::string scratch;
    int line = 0;
    while (true) {
      pqxx::result result = transaction.exec(kFetch);
      if (places.empty()) {
        SLUICE_ASSIGN_OR_RETURN(places, PlacesOf(*schema_, result));
      }
      if (result.empty()) break;
      for (const pqxx::row& from : result) {
        ++line;
        arena.Reset();
        for (size_t i = 0; i < row.size(); ++i) {
          const Column& column = schema_->columns()[i];
          row[i] = Value();
          std::optional<std::string_view> text = CellText(column, from[places[i]], scratch);
          if (!text) continue;
          auto wrong = [&](std::string_view what) {
            return absl::InvalidArgumentError(
                base::StrCat("postgres: row ", line, ": column '", column.name, "': ", what));
          };
          if (!base::IsUtf8(*text)) return wrong("isn't UTF-8");
          auto value = enrichment::ParseCell(column, *text, arena);
          if (!value.ok()) return wrong(base::View(value.status().message()));
          row[i] = *value;
        }
        SLUICE_RETURN_IF_ERROR(builder->Add(row, "postgres", line));
      }
    }
    auto rows = builder->Finish();
    if (!rows.ok() && line == 0) return absl::InvalidArgumentError("postgres: there are no rows");
    return rows;
  });
}

}  // namespace sluice::reference
