// Against a real PostgreSQL.
#include "common/reference/postgres_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <future>
#include <sstream>

#include "common/base/strings.h"
#include "common/enrichment/testing.h"
#include "common/reference/postgres_test.h"
#include "common/reference/set_loader.h"
#include "tests/support/wait_until.h"

namespace sluice::reference {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kSchema =
    R"(kind: as_of columns {name: "unit"} columns {name: "name"} columns {name: "from" type: time source: "starts"}
       columns {name: "to" type: time source: "ends"} columns {name: "strength" type: integer}
       columns {name: "open" type: boolean} columns {name: "since" type: date}
       key {column: "unit"} valid {from: "from" to: "to"})";

class PostgresSourceTest : public PostgresTest {
 protected:
  void SetUp() override {
    Execute(
        "DROP TABLE IF EXISTS units; CREATE TABLE units (unit text, name text, starts timestamptz, "
        "ends timestamptz, strength int, open bool, since date, changed_at timestamptz DEFAULT "
        "clock_timestamp()); INSERT INTO units VALUES "
        "('A', 'Old', '-infinity', '2025-01-01 00:00:00+01', 5, true, '1999-12-31'), "
        "('A', 'New', '2025-01-01 00:00:00+01', 'infinity', NULL, false, NULL), "
        "('B', 'B\xC3\xA9', NULL, '2026-06-01 12:00:00+00', 7, NULL, NULL)");
  }
  std::string Set(std::string_view query, std::string_view rest = "") {
    return base::StrCat("name: 'units' postgres {connection: '", server_->connection(),
                        "' query: \"", query, "\" ", rest, "} schema {", kSchema, "}");
  }

  std::string Value(PostgresSession& session, const std::string& query) {
    std::string value;
    auto rows = session.Query(query, [&](PostgresSession::Row row) {
      value = row[0].value_or("NULL");
      return absl::OkStatus();
    });
    EXPECT_TRUE(rows.ok()) << rows.status();
    return value;
  }
  // Of a set of codes with one more column.
  std::unique_ptr<Source> Typed(std::string_view type, std::string_view query) {
    return SourceFromText(base::StrCat(
        "name: 't' postgres {connection: '", server_->connection(), "' query: \"", query,
        "\"} schema {columns {name: 'k'} columns {name: 'v' type: ", type, "} key {column: 'k'}}"));
  }
};

TEST_F(PostgresSourceTest, ItsRowsAreThoseOfAFileWithTheSame) {
  auto rows = SourceFromText(Set("select * from units"))->Read();
  ASSERT_TRUE(rows.ok()) << rows.status();
  auto csv = enrichment::RowsFromText(
      kSchema,
      "unit,name,starts,ends,strength,open,since\n"
      "A,Old,,2024-12-31T23:00:00Z,5,true,1999-12-31\nA,New,2024-12-31T23:00:00Z,,,false,\n"
      "B,B\xC3\xA9,,2026-06-01T12:00:00Z,7,,\n");
  ASSERT_TRUE(csv.ok()) << csv.status();
  EXPECT_EQ((*rows)->id(), (*csv)->id());
}

TEST_F(PostgresSourceTest, ManyRowsAreReadInPieces) {
  auto rows = SourceFromText(
                  Set("select n::text as unit, 'x' as name, null::timestamptz as starts, "
                      "null::timestamptz as ends, n as strength, true as open, null::date as since "
                      "from generate_series(1, 25000) n"))
                  ->Read();
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ((*rows)->size(), 25'000u);
}

TEST_F(PostgresSourceTest, AChangeIsSeenByTheQueryForChanges) {
  base::ManualClock clock;
  std::string set =
      Set("select * from units", "changes: 'select max(changed_at), count(*) from units'");
  SetLoader loader(SetFromText(set), SourceFromText(set), clock);
  auto first = loader.Look(false);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_NE(*first, nullptr);
  EXPECT_EQ(*loader.Look(false), nullptr);
  Execute("INSERT INTO units VALUES ('C', 'New one')");
  auto second = loader.Look(false);
  ASSERT_TRUE(second.ok()) << second.status();
  ASSERT_NE(*second, nullptr);
  EXPECT_EQ((*second)->size(), 4u);
  Execute("DELETE FROM units WHERE unit = 'A'");
  ASSERT_NE(*loader.Look(false), nullptr);
}

TEST_F(PostgresSourceTest, WithoutOneTheRowsAreReadAtEachLook) {
  base::ManualClock clock;
  std::string set = Set("select * from units");
  SetLoader loader(SetFromText(set), SourceFromText(set), clock);
  auto first = loader.Look(false), second = loader.Look(false);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ((*first)->id(), (*second)->id());
}

TEST_F(PostgresSourceTest, ErrorsNameTheColumnAndNoValue) {
  EXPECT_THAT(SourceFromText(Set("select unit, name from units"))->Read().status().ToString(),
              HasSubstr("the query has no column 'starts'; it has: unit, name"));
  EXPECT_THAT(SourceFromText(Set("select * from unitz"))->Read().status().ToString(),
              AllOf(HasSubstr("SQLSTATE 42P01"), HasSubstr("unitz")));
  // The server's text would tell the value.
  auto cast =
      SourceFromText(
          Set("select unit, name, starts, ends, name::int as strength, open, since from units"))
          ->Read();
  EXPECT_THAT(cast.status().ToString(), AllOf(HasSubstr("SQLSTATE 22P02"), Not(HasSubstr("Old"))));
  Execute(
      "UPDATE units SET name = 'Canary' WHERE unit = 'A'; ALTER TABLE units ALTER strength TYPE "
      "text; "
      "UPDATE units SET strength = 'Canary'");
  auto typed = SourceFromText(Set("select * from units"))->Read();
  EXPECT_THAT(typed.status().ToString(),
              AllOf(HasSubstr("column 'strength': isn't an integer"), Not(HasSubstr("Canary"))));
}

TEST_F(PostgresSourceTest, AnEmptyTableIsNoVersion) {
  Execute("DELETE FROM units");
  EXPECT_THAT(SourceFromText(Set("select * from units"))->Read().status().ToString(),
              HasSubstr("postgres: there are no rows"));
}

TEST_F(PostgresSourceTest, AServerThatWasAwayIsReadAgainWhenItIsBack) {
  auto source = SourceFromText(Set("select * from units"));
  ASSERT_TRUE(source->Read().ok());
  server_->Kill();
  EXPECT_TRUE(absl::IsUnavailable(source->Mark().status()));
  EXPECT_TRUE(absl::IsUnavailable(source->Read().status()));
  ASSERT_EQ(server_->Start(), absl::OkStatus());
  EXPECT_TRUE(source->Read().ok());
}

TEST_F(PostgresSourceTest, ARowThatNeverHoldsIsNotFoundAtAnyTime) {
  Execute(
      "INSERT INTO units VALUES ('P', 'Planned', 'infinity', 'infinity'), ('P', 'Planned too', "
      "'infinity', NULL), ('V', 'Void', '-infinity', '-infinity'), ('D', 'One day', '2025-03-01', "
      "'2025-03-01')");
  auto source = SourceFromText(Set("select * from units"));
  auto rows = source->Read();
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ((*rows)->size(), 3u);
  EXPECT_EQ(source->never_hold(), 4u);
}

TEST_F(PostgresSourceTest, CharsFillingIsNoPartOfAValue) {
  Execute(
      "DROP TABLE IF EXISTS fixed; DROP DOMAIN IF EXISTS mark; CREATE DOMAIN mark AS char(8); "
      "CREATE TABLE fixed (k mark, v char(20)); INSERT INTO fixed VALUES ('AB1', ' first '), "
      "('CD22', '')");
  auto rows = Typed("text", "select k, v from fixed")->Read();
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ((*rows)->id(),
            (*enrichment::RowsFromText("columns {name: 'k'} columns {name: 'v'} key {column: 'k'}",
                                       "k,v\nAB1, first\nCD22,\n"))
                ->id());
}

TEST_F(PostgresSourceTest, TwoColumnsOfOneNameAreRefusedWhereOneIsWanted) {
  constexpr const char* kBoth =
      "select n::text as k, 'a' as v, 'b' as v from generate_series(1, 2) n";
  EXPECT_THAT(Typed("text", kBoth)->Read().status().ToString(),
              HasSubstr("two columns of the query are named 'v': give them names"));
  auto other = SourceFromText(base::StrCat("name: 't' postgres {connection: '",
                                           server_->connection(), "' query: \"", kBoth,
                                           "\"} schema {columns {name: 'k'} key {column: 'k'}}"));
  EXPECT_TRUE(other->Read().ok()) << "neither is asked for";
}

TEST_F(PostgresSourceTest, OnlyTheColumnsOfTheSchemaLeaveTheServer) {
  // 2,000 rows of 100 KB, of which a number is asked for.
  auto resident = [] {
    std::ifstream status("/proc/self/statm");
    size_t pages = 0, kept = 0;
    status >> pages >> kept;
    return kept * 4096;
  };
  const size_t before = resident();
  auto rows =
      SourceFromText(
          base::StrCat(
              "name: 't' postgres {connection: '", server_->connection(),
              "' query: \"select n as k, repeat('x', 100000) as big from "
              "generate_series(1, 2000) n -- all of them\"} schema {columns {name: 'k' type: "
              "integer} key {column: 'k'}}"))
          ->Read();
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ((*rows)->size(), 2000u);
  // And where the large one is asked for, only what a rule lets through is held.
  auto large =
      SourceFromText(
          base::StrCat(
              "name: 't' postgres {connection: '", server_->connection(),
              "' query: \"select n as k, repeat('x', 100000) as big from "
              "generate_series(1, 2000) n\"} schema {columns {name: 'k' type: integer} columns "
              "{name: 'big' max_len: 99999} key {column: 'k'}}"))
          ->Read();
  EXPECT_THAT(large.status().ToString(), HasSubstr("postgres: row 1: column 'big': is longer"));
  EXPECT_LT(resident(), before + (size_t{32} << 20));
}

struct TypeCase {
  std::string_view query;  // of k and v
  std::string_view type;   // the column's
  // The value as a CSV cell has it, or what the refusal says.
  std::string_view cell, refusal;
};

TEST_F(PostgresSourceTest, EveryTypeIsReadAsAFileWouldHaveItOrRefusedByName) {
  Execute(
      "DROP TABLE IF EXISTS typed CASCADE; DROP TYPE IF EXISTS mood; DROP DOMAIN IF EXISTS code3; "
      "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN code3 AS varchar(3) CHECK (value <> "
      "''); CREATE TABLE typed (k text, n int, doubled int GENERATED ALWAYS AS (n * 2) STORED) "
      "PARTITION BY LIST (k); CREATE TABLE typed_a PARTITION OF typed FOR VALUES IN ('a'); INSERT "
      "INTO typed (k, n) VALUES ('a', 21); CREATE VIEW typed_view AS SELECT k, doubled AS v FROM "
      "typed");
  const TypeCase cases[] = {
      {"'x'::text", "text", "x", ""},
      {"'x'::varchar(5)", "text", "x", ""},
      {"'x'::name", "text", "x", ""},
      {"'x'::\"char\"", "text", "x", ""},
      {"'abc'::code3", "text", "abc", ""},
      {"'ok'::mood", "text", "ok", ""},
      {"'0e37df36-f698-11e6-8dd4-cb9ced3df976'::uuid", "text",
       "0e37df36-f698-11e6-8dd4-cb9ced3df976", ""},
      {"'192.0.2.7/24'::inet", "text", "192.0.2.7/24", ""},
      {"'{\"a\": 1}'::jsonb", "text", "\"{\"\"a\"\": 1}\"", ""},
      {"'12:30:00+01'::timetz", "text", "12:30:00+01", ""},
      {"'23:59:59.999999'::time", "text", "23:59:59.999999", ""},
      {"'{\"a\": 1}'::json", "text", "\"{\"\"a\"\": 1}\"", ""},
      {"'1010'::bit(4)", "text", "1010", ""},
      {"'08:00:2b:01:02:03'::macaddr", "text", "08:00:2b:01:02:03", ""},
      {"4294967295::oid", "text", "4294967295", ""},
      {"'pg_class'::regclass", "text", "pg_class", ""},
      {"''::text", "text", "", ""},
      {"NULL::text", "text", "", ""},
      {"true", "text", "true", ""},
      {"true", "boolean", "true", ""},
      {"'t'::text", "boolean", "", "column 'v': isn't true or false"},
      {"(-32768)::int2", "integer", "-32768", ""},
      {"2147483647::int4", "integer", "2147483647", ""},
      {"(-9223372036854775808)::int8", "integer", "-9223372036854775808", ""},
      {"9223372036854775808::numeric", "integer", "", "column 'v': isn't an integer of 64 bits"},
      {"5.00::numeric(5,2)", "integer", "", "column 'v': isn't an integer"},
      {"5.10::numeric(5,2)", "number", "5.10", ""},
      {"0.1::float4", "number", "0.1", ""},
      {"0.1::float8 + 0.2::float8", "number", "0.30000000000000004", ""},
      {"1.7976931348623157e308::float8", "number", "1.7976931348623157e308", ""},
      {"'NaN'::numeric", "number", "", "column 'v': isn't a number"},
      {"'Infinity'::float8", "number", "", "column 'v': isn't a number"},
      {"'123456789012345678901234567890.5'::numeric", "text", "123456789012345678901234567890.5",
       ""},
      {"1e-130::numeric", "number", "1e-130", ""},
      {"0.123456789012345678901234567890::numeric(38,30)", "number", "0.12345678901234568", ""},
      {"(-1e400)::numeric", "number", "", "column 'v': isn't a number"},
      {"'-0'::float8", "number", "-0", ""},
      {"1e400::numeric", "integer", "", "column 'v': isn't an integer"},
      {"'ok'::mood", "integer", "", "column 'v': isn't an integer"},
      {"'0001-01-01'::date", "date", "0001-01-01", ""},
      {"'9999-12-31'::date", "date", "9999-12-31", ""},
      {"'-infinity'::date", "date", "", "column 'v': isn't a date"},
      {"'0001-01-01 00:00:00+00'::timestamptz", "time", "0001-01-01T00:00:00Z", ""},
      {"'9999-12-31 23:59:59.999999+00'::timestamptz", "time", "9999-12-31T23:59:59.999999Z", ""},
      {"'10000-01-01 00:00:00+00'::timestamptz", "time", "", "column 'v': isn't a time"},
      {"'2024-02-29'::date", "date", "2024-02-29", ""},
      {"'0044-03-15 BC'::date", "date", "", "column 'v': isn't a date"},
      {"'infinity'::date", "date", "", "column 'v': isn't a date"},
      {"'20000-01-01'::date", "date", "", "column 'v': isn't a date"},
      {"'2024-02-29 23:30:00'::timestamp", "date", "", "column 'v': isn't a date"},
      {"'2024-03-31 01:30:00+01'::timestamptz", "time", "2024-03-31T00:30:00Z", ""},
      {"'2024-03-31 01:30:00.123456+14'::timestamptz", "time", "2024-03-30T11:30:00.123456Z", ""},
      {"'infinity'::timestamptz", "time", "", "column 'v': isn't a time"},
      {"'0044-03-15 00:00:00+00 BC'::timestamptz", "time", "", "column 'v': isn't a time"},
      {"'2024-03-31 01:30:00'::timestamp", "time", "",
       "column 'v' (timestamp without time zone) is a timestamp without time zone: say which"},
      {"'2024-03-31 01:30:00+01'::timestamptz", "date", "", "the day depends on the zone"},
      {"'{a,b}'::text[]", "text", "", "column 'v' (text[]) is an array"},
      {"'{1}'::int[]", "integer", "", "column 'v' (integer[]) is an array"},
      {"row(1, 2)", "text", "", "column 'v' (record) has no type of its own"},
      {"typed", "text", "", "column 'v' (typed) is a row of several columns"},
      {"'[1,2)'::int4range", "text", "", "column 'v' (int4range) is a range"},
      {"'\\x00'::bytea", "text", "", "column 'v' (bytea) is bytea"},
      {"1::money", "number", "", "column 'v' (money) is money"},
      {"'1 day'::interval", "text", "", "column 'v' (interval) is an interval"},
      {"n", "integer", "21", ""},
      {"doubled", "integer", "42", ""},
  };
  for (const TypeCase& one : cases) {
    // As a text of protobuf's: quotes and backslashes.
    std::string query = base::StrCat("select k, ", one.query, " as v from typed"), escaped;
    for (char c : query) {
      if (c == '"' || c == '\\') escaped += '\\';
      escaped += c;
    }
    auto rows = Typed(one.type, escaped)->Read();
    if (!one.refusal.empty()) {
      EXPECT_THAT(rows.status().ToString(), HasSubstr(std::string(one.refusal))) << one.query;
      EXPECT_FALSE(absl::IsUnavailable(rows.status())) << one.query;
      continue;
    }
    ASSERT_TRUE(rows.ok()) << one.query << ": " << rows.status();
    auto csv = enrichment::RowsFromText(
        base::StrCat("columns {name: 'k'} columns {name: 'v' type: ", one.type,
                     "} key {column: 'k'}"),
        base::StrCat("k,v\na,", one.cell, "\n"));
    ASSERT_TRUE(csv.ok()) << one.query << ": " << csv.status();
    EXPECT_EQ((*rows)->id(), (*csv)->id()) << one.query;
  }
  EXPECT_TRUE(Typed("integer", "select * from typed_view")->Read().ok());
  EXPECT_TRUE(
      Typed("integer", "with one as (table typed_view) select * from one order by k")->Read().ok());
}

TEST_F(PostgresSourceTest, EveryTypeThatTheServerHasIsReadOrRefusedByItsName) {
  std::vector<std::string> types;
  auto session = Session();
  auto listed = session->Query(
      "SELECT pg_catalog.format_type(oid, NULL) FROM pg_catalog.pg_type WHERE typtype IN ('b', "
      "'r', 'm', 'e') AND typname NOT LIKE '\\_%' ORDER BY 1",
      [&](PostgresSession::Row row) {
        types.emplace_back(*row[0]);
        return absl::OkStatus();
      });
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_GT(types.size(), 60u);
  int read = 0, refused = 0;
  for (const std::string& name : types) {
    // Quotes, of `"char"`, as protobuf's text has them.
    std::string type;
    for (char c : name) type += c == '"' ? std::string("\\\"") : std::string(1, c);
    auto rows = Typed("text", base::StrCat("select 'a' as k, NULL::", type, " as v"))->Read();
    ++(rows.ok() ? read : refused);
    if (!rows.ok()) {
      EXPECT_EQ(rows.status().code(), absl::StatusCode::kInvalidArgument) << name;
      EXPECT_THAT(rows.status().ToString(), HasSubstr(base::StrCat("column 'v' (", name, ") ")));
    }
    auto list = Typed("text", base::StrCat("select 'a' as k, NULL::", type, "[] as v"))->Read();
    // Types without arrays of their own are lists themselves.
    EXPECT_FALSE(list.ok()) << name;
  }
  EXPECT_GT(read, 35);
  EXPECT_GT(refused, 10);
}

TEST_F(PostgresSourceTest, OneStatementIsRunAndNoMore) {
  EXPECT_THAT(
      Typed("text", "select 'a' as k, 'b' as v; drop table units")->Read().status().ToString(),
      HasSubstr("SQLSTATE 42601"));
  EXPECT_THAT(
      Typed("text",
            "with gone as (delete from units returning *) select unit as k, name as v from gone")
          ->Read()
          .status()
          .code(),
      absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(SourceFromText(Set("select * from units"))->Read().ok());
}

TEST_F(PostgresSourceTest, ATransactionThatCommitsBehindALaterOneIsSeenByTheNextFullRead) {
  base::ManualClock clock;
  std::string set = base::StrCat(
      Set("select * from units", "changes: 'select max(changed_at), count(*) from units'"),
      " full_read_interval_ms: 60000");
  SetLoader loader(SetFromText(set), SourceFromText(set), clock);
  auto late = Session();
  ASSERT_EQ(late->Execute("BEGIN"), absl::OkStatus());
  ASSERT_EQ(late->Execute("UPDATE units SET name = 'Late', changed_at = now() WHERE unit = 'B'"),
            absl::OkStatus());
  Execute("UPDATE units SET name = 'Sooner', changed_at = clock_timestamp() WHERE unit = 'A'");
  auto first = loader.Look(false);
  ASSERT_TRUE(first.ok() && *first != nullptr) << first.status();
  ASSERT_EQ(late->Execute("COMMIT"), absl::OkStatus());
  EXPECT_EQ(*loader.Look(false), nullptr) << "the query for changes misses it";
  clock.Advance(std::chrono::seconds(60));
  auto second = loader.Look(false);
  ASSERT_TRUE(second.ok() && *second != nullptr) << second.status();
  EXPECT_NE((*second)->id(), (*first)->id());
  EXPECT_EQ(*loader.read_at(), clock.Now());
  EXPECT_EQ(*loader.Look(false), nullptr);
}

TEST_F(PostgresSourceTest, TheGuidesQueryForChangesMissesNoLateCommit) {
  base::ManualClock clock;
  std::string set =
      Set("select * from units",
          "changes: 'select count(*), sum(hashtextextended(u::text, 0)) from units u'");
  SetLoader loader(SetFromText(set), SourceFromText(set), clock);
  auto late = Session();
  ASSERT_EQ(late->Execute("BEGIN"), absl::OkStatus());
  ASSERT_EQ(late->Execute("UPDATE units SET name = 'Late', changed_at = now() WHERE unit = 'B'"),
            absl::OkStatus());
  Execute("UPDATE units SET name = 'Sooner', changed_at = clock_timestamp() WHERE unit = 'A'");
  ASSERT_NE(*loader.Look(false), nullptr);
  EXPECT_EQ(*loader.Look(false), nullptr);
  ASSERT_EQ(late->Execute("COMMIT"), absl::OkStatus());
  EXPECT_NE(*loader.Look(false), nullptr);
}

TEST_F(PostgresSourceTest, ATableThatIsReplacedWhileItIsReadIsNotReadEmpty) {
  auto loader = Session();
  auto source = SourceFromText(Set("select u.*, 1 as one from units u"));
  auto watch = Session();
  int changes = 0;
  for (const char* change :
       {"TRUNCATE units", "ALTER TABLE units ALTER name TYPE varchar(50)",
        "CREATE TABLE units_new AS TABLE units; DROP TABLE units; ALTER TABLE units_new RENAME TO "
        "units"}) {
    ASSERT_EQ(loader->Execute("BEGIN"), absl::OkStatus());
    std::stringstream statements(change);
    for (std::string statement; std::getline(statements, statement, ';');)
      ASSERT_EQ(loader->Execute(statement), absl::OkStatus()) << statement;
    ASSERT_EQ(loader->Execute(base::StrCat("INSERT INTO units VALUES ('N", ++changes, "', 'New')")),
              absl::OkStatus());
    auto reading = std::async(std::launch::async, [&] { return source->Read(); });
    ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(20), [&] {
      return *watch->Query("SELECT FROM pg_locks WHERE NOT granted",
                           [](PostgresSession::Row) { return absl::OkStatus(); }) > 0;
    }));
    ASSERT_EQ(loader->Execute("COMMIT"), absl::OkStatus());
    auto rows = reading.get();
    EXPECT_TRUE(absl::IsUnavailable(rows.status())) << change << ": " << rows.status();
    rows = source->Read();
    EXPECT_TRUE(rows.ok()) << change << ": " << rows.status();
  }
}

TEST_F(PostgresSourceTest, SettingsAreTheTransactionsOwn) {
  auto session = Session(std::chrono::milliseconds(1234));
  const std::string before = Value(*session, "SHOW statement_timeout");
  ASSERT_EQ(session->Begin(), absl::OkStatus());
  EXPECT_EQ(Value(*session, "SHOW statement_timeout"), "1234ms");
  EXPECT_EQ(Value(*session, "SHOW timezone"), "UTC");
  EXPECT_EQ(Value(*session, "SHOW transaction_read_only"), "on");
  ASSERT_EQ(session->Commit(), absl::OkStatus());
  EXPECT_EQ(Value(*session, "SHOW statement_timeout"), before);
}

TEST_F(PostgresSourceTest, AServerThatIsFrozenIsGivenUpAndAnInterruptEndsEveryWait) {
  auto source = SourceFromText(Set("select * from units", "statement_timeout_ms: 100"));
  ASSERT_TRUE(source->Read().ok());
  server_->Freeze();
  auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(absl::IsUnavailable(source->Mark().status())) << "on a connection that was there";
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  auto interrupt = std::make_shared<Interrupt>();
  auto stopped =
      MakeSource(SetFromText(Set("select * from units")),
                 {.resolve = [](const std::string& path) { return path; }, .interrupt = interrupt});
  ASSERT_TRUE(stopped.ok());
  auto reading = std::async(std::launch::async, [&] { return (*stopped)->Read().status(); });
  interrupt->Raise();
  EXPECT_TRUE(absl::IsCancelled(reading.get()));
  server_->Thaw();
  EXPECT_TRUE(source->Read().ok());
}

TEST_F(PostgresSourceTest, SeveralHostsAreTriedInTurn) {
  // Nothing listens at the first; its port is refused or never answers.
  std::string connection = server_->connection();
  connection.replace(connection.find("127.0.0.1"), 9, "127.0.0.2,127.0.0.1");
  auto session =
      PostgresSession::Connect({.connection = base::StrCat(connection, " connect_timeout=1")});
  EXPECT_TRUE(session.ok()) << session.status();
  EXPECT_TRUE(absl::IsUnavailable(
      PostgresSession::Connect({.connection = "host=127.0.0.2 port=1"}).status()));
  auto wrong = PostgresSession::Connect({.connection = "pasword=canary"}).status();
  EXPECT_EQ(wrong.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(wrong.ToString(), Not(HasSubstr("canary")));
}

TEST_F(PostgresSourceTest, AQueryThatTakesTooLongIsGivenUp) {
  auto source =
      SourceFromText(Set("select *, pg_sleep(20) from units", "statement_timeout_ms: 100"));
  EXPECT_TRUE(absl::IsUnavailable(source->Read().status()));
}

}  // namespace
}  // namespace sluice::reference
