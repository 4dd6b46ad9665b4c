#include "common/enrichment/row_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/enrichment/testing.h"

namespace sluice::enrichment {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kUnits = R"(
  columns { name: "id" source: "Unit ID" }
  columns { name: "name" required: true max_len: 12 pattern: "^[A-Z]" }
  columns { name: "strength" type: integer gte: 0 lte: 1000 }
  columns { name: "share" type: number }
  columns { name: "open" type: boolean }
  columns { name: "since" type: date }
  columns { name: "seen" type: time }
  columns { name: "grade" in: "A" in: "B" }
  key { column: "id" normalise: compact })";

std::string ErrorOf(std::string_view schema, std::string_view text, ReadText read) {
  return std::string(RowsFromText(schema, text, read).status().message());
}

TEST(RowReader, ReadsTypedCells) {
  auto rows = RowsFromText(kUnits,
                           "grade,Unit ID,name,strength,share,open,since,seen,other\n"
                           "A,u-1,Alpha,12,-0.50,true,2026-03-04,2026-03-04T05:06:07.5+01:00,x\n",
                           ReadCsv);
  ASSERT_TRUE(rows.ok()) << rows.status();
  auto row = (*rows)->row(0);
  EXPECT_EQ(row[0].text(), "u-1");
  EXPECT_EQ(row[2].integer, 12);
  EXPECT_EQ(row[3].number, -0.5);
  EXPECT_TRUE(row[4].boolean);
  EXPECT_EQ(row[5].text(), "2026-03-04");
  EXPECT_EQ(row[6].seconds, 1772597167);
  EXPECT_EQ(row[6].nanos, 500'000'000);
  EXPECT_EQ((*rows)->key(0), "U1");
}

TEST(RowReader, EqualRowsGiveOneIdWhateverTheFormatAndOrder) {
  auto csv = RowsFromText(kUnits,
                          "Unit ID,name,strength,share,open,since,seen,grade\n"
                          "u-1,Alpha,12,0.5,true,2026-03-04,2026-03-04T05:06:07Z,A\n"
                          "u-2,\"B\"\"x\",,,,,,\n",
                          ReadCsv);
  auto json = RowsFromText(kUnits,
                           R"({"name":"B\"x","Unit ID":"u-2","strength":null,"grade":""}

{"name":"\u0041lpha","Unit ID":"u-1","open":true,"share":5e-1,"strength":"12","grade":"A","since":"2026-03-04","seen":"2026-03-04T06:06:07+01:00","more":{"a":[1,{}]}}
)",
                           ReadJsonLines);
  auto geojson = RowsFromText(kUnits,
                              R"({"type":"FeatureCollection","features":[
{"type":"Feature","geometry":null,"properties":{"name":"B\"x","Unit ID":"u-2"}},
{"type":"Feature","geometry":{"type":"Point","coordinates":[0,51]},"properties":{"name":"Alpha","Unit ID":"u-1","open":true,
 "share":0.5,"strength":12,"grade":"A","since":"2026-03-04","seen":"2026-03-04T05:06:07Z"}}]})",
                              ReadGeoJson);
  ASSERT_TRUE(csv.ok()) << csv.status();
  ASSERT_TRUE(json.ok()) << json.status();
  ASSERT_TRUE(geojson.ok()) << geojson.status();
  EXPECT_EQ((*csv)->id().size(), 32u);
  EXPECT_EQ((*json)->id(), (*csv)->id());
  EXPECT_EQ((*geojson)->id(), (*csv)->id());
}

TEST(RowReader, NamesFileLineAndColumnAndNoValue) {
  std::string header = "Unit ID,name,strength,share,open,since,seen,grade\n";
  auto csv = [&](std::string_view row) {
    return ErrorOf(kUnits, header + std::string(row), ReadCsv);
  };
  EXPECT_EQ(csv("u1,Secret,12x,,,,,\n"),
            "rows: line 2: column 'strength': isn't an integer of 64 bits");
  EXPECT_THAT(csv("u1,Secret,-1,,,,,\n"), HasSubstr("line 2: column 'strength': is below"));
  EXPECT_THAT(csv("u1,Secret,,nan,,,,\n"), HasSubstr("'share': isn't a number"));
  EXPECT_THAT(csv("u1,Secret,,1e999,,,,\n"), HasSubstr("'share': isn't a number"));
  EXPECT_THAT(csv("u1,Secret,,,yes,,,\n"), HasSubstr("'open': isn't true or false"));
  EXPECT_THAT(csv("u1,Secret,,,,2026-02-30,,\n"), HasSubstr("'since': isn't a date"));
  EXPECT_THAT(csv("u1,Secret,,,,,2026-03-04T05:06:07,\n"), HasSubstr("'seen': isn't a time"));
  EXPECT_THAT(csv("u1,Secret,,,,,,C\n"), HasSubstr("'grade': isn't one of"));
  EXPECT_THAT(csv("u1,,,,,,,\n"), HasSubstr("'name': has no value"));
  EXPECT_THAT(csv("u1,secret,,,,,,\n"), HasSubstr("'name': doesn't match"));
  EXPECT_THAT(csv("u1,Secretsecrets,,,,,,\n"), HasSubstr("'name': is longer than 12"));
  EXPECT_THAT(csv("-,Secret,,,,,,\n"), HasSubstr("the key is empty"));
  EXPECT_THAT(csv("u1,Secret,,,,,,\nU-1,Secret,,,,,,\n"),
              HasSubstr("rows: line 3: this key stands in rows: line 2 too"));
  EXPECT_THAT(ErrorOf(kUnits, "id,name\n", ReadCsv),
              HasSubstr("line 1: none of the header's 2 columns is named 'Unit ID'"));

  auto json = [&](std::string_view text) { return ErrorOf(kUnits, text, ReadJsonLines); };
  EXPECT_EQ(json("{\"Unit ID\":\"u1\",\"name\":\"Secret\"}\n{\"Unit ID\":\"u2\",\"name\":[]}\n"),
            "rows: line 2: column 'name': is a list or an object");
  EXPECT_THAT(json(R"({"Unit ID":"u1","name":"A","name":"B"})"), HasSubstr("one name twice"));
  EXPECT_THAT(json(R"({"Unit ID":"u1","name":"\ud800"})"), HasSubstr("surrogate"));
  EXPECT_THAT(json(R"({"Unit ID":"u1","strength":01})"), HasSubstr("line 1: "));
  EXPECT_THAT(json(R"({"Unit ID":"u1"}})"), HasSubstr("text after the end"));
  EXPECT_THAT(json("{\"Unit ID\":\"\xC0\x80\"}"), HasSubstr("UTF-8"));
  EXPECT_THAT(json("[" + std::string(100, '[')), HasSubstr("expected an object"));
  EXPECT_THAT(json("{\"x\":" + std::string(100, '[')), HasSubstr("nested too deeply"));
  EXPECT_THAT(json(""), HasSubstr("there are no rows"));
}

constexpr std::string_view kWards = R"(
  kind: area columns { name: "code" } columns { name: "shape" type: area } key { column: "code" })";

std::string Feature(std::string_view geometry) {
  return "{\"type\":\"FeatureCollection\",\n\"features\":[\n{\"properties\":{\"code\":\"W1\"},\n"
         "\"geometry\":" +
         std::string(geometry) + "}]}";
}

TEST(RowReader, ReadsAreasOfGeoJsonAndOfCells) {
  std::string_view square =
      R"({"coordinates":[[[0,0,9],[0,1],[1,1],[1,1],[1,0],[0,0]]],"type":"Polygon"})";
  auto geojson = RowsFromText(kWards, Feature(square), ReadGeoJson);
  auto json = RowsFromText(kWards, "{\"code\":\"W1\",\"shape\":" + std::string(square) + "}",
                           ReadJsonLines);
  auto csv = RowsFromText(kWards,
                          R"(code,shape
W1,"{""type"":""MultiPolygon"",""coordinates"":[[[[0,0],[0,1],[1,1],[1,0],[0,0]]]]}"
)",
                          ReadCsv);
  ASSERT_TRUE(geojson.ok()) << geojson.status();
  ASSERT_TRUE(json.ok()) << json.status();
  ASSERT_TRUE(csv.ok()) << csv.status();
  EXPECT_EQ((*geojson)->id(), (*json)->id());
  EXPECT_EQ((*geojson)->id(), (*csv)->id());
  Area area = ParseArea((*geojson)->row(0)[1].text());
  EXPECT_EQ(area, (Area{{{{0, 0}, {0, 10'000'000}, {10'000'000, 10'000'000}, {10'000'000, 0}}}}));
}

TEST(RowReader, RefusesMapsThatItCannotBelieve) {
  auto error = [](std::string_view geometry) {
    return ErrorOf(kWards, Feature(geometry), ReadGeoJson);
  };
  EXPECT_THAT(error(R"({"type":"Polygon","coordinates":[[[0,0],[0,1],[1,1],[1,0]]]})"),
              HasSubstr("rows: features[0] (key W1): line 4: a ring has fewer than four positions, "
                        "or doesn't end"));
  EXPECT_THAT(error(R"({"type":"Polygon","coordinates":[[[0,0],[0,91],[1,1],[0,0]]]})"),
              HasSubstr("[longitude, latitude]"));
  EXPECT_THAT(error(R"({"type":"Polygon","coordinates":[[[0,0],[0,1e-9],[1e-9,1e-9],[0,0]]]})"),
              HasSubstr("without an inside"));
  EXPECT_THAT(error(R"({"type":"LineString","coordinates":[[0,0],[1,1]]})"),
              HasSubstr("no Polygon, MultiPolygon or Point"));
  EXPECT_THAT(error("null"), HasSubstr("column 'shape': has no value"));
  EXPECT_THAT(ErrorOf(kWards, R"({"type":"Feature"})", ReadGeoJson),
              HasSubstr("isn't a FeatureCollection"));
  EXPECT_THAT(ErrorOf(kWards, R"({"type":"FeatureCollection"})", ReadGeoJson),
              HasSubstr("isn't a FeatureCollection"));
  EXPECT_THAT(
      ErrorOf(
          kWards,
          R"({"type":"FeatureCollection","crs":{"properties":{"name":"EPSG:27700"}},"features":[]})",
          ReadGeoJson),
      HasSubstr("aren't WGS 84"));
  std::string half = Feature(R"({"type":"Polygon","coordinates":[[[0,0],[0,1],[1,1],[0,0]]]})");
  for (size_t size = 0; size < half.size(); ++size) {
    EXPECT_FALSE(RowsFromText(kWards, half.substr(0, size), ReadGeoJson).ok()) << size;
  }
}

constexpr std::string_view kSquare =
    R"({"type":"Polygon","coordinates":[[[0,0],[0,1],[1,1],[1,0],[0,0]]]})";

std::string Features(std::initializer_list<std::string_view> features) {
  std::string text = R"({"type":"FeatureCollection","features":[)";
  for (std::string_view feature : features) {
    if (text.back() != '[') text += ',';
    text += feature;
  }
  return text + "]}";
}

std::string Square(std::string_view members, std::string_view geometry = kSquare) {
  return "{" + std::string(members) + ",\"geometry\":" + std::string(geometry) + "}";
}

TEST(RowReader, AByteOrderMarkInFrontIsSkipped) {
  const std::string mark = "\xEF\xBB\xBF";
  EXPECT_TRUE(RowsFromText(kWards, mark + Feature(kSquare), ReadGeoJson).ok());
  EXPECT_TRUE(
      RowsFromText("columns {name: 'a'} key {column: 'a'}", mark + R"({"a":"1"})", ReadJsonLines)
          .ok());
}

TEST(RowReader, AMemberThatNoRowHasIsRefusedAsAColumnThatAFileLacks) {
  constexpr std::string_view kSchema =
      "columns {name: 'code'} columns {name: 'label' source: 'Label'} key {column: 'code'}";
  EXPECT_EQ(
      ErrorOf(kSchema, "{\"code\":\"A\",\"title\":\"one\"}\n{\"code\":\"B\"}\n", ReadJsonLines),
      "rows: no row has 'Label' (the schema's column 'label'): name what it is called now as "
      "the column's source, or set its may_be_missing");
  EXPECT_THAT(
      ErrorOf(kSchema, Features({R"({"properties":{"code":"A","title":"one"}})"}), ReadGeoJson),
      HasSubstr("no row has 'Label'"));
  EXPECT_THAT(ErrorOf(kSchema, "code,title\nA,one\n", ReadCsv), HasSubstr("is named 'Label'"));
  // Some may leave it out, and null says that there is none.
  EXPECT_TRUE(
      RowsFromText(kSchema, "{\"code\":\"A\"}\n{\"code\":\"B\",\"Label\":null}\n", ReadJsonLines)
          .ok());
  constexpr std::string_view kOptional =
      "columns {name: 'code'} columns {name: 'label' may_be_missing: true} key {column: 'code'}";
  auto json = RowsFromText(kOptional, "{\"code\":\"A\"}\n", ReadJsonLines);
  auto csv = RowsFromText(kOptional, "code\nA\n", ReadCsv);
  ASSERT_TRUE(json.ok()) << json.status();
  ASSERT_TRUE(csv.ok()) << csv.status();
  EXPECT_EQ((*json)->id(), (*csv)->id());
}

TEST(RowReader, AFeaturesOwnIdCanBeItsKey) {
  constexpr std::string_view kById =
      "kind: area columns {name: 'code' source: 'id'} columns {name: 'shape' type: area} "
      "key {column: 'code'}";
  auto own = RowsFromText(kById, Features({Square(R"("id":"W\u0031")"), Square(R"("id":2)")}),
                          ReadGeoJson);
  ASSERT_TRUE(own.ok()) << own.status();
  auto property = RowsFromText(kById,
                               Features({Square(R"("id":7,"properties":{"id":"W1"})"),
                                         Square(R"("properties":{"id":"2"},"id":8)")}),
                               ReadGeoJson);
  ASSERT_TRUE(property.ok()) << property.status();
  EXPECT_EQ((*own)->id(), (*property)->id()) << "a property of that name is what it always was";
  EXPECT_THAT(
      ErrorOf(kById, Features({Square(R"("properties":{"id":"W1"})"), Square(R"("id":"W2")")}),
              ReadGeoJson),
      HasSubstr("features[1] (key W2): line 1: some features have a property 'id'"));
  EXPECT_THAT(ErrorOf(kById, Features({Square(R"("properties":{})")}), ReadGeoJson),
              HasSubstr("features[0]: column 'code': has no value"));
}

TEST(RowReader, AFeatureThatIsWrongIsNamedByItsNumberAndKey) {
  auto error = [](std::string_view feature) {
    return ErrorOf(kWards,
                   Features({Square(R"("properties":{"code":"W1"})"),
                             Square(R"("properties":{"code":"W2"})"), feature}),
                   ReadGeoJson);
  };
  EXPECT_THAT(error(R"({"properties":{"code":"W3"},"geometry":null})"),
              HasSubstr("rows: features[2] (key W3): column 'shape': has no value"));
  EXPECT_THAT(error(R"({"geometry":{"type":"Polygon","coordinates":[[[0,95]]]},)"
                    R"("properties":{"code":"W3"}})"),
              HasSubstr("rows: features[2] (key W3): line 1: a position isn't"));
  EXPECT_THAT(error(Square(R"("properties":{"code":"W1"})")),
              HasSubstr("rows: features[2] (key W1): this key stands in rows: features[0] too"));
}

TEST(RowReader, AnEdgeThatGoesRoundTheEarthIsRefused) {
  auto error = [](std::string_view ring) {
    return ErrorOf(kWards,
                   Feature("{\"type\":\"Polygon\",\"coordinates\":[" + std::string(ring) + "]}"),
                   ReadGeoJson);
  };
  EXPECT_THAT(error("[[177,-19],[-179,-19],[-179,-16],[177,-16],[177,-19]]"),
              HasSubstr("(key W1): line 4: an edge spans more than 180 degrees of longitude: cut"));
  EXPECT_EQ(error("[[-90,-19],[90,-19],[90,-16],[-90,-16],[-90,-19]]"), "");
}

TEST(Schema, ReportsEveryMistakeAtOnce) {
  reference::v1::Schema schema;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"(kind: as_of columns { name: "a" pattern: "(" } columns { name: "a" type: number }
         columns { name: "t" type: time in: "x" }
         key { column: "b" } valid { from: "a" to: "t" time_zone: "Mars/Olympus" } point {})",
      &schema));
  auto created = Schema::Create(schema, [](std::string_view path) {
    return path == "key[0].column" ? std::string("sets.yaml:7") : std::string();
  });
  std::string error(created.status().message());
  EXPECT_THAT(error, HasSubstr("sets.yaml:7: key[0].column: there is no column 'b'; there are: a"));
  EXPECT_THAT(error, HasSubstr("columns[0].pattern: isn't RE2"));
  EXPECT_THAT(error, HasSubstr("columns[1].name: two columns are named 'a'"));
  EXPECT_THAT(error, HasSubstr("columns[2]: in, pattern and max_len are rules for texts only"));
  EXPECT_THAT(error, HasSubstr("valid: the bounds are of two types"));
  EXPECT_THAT(error, HasSubstr("no time zone 'Mars/Olympus'"));
  EXPECT_THAT(error, HasSubstr("point: has no meaning for the kind as_of"));
  EXPECT_THAT(error, HasSubstr("point.max_metres"));
}

}  // namespace
}  // namespace sluice::enrichment
