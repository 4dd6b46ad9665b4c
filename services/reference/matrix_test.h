// What becomes of a change at a source: the same in every source. docs/guides/reference-changes.md
// is this table for people.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "common/enrichment/testing.h"
#include "common/reference/testing.h"
#include "services/reference/catalog.h"
#include "tests/support/temp_dir.h"

namespace sluice::reference {

// What a source is made to hold. Values are texts, whatever the source's own types.
struct MatrixData {
  std::vector<std::string> columns = {"code", "label", "strength"};
  std::vector<std::vector<std::string>> rows;
  // The column `label` stands there twice.
  bool label_twice = false;

  static MatrixData Rows(int count) {
    MatrixData data;
    for (int i = 0; i < count; ++i) {
      std::string number = base::StrCat(1000 + i).substr(1);
      data.rows.push_back({base::StrCat("C", number), base::StrCat("label ", i), base::StrCat(i)});
    }
    return data;
  }
  // As the one format that all others are compared with.
  std::string Csv() const {
    std::string text;
    auto line = [&](const std::vector<std::string>& cells) {
      for (size_t i = 0; i < cells.size(); ++i) base::StrAppend(text, i == 0 ? "" : ",", cells[i]);
      if (label_twice) text += &cells == &columns ? ",label" : ",again";
      text += '\n';
    };
    line(columns);
    for (const auto& row : rows) line(row);
    return text;
  }
  std::string Json(const std::vector<std::string>& row) const {
    std::string text = "{";
    for (size_t i = 0; i < row.size(); ++i)
      base::StrAppend(text, i == 0 ? "" : ",", "\"", columns[i], "\":\"", row[i], "\"");
    return base::StrCat(text, label_twice ? ",\"label\":\"again\"}" : "}");
  }
};

constexpr const char* kMatrixSchema =
    R"(columns {name: "code"} columns {name: "label"} columns {name: "strength" type: integer}
       key {column: "code"})";

// A source in a test's hands.
class MatrixSource {
 public:
  virtual ~MatrixSource() = default;
  // As a ReferenceSet has it, in protobuf's text format.
  virtual std::string Config() const = 0;
  virtual kafka::ConnectionOptions Kafka() const { return {}; }
  virtual void Put(const MatrixData& data) = 0;
  // Gone, and made again with this in it: another file, table or topic of the same name.
  virtual void Recreate(const MatrixData& data) = 0;
  // Only a part of this is there. False: the source can't be seen so.
  virtual bool PutHalf(const MatrixData& data) = 0;
  // It can't be reached, and can be again. False: the source can't be so.
  virtual bool TakeAway() = 0;
  virtual void BringBack() = 0;
  // It is there, and gives no answer; then gives them again. False: the source can't be so.
  virtual bool Freeze() { return false; }
  virtual void Thaw() {}
  // It answers more slowly than its bound allows; then at once. False: the source has no bound.
  virtual bool SlowDown() { return false; }
  virtual void SpeedUp() {}
};

enum class Verdict {
  kRight,    // what the source has is active
  kRefused,  // what it has is refused, by name, and the version before stays
  kKept,     // the version before stays until the source answers again
};

struct MatrixChange {
  std::string_view name;
  Verdict verdict = Verdict::kRight;
  // What the refusal says.
  std::vector<std::string_view> says;
  std::function<void(MatrixData&)> change;
};

inline std::vector<MatrixChange> MatrixChanges() {
  auto cell = [](size_t row, size_t column, std::string value) {
    return [=](MatrixData& data) { data.rows[row][column] = value; };
  };
  return {
      {"a value", Verdict::kRight, {}, cell(4, 1, "other")},
      {"a row added",
       Verdict::kRight,
       {},
       [](MatrixData& data) {
         data.rows.push_back({"N", "new", "7"});
       }},
      {"a row gone", Verdict::kRight, {}, [](MatrixData& data) { data.rows.pop_back(); }},
      {"a column renamed",
       Verdict::kRefused,
       {"'label'"},
       [](MatrixData& data) { data.columns[1] = "title"; }},
      {"a column added",
       Verdict::kRight,
       {},
       [](MatrixData& data) {
         data.columns.push_back("extra");
         for (auto& row : data.rows) row.push_back("x");
       }},
      {"a column twice",
       Verdict::kRefused,
       {"twice|have one name|named 'label'"},
       [](MatrixData& data) { data.label_twice = true; }},
      {"a type changed",
       Verdict::kRefused,
       {"column 'strength': isn't an integer"},
       cell(3, 2, "many")},
      {"a key repeated", Verdict::kRefused, {"this key stands in"}, cell(5, 0, "C002")},
      {"a key padded with blanks", Verdict::kRight, {}, cell(5, 0, "C005  ")},
      {"a key in another case", Verdict::kRight, {}, cell(5, 0, "c005")},
      {"a key empty", Verdict::kRefused, {"column 'code': has no value"}, cell(5, 0, "")},
      {"empty",
       Verdict::kRefused,
       {"there are no rows"},
       [](MatrixData& data) { data.rows.clear(); }},
      {"shrunk",
       Verdict::kRefused,
       {"has 10 rows, the version in use 20", "shrink_percent_max"},
       [](MatrixData& data) { data.rows.resize(10); }},
      {"grown",
       Verdict::kRight,
       {},
       [](MatrixData& data) { data.rows = MatrixData::Rows(900).rows; }},
  };
}

// One set in a catalog whose threads don't run: each pass is the test's.
class MatrixCatalog {
 public:
  explicit MatrixCatalog(const MatrixSource& source) {
    config::v1::ReferenceSet set =
        SetFromText(base::StrCat("name: 's' ", source.Config(), " schema {", kMatrixSchema, "}"));
    SourceOptions options;
    options.resolve = [](const std::string& path) { return path; };
    options.kafka = source.Kafka();
    auto made = MakeSource(set, options);
    EXPECT_TRUE(made.ok()) << made.status();
    std::vector<std::unique_ptr<SetLoader>> sets;
    sets.push_back(std::make_unique<SetLoader>(set, *std::move(made), clock_));
    shelf_ = *Shelf::Open(folder_->path());
    auto catalog = Catalog::Create({}, std::move(sets), *shelf_, probe_, clock_);
    EXPECT_TRUE(catalog.ok()) << catalog.status();
    catalog_ = *std::move(catalog);
  }

  absl::Status Load() {
    return catalog_->Load("s", false, [](const std::string&) { return absl::OkStatus(); }).status();
  }
  v1::GetStatusResponse::Set Status() const {
    v1::GetStatusResponse status;
    catalog_->FillStatus(status);
    return status.sets(0);
  }
  std::string Metrics() {
    catalog_->Collect();
    return registry_.Serialize();
  }

 private:
  const base::SystemClock clock_;
  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("matrix");
  telemetry::Registry registry_;
  Probe probe_{registry_};
  std::unique_ptr<Shelf> shelf_;
  std::unique_ptr<Catalog> catalog_;
};

template <typename Catalog>
void ExpectActive(Catalog& catalog, const absl::Status& loaded, const MatrixData& data) {
  ASSERT_EQ(loaded, absl::OkStatus());
  auto right = enrichment::RowsFromText(kMatrixSchema, data.Csv());
  ASSERT_TRUE(right.ok()) << right.status();
  EXPECT_EQ(catalog.Status().active_id(), (*right)->id());
  EXPECT_EQ(catalog.Status().refusal(), "");
  EXPECT_THAT(catalog.Metrics(), ::testing::HasSubstr("sluice_reference_refused{set=\"s\"} 0"));
}

// The version before is active, its age is told, and the alerts have what they fire on.
inline void ExpectKept(MatrixCatalog& catalog, const absl::Status& loaded,
                       const std::string& before) {
  EXPECT_FALSE(loaded.ok());
  auto status = catalog.Status();
  EXPECT_EQ(status.active_id(), before);
  EXPECT_NE(status.refusal(), "");
  EXPECT_EQ(status.refusal(), status.last_refusal());
  EXPECT_GT(status.last_refused_unix_ms(), 0);
  EXPECT_TRUE(status.has_confirmed_seconds());
  EXPECT_THAT(catalog.Metrics(),
              ::testing::AllOf(
                  ::testing::HasSubstr("sluice_reference_refused{set=\"s\"} 1"),
                  ::testing::HasSubstr("sluice_reference_confirmed_seconds{set=\"s\"} "),
                  ::testing::HasSubstr("sluice_reference_full_read_interval_seconds{set=\"s\"} ")));
}

// Every change at this source, as `Catalog` sees it: made of the source, with Load, Status and
// Metrics, and ExpectKept of its own where more is told there.
template <typename Catalog = MatrixCatalog, typename Source>
void CheckMatrix(Source& source) {
  const MatrixData base = MatrixData::Rows(20);
  source.Put(base);
  Catalog catalog(source);
  ExpectActive(catalog, catalog.Load(), base);
  const std::string before = catalog.Status().active_id();
  for (const MatrixChange& change : MatrixChanges()) {
    SCOPED_TRACE(change.name);
    Catalog own(source);
    ASSERT_EQ(own.Load(), absl::OkStatus());
    MatrixData data = base;
    change.change(data);
    source.Put(data);
    absl::Status loaded = own.Load();
    if (change.verdict == Verdict::kRight) {
      ExpectActive(own, loaded, data);
    } else {
      ExpectKept(own, loaded, before);
      for (std::string_view says : change.says) {
        // Alternatives: a source's own words for it.
        bool any = false;
        for (size_t at = 0; at <= says.size();) {
          size_t end = std::min(says.find('|', at), says.size());
          any = any || own.Status().refusal().find(says.substr(at, end - at)) != std::string::npos;
          at = end + 1;
        }
        EXPECT_TRUE(any) << own.Status().refusal() << " doesn't say " << says;
      }
      EXPECT_EQ(own.Status().refusal().find("many"), std::string::npos) << "a value";
    }
    // Nothing is left of it once the source is as it was.
    source.Put(base);
    if (change.verdict != Verdict::kRight) ExpectActive(own, own.Load(), base);
  }

  SCOPED_TRACE("made again");
  MatrixData another = base;
  another.rows[3][1] = "of another";
  source.Recreate(another);
  ExpectActive(catalog, catalog.Load(), another);
  source.Recreate(base);
  ExpectActive(catalog, catalog.Load(), base);

  if (source.PutHalf(another)) {
    SCOPED_TRACE("half-written");
    ExpectKept(catalog, catalog.Load(), before);
    source.Put(base);
    ExpectActive(catalog, catalog.Load(), base);
  }
  if (source.TakeAway()) {
    SCOPED_TRACE("away, and back");
    ExpectKept(catalog, catalog.Load(), before);
    source.BringBack();
    ExpectActive(catalog, catalog.Load(), base);
  }
  if (source.SlowDown()) {
    SCOPED_TRACE("slow");
    ExpectKept(catalog, catalog.Load(), before);
    source.SpeedUp();
    ExpectActive(catalog, catalog.Load(), base);
  }
  if (source.Freeze()) {
    SCOPED_TRACE("frozen");
    ExpectKept(catalog, catalog.Load(), before);
    source.Thaw();
    ExpectActive(catalog, catalog.Load(), base);
  }
}

}  // namespace sluice::reference
