// One look-up in each kind of reference table, on one core, the questions in random order.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <vector>

#include "benchmarks/bench.h"
#include "benchmarks/postgres_peer.h"
#include "benchmarks/process_usage.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/enrichment/row_reader.h"
#include "common/enrichment/table.h"

namespace sluice::bench {
namespace {

using enrichment::GridPoint;
using enrichment::Question;
using enrichment::RowSet;
using enrichment::Schema;
using enrichment::Table;
using event::Value;
using SchemaProto = reference::v1::Schema;
using ColumnProto = reference::v1::Column;

constexpr size_t kQuestions = 200'000;
// Of those, by calls of their own.
constexpr size_t kAsked = 10'000;

// London's box, its LSOAs, the points of the Metropolitan Police's releases.
constexpr double kWest = -0.51, kEast = 0.334, kSouth = 51.287, kNorth = 51.692;
constexpr int kAreasWide = 71, kAreas = 4'994, kPoints = 13'133;
// Of an LSOA's border: eight pieces for each of its four sides make 32 corners; the median is 31.
constexpr int kPieces = 8;

ColumnProto& AddColumn(SchemaProto& schema, const char* name, ColumnProto::Type type) {
  ColumnProto& column = *schema.add_columns();
  column.set_name(name);
  column.set_type(type);
  return column;
}

absl::StatusOr<std::shared_ptr<const Table>> TableOf(const SchemaProto& schema,
                                                     const std::vector<std::vector<Value>>& rows) {
  SLUICE_ASSIGN_OR_RETURN(auto compiled, Schema::Create(schema));
  RowSet::Builder builder(compiled);
  for (size_t i = 0; i < rows.size(); ++i)
    SLUICE_RETURN_IF_ERROR(builder.Add(rows[i], {"generated", static_cast<int>(i)}));
  SLUICE_ASSIGN_OR_RETURN(auto set, builder.Finish());
  return enrichment::MakeTable("bench", set);
}

// CPU time of one question, the best of seven passes over all of them.
double NanosecondsEach(const Table& table, const std::vector<Question>& questions, size_t& found) {
  double best = 1e18;
  for (int pass = 0; pass < 7; ++pass) {
    double start = ThreadCpuSeconds();
    found = 0;
    for (const Question& question : questions) found += table.Find(question) != enrichment::kNoRow;
    best = std::min(best, ThreadCpuSeconds() - start);
  }
  return best * 1e9 / static_cast<double>(questions.size());
}

absl::Status Measure(const std::string& name, const Table& table,
                     const std::vector<Question>& questions, double found_min, Report& report,
                     size_t* all_found = nullptr) {
  size_t found = 0;
  double ns = NanosecondsEach(table, questions, found);
  if (static_cast<double>(found) < found_min * static_cast<double>(questions.size())) {
    return absl::InternalError(
        base::StrCat(name, ": ", found, " of ", questions.size(), " questions have a row"));
  }
  report.Add(name, ns, "ns");
  if (all_found != nullptr) *all_found = found;
  return absl::OkStatus();
}

// Codes as they are: E01 and six digits.
std::vector<std::string> Codes(int count) {
  std::vector<std::string> codes;
  for (int i = 0; i < count; ++i) codes.push_back(base::StrCat("E0", 1'000'000 + i * 7));
  return codes;
}

// 30,000 offence codes' worth of rows, as many as the Ministry of Justice has.
absl::Status Exact(std::mt19937& random, PostgresPeer* peer, Report& report) {
  std::vector<std::string> codes = Codes(30'356);
  SchemaProto schema;
  AddColumn(schema, "code", ColumnProto::text);
  AddColumn(schema, "name", ColumnProto::text);
  schema.add_key()->set_column("code");
  std::vector<std::vector<Value>> rows;
  for (const std::string& code : codes) rows.push_back({Value::Text(code), Value::Text("name")});
  SLUICE_ASSIGN_OR_RETURN(auto table, TableOf(schema, rows));
  std::vector<Value> keys;
  for (size_t i = 0; i < kQuestions; ++i)
    keys.push_back(Value::Text(codes[random() % codes.size()]));
  std::vector<Question> questions(kQuestions);
  for (size_t i = 0; i < kQuestions; ++i) questions[i].key = {&keys[i], 1};
  PostgresPeer::Join join{.name = "exact",
                          .rows = {"code text, name text", {}},
                          .questions = {"code text", {}},
                          .index = "CREATE UNIQUE INDEX ON rows (code)",
                          .count = "SELECT count(rows.name) FROM questions JOIN rows USING (code)"};
  SLUICE_RETURN_IF_ERROR(Measure("lookup.exact_ns", *table, questions, 1, report, &join.found));
  if (peer == nullptr) return absl::OkStatus();
  for (const std::string& code : codes) join.rows.values.push_back({code, "name"});
  for (const Value& key : keys) join.questions.values.push_back({std::string(key.text())});
  SLUICE_RETURN_IF_ERROR(peer->Measure(join, report));
  join.questions.values.resize(kAsked);
  return peer->MeasureAsked("asked", "SELECT name FROM rows WHERE code = $1", join.questions,
                            report);
}

// 20,000 officers, each in eight units one after the other, over ten years.
absl::Status AsOf(std::mt19937& random, PostgresPeer* peer, Report& report) {
  constexpr int kOfficers = 20'000, kUnits = 8;
  constexpr int64_t kBegin = 1'450'000'000, kSpan = 315'360'000;
  std::vector<std::string> codes = Codes(kOfficers);
  SchemaProto schema;
  AddColumn(schema, "officer", ColumnProto::text);
  AddColumn(schema, "unit", ColumnProto::integer);
  AddColumn(schema, "from", ColumnProto::time);
  AddColumn(schema, "to", ColumnProto::time);
  schema.set_kind(SchemaProto::as_of);
  schema.add_key()->set_column("officer");
  schema.mutable_valid()->set_from("from");
  schema.mutable_valid()->set_to("to");
  std::vector<std::vector<Value>> rows;
  for (const std::string& code : codes) {
    std::vector<int64_t> times;
    for (int i = 1; i < kUnits; ++i)
      times.push_back(kBegin + static_cast<int64_t>(random()) % kSpan);
    std::sort(times.begin(), times.end());
    for (int i = 0; i < kUnits; ++i) {
      int64_t from = i == 0 ? kBegin : times[static_cast<size_t>(i) - 1];
      int64_t to = i == kUnits - 1 ? kBegin + kSpan : times[static_cast<size_t>(i)];
      if (from < to)
        rows.push_back(
            {Value::Text(code), Value::Int(i), Value::Time(from, 0), Value::Time(to, 0)});
    }
  }
  SLUICE_ASSIGN_OR_RETURN(auto table, TableOf(schema, rows));
  std::vector<Value> keys;
  for (size_t i = 0; i < kQuestions; ++i)
    keys.push_back(Value::Text(codes[random() % codes.size()]));
  std::vector<Question> questions(kQuestions);
  for (size_t i = 0; i < kQuestions; ++i) {
    questions[i].key = {&keys[i], 1};
    questions[i].at = kBegin + static_cast<int64_t>(random()) % kSpan;
  }
  PostgresPeer::Join join{.name = "as_of",
                          .rows = {"officer text, unit int, since bigint, until bigint", {}},
                          .questions = {"officer text, at bigint", {}},
                          .index = "CREATE INDEX ON rows (officer, since)",
                          .count =
                              "SELECT count(rows.unit) FROM questions JOIN rows USING (officer) "
                              "WHERE since <= at AND at < until"};
  SLUICE_RETURN_IF_ERROR(Measure("lookup.as_of_ns", *table, questions, 1, report, &join.found));
  if (peer == nullptr) return absl::OkStatus();
  for (const std::vector<Value>& row : rows) {
    join.rows.values.push_back({std::string(row[0].text()), base::StrCat(row[1].integer),
                                base::StrCat(row[2].seconds), base::StrCat(row[3].seconds)});
  }
  for (const Question& question : questions)
    join.questions.values.push_back(
        {std::string(question.key[0].text()), base::StrCat(question.at)});
  return peer->Measure(join, report);
}

GridPoint RandomPoint(std::mt19937& random) {
  std::uniform_real_distribution<double> x(kWest, kEast), y(kSouth, kNorth);
  return *GridPoint::Of(y(random), x(random));
}

// A map without gaps or overlaps: a grid of areas whose corners are moved and whose sides are
// bent, each side the same for both of its areas.
std::vector<std::string> GeneratedAreas(std::mt19937& random) {
  std::uniform_real_distribution<double> move(-0.3, 0.3), bend(-0.06, 0.06);
  const double width = (kEast - kWest) / kAreasWide, height = (kNorth - kSouth) / kAreasWide;
  struct Corner {
    double x, y;
  };
  const int side = kAreasWide + 1;
  std::vector<Corner> corners;
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x)
      corners.push_back({kWest + (x + move(random)) * width, kSouth + (y + move(random)) * height});
  }
  // From a corner to the one right of it, and to the one above: without either end.
  using Side = std::vector<GridPoint>;
  auto bent = [&](Corner from, Corner to) {
    Side out;
    for (int i = 1; i < kPieces; ++i) {
      double part = static_cast<double>(i) / kPieces;
      out.push_back(*GridPoint::Of(from.y + (to.y - from.y) * part + bend(random) * height,
                                   from.x + (to.x - from.x) * part + bend(random) * width));
    }
    return out;
  };
  auto corner = [&](int x, int y) {
    return corners[static_cast<size_t>(y) * static_cast<size_t>(side) + static_cast<size_t>(x)];
  };
  std::vector<Side> right(corners.size()), up(corners.size());
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      auto at = static_cast<size_t>(y) * static_cast<size_t>(side) + static_cast<size_t>(x);
      if (x + 1 < side) right[at] = bent(corner(x, y), corner(x + 1, y));
      if (y + 1 < side) up[at] = bent(corner(x, y), corner(x, y + 1));
    }
  }
  std::vector<std::string> areas;
  for (int i = 0; i < kAreas; ++i) {
    int x = i % kAreasWide, y = i / kAreasWide;
    auto at = static_cast<size_t>(y) * static_cast<size_t>(side) + static_cast<size_t>(x);
    enrichment::Ring ring;
    auto add = [&](Corner from, const Side& piece, bool backwards) {
      ring.push_back(*GridPoint::Of(from.y, from.x));
      if (backwards) {
        ring.insert(ring.end(), piece.rbegin(), piece.rend());
      } else {
        ring.insert(ring.end(), piece.begin(), piece.end());
      }
    };
    add(corner(x, y), right[at], false);
    add(corner(x + 1, y), up[at + 1], false);
    add(corner(x + 1, y + 1), right[at + static_cast<size_t>(side)], true);
    add(corner(x, y + 1), up[at], true);
    enrichment::AppendArea({{ring}}, areas.emplace_back());
  }
  return areas;
}

absl::Status Area(std::mt19937& random, PostgresPeer* peer, Report& report) {
  std::vector<std::string> areas = GeneratedAreas(random), codes = Codes(kAreas);
  SchemaProto schema;
  AddColumn(schema, "code", ColumnProto::text);
  AddColumn(schema, "shape", ColumnProto::area);
  schema.set_kind(SchemaProto::area);
  schema.add_key()->set_column("code");
  std::vector<std::vector<Value>> rows;
  for (size_t i = 0; i < areas.size(); ++i)
    rows.push_back({Value::Text(codes[i]), Value::Text(areas[i])});
  SLUICE_ASSIGN_OR_RETURN(auto table, TableOf(schema, rows));
  std::vector<Question> questions(kQuestions);
  for (Question& question : questions) question.point = RandomPoint(random);
  PostgresPeer::Join join{
      .name = "area",
      .rows = {"code text, shape geometry", {}},
      .questions = {"place geometry", {}},
      .index = "CREATE INDEX ON rows USING gist (shape)",
      .count = "SELECT count(rows.code) FROM questions JOIN rows ON ST_Covers(shape, place)"};
  SLUICE_RETURN_IF_ERROR(Measure("lookup.area_ns", *table, questions, 0.9, report, &join.found));
  if (peer == nullptr) return absl::OkStatus();
  for (size_t i = 0; i < areas.size(); ++i)
    join.rows.values.push_back({codes[i], PostgresPeer::Text(enrichment::ParseArea(areas[i]))});
  for (const Question& question : questions)
    join.questions.values.push_back({PostgresPeer::Text(question.point)});
  return peer->Measure(join, report);
}

absl::Status Nearest(std::mt19937& random, PostgresPeer* peer, Report& report) {
  SchemaProto schema;
  AddColumn(schema, "id", ColumnProto::integer);
  AddColumn(schema, "latitude", ColumnProto::number);
  AddColumn(schema, "longitude", ColumnProto::number);
  schema.set_kind(SchemaProto::nearest);
  schema.add_key()->set_column("id");
  schema.mutable_point()->set_latitude("latitude");
  schema.mutable_point()->set_longitude("longitude");
  schema.mutable_point()->set_max_metres(20'000);
  // As towns are: dense around some places, one in ten anywhere.
  std::normal_distribution<double> around(0, 0.01);
  std::vector<GridPoint> centres(40);
  for (GridPoint& centre : centres) centre = RandomPoint(random);
  auto place = [&] {
    if (random() % 10 == 0) return RandomPoint(random);
    GridPoint centre = centres[random() % centres.size()];
    return *GridPoint::Of(centre.y / enrichment::kUnitsPerDegree + around(random),
                          centre.x / enrichment::kUnitsPerDegree + 1.6 * around(random));
  };
  std::vector<std::vector<Value>> rows;
  std::vector<GridPoint> points;
  for (int i = 0; i < kPoints; ++i) {
    GridPoint point = points.emplace_back(place());
    rows.push_back({Value::Int(i), Value::Double(point.y / enrichment::kUnitsPerDegree),
                    Value::Double(point.x / enrichment::kUnitsPerDegree)});
  }
  SLUICE_ASSIGN_OR_RETURN(auto table, TableOf(schema, rows));
  std::vector<Question> questions(kQuestions);
  for (Question& question : questions) question.point = place();
  PostgresPeer::Join join{
      .name = "nearest",
      .rows = {"id int, place geometry", {}},
      .questions = {"place geometry", {}},
      .index = "CREATE INDEX ON rows USING gist (place)",
      .count =
          "SELECT count(nearest.id) FROM questions CROSS JOIN LATERAL "
          "(SELECT id FROM rows ORDER BY rows.place <-> questions.place LIMIT 1) nearest"};
  SLUICE_RETURN_IF_ERROR(
      Measure("lookup.nearest_ns", *table, questions, 0.99, report, &join.found));
  if (peer == nullptr) return absl::OkStatus();
  for (size_t i = 0; i < points.size(); ++i)
    join.rows.values.push_back({base::StrCat(i), PostgresPeer::Text(points[i])});
  for (const Question& question : questions)
    join.questions.values.push_back({PostgresPeer::Text(question.point)});
  return peer->Measure(join, report);
}

absl::StatusOr<std::string> TextOf(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  if (!in) return absl::NotFoundError(path.string() + ": can't be read");
  return text.str();
}

// The real map and the real points, where they are beside the repository.
absl::Status RealGeography(const std::filesystem::path& folder, Report& report) {
  SchemaProto points;
  AddColumn(points, "street_id", ColumnProto::text);
  AddColumn(points, "latitude", ColumnProto::number);
  AddColumn(points, "longitude", ColumnProto::number);
  points.set_kind(SchemaProto::nearest);
  points.add_key()->set_column("street_id");
  points.mutable_point()->set_latitude("latitude");
  points.mutable_point()->set_longitude("longitude");
  points.mutable_point()->set_max_metres(20'000);
  SLUICE_ASSIGN_OR_RETURN(auto points_schema, Schema::Create(points));
  RowSet::Builder snap(points_schema);
  SLUICE_ASSIGN_OR_RETURN(std::string csv, TextOf(folder / "snap_points_mps_derived.csv"));
  SLUICE_RETURN_IF_ERROR(enrichment::ReadCsv(csv, "snap points", snap));
  SLUICE_ASSIGN_OR_RETURN(auto snap_rows, snap.Finish());
  SLUICE_ASSIGN_OR_RETURN(auto nearest, enrichment::MakeTable("snap", snap_rows));

  SchemaProto lsoas;
  AddColumn(lsoas, "LSOA21CD", ColumnProto::text);
  AddColumn(lsoas, "shape", ColumnProto::area);
  lsoas.set_kind(SchemaProto::area);
  lsoas.add_key()->set_column("LSOA21CD");
  SLUICE_ASSIGN_OR_RETURN(auto lsoa_schema, Schema::Create(lsoas));
  RowSet::Builder map(lsoa_schema);
  for (const auto& file : std::filesystem::directory_iterator(folder / "lsoa")) {
    SLUICE_ASSIGN_OR_RETURN(std::string text, TextOf(file.path()));
    SLUICE_RETURN_IF_ERROR(enrichment::ReadGeoJson(text, file.path().filename().string(), map));
  }
  SLUICE_ASSIGN_OR_RETURN(auto map_rows, map.Finish());
  SLUICE_ASSIGN_OR_RETURN(auto area, enrichment::MakeTable("lsoas", map_rows));

  // Events take place near the points: up to some hundred metres from one.
  std::mt19937 random(3);
  std::normal_distribution<double> off(0, 0.0015);
  std::vector<Question> questions(kQuestions);
  for (Question& question : questions) {
    auto row = snap_rows->row(random() % snap_rows->size());
    question.point = *GridPoint::Of(row[1].number + off(random), row[2].number + off(random));
  }
  SLUICE_RETURN_IF_ERROR(Measure("lookup.area_real_ns", *area, questions, 0.98, report));
  return Measure("lookup.nearest_real_ns", *nearest, questions, 0.99, report);
}

}  // namespace

absl::Status RunLookup(const Options& options, Report& report) {
  std::mt19937 random(1);
  std::unique_ptr<PostgresPeer> peer;
  if (auto created = PostgresPeer::Create(); created.ok()) {
    peer = *std::move(created);
  } else {
    std::fprintf(stderr, "lookup: without PostgreSQL beside it: %s\n",
                 std::string(created.status().message()).c_str());
  }
  SLUICE_RETURN_IF_ERROR(Exact(random, peer.get(), report));
  SLUICE_RETURN_IF_ERROR(AsOf(random, peer.get(), report));
  SLUICE_RETURN_IF_ERROR(Area(random, peer.get(), report));
  SLUICE_RETURN_IF_ERROR(Nearest(random, peer.get(), report));
  auto folder = std::filesystem::path(options.programs) / "../../../shared/data/geo-london";
  std::error_code error;
  if (!std::filesystem::exists(folder, error)) {
    std::fprintf(stderr, "lookup: no real map beside the repository: its figures are left out\n");
    return absl::OkStatus();
  }
  return RealGeography(folder, report);
}

}  // namespace sluice::bench
