#include "common/enrichment/row_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/base/utf8.h"
#include "common/enrichment/csv.h"
#include "common/enrichment/geometry.h"
#include "common/enrichment/json_text.h"
#include "common/event/time_text.h"

namespace sluice::enrichment {

using event::Value;
using event::ValueKind;
using ColumnProto = reference::v1::Column;
using SchemaProto = reference::v1::Schema;

namespace {

absl::Status In(std::string_view source, const absl::Status& status) {
  return absl::InvalidArgumentError(base::StrCat(source, ": ", base::View(status.message())));
}

absl::Status InColumn(std::string_view source, int line, const Column& column,
                      const absl::Status& status) {
  return absl::InvalidArgumentError(base::StrCat(source, ": line ", line, ": column '", column.name,
                                                 "': ", base::View(status.message())));
}

std::string_view WithoutByteOrderMark(std::string_view text) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  return text;
}

// Of one area; a set's bound is its table's.
constexpr size_t kAreaPointsMax = size_t{1} << 24;
constexpr int64_t kHalfTurn = 180 * int64_t{10'000'000};

absl::StatusOr<GridPoint> ReadPosition(JsonText& json) {
  double numbers[2] = {};
  size_t count = 0;
  SLUICE_RETURN_IF_ERROR(json.ReadArray([&]() -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(double number, json.ReadNumber());
    // A third is a height.
    if (count < 2) numbers[count] = number;
    ++count;
    return absl::OkStatus();
  }));
  std::optional<GridPoint> point = GridPoint::Of(numbers[1], numbers[0]);
  if (count < 2 || !point) return json.Error("a position isn't [longitude, latitude] in degrees");
  return *point;
}

absl::StatusOr<Polygon> ReadPolygon(JsonText& json, size_t& points) {
  Polygon polygon;
  SLUICE_RETURN_IF_ERROR(json.ReadArray([&]() -> absl::Status {
    Ring ring;
    size_t positions = 0;
    GridPoint first, last;
    SLUICE_RETURN_IF_ERROR(json.ReadArray([&]() -> absl::Status {
      GridPoint before = last;
      SLUICE_ASSIGN_OR_RETURN(last, ReadPosition(json));
      if (positions++ == 0) first = before = last;
      // It may lead the other way round the earth: nobody can know.
      if (std::abs(int64_t{last.x} - before.x) > kHalfTurn) {
        return json.Error(
            "an edge spans more than 180 degrees of longitude: cut the area at the antimeridian "
            "(RFC 7946, section 3.1.9)");
      }
      if (++points > kAreaPointsMax) {
        return json.Error(
            base::StrCat("an area has more than ", kAreaPointsMax, " points: make it simpler"));
      }
      // Points that fall together on the grid are one.
      if (ring.empty() || ring.back() != last) ring.push_back(last);
      return absl::OkStatus();
    }));
    if (positions < 4 || first != last)
      return json.Error("a ring has fewer than four positions, or doesn't end where it begins");
    if (ring.size() > 1) ring.pop_back();
    // What is narrower than the grid has no inside.
    if (ring.size() >= 3) {
      polygon.push_back(std::move(ring));
    } else if (polygon.empty()) {
      polygon.push_back({});
    }
    return absl::OkStatus();
  }));
  if (polygon.empty()) return json.Error("a polygon has no ring");
  if (polygon[0].empty()) polygon.clear();
  return polygon;
}

// A geometry as far as a set can use it.
struct Geometry {
  std::optional<Area> area;
  bool is_point = false;
  double latitude = 0, longitude = 0;
};

// At its opening bracket, or null.
absl::StatusOr<Geometry> ReadGeometry(JsonText& json, base::Arena& arena) {
  Geometry geometry;
  if (json.Peek() == 'n') {
    SLUICE_RETURN_IF_ERROR(json.Skip());
    return geometry;
  }
  std::string type;
  std::optional<JsonText> coordinates;
  SLUICE_RETURN_IF_ERROR(json.ReadObject(arena, [&](std::string_view name) -> absl::Status {
    if (name == "type") {
      SLUICE_ASSIGN_OR_RETURN(std::string_view text, json.ReadString(arena));
      type = text;
      return absl::OkStatus();
    }
    // The type may stand behind them.
    if (name == "coordinates") coordinates = json;
    return json.Skip();
  }));
  if (!coordinates) return json.Error("a geometry without coordinates");
  if (type == "Point") {
    JsonText& at = *coordinates;
    size_t count = 0;
    SLUICE_RETURN_IF_ERROR(at.ReadArray([&]() -> absl::Status {
      SLUICE_ASSIGN_OR_RETURN(double number, at.ReadNumber());
      if (count == 0) geometry.longitude = number;
      if (count == 1) geometry.latitude = number;
      ++count;
      return absl::OkStatus();
    }));
    if (count < 2) return at.Error("a position isn't [longitude, latitude] in degrees");
    geometry.is_point = true;
    return geometry;
  }
  if (type != "Polygon" && type != "MultiPolygon")
    return json.Error("a geometry that is no Polygon, MultiPolygon or Point");
  geometry.area.emplace();
  size_t points = 0;
  auto add = [&]() -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(Polygon polygon, ReadPolygon(*coordinates, points));
    if (!polygon.empty()) geometry.area->push_back(std::move(polygon));
    return absl::OkStatus();
  };
  SLUICE_RETURN_IF_ERROR(type == "Polygon" ? add() : coordinates->ReadArray(add));
  if (geometry.area->empty()) return json.Error("an area without an inside");
  return geometry;
}

// An area as a cell has it.
Value AreaValue(const Area& area, base::Arena& arena) {
  const size_t bytes = AreaBytes(area);
  char* at = arena.Allocate(bytes);
  WriteArea(area, at);
  return Value::Text({at, bytes});
}

// "Without end", where a column bounds a row; nullopt: it says something else. What is open on its
// own side is no value; what is open on the other makes a row that never holds.
std::optional<Value> Unbounded(const Column& column, std::string_view text) {
  if (column.bound == Column::Bound::kNone || column.type == ColumnProto::integer)
    return std::nullopt;
  auto is = [&](std::string_view word) {
    return text.size() == word.size() &&
           std::equal(text.begin(), text.end(), word.begin(),
                      [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a | 0x20 : a) == b; });
  };
  const bool later = is(kInfinity);
  if (!later && !is(kMinusInfinity)) return std::nullopt;
  if (later == (column.bound == Column::Bound::kHigh)) return Value();
  switch (column.type) {
    case ColumnProto::time:
      return Value::Time(
          later ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min(), 0);
    case ColumnProto::number:
      return Value::Double(later ? std::numeric_limits<double>::infinity()
                                 : -std::numeric_limits<double>::infinity());
    default:
      return Value::Text(later ? kInfinity : kMinusInfinity);
  }
}

// Reads one object's members into a row: JSON lines and GeoJSON properties.
class ObjectReader {
 public:
  ObjectReader(const Schema& schema, ColumnsSeen& seen)
      : schema_(schema), seen_(seen), row_(schema.columns().size()) {}

  std::vector<Value>& row() { return row_; }
  base::Arena& arena() { return arena_; }
  // Before each row.
  void Clear() {
    arena_.Reset();
    std::fill(row_.begin(), row_.end(), Value());
  }

  // `member(name)` is told each name.
  template <typename Member>
  absl::Status Read(JsonText& json, Member member) {
    return json.ReadObject(arena_, [&](std::string_view name) -> absl::Status {
      member(name);
      bool wanted = false;
      JsonText begin = json;
      for (size_t i = 0; i < row_.size(); ++i) {
        const Column& column = schema_.columns()[i];
        if (column.source != name) continue;
        wanted = true;
        seen_.Add(i);
        // Two columns may be made from one member.
        json = begin;
        SLUICE_RETURN_IF_ERROR(ReadMember(json, column, row_[i]));
      }
      return wanted ? absl::OkStatus() : json.Skip();
    });
  }

 private:
  absl::Status ReadMember(JsonText& json, const Column& column, Value& out) {
    if (column.type == ColumnProto::area) {
      SLUICE_ASSIGN_OR_RETURN(Geometry geometry, ReadGeometry(json, arena_));
      if (geometry.area) out = AreaValue(*geometry.area, arena_);
      return absl::OkStatus();
    }
    auto wrong = [&](const absl::Status& status) {
      return json.Error(base::StrCat("column '", column.name, "': ", base::View(status.message())));
    };
    if (char c = json.Peek(); c == '{' || c == '[')
      return wrong(absl::InvalidArgumentError("is a list or an object"));
    SLUICE_ASSIGN_OR_RETURN(JsonText::Scalar scalar, json.ReadScalar(arena_));
    if (scalar.null) return absl::OkStatus();
    absl::StatusOr<Value> value = ParseCell(column, scalar.text, arena_);
    if (!value.ok()) return wrong(value.status());
    out = *value;
    return absl::OkStatus();
  }

  const Schema& schema_;
  ColumnsSeen& seen_;
  std::vector<Value> row_;
  base::Arena arena_;
};

}  // namespace

absl::Status ColumnsSeen::Check(std::string_view source) const {
  for (size_t i = 0; i < seen_.size(); ++i) {
    const Column& column = schema_.columns()[i];
    if (seen_[i] || column.may_be_missing) continue;
    return absl::InvalidArgumentError(base::StrCat(
        source, ": no row has '", column.source, "' (the schema's column '", column.name,
        "'): name what it is called now as the column's source, or set its may_be_missing"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Value> ParseCell(const Column& column, std::string_view text, base::Arena& arena) {
  if (text.empty()) return Value();
  if (std::optional<Value> open = Unbounded(column, text)) return *open;
  const char* end = text.data() + text.size();
  switch (column.type) {
    case ColumnProto::text:
      return Value::Text(text);
    case ColumnProto::integer: {
      int64_t number = 0;
      auto [stop, error] = std::from_chars(text.data(), end, number);
      if (error != std::errc() || stop != end)
        return absl::InvalidArgumentError("isn't an integer of 64 bits");
      return Value::Int(number);
    }
    case ColumnProto::number: {
      double number = 0;
      auto [stop, error] = std::from_chars(text.data(), end, number);
      if (error != std::errc() || stop != end || !std::isfinite(number))
        return absl::InvalidArgumentError("isn't a number");
      return Value::Double(number == 0 ? 0.0 : number);  // -0 is 0
    }
    case ColumnProto::boolean:
      if (text == "true") return Value::Bool(true);
      if (text == "false") return Value::Bool(false);
      return absl::InvalidArgumentError("isn't true or false");
    case ColumnProto::date:
      if (!event::ParseDate(text)) return absl::InvalidArgumentError("isn't a date (YYYY-MM-DD)");
      return Value::Text(text);
    case ColumnProto::time: {
      std::optional<event::Instant> time = event::ParseTimestamp(text, nullptr);
      if (!time) return absl::InvalidArgumentError("isn't a time with its offset (RFC 3339)");
      return Value::Time(time->seconds, time->nanos);
    }
    case ColumnProto::area: {
      JsonText json(text);
      SLUICE_ASSIGN_OR_RETURN(Geometry geometry, ReadGeometry(json, arena));
      SLUICE_RETURN_IF_ERROR(json.End());
      return geometry.area ? AreaValue(*geometry.area, arena) : Value();
    }
    default:
      return absl::InvalidArgumentError("is of no known type");
  }
}

namespace {

// A text that is all there is of a source.
absl::Status ReadAlone(std::string_view text, std::string_view source, RowSink& sink,
                       absl::Status (*read)(std::string_view, std::string_view, RowSink&,
                                            ColumnsSeen&)) {
  class Counting final : public RowSink {
   public:
    explicit Counting(RowSink& sink) : sink_(sink) {}
    const Schema& schema() const override { return sink_.schema(); }
    absl::Status Add(std::span<const Value> row, const RowPlace& place) override {
      any = true;
      return sink_.Add(row, place);
    }
    bool any = false;

   private:
    RowSink& sink_;
  };
  ColumnsSeen seen(sink.schema());
  Counting counting(sink);
  SLUICE_RETURN_IF_ERROR(read(text, source, counting, seen));
  return counting.any ? seen.Check(source) : absl::OkStatus();
}

}  // namespace

absl::Status ReadCsv(std::string_view text, std::string_view source, RowSink& sink) {
  absl::StatusOr<CsvReader> reader = CsvReader::Create(text);
  if (!reader.ok()) return In(source, reader.status());
  const auto& columns = sink.schema().columns();
  std::vector<size_t> places;  // by column
  for (const Column& column : columns) {
    const auto& header = reader->header();
    auto found = std::find(header.begin(), header.end(), column.source);
    if (found == header.end() && column.may_be_missing) {
      places.push_back(header.size());
      continue;
    }
    if (found == header.end()) {
      // Never what stands there: a file that has lost its header has somebody's row in its place.
      return absl::InvalidArgumentError(base::StrCat(
          source, ": line 1: none of the header's ", header.size(), " columns is named '",
          column.source, "', as the schema says; check that the file's first line is its header"));
    }
    places.push_back(static_cast<size_t>(found - header.begin()));
  }
  base::Arena arena;
  std::vector<std::string_view> cells;
  std::vector<Value> row(columns.size());
  while (true) {
    arena.Reset();
    absl::StatusOr<bool> more = reader->Next(arena, cells);
    if (!more.ok()) return In(source, more.status());
    if (!*more) return absl::OkStatus();
    for (size_t i = 0; i < columns.size(); ++i) {
      row[i] = Value();
      if (places[i] == cells.size()) continue;
      absl::StatusOr<Value> value = ParseCell(columns[i], cells[places[i]], arena);
      if (!value.ok()) return InColumn(source, reader->line(), columns[i], value.status());
      row[i] = *value;
    }
    SLUICE_RETURN_IF_ERROR(sink.Add(row, {source, reader->line()}));
  }
}

absl::Status ReadJsonLines(std::string_view text, std::string_view source, RowSink& sink) {
  return ReadAlone(text, source, sink, ReadJsonLinesPart);
}

absl::Status ReadJsonLinesPart(std::string_view text, std::string_view source, RowSink& sink,
                               ColumnsSeen& seen) {
  text = WithoutByteOrderMark(text);
  if (!base::IsUtf8(text))
    return absl::InvalidArgumentError(base::StrCat(source, ": the text isn't UTF-8"));
  ObjectReader reader(sink.schema(), seen);
  for (int line = 1; !text.empty(); ++line) {
    std::string_view object = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), object.size() + 1));
    JsonText json(object, line);
    if (json.Peek() == 0 && json.End().ok()) continue;
    reader.Clear();
    absl::Status read = reader.Read(json, [](std::string_view) {});
    if (!read.ok()) return In(source, read);
    if (absl::Status end = json.End(); !end.ok()) return In(source, end);
    SLUICE_RETURN_IF_ERROR(sink.Add(reader.row(), {source, line}));
  }
  return absl::OkStatus();
}

namespace {

class GeoJsonReader {
 public:
  GeoJsonReader(std::string_view text, std::string_view source, RowSink& sink, ColumnsSeen& seen)
      : json_(text), source_(source), sink_(sink), seen_(seen), reader_(sink.schema(), seen) {}

  absl::Status Read() {
    bool collection = false, features = false;
    base::Arena arena;
    absl::Status read = json_.ReadObject(arena, [&](std::string_view name) -> absl::Status {
      if (name == "type") {
        SLUICE_ASSIGN_OR_RETURN(std::string_view type, json_.ReadString(arena));
        if (type != "FeatureCollection") return json_.Error("isn't a FeatureCollection");
        collection = true;
        return absl::OkStatus();
      }
      if (name == "crs") return CheckReferenceSystem();
      if (name != "features") return json_.Skip();
      features = true;
      return json_.ReadArray([&]() -> absl::Status {
        json_.Peek();
        const JsonText begin = json_;
        absl::Status feature = ReadFeature();
        if (!feature.ok() && from_sink_.ok()) feature = InFeature(begin, feature);
        ++number_;
        return feature;
      });
    });
    if (!from_sink_.ok()) return from_sink_;
    if (!read.ok()) return In(source_, read);
    if (absl::Status end = json_.End(); !end.ok()) return In(source_, end);
    if (!collection || !features)
      return absl::InvalidArgumentError(base::StrCat(source_, ": isn't a FeatureCollection"));
    return absl::OkStatus();
  }

 private:
  // Old files name one; any but WGS 84 would move every point.
  absl::Status CheckReferenceSystem() {
    base::Arena arena(1024);
    if (json_.Peek() == 'n') return json_.Skip();
    return json_.ReadObject(arena, [&](std::string_view name) -> absl::Status {
      if (name != "properties") return json_.Skip();
      return json_.ReadObject(arena, [&](std::string_view property) -> absl::Status {
        if (property != "name") return json_.Skip();
        SLUICE_ASSIGN_OR_RETURN(std::string_view system, json_.ReadString(arena));
        if (system.ends_with("CRS84") || system.ends_with(":4326")) return absl::OkStatus();
        return json_.Error("the coordinates aren't WGS 84 (crs)");
      });
    });
  }

  // Names the feature, and its key as far as it can be read.
  absl::Status InFeature(JsonText at, const absl::Status& status) const {
    const Schema& schema = sink_.schema();
    std::vector<Value> row(schema.columns().size());
    base::Arena arena(1024);
    auto take = [&](std::string_view name) -> absl::Status {
      if (at.Peek() == '{' || at.Peek() == '[') return at.Skip();
      SLUICE_ASSIGN_OR_RETURN(JsonText::Scalar scalar, at.ReadScalar(arena));
      for (const KeyPart& part : schema.key()) {
        const Column& column = schema.columns()[part.column];
        if (column.source != name || scalar.null || row[part.column].present()) continue;
        SLUICE_ASSIGN_OR_RETURN(row[part.column], ParseCell(column, scalar.text, arena));
      }
      return absl::OkStatus();
    };
    // What is wrong further on doesn't matter here.
    at.ReadObject(arena, [&](std::string_view name) -> absl::Status {
        if (name == "properties" && at.Peek() == '{') return at.ReadObject(arena, take);
        return name == kId ? take(name) : at.Skip();
      }).IgnoreError();
    return absl::InvalidArgumentError(base::StrCat(
        "features[", number_, "]", schema.KeyForPeople(row), ": ", base::View(status.message())));
  }

  absl::Status ReadFeature() {
    reader_.Clear();
    const Schema& schema = sink_.schema();
    Geometry geometry;
    JsonText::Scalar id;
    bool has_id = false, has_id_property = false;
    base::Arena arena(1024);
    SLUICE_RETURN_IF_ERROR(json_.ReadObject(arena, [&](std::string_view name) -> absl::Status {
      if (name == "properties" && json_.Peek() != 'n')
        return reader_.Read(json_, [&](std::string_view member) {
          has_id_property = has_id_property || member == kId;
        });
      if (name == kId && json_.Peek() != '{' && json_.Peek() != '[') {
        SLUICE_ASSIGN_OR_RETURN(id, json_.ReadScalar(arena));
        has_id = !id.null;
        return absl::OkStatus();
      }
      if (name != "geometry") return json_.Skip();
      SLUICE_ASSIGN_OR_RETURN(geometry, ReadGeometry(json_, arena));
      return absl::OkStatus();
    }));
    for (size_t i = 0; i < schema.columns().size(); ++i) {
      const Column& column = schema.columns()[i];
      if (column.source != kId || column.type == ColumnProto::area) continue;
      id_properties_ = id_properties_ || has_id_property;
      if (has_id_property || !has_id) continue;
      own_ids_ = true;
      seen_.Add(i);
      auto value = ParseCell(column, id.text, reader_.arena());
      if (!value.ok()) {
        return json_.Error(
            base::StrCat("column '", column.name, "': ", base::View(value.status().message())));
      }
      // The arena of what stood in the feature itself goes with it.
      if (value->kind == ValueKind::kText) value = Value::Text(reader_.arena().Copy(value->text()));
      reader_.row()[i] = *value;
    }
    if (id_properties_ && own_ids_) {
      return json_.Error(
          "some features have a property 'id', others only an id of their own: which one the "
          "column is can't be known");
    }
    if (schema.kind() == SchemaProto::area) {
      seen_.Add(schema.area());
      if (geometry.area) reader_.row()[schema.area()] = AreaValue(*geometry.area, reader_.arena());
      geometry.area.reset();
    }
    if (schema.kind() == SchemaProto::nearest && geometry.is_point) {
      seen_.Add(schema.latitude());
      seen_.Add(schema.longitude());
      reader_.row()[schema.latitude()] = Value::Double(geometry.latitude);
      reader_.row()[schema.longitude()] = Value::Double(geometry.longitude);
    }
    from_sink_ = sink_.Add(reader_.row(), {source_, number_, RowPlace::kFeature});
    return from_sink_;
  }

  static constexpr std::string_view kId = "id";

  JsonText json_;
  std::string_view source_;
  RowSink& sink_;
  ColumnsSeen& seen_;
  ObjectReader reader_;
  int number_ = 0;        // of the feature
  bool own_ids_ = false;  // a column is a feature's own id
  bool id_properties_ = false;
  absl::Status from_sink_;  // names its source itself
};

}  // namespace

absl::Status ReadGeoJson(std::string_view text, std::string_view source, RowSink& sink) {
  return ReadAlone(text, source, sink, ReadGeoJsonPart);
}

absl::Status ReadGeoJsonPart(std::string_view text, std::string_view source, RowSink& sink,
                             ColumnsSeen& seen) {
  text = WithoutByteOrderMark(text);
  if (!base::IsUtf8(text))
    return absl::InvalidArgumentError(base::StrCat(source, ": the text isn't UTF-8"));
  return GeoJsonReader(text, source, sink, seen).Read();
}

}  // namespace sluice::enrichment
