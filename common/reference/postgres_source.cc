#include "common/reference/postgres_source.h"

#include <algorithm>
#include <map>
#include <optional>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/base/utf8.h"
#include "common/enrichment/row_reader.h"

namespace sluice::reference {
namespace {

using enrichment::Column;
using enrichment::RowPlace;
using event::Value;

constexpr int kStatementTimeoutMs = 60'000;
constexpr int kLookIntervalMs = 10'000;
constexpr const char* kFetch = "FETCH 10000 FROM sluice_rows";
constexpr size_t kRowBytesMax = size_t{256} << 20;

// pg_type.oid of what is built in: these never change.
enum Type : uint32_t {
  kBool = 16,
  kBytea = 17,
  kBpchar = 1042,
  kDate = 1082,
  kTimestamp = 1114,
  kTimestampTz = 1184,
  kMoney = 790,
  kInterval = 1186,
};

// A name as SQL has it, whatever is in it.
std::string Quoted(std::string_view name) {
  std::string quoted = "\"";
  for (char c : name) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

// What PostgreSQL writes, as ParseCell reads it.
std::string_view CellText(uint32_t type, std::string_view text, std::string& scratch) {
  switch (type) {
    case kBool:
      return text == "t" ? "true" : "false";
    case kBpchar:
      // What fills it up is no part of the value (SQL:2016, 4.2.1; PostgreSQL 8.3).
      return text.substr(0, text.find_last_not_of(' ') + 1);
    case kTimestampTz:
      // `2026-03-04 05:06:07.8+00`, in UTC; `infinity` and years before Christ have another form.
      if (text.size() < 20 || text[10] != ' ' || !text.ends_with("+00")) return text;
      scratch.assign(text, 0, text.size() - 3);
      scratch[10] = 'T';
      scratch += 'Z';
      return scratch;
    default:
      return text;
  }
}

// Why a column of this type can't be read from that one; empty: it can. `kind` and `category` are
// pg_type's.
std::string_view WhyNot(const Column& column, uint32_t type, char kind, char category) {
  if (category == 'A') return "is an array: a column is one value (unnest, or array_to_string)";
  if (kind == 'c') return "is a row of several columns: select them one by one";
  if (kind == 'r' || kind == 'm')
    return "is a range: select lower(...) and upper(...) as two columns";
  if (kind == 'p') return "has no type of its own: cast it";
  if (type == kBytea) return "is bytea: encode it as a text (encode(..., 'hex'))";
  if (type == kMoney) return "is money, whose text depends on the server: cast it to numeric";
  if (type == kInterval) return "is an interval: select extract(epoch from ...)";
  if (type == kTimestamp && column.type == v1::Column::time)
    return "is a timestamp without time zone: say which (... AT TIME ZONE 'Europe/London')";
  if (type == kTimestampTz && column.type == v1::Column::date)
    return "is a time, and the day depends on the zone: ((... AT TIME ZONE 'Europe/London')::date)";
  return "";
}

}  // namespace

PostgresSource::PostgresSource(const config::v1::Postgres& config,
                               std::shared_ptr<const enrichment::Schema> schema, Store store,
                               std::shared_ptr<const Interrupt> interrupt)
    : config_(config),
      schema_(std::move(schema)),
      store_(std::move(store)),
      interrupt_(std::move(interrupt)) {}

std::chrono::milliseconds PostgresSource::look_interval() const {
  return std::chrono::milliseconds(config_.look_interval_ms() == 0 ? kLookIntervalMs
                                                                   : config_.look_interval_ms());
}

template <typename Work>
auto PostgresSource::With(Work work) -> decltype(work(std::declval<PostgresSession&>())) {
  if (session_ == nullptr) {
    int timeout =
        config_.statement_timeout_ms() == 0 ? kStatementTimeoutMs : config_.statement_timeout_ms();
    PostgresSession::Options options{.connection = config_.connection(),
                                     .statement_timeout = std::chrono::milliseconds(timeout),
                                     .interrupt = interrupt_};
    SLUICE_ASSIGN_OR_RETURN(session_, PostgresSession::Connect(options));
  }
  // What is left of a session after an error isn't worth knowing.
  auto session = std::move(session_);
  SLUICE_RETURN_IF_ERROR(session->Begin());
  auto result = work(*session);
  if (result.ok() && session->Commit().ok()) session_ = std::move(session);
  return result;
}

absl::StatusOr<std::string> PostgresSource::Mark() {
  return With([&](PostgresSession& session) -> absl::StatusOr<std::string> {
    if (config_.changes().empty()) return "";  // that it answers is worth knowing
    std::string mark;
    SLUICE_ASSIGN_OR_RETURN(
        int64_t rows, session.Query(config_.changes(), [&](PostgresSession::Row row) {
          for (const auto& field : row)
            base::StrAppend(mark, field ? "=" : "-", field.value_or(""), "\n");
          return mark.size() > 65'536
                     ? absl::FailedPreconditionError("postgres.changes: gives more than 64 KiB")
                     : absl::OkStatus();
        }));
    if (rows != 1) return absl::FailedPreconditionError("postgres.changes: must give one row");
    return mark;
  });
}

absl::StatusOr<std::vector<PostgresSource::Place>> PostgresSource::Places(
    PostgresSession& session) const {
  SLUICE_ASSIGN_OR_RETURN(std::vector<PostgresSession::Column> columns,
                          session.Describe(config_.query()));
  std::vector<Place> places;
  for (const Column& column : schema_->columns()) {
    std::string names;
    Place place;
    for (const PostgresSession::Column& found : columns) {
      base::StrAppend(names, names.empty() ? "" : ", ", found.name);
      if (found.name != column.source) continue;
      if (!place.name.empty()) {
        return absl::InvalidArgumentError(base::StrCat(
            "postgres: two columns of the query are named '", found.name,
            "': give them names of their own (AS), so that it's known which one is meant"));
      }
      place = {found.name, found.type};
    }
    if (place.name.empty() && !column.may_be_missing) {
      return absl::InvalidArgumentError(
          base::StrCat("postgres: the query has no column '", column.source, "'; it has: ", names));
    }
    places.push_back(std::move(place));
  }
  return places;
}

absl::Status PostgresSource::CheckTypes(PostgresSession& session,
                                        const std::vector<Place>& places) const {
  std::string numbers;
  for (const Place& place : places)
    if (!place.name.empty()) base::StrAppend(numbers, numbers.empty() ? "" : ",", place.type);
  if (numbers.empty()) return absl::InvalidArgumentError("postgres: the query has no column");
  struct Found {
    std::string name;
    char kind = 0, category = 0;
  };
  std::map<uint32_t, Found> types;
  SLUICE_RETURN_IF_ERROR(
      session
          .Query(base::StrCat("SELECT oid::text, typtype::text, typcategory::text, "
                              "pg_catalog.format_type(oid, NULL) FROM pg_catalog.pg_type WHERE oid "
                              "IN (",
                              numbers, ")"),
                 [&](PostgresSession::Row row) {
                   types[static_cast<uint32_t>(std::stoul(std::string(*row[0])))] = {
                       std::string(*row[3]), row[1]->at(0), row[2]->at(0)};
                   return absl::OkStatus();
                 })
          .status());
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i].name.empty()) continue;
    const Found& found = types[places[i].type];
    std::string_view why =
        WhyNot(schema_->columns()[i], places[i].type, found.kind, found.category);
    if (why.empty() && (found.name == "geometry" || found.name == "geography"))
      why = "is PostGIS's own: select ST_AsGeoJSON(...)";
    if (why.empty()) continue;
    return absl::InvalidArgumentError(base::StrCat("postgres: column '", schema_->columns()[i].name,
                                                   "' (", found.name, ") ", why));
  }
  return absl::OkStatus();
}

absl::StatusOr<RowsPtr> PostgresSource::Read() {
  return With([&](PostgresSession& session) { return ReadRows(session); });
}

absl::StatusOr<RowsPtr> PostgresSource::ReadRows(PostgresSession& session) {
  SLUICE_ASSIGN_OR_RETURN(std::vector<Place> places, Places(session));
  SLUICE_RETURN_IF_ERROR(CheckTypes(session, places));
  std::string names;
  for (const Place& place : places)
    base::StrAppend(names, names.empty() ? "" : ", ",
                    place.name.empty() ? "NULL" : Quoted(place.name));
  // Whatever the query ends with, a comment too, ends with its line.
  SLUICE_RETURN_IF_ERROR(
      session.Execute(base::StrCat("DECLARE sluice_rows NO SCROLL CURSOR FOR SELECT ", names,
                                   " FROM (", config_.query(), "\n) AS sluice_rows")));
  SLUICE_ASSIGN_OR_RETURN(auto builder, store_.Begin(schema_));
  std::vector<Value> row(schema_->columns().size());
  std::vector<std::string> scratch(row.size());
  base::Arena arena;
  int number = 0;
  auto add = [&](PostgresSession::Row from) -> absl::Status {
    const RowPlace place{"postgres", ++number, RowPlace::kRow};
    arena.Reset();
    std::fill(row.begin(), row.end(), Value());
    size_t bytes = 0;
    for (size_t i = 0; i < row.size(); ++i) {
      const Column& column = schema_->columns()[i];
      if (!from[i]) continue;
      bytes += from[i]->size();
      auto wrong = [&](std::string_view what) {
        return enrichment::RowError(*schema_, row, place,
                                    base::StrCat("column '", column.name, "': ", what));
      };
      if (bytes > kRowBytesMax)
        return wrong(base::StrCat("the row is larger than ", kRowBytesMax, " bytes"));
      const std::string_view text = CellText(places[i].type, *from[i], scratch[i]);
      if (!base::IsUtf8(text)) return wrong("isn't UTF-8");
      auto value = enrichment::ParseCell(column, text, arena);
      if (!value.ok()) return wrong(base::View(value.status().message()));
      row[i] = *value;
    }
    return builder->Add(row, place);
  };
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(int64_t rows, session.Query(kFetch, add));
    if (rows == 0) break;
  }
  // What TRUNCATE, ALTER TABLE, REFRESH MATERIALIZED VIEW or a rename puts in a table's place has
  // rows that a transaction which began before doesn't see, though it sees the new table: it would
  // read it empty. Locks are held to the end, so that nothing more can change.
  int64_t replaced = 0;
  SLUICE_ASSIGN_OR_RETURN(
      replaced,
      session.Query(
          "SELECT 1 FROM pg_catalog.pg_locks held LEFT JOIN pg_catalog.pg_class seen ON seen.oid = "
          "held.relation WHERE held.locktype = 'relation' AND held.pid = "
          "pg_catalog.pg_backend_pid() AND held.database = (SELECT oid FROM "
          "pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AND (seen.oid IS "
          "NULL OR seen.relkind IN ('r', 'm') AND seen.relfilenode <> 0 AND seen.relfilenode IS "
          "DISTINCT FROM pg_catalog.pg_relation_filenode(seen.oid))",
          [](PostgresSession::Row) { return absl::OkStatus(); }));
  if (replaced > 0)
    return absl::UnavailableError("postgres: a table was replaced while it was read");
  auto rows = builder->Finish();
  never_hold_ = builder->never_hold();
  if (!rows.ok() && builder->size() == 0) {
    return absl::InvalidArgumentError(
        base::StrCat("postgres: ", base::View(rows.status().message())));
  }
  return rows;
}

}  // namespace sluice::reference
