// Joins in time, by range and by key, compared with the same questions as SQL on generated rows.
// SLUICE_ORACLE_QUESTIONS asks more of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <random>

#include "absl/time/time.h"
#include "common/base/strings.h"
#include "common/enrichment/testing.h"
#include "common/reference/postgres_test.h"

namespace sluice::reference {
namespace {

using event::Value;

class HistoryOracle : public PostgresTest {
 protected:
  static constexpr size_t kPerRound = 4'000;

  void SetUp() override {
    const char* wanted = std::getenv("SLUICE_ORACLE_QUESTIONS");
    // All tests of this suite together.
    questions_ = wanted == nullptr ? 8'000 : static_cast<size_t>(std::atoll(wanted)) / 6;
    session_ = Session(std::chrono::minutes(10), "options='-c timezone=UTC'");
  }

  size_t Below(size_t bound) { return random_() % bound; }
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Below(static_cast<size_t>(high - low + 1)));
  }
  bool OneIn(size_t times) { return Below(times) == 0; }

  // Rows of one key, one after the other: gaps, rows without a length, open ends in both ways of
  // writing them, and rows that never hold.
  struct Span {
    std::string low, high;
  };
  std::vector<Span> History(int64_t begin, int64_t end, int64_t length,
                            const std::function<std::string(int64_t)>& text, bool infinities) {
    std::vector<Span> spans;
    int64_t at = begin + Between(0, length);
    const bool open_begin = OneIn(3), open_end = OneIn(3);
    while (at < end) {
      const int64_t to = OneIn(6) ? at : at + Between(1, length);
      spans.push_back({text(at), text(to)});
      at = to + (OneIn(3) ? Between(1, length) : 0);
    }
    if (!spans.empty() && open_begin && spans[0].low != spans[0].high)
      spans[0].low = infinities && OneIn(2) ? "'-infinity'" : "NULL";
    if (!spans.empty() && open_end && spans.back().low != spans.back().high)
      spans.back().high = infinities && OneIn(2) ? "'infinity'" : "NULL";
    if (infinities && OneIn(3)) spans.push_back({"'infinity'", OneIn(2) ? "'infinity'" : "NULL"});
    if (infinities && OneIn(3)) spans.push_back({OneIn(2) ? "'-infinity'" : "NULL", "'-infinity'"});
    return spans;
  }

  void Run(const std::string& sql) {
    absl::Status ran = session_->Execute(sql);
    ASSERT_EQ(ran, absl::OkStatus()) << sql.substr(0, 200);
  }
  // `rows` of a table of this definition.
  void Fill(std::string_view table, std::string_view columns,
            const std::vector<std::string>& rows) {
    Run(base::StrCat("DROP TABLE IF EXISTS ", table));
    Run(base::StrCat("CREATE TABLE ", table, " (", columns, ")"));
    for (size_t begin = 0; begin < rows.size(); begin += 2'000) {
      std::string sql = base::StrCat("INSERT INTO ", table, " VALUES ");
      for (size_t i = begin; i < std::min(rows.size(), begin + 2'000); ++i)
        base::StrAppend(sql, i == begin ? "(" : ",(", rows[i], ")");
      Run(sql);
    }
    Run(base::StrCat("ANALYZE ", table));
  }
  std::shared_ptr<const enrichment::Table> Table(std::string_view schema) {
    auto rows =
        SourceFromText(base::StrCat("name: 'h' postgres {connection: '", server_->connection(),
                                    "' query: 'select * from h'} schema {", schema, "}"))
            ->Read();
    EXPECT_TRUE(rows.ok()) << rows.status();
    return *enrichment::MakeTable(
        "h", std::static_pointer_cast<const enrichment::RowSet>(*std::move(rows)));
  }
  // By question, the `v` of the row that the query joins; empty: none.
  std::vector<std::string> Answers(const std::string& query, size_t count) {
    std::vector<std::string> answers(count);
    auto rows = session_->Query(query, [&](PostgresSession::Row row) {
      answers[static_cast<size_t>(std::stoull(std::string(*row[0])))] = row[1].value_or("");
      return absl::OkStatus();
    });
    EXPECT_TRUE(rows.ok()) << rows.status();
    return answers;
  }
  void Compare(const enrichment::Table& table, const std::vector<enrichment::Question>& questions,
               const std::vector<std::string>& answers, const std::vector<std::string>& texts) {
    const size_t column = *table.schema().Find("v");
    for (size_t i = 0; i < questions.size(); ++i) {
      enrichment::RowId row = table.Find(questions[i]);
      std::string found =
          row == enrichment::kNoRow ? "" : base::StrCat(table.Cell(row, column).integer);
      ASSERT_EQ(found, answers[i]) << texts[i];
      found_ += row != enrichment::kNoRow;
    }
    asked_ += questions.size();
  }
  void Tell() const {
    std::cout << asked_ << " questions, " << found_ << " with a row\n";
    EXPECT_GT(found_ * 10, asked_);
    EXPECT_LT(found_ * 50, asked_ * 49);
  }

  std::unique_ptr<PostgresSession> session_;
  std::mt19937 random_{17};
  size_t questions_ = 0, asked_ = 0, found_ = 0;
};

std::string TimeText(int64_t seconds) {
  return absl::FormatTime("'%Y-%m-%d %H:%M:%S+00'", absl::FromUnixSeconds(seconds),
                          absl::UTCTimeZone());
}
std::string DateText(int64_t days) {
  return absl::FormatTime("'%Y-%m-%d'", absl::FromUnixSeconds(days * 86'400), absl::UTCTimeZone());
}

// Two summers and winters, and what lies around the hours at which clocks change in London.
constexpr int64_t kBegin = 1'704'067'200, kEnd = kBegin + 2 * 366 * int64_t{86'400};
constexpr int64_t kChanges[] = {1'711'846'800, 1'729'990'800, 1'743'296'400, 1'761'440'400};

TEST_F(HistoryOracle, OfTimes) {
  for (size_t done = 0; done < questions_; done += kPerRound) {
    std::vector<std::string> rows, asked, keys;
    for (int key = 0; key < 200; ++key) {
      keys.push_back(base::StrCat("k", key));
      for (const Span& span :
           History(kBegin, kEnd, OneIn(2) ? 86'400 * 60 : 3'600 * 24 * 400, TimeText, true))
        rows.push_back(
            base::StrCat("'", keys.back(), "',", rows.size(), ",", span.low, ",", span.high));
    }
    Fill("h", "k text, v int, f timestamptz, t timestamptz", rows);
    auto table = Table(
        "kind: as_of columns {name: 'k'} columns {name: 'v' type: integer} columns {name: 'f' "
        "type: "
        "time} columns {name: 't' type: time} key {column: 'k'} valid {from: 'f' to: 't'}");
    std::vector<Value> values;
    std::vector<enrichment::Question> questions(kPerRound);
    values.reserve(kPerRound);
    for (size_t i = 0; i < kPerRound; ++i) {
      const std::string& key = keys[Below(keys.size())];
      questions[i].at = Between(kBegin - 1000, kEnd + 1000);
      values.push_back(Value::Text(key));
      questions[i].key = {&values.back(), 1};
      asked.push_back(base::StrCat(i, ",'", key, "',", TimeText(questions[i].at)));
    }
    Fill("q", "i int, k text, at timestamptz", asked);
    Compare(*table, questions,
            Answers("SELECT i::text, v::text FROM q LEFT JOIN h ON h.k = q.k AND "
                    "coalesce(f, '-infinity') <= at AND at < coalesce(t, 'infinity')",
                    kPerRound),
            asked);
  }
  Tell();
}

TEST_F(HistoryOracle, OfDatesInAZoneWhoseClocksChange) {
  for (size_t done = 0; done < questions_; done += kPerRound) {
    std::vector<std::string> rows, asked, keys;
    for (int key = 0; key < 200; ++key) {
      keys.push_back(base::StrCat("k", key));
      for (const Span& span : History(kBegin / 86'400, kEnd / 86'400, 90, DateText, true))
        rows.push_back(
            base::StrCat("'", keys.back(), "',", rows.size(), ",", span.low, ",", span.high));
      // One day, and the next, around a change.
      const int64_t day = kChanges[Below(4)] / 86'400;
      keys.push_back(base::StrCat("c", key));
      rows.push_back(base::StrCat("'", keys.back(), "',", rows.size(), ",", DateText(day), ",",
                                  DateText(day + 1)));
      rows.push_back(
          base::StrCat("'", keys.back(), "',", rows.size(), ",", DateText(day + 1), ",NULL"));
    }
    Fill("h", "k text, v int, f date, t date", rows);
    auto table = Table(
        "kind: as_of columns {name: 'k'} columns {name: 'v' type: integer} columns {name: 'f' "
        "type: "
        "date} columns {name: 't' type: date} key {column: 'k'} valid {from: 'f' to: 't' "
        "time_zone: 'Europe/London'}");
    std::vector<Value> values;
    std::vector<enrichment::Question> questions(kPerRound);
    values.reserve(kPerRound);
    for (size_t i = 0; i < kPerRound; ++i) {
      const std::string& key = keys[Below(keys.size())];
      questions[i].at = OneIn(2) ? Between(kBegin, kEnd)
                                 : kChanges[Below(4)] / 86'400 * 86'400 + 86'400 * Between(-1, 2) -
                                       3'600 * Between(0, 1) + Between(-2, 2);
      values.push_back(Value::Text(key));
      questions[i].key = {&values.back(), 1};
      asked.push_back(base::StrCat(i, ",'", key, "',", TimeText(questions[i].at)));
    }
    Fill("q", "i int, k text, at timestamptz", asked);
    Compare(*table, questions,
            Answers("SELECT i::text, v::text FROM q LEFT JOIN h ON h.k = q.k AND (coalesce(f, "
                    "'-infinity')::timestamp AT TIME ZONE 'Europe/London') <= at AND at < "
                    "(coalesce(t, 'infinity')::timestamp AT TIME ZONE 'Europe/London')",
                    kPerRound),
            asked);
  }
  Tell();
}

struct RangeCase {
  bool half_open = false;
  std::string_view sql_type, column_type;
  int64_t begin = 0, end = 0, length = 0;
  bool infinities = false;
  std::function<std::string(int64_t)> text;
  std::function<Value(int64_t at, const std::string& text)> value;
};

class RangeOracle : public HistoryOracle {
 protected:
  void Check(const RangeCase& of) {
    for (size_t done = 0; done < questions_; done += kPerRound) {
      std::vector<std::string> rows, asked;
      for (int key = 0; key < 100; ++key) {
        for (const Span& span : History(of.begin, of.end, of.length, of.text, of.infinities))
          rows.push_back(base::StrCat(key, ",", rows.size(), ",", span.low, ",", span.high));
      }
      Fill("all_h", base::StrCat("k int, v int, f ", of.sql_type, ", t ", of.sql_type), rows);
      // Closed ranges that share a bound share a value, which is refused: the later one is left
      // out.
      Run("DROP TABLE IF EXISTS h");
      Run(of.half_open
              ? "CREATE TABLE h AS TABLE all_h"
              : "CREATE TABLE h AS SELECT * FROM all_h a WHERE NOT EXISTS (SELECT FROM all_h b "
                "WHERE b.k = a.k AND b.v < a.v AND (b.f IS NULL OR a.t IS NULL OR b.f <= a.t) AND "
                "(a.f IS NULL OR b.t IS NULL OR a.f <= b.t))");
      auto table = Table(base::StrCat(
          "kind: range columns {name: 'k' type: integer} columns {name: 'v' type: integer} columns "
          "{name: 'f' type: ",
          of.column_type, "} columns {name: 't' type: ", of.column_type,
          "} key {column: 'k'} bounds {low: 'f' high: 't' half_open: ",
          of.half_open ? "true" : "false", "}"));
      std::vector<Value> keys(kPerRound);
      std::vector<enrichment::Question> questions(kPerRound);
      for (size_t i = 0; i < kPerRound; ++i) {
        const int64_t key = Between(0, 100), at = Between(of.begin - 5, of.end + 5);
        keys[i] = Value::Int(key);
        questions[i].key = {&keys[i], 1};
        const std::string text = of.text(at);
        auto ordered = table->schema().Ordered(of.value(at, text));
        ASSERT_TRUE(ordered.has_value()) << text;
        questions[i].at = *ordered;
        asked.push_back(base::StrCat(i, ",", key, ",", text));
      }
      Fill("q", base::StrCat("i int, k int, at ", of.sql_type), asked);
      Compare(*table, questions,
              Answers(base::StrCat("SELECT i::text, v::text FROM q LEFT JOIN h ON h.k = q.k AND (f "
                                   "IS NULL OR f <= at) AND (t IS NULL OR at ",
                                   of.half_open ? "<" : "<=", " t)"),
                      kPerRound),
              asked);
    }
    Tell();
  }
};

TEST_F(RangeOracle, OfIntegersWithBothBounds) {
  Check({.sql_type = "bigint",
         .column_type = "integer",
         .begin = -500,
         .end = 500,
         .length = 60,
         .text = [](int64_t at) { return base::StrCat(at); },
         .value = [](int64_t at, const std::string&) { return Value::Int(at); }});
}

TEST_F(RangeOracle, OfNumbersWithoutTheUpperBound) {
  Check({.half_open = true,
         .sql_type = "float8",
         .column_type = "number",
         .begin = -500,
         .end = 500,
         .length = 60,
         .infinities = true,
         .text = [](int64_t at) { return base::StrCat("'", static_cast<double>(at) / 8, "'"); },
         .value = [](int64_t at,
                     const std::string&) { return Value::Double(static_cast<double>(at) / 8); }});
}

TEST_F(RangeOracle, OfDatesWithBothBounds) {
  Check({.sql_type = "date",
         .column_type = "date",
         .begin = 18'000,
         .end = 19'000,
         .length = 60,
         .infinities = true,
         .text = DateText,
         .value = [](int64_t, const std::string& text) {
           return Value::Text(std::string_view(text).substr(1, 10));
         }});
}

TEST_F(HistoryOracle, OfKeysInSeveralParts) {
  for (size_t done = 0; done < questions_; done += kPerRound) {
    // Marks as people write them, and as events do.
    auto mark = [&] {
      static constexpr std::string_view kSigns = "aAbB1 2.-/";
      std::string text;
      for (size_t i = 1 + Below(4); i > 0; --i) text += kSigns[Below(kSigns.size())];
      return text;
    };
    const std::string key = "upper(regexp_replace(btrim(m), '[ ./-]', '', 'g'))";
    std::vector<std::string> rows, asked;
    for (int i = 0; i < 1500; ++i)
      rows.push_back(base::StrCat("'", mark(), "',", Between(-3, 3), ",",
                                  OneIn(2) ? "true" : "false", ",", i));
    Fill("all_h", "m text, n int, b bool, v int", rows);
    // Of those that are one key, the first; and none whose key is empty.
    Run("DROP TABLE IF EXISTS h");
    Run(base::StrCat("CREATE TABLE h AS SELECT DISTINCT ON (", key, ", n, b) * FROM all_h WHERE ",
                     key, " <> '' ORDER BY ", key, ", n, b, v"));
    auto table = Table(
        "columns {name: 'm'} columns {name: 'n' type: integer} columns {name: 'b' type: boolean} "
        "columns {name: 'v' type: integer} key {column: 'm' normalise: compact} key {column: 'n'} "
        "key {column: 'b'}");
    std::vector<std::string> marks(kPerRound);
    std::vector<std::array<Value, 3>> keys(kPerRound);
    std::vector<enrichment::Question> questions(kPerRound);
    for (size_t i = 0; i < kPerRound; ++i) {
      marks[i] = mark();
      const int64_t number = Between(-3, 3);
      const bool flag = OneIn(2);
      keys[i] = {Value::Text(marks[i]), Value::Int(number), Value::Bool(flag)};
      questions[i].key = keys[i];
      asked.push_back(base::StrCat(i, ",'", marks[i], "',", number, ",", flag ? "true" : "false"));
    }
    Fill("q", "i int, m text, n int, b bool", asked);
    Compare(*table, questions,
            Answers("SELECT i::text, v::text FROM q LEFT JOIN (SELECT " + key +
                        " AS mark, n, b, v FROM h) h ON h.mark = upper(regexp_replace(btrim(q.m), "
                        "'[ ./-]', '', 'g')) AND h.n = q.n AND h.b = q.b",
                    kPerRound),
            asked);
  }
  Tell();
}

}  // namespace
}  // namespace sluice::reference
