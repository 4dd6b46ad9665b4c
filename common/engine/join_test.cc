// Joins of every kind, and the treatments that look a point up.
#include "common/engine/join.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "common/base/strings.h"
#include "common/base/testing.h"
#include "common/contract/testing.h"
#include "common/engine/engine.h"
#include "common/engine/flow.h"
#include "common/engine/output_schema.h"
#include "common/enrichment/testing.h"
#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"

namespace sluice::engine {
namespace {

using enrichment::TableFromText;
using ::testing::HasSubstr;

constexpr std::string_view kContract = R"(
message E {
  option (sluice.contract.v1.event) = {id: "id" time: "at"};
  option (sluice.contract.v1.not_personal) = {fields: ["officer", "force", "age", "armed", "lat", "years"]};
  string id = 1;
  google.protobuf.Timestamp at = 2;
  string officer = 3;
  string force = 4;
  optional int32 age = 5;
  Place place = 6;
  repeated Place places = 7;
  bool armed = 8;
  google.protobuf.Timestamp recorded_at = 9 [(sluice.contract.v1.field).quasi = EVENT_TIME];
  double lat = 10;
  int32 years = 11;
}
message Place {
  optional double latitude = 1 [(sluice.contract.v1.field).quasi = LATITUDE];
  optional double longitude = 2 [(sluice.contract.v1.field).quasi = LONGITUDE];
}
)";

std::string Square(std::string_view code, int x) {
  return base::StrCat(R"({"properties":{"code":")", code,
                      R"("},"geometry":{"type":"Polygon","coordinates":[[[)", x, ",0],[", x + 1,
                      ",0],[", x + 1, ",1],[", x, ",1],[", x, ",0]]]}}");
}

Tables MakeTables() {
  Tables tables;
  tables.push_back(TableFromText("units", R"(kind: as_of
      columns { name: "force" not_personal: true } columns { name: "officer" not_personal: true } columns { name: "unit" not_personal: true }
      columns { name: "strength" type: integer not_personal: true } columns { name: "share" type: number not_personal: true }
      columns { name: "armed" type: boolean not_personal: true } columns { name: "since" type: time not_personal: true }
      columns { name: "from" type: date not_personal: true } columns { name: "to" type: date not_personal: true }
      key { column: "force" normalise: upper } key { column: "officer" normalise: compact }
      valid { from: "from" to: "to" time_zone: "Europe/London" })",
                                 "force,officer,unit,strength,share,armed,since,from,to\n"
                                 "MPS,12-AB,old,,,,,,2026-07-01\n"
                                 "mps,12 ab,new,40,0.5,true,2020-01-02T03:04:05Z,2026-07-01,\n"));
  tables.push_back(TableFromText("bands", R"(kind: range columns { name: "band" not_personal: true }
      columns { name: "low" type: integer not_personal: true } columns { name: "high" type: integer not_personal: true }
      bounds { low: "low" high: "high" })",
                                 "band,low,high\nchild,0,17\nadult,18,\n"));
  tables.push_back(TableFromText(
      "lsoas",
      R"(kind: area columns { name: "code" not_personal: true } columns { name: "shape" type: area } key { column: "code" })",
      base::StrCat(R"({"type":"FeatureCollection","features":[)", Square("L1", 0), ",",
                   Square("L2", 1), "]}"),
      enrichment::ReadGeoJson));
  tables.push_back(TableFromText(
      "wards",
      R"(columns { name: "lsoa" not_personal: true } columns { name: "ward" not_personal: true }
      columns { name: "borough" type: integer not_personal: true } key { column: "lsoa" })",
      "lsoa,ward,borough\nL1,Abbey,7\nL2,Bridge,8\n"));
  tables.push_back(TableFromText("boroughs",
                                 R"(columns { name: "number" type: integer not_personal: true }
      columns { name: "name" not_personal: true } columns { name: "bcu" not_personal: true } key { column: "number" })",
                                 "number,name,bcu\n7,Camden,CN\n"));
  tables.push_back(TableFromText(
      "snap_points", R"(kind: nearest columns { name: "id" type: integer not_personal: true }
      columns { name: "lat" type: number not_personal: true } columns { name: "long" type: number not_personal: true } key { column: "id" }
      point { latitude: "lat" longitude: "long" max_metres: 5000 within: "lsoas" })",
      "id,lat,long\n1,0.5,0.99\n2,0.5,1.02\n", enrichment::ReadCsv, tables[2]));
  return tables;
}

constexpr std::string_view kStream = R"(
contract: 'test.E' input { topic: 'raw' } quarantine { topic: 'q' public_key: 'k' }
streams { name: 'all' topic: 'all' domain: 'all' internal: true treat { key: 'LOCATION' value { keep {} } }
  treat { key: 'EVENT_TIME' value { keep {} } } }
)";

config::v1::Pipeline ConfigOf(std::string_view joins, std::string_view streams = kStream) {
  config::v1::Pipeline config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(base::StrCat(streams, joins), &config));
  return config;
}

absl::StatusOr<std::shared_ptr<const Pipeline>> Compile(config::v1::Pipeline config) {
  Pipeline::Options options;
  options.contract = contract::PlanFromProto(kContract, "E");
  options.config = std::move(config);
  options.tables = MakeTables();
  return Pipeline::Compile(std::move(options));
}

std::string ErrorOf(std::string_view joins, std::string_view streams = kStream) {
  return std::string(Compile(ConfigOf(joins, streams)).status().message());
}

class Site final : public OutcomeSink {
 public:
  explicit Site(std::string_view joins, std::string_view streams = kStream) {
    auto compiled = Compile(ConfigOf(joins, streams));
    EXPECT_TRUE(compiled.ok()) << compiled.status();
    pipeline = *compiled;
    auto keyring = privacy::Keyring::Create({{"all", "all"}, {"public", "pub"}}, random_);
    pseudonymiser_ = *privacy::LocalPseudonymiser::Create(*keyring);
    keys_ = *privacy::NewSealingKeys(random_);
    sealer_ = *privacy::Sealer::Create(keys_.public_pem, random_);
    engine = *Engine::Create(pipeline, *pseudonymiser_, *sealer_);
  }

  // What the event becomes: its value, or `reason@path`.
  std::string Run(std::string_view value) {
    base::InputRecord record;
    record.topic = "raw";
    record.value = value;
    record.timestamp_ms = 1'000'000;
    out_.clear();
    EXPECT_TRUE(engine->Process({&record, 1}, *this).ok());
    return out_;
  }
  // What stands behind the event's own fields.
  std::string RowsOf(std::string_view value) {
    std::string out = Run(value);
    size_t at = out.find("\"joined");
    return at == out.npos ? "" : out.substr(at);
  }

  std::shared_ptr<const Pipeline> pipeline;
  std::unique_ptr<Engine> engine;
  std::string references;  // of the last clean record

 private:
  absl::Status Clean(const InputRecord&, const CleanRecord& clean) override {
    out_ = clean.value;
    references.clear();
    for (const Header& header : clean.headers)
      if (header.name == "sluice-ref") references = header.value;
    return absl::OkStatus();
  }
  absl::Status Quarantined(const InputRecord&, const QuarantineRecord& record) override {
    std::string reason, path;
    for (const Header& header : record.headers) {
      if (header.name == "sluice-reason") reason = header.value;
      if (header.name == "sluice-path") path = header.value;
    }
    out_ = base::StrCat(reason, "@", path);
    return absl::OkStatus();
  }
  void Suppressed(const InputRecord&) override {}

  base::CountingRandom random_;
  std::unique_ptr<privacy::LocalPseudonymiser> pseudonymiser_;
  privacy::SealingKeys keys_;
  std::unique_ptr<privacy::Sealer> sealer_;
  std::string out_;
};

constexpr std::string_view kUnits =
    "enrich { set: 'units' keys: 'force' keys: 'officer' into: 'joined' }";

TEST(Join, RowsHoldAtTheEventsOwnTimeAndAreFoundByNormalisedKeys) {
  Site site(kUnits);
  // Midnight in London in summer is 23:00 the day before, in UTC.
  EXPECT_EQ(site.RowsOf(R"({"at":"2026-06-30T22:59:59Z","force":" Mps","officer":"12ab"})"),
            R"("joined":{"unit":"old"}})");
  EXPECT_EQ(site.RowsOf(R"({"at":"2026-06-30T23:00:00Z","force":"mps","officer":"12-Ab"})"),
            R"("joined":{"unit":"new","strength":"40","share":0.5,"armed":true,)"
            R"("since":"2020-01-02T03:04:05Z"}})");
  EXPECT_EQ(site.RowsOf(R"({"at":"2026-06-30T23:00:00Z","force":"mps","officer":"13AB"})"), "");
  EXPECT_EQ(site.RowsOf(R"({"force":"mps","officer":"12AB"})"), "") << "no time";
  auto schema = OutputSchemaText(*site.pipeline, site.pipeline->streams()[0]);
  ASSERT_TRUE(schema.ok()) << schema.status();
  EXPECT_THAT(*schema, HasSubstr("  optional int64 strength = 4"));
  EXPECT_THAT(*schema, HasSubstr(".google.protobuf.Timestamp since = 7"));
}

TEST(Join, AnotherTimeThanTheEventsOwn) {
  Site site(base::StrCat(kUnits.substr(0, kUnits.size() - 1), " at: 'recorded_at' }"));
  EXPECT_EQ(site.RowsOf(R"({"at":"2026-09-01T00:00:00Z","recorded_at":"2026-01-01T00:00:00Z",)"
                        R"("force":"mps","officer":"12ab"})"),
            R"("joined":{"unit":"old"}})");
}

TEST(Join, RangesAndRenamedColumns) {
  Site site(R"(enrich { set: 'bands' value: 'age' into: 'joined'
                        fields { key: 'band' value: 'group' } fields { key: 'low' value: 'from' } })");
  EXPECT_EQ(site.RowsOf(R"({"age":17})"), R"("joined":{"group":"child","from":"0"}})");
  EXPECT_EQ(site.RowsOf(R"({"age":18})"), R"("joined":{"group":"adult","from":"18"}})");
  EXPECT_EQ(site.RowsOf(R"({"age":-1})"), "");
}

constexpr std::string_view kChain = R"(
enrich { set: 'lsoas' area: 'place' into: 'joined' }
enrich { set: 'wards' key: 'joined.code' into: 'ward' }
enrich { set: 'boroughs' key: 'ward.borough' into: 'borough' fields { key: 'bcu' value: 'bcu' } })";

TEST(Join, AChainLeadsFromAPointToItsUnit) {
  Site site(kChain);
  EXPECT_EQ(
      site.RowsOf(R"({"place":{"latitude":0.5,"longitude":0.5}})"),
      R"("joined":{"code":"L1"},"ward":{"ward":"Abbey","borough":"7"},"borough":{"bcu":"CN"}})");
  EXPECT_EQ(site.RowsOf(R"({"place":{"latitude":0.5,"longitude":1.5}})"),
            R"("joined":{"code":"L2"},"ward":{"ward":"Bridge","borough":"8"}})");
  EXPECT_EQ(site.RowsOf(R"({"place":{"latitude":0.5,"longitude":2.5}})"), "");
  EXPECT_EQ(site.RowsOf(R"({"place":{"latitude":95,"longitude":0.5}})"), "");
  EXPECT_EQ(site.RowsOf(R"({"place":{"latitude":0.5}})"), "");
  const Tables& tables = site.pipeline->tables();
  EXPECT_EQ(site.references, base::StrCat("lsoas=", tables[0]->id(), ",wards=", tables[1]->id(),
                                          ",boroughs=", tables[2]->id()));
}

// As protobuf has it, which leaves a zero without presence out.
TEST(Join, WithoutPresenceAbsentIsZero) {
  Site site("enrich { set: 'bands' value: 'years' into: 'joined' }");
  const std::string child = R"("joined":{"band":"child"}})";
  EXPECT_EQ(site.RowsOf(R"({"years":0})"), child);
  EXPECT_EQ(site.RowsOf(R"({"id":"x"})"), child);
  Site with("enrich { set: 'bands' value: 'age' into: 'joined' }");
  EXPECT_EQ(with.RowsOf(R"({"age":0})"), child);
  EXPECT_EQ(with.RowsOf(R"({"id":"x"})"), "");
}

TEST(Join, TheNearestPointOnThisSideOfTheBorder) {
  Site site(R"(enrich { set: 'snap_points' nearest: 'place' into: 'joined' }
               enrich { set: 'lsoas' latitude: 'joined.lat' longitude: 'joined.long' into: 'again' })");
  EXPECT_EQ(site.RowsOf(R"({"place":{"latitude":0.5,"longitude":1.001}})"),
            R"("joined":{"id":"2","lat":0.5,"long":1.02},"again":{"code":"L2"}})");
  EXPECT_THAT(site.references, HasSubstr("lsoas="));
  EXPECT_THAT(site.references, HasSubstr("snap_points="));
  EXPECT_EQ(site.pipeline->tables().size(), 2u) << "each set once";
}

TEST(Join, AMissingRowBlamesWhatItWasAskedWith) {
  std::string chain(kChain);
  chain.insert(chain.rfind("into: 'borough'"), "on_missing: quarantine ");
  Site site(chain);
  EXPECT_EQ(site.Run(R"({"place":{"latitude":0.5,"longitude":1.5}})"),
            "sluice.reference_missing@place.latitude");
  Site null("enrich { set: 'bands' value: 'age' into: 'joined' on_missing: null }");
  EXPECT_EQ(null.RowsOf(R"({"id":"x"})"), R"("joined":null})");
}

TEST(Join, WaitsForARowThatMayYetComeAndForNothingElse) {
  Site site(R"(enrich { set: 'boroughs' key: 'age' into: 'joined' on_missing: wait wait_ms: 5000 }
               enrich { set: 'wards' key: 'joined.name' into: 'ward' on_missing: quarantine })");
  auto wait = [&](std::string_view value) {
    base::InputRecord record;
    record.topic = "raw";
    record.value = value;
    record.timestamp_ms = 1'000'000;
    site.engine->Read({&record, 1});
    return site.engine->wait();
  };
  auto missing = wait(R"({"age":9})");
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->set, "boroughs");
  EXPECT_EQ(missing->until_ms, 1'005'000);
  EXPECT_EQ(missing->at_most_ms, 5'000);
  EXPECT_FALSE(wait(R"({"age":7})")) << "it's there; what its chain lacks isn't waited for";
  EXPECT_FALSE(wait(R"({"id":"x"})")) << "there is nothing to ask with";
  EXPECT_FALSE(wait(R"({"age":"nine"})")) << "it goes to quarantine anyway";
  EXPECT_EQ(site.Run(R"({"age":9})"), "sluice.reference_missing,sluice.reference_missing@age,age")
      << "the wait is over";
  Site then(R"(enrich { set: 'boroughs' key: 'age' into: 'joined' on_missing: wait then: null })");
  EXPECT_EQ(then.RowsOf(R"({"age":9})"), R"("joined":null})");
}

TEST(Join, EveryMistakeIsAnErrorAtLoad) {
  auto join = [](std::string_view what) {
    return ErrorOf(base::StrCat("enrich { into: 'joined' ", what, " }"));
  };
  EXPECT_EQ(join("set: 'units' key: 'force'"),
            "pipeline.enrich[0].key: must name one field for each part of the set's key: force, "
            "officer");
  EXPECT_THAT(join("set: 'units' key: 'force' keys: 'force' keys: 'officer'"),
              HasSubstr("enrich[0].keys: give `key` or `keys`, not both"));
  EXPECT_THAT(join("set: 'units' keys: 'force' keys: 'age'"),
              HasSubstr("enrich[0].keys[1]: 'age' isn't a text with one value, as 'units' needs"));
  EXPECT_THAT(join("set: 'units' keys: 'force' keys: 'officer' at: 'force'"),
              HasSubstr("enrich[0].at: 'force' isn't a time with one value"));
  EXPECT_THAT(join("set: 'boroughs' key: 'age' at: 'at'"),
              HasSubstr("enrich[0].at: 'boroughs' is a set of the kind exact, which isn't asked"));
  EXPECT_THAT(join("set: 'boroughs' key: 'officer'"),
              HasSubstr("'officer' isn't an integer with one value"));
  EXPECT_THAT(join("set: 'boroughs' key: 'age' fields { key: 'number' value: 'n' }"),
              HasSubstr("fields[number]: is part of the key"));
  EXPECT_THAT(join("set: 'bands'"), HasSubstr("enrich[0].value: is needed"));
  EXPECT_THAT(join("set: 'bands' value: 'age' key: 'age'"),
              HasSubstr("enrich[0].key: 'bands' has no key"));
  EXPECT_THAT(join("set: 'bands' value: 'lat'"), HasSubstr("'lat' isn't an integer"));
  EXPECT_THAT(join("set: 'lsoas' key: 'officer'"), HasSubstr("enrich[0].key: 'lsoas' is a set of"));
  EXPECT_THAT(join("set: 'lsoas'"), HasSubstr("enrich[0].area: is needed"));
  EXPECT_THAT(join("set: 'lsoas' nearest: 'place'"), HasSubstr("enrich[0].nearest: 'lsoas' is"));
  EXPECT_THAT(join("set: 'lsoas' area: 'lat'"), HasSubstr("isn't a message with a LATITUDE"));
  EXPECT_THAT(join("set: 'lsoas' area: 'places'"), HasSubstr("isn't a number with one value"));
  EXPECT_THAT(join("set: 'lsoas' area: 'spot'"), HasSubstr("has no field 'spot'"));
  EXPECT_THAT(join("set: 'lsoas' area: 'place' latitude: 'lat'"), HasSubstr("not both"));
  EXPECT_THAT(join("set: 'lsoas' area: 'place' fields { key: 'shape' value: 's' }"),
              HasSubstr("fields[shape]: is an area"));
  EXPECT_THAT(join("set: 'boroughs' key: 'age' wait_ms: 5"), HasSubstr("enrich[0].wait_ms: has"));
  EXPECT_THAT(join("set: 'boroughs' key: 'age' then: keep"), HasSubstr("enrich[0].then: has"));
  EXPECT_THAT(join("set: 'boroughs' key: 'age' on_missing: wait then: wait"),
              HasSubstr("the wait has to end"));
  EXPECT_THAT(join("set: 'boroughs' key: 'age' on_missing: wait wait_ms: 3600001"),
              HasSubstr("must be 1 to 3600000"));
  EXPECT_THAT(ErrorOf("enrich { set: 'wards' key: 'joined.code' into: 'ward' }"
                      "enrich { set: 'lsoas' area: 'place' into: 'joined' }"),
              HasSubstr("enrich[0].key: 'joined' is joined later: put it before this one"));
  EXPECT_THAT(ErrorOf("enrich { set: 'lsoas' area: 'place' into: 'joined' }"
                      "enrich { set: 'wards' key: 'joined.shape' into: 'ward' }"),
              HasSubstr("enrich[1].key: 'joined.shape' isn't a text"));
  EXPECT_THAT(ErrorOf("enrich { set: 'lsoas' area: 'place' into: 'joined' }"
                      "enrich { set: 'wards' key: 'joined.kode' into: 'ward' }"),
              HasSubstr("enrich[1].key: the set 'lsoas' has no column 'kode'"));
}

// --- What a row says, and what it tells of what it was found by.

// A stream that drops what isn't named in `more`, for sets with a column of each sort.
absl::StatusOr<std::shared_ptr<const Pipeline>> CompileFor(std::string_view stream,
                                                           std::string_view enrich) {
  Pipeline::Options options;
  options.contract = contract::PlanFromProto(
      R"(message E {
           option (sluice.contract.v1.event) = {id: "id" time: "at"};
           option (sluice.contract.v1.not_personal) = {fields: ["beat"]};
           string id = 1; google.protobuf.Timestamp at = 2; string beat = 3;
           string warrant = 4 [(sluice.contract.v1.field).identifier = WARRANT_NUMBER];
         })",
      "E");
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      base::StrCat("contract: 'test.E' input { topic: 'raw' } quarantine { topic: 'q' }\n", enrich,
                   "\nstreams { name: 'all' topic: 'all' domain: 'all' internal: true ", stream,
                   " }"),
      &options.config));
  for (const char* set : {"beats", "officers"})
    options.tables.push_back(
        TableFromText(set, R"(columns { name: "code" } columns { name: "unit" not_personal: true }
            columns { name: "name" identifier: PERSON_NAME } columns { name: "notes" }
            columns { name: "next" not_personal: true } key { column: "code" })",
                      "code,unit,name,notes,next\nB1,East,Ada Example,x,N1\n"));
  return Pipeline::Compile(std::move(options));
}

std::string ErrorFor(std::string_view stream, std::string_view enrich) {
  return std::string(CompileFor(stream, enrich).status().message());
}

constexpr std::string_view kByBeat = "enrich { set: 'beats' key: 'beat' into: 'row' }";
constexpr std::string_view kByWarrant = "enrich { set: 'officers' key: 'warrant' into: 'row' }";

std::string Treats(std::string_view name, std::string_view how) {
  return base::StrCat("treat { key: '", name, "' value { ", how, " {} } } ");
}

TEST(JoinedColumns, AreTreatedByTheirClassAndUndecidedOnesAreNotThere) {
  const std::string kept = Treats("WARRANT_NUMBER", "keep");
  EXPECT_THAT(
      ErrorFor(kept, kByBeat),
      HasSubstr("the joined column 'row.name' is a PERSON_NAME and the stream 'all' doesn't "
                "say what becomes of it"));
  EXPECT_THAT(ErrorFor(kept + Treats("PERSON_NAME", "pseudonymise"), kByBeat),
              HasSubstr("can only be kept or dropped"));
  auto columns = [&](std::string_view stream) {
    auto pipeline = CompileFor(base::StrCat(kept, stream), kByBeat);
    EXPECT_TRUE(pipeline.ok()) << pipeline.status();
    std::string names;
    for (const StreamJoin& join : (*pipeline)->streams()[0].joins)
      for (size_t column : join.columns)
        base::StrAppend(names, (*pipeline)->joins()[join.join].columns[column].name, " ");
    return names;
  };
  EXPECT_EQ(columns(Treats("PERSON_NAME", "drop")), "unit next ");
  EXPECT_EQ(columns(Treats("PERSON_NAME", "keep")), "unit name next ");
  EXPECT_EQ(columns(Treats("PERSON_NAME", "pseudonymise") +
                    "fields { key: 'row.name' value { drop {} } }"),
            "unit next ");
  EXPECT_EQ(columns(Treats("PERSON_NAME", "drop") + "fields { key: 'row' value { drop {} } }"), "");
  EXPECT_THAT(ErrorFor(kept + Treats("PERSON_NAME", "drop"),
                       "enrich { set: 'beats' key: 'beat' into: 'row' fields { key: 'notes' value: "
                       "'notes' } }"),
              HasSubstr("enrich[0].fields[notes]: nobody has decided what the column is"));
}

TEST(JoinedColumns, AreKeptAgainstTheirClassOnlyByNameWithAReason) {
  const std::string stream = Treats("WARRANT_NUMBER", "keep") + Treats("PERSON_NAME", "drop") +
                             "fields { key: 'row.name' value { keep {} } } ";
  EXPECT_THAT(ErrorFor(stream, kByBeat), HasSubstr("`accept: {joined:PERSON_NAME:row.name: reason}`"));
  EXPECT_THAT(ErrorFor(stream + "accept { key: 'joined:PERSON_NAME:row.name' value: ' ' }", kByBeat),
              HasSubstr("`accept: {joined:PERSON_NAME:row.name: reason}`"));
  EXPECT_EQ(ErrorFor(stream + "accept { key: 'joined:PERSON_NAME:row.name' value: 'why' }", kByBeat), "");
}

TEST(JoinKeys, ThatAStreamDoesNotKeepAreAcceptedByNameOrErrors) {
  const std::string row = Treats("PERSON_NAME", "drop");
  EXPECT_EQ(ErrorFor(row + Treats("WARRANT_NUMBER", "keep"), kByWarrant), "");
  for (const char* how : {"drop", "pseudonymise", "encrypt"}) {
    const std::string stream = row + Treats("WARRANT_NUMBER", how);
    EXPECT_THAT(
        ErrorFor(stream, kByWarrant),
        HasSubstr("the row 'row' is found by warrant, which the stream 'all' doesn't keep"));
    EXPECT_EQ(ErrorFor(stream + "accept { key: 'join-key:row' value: 'why' }", kByWarrant), "");
    EXPECT_EQ(ErrorFor(stream + "fields { key: 'row' value { drop {} } }", kByWarrant), "");
  }
  // A chain: the column that the next row is found by counts, not what it was found by itself.
  const std::string chain =
      base::StrCat(kByWarrant, " enrich { set: 'beats' key: 'row.next' into: 'second' }");
  const std::string dropped = row + Treats("WARRANT_NUMBER", "drop");
  EXPECT_EQ(ErrorFor(dropped + "accept { key: 'join-key:row' value: 'why' }", chain), "");
  EXPECT_THAT(ErrorFor(dropped + "fields { key: 'row' value { drop {} } }", chain),
              HasSubstr("the row 'second' is found by row.next"));
}

TEST(JoinedRows, HaveNoFieldsName) {
  const std::string stream = Treats("PERSON_NAME", "drop");
  EXPECT_THAT(
      ErrorFor(stream + "treat { key: 'WARRANT_NUMBER' value { keep {} as: 'row' } }", kByBeat),
      HasSubstr("the stream 'all' names another field 'row'"));
}

TEST(Flows, OfAJoinedColumnAreItsCellAndAllThatItWasFoundBy) {
  const std::string chain =
      base::StrCat(kByWarrant, " enrich { set: 'beats' key: 'row.next' into: 'second' }");
  auto pipeline =
      CompileFor(Treats("PERSON_NAME", "drop") + Treats("WARRANT_NUMBER", "keep"), chain);
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  std::string all;
  for (const OutputLeaf& leaf : OutputLeaves(**pipeline, (*pipeline)->streams()[0])) {
    if (leaf.path != "second.unit" && leaf.path != "beat") continue;
    base::StrAppend(all, leaf.path, ":");
    for (const Flow& flow : leaf.flows)
      base::StrAppend(all, " ", flow.source.ToString(**pipeline),
                      flow.how == FlowHow::kWhole ? "" : "?");
    base::StrAppend(all, "; ");
  }
  EXPECT_EQ(all,
            "beat: beat; second.unit: warrant? row.code? row.next? second.code? second.unit; ");
}

std::string PublicStream(std::string_view location, std::string_view more = "") {
  return base::StrCat(R"(contract: 'test.E' input { topic: 'raw' }
      quarantine { topic: 'q' public_key: 'k' }
      streams { name: 'public' topic: 'public' domain: 'public' key: 'officer'
        treat { key: 'EVENT_TIME' value { drop {} } }
        fields { key: 'id' value { drop {} } } fields { key: 'at' value { drop {} } }
        treat { key: 'LOCATION' value { )",
                      location, " } } ", more, " }");
}

TEST(Treatment, SnapGivesTheSetsOwnPointAndNothingThatIsFarAway) {
  Site site("", PublicStream("generalise { snap: 'snap_points' }"));
  EXPECT_EQ(site.Run(R"({"place":{"latitude":0.501,"longitude":0.9999}})"),
            R"({"place":{"latitude":0.5,"longitude":0.99}})");
  EXPECT_EQ(site.Run(R"({"place":{"latitude":0.9,"longitude":0.9}})"), R"({"place":{}})");
  EXPECT_EQ(site.Run(R"({"place":{"latitude":0.5}})"), R"({"place":{}})");
  EXPECT_EQ(
      site.Run(
          R"({"places":[{"latitude":0.501,"longitude":1.01},{"latitude":0.5,"longitude":7}]})"),
      R"({"places":[{"latitude":0.5,"longitude":1.02},{}]})");
  EXPECT_THAT(site.references, HasSubstr("snap_points="));
  EXPECT_THAT(site.references, HasSubstr("lsoas="));
  EXPECT_EQ(
      site.pipeline->streams()[0].treatments[site.pipeline->contract().Find("place.latitude")],
      "generalise: snap snap_points");
}

TEST(Treatment, AreaOfPutsTheAreasNameInThePointsPlace) {
  Site site("", PublicStream("generalise { area_of { set: 'lsoas' } } as: 'lsoa'"));
  EXPECT_EQ(site.Run(R"({"place":{"latitude":0.5,"longitude":0.9}})"),
            R"({"place":{"lsoa":"L1"}})");
  EXPECT_EQ(site.Run(R"({"place":{"latitude":5,"longitude":0.9}})"), R"({"place":{}})");
  Site unnamed("", PublicStream("generalise { area_of { set: 'lsoas' column: 'code' } }"));
  EXPECT_EQ(unnamed.Run(R"({"place":{"latitude":0.5,"longitude":1.9}})"),
            R"({"place":{"code":"L2"}})");
}

TEST(Treatment, MapsThatCannotServeAreErrorsAtLoad) {
  auto error = [](std::string_view location) { return ErrorOf("", PublicStream(location)); };
  EXPECT_THAT(
      error("generalise { snap: 'points' }"),
      HasSubstr("streams[0].treat[LOCATION]: 'public': the field 'place.latitude' (LATITUDE) "
                "needs the reference set 'points', which isn't there"));
  EXPECT_THAT(error("generalise { snap: 'lsoas' }"), HasSubstr("to be a set of the kind nearest"));
  EXPECT_THAT(error("generalise { area_of { set: 'wards' } }"), HasSubstr("of the kind area"));
  EXPECT_THAT(error("generalise { area_of { set: 'lsoas' column: 'shape' } }"),
              HasSubstr("needs a column 'shape' of 'lsoas' that isn't its area"));
  EXPECT_THAT(ErrorOf("", PublicStream("keep {}",
                                       "fields { key: 'officer' value { generalise { snap: "
                                       "'snap_points' } } }")),
              HasSubstr("is no part of a point"));
}

}  // namespace
}  // namespace sluice::engine
