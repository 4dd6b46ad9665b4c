// Against a real PostgreSQL.
#include "common/reference/postgres_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/strings.h"
#include "common/enrichment/testing.h"
#include "common/reference/set_loader.h"
#include "common/reference/testing.h"
#include "tests/support/postgres_server.h"

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

class PostgresSourceTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto server = test_support::PostgresServer::Create();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server).release();
    ASSERT_EQ(server_->Start(), absl::OkStatus());
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  void SetUp() override {
    Execute(
        "DROP TABLE IF EXISTS units; CREATE TABLE units (unit text, name text, starts timestamptz, "
        "ends timestamptz, strength int, open bool, since date, changed_at timestamptz DEFAULT "
        "clock_timestamp()); INSERT INTO units VALUES "
        "('A', 'Old', '-infinity', '2025-01-01 00:00:00+01', 5, true, '1999-12-31'), "
        "('A', 'New', '2025-01-01 00:00:00+01', 'infinity', NULL, false, NULL), "
        "('B', 'B\xC3\xA9', NULL, '2026-06-01 12:00:00+00', 7, NULL, NULL)");
  }
  void Execute(const std::string& sql) { ASSERT_EQ(server_->Execute(sql), absl::OkStatus()); }
  std::string Set(std::string_view query, std::string_view rest = "") {
    return base::StrCat("name: 'units' postgres {connection: '", server_->connection(),
                        "' query: \"", query, "\" ", rest, "} schema {", kSchema, "}");
  }

  static test_support::PostgresServer* server_;
};

test_support::PostgresServer* PostgresSourceTest::server_ = nullptr;

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
  auto cast = SourceFromText(Set("select *, name::int from units"))->Read();
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

TEST_F(PostgresSourceTest, AQueryThatTakesTooLongIsGivenUp) {
  auto source =
      SourceFromText(Set("select *, pg_sleep(20) from units", "statement_timeout_ms: 100"));
  EXPECT_TRUE(absl::IsUnavailable(source->Read().status()));
}

}  // namespace
}  // namespace sluice::reference
