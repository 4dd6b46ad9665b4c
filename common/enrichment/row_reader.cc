#include "common/enrichment/row_reader.h"

#include <charconv>
#include <cmath>
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

absl::StatusOr<Polygon> ReadPolygon(JsonText& json) {
  Polygon polygon;
  SLUICE_RETURN_IF_ERROR(json.ReadArray([&]() -> absl::Status {
    Ring ring;
    size_t positions = 0;
    GridPoint first, last;
    SLUICE_RETURN_IF_ERROR(json.ReadArray([&]() -> absl::Status {
      SLUICE_ASSIGN_OR_RETURN(last, ReadPosition(json));
      if (positions++ == 0) first = last;
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
  auto add = [&]() -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(Polygon polygon, ReadPolygon(*coordinates));
    if (!polygon.empty()) geometry.area->push_back(std::move(polygon));
    return absl::OkStatus();
  };
  SLUICE_RETURN_IF_ERROR(type == "Polygon" ? add() : coordinates->ReadArray(add));
  if (geometry.area->empty()) return json.Error("an area without an inside");
  return geometry;
}

// An area as a cell has it.
Value AreaValue(const Area& area, base::Arena& arena) {
  std::string bytes;
  AppendArea(area, bytes);
  return Value::Text(arena.Copy(bytes));
}

// Reads one object's members into a row: JSON lines and GeoJSON properties.
class ObjectReader {
 public:
  ObjectReader(const Schema& schema, std::string_view source)
      : schema_(schema), source_(source), row_(schema.columns().size()) {}

  std::vector<Value>& row() { return row_; }
  base::Arena& arena() { return arena_; }
  // Before each row.
  void Clear() {
    arena_.Reset();
    std::fill(row_.begin(), row_.end(), Value());
  }

  absl::Status Read(JsonText& json) {
    return json.ReadObject(arena_, [&](std::string_view name) -> absl::Status {
      bool wanted = false;
      JsonText begin = json;
      for (size_t i = 0; i < row_.size(); ++i) {
        const Column& column = schema_.columns()[i];
        if (column.source != name) continue;
        wanted = true;
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
  std::string_view source_;
  std::vector<Value> row_;
  base::Arena arena_;
};

}  // namespace

absl::StatusOr<Value> ParseCell(const Column& column, std::string_view text, base::Arena& arena) {
  if (text.empty()) return Value();
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

absl::Status ReadCsv(std::string_view text, std::string_view source, RowSink& sink) {
  absl::StatusOr<CsvReader> reader = CsvReader::Create(text);
  if (!reader.ok()) return In(source, reader.status());
  const auto& columns = sink.schema().columns();
  std::vector<size_t> places;  // by column
  for (const Column& column : columns) {
    const auto& header = reader->header();
    auto found = std::find(header.begin(), header.end(), column.source);
    if (found == header.end()) {
      std::string names;
      for (const std::string& name : header)
        base::StrAppend(names, names.empty() ? "" : ", ", name);
      return absl::InvalidArgumentError(base::StrCat(source, ": line 1: no column '", column.source,
                                                     "' (the schema's); it has: ", names));
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
      absl::StatusOr<Value> value = ParseCell(columns[i], cells[places[i]], arena);
      if (!value.ok()) return InColumn(source, reader->line(), columns[i], value.status());
      row[i] = *value;
    }
    SLUICE_RETURN_IF_ERROR(sink.Add(row, source, reader->line()));
  }
}

absl::Status ReadJsonLines(std::string_view text, std::string_view source, RowSink& sink) {
  if (!base::IsUtf8(text))
    return absl::InvalidArgumentError(base::StrCat(source, ": the text isn't UTF-8"));
  ObjectReader reader(sink.schema(), source);
  for (int line = 1; !text.empty(); ++line) {
    std::string_view object = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), object.size() + 1));
    JsonText json(object, line);
    if (json.Peek() == 0 && json.End().ok()) continue;
    reader.Clear();
    if (absl::Status read = reader.Read(json); !read.ok()) return In(source, read);
    if (absl::Status end = json.End(); !end.ok()) return In(source, end);
    SLUICE_RETURN_IF_ERROR(sink.Add(reader.row(), source, line));
  }
  return absl::OkStatus();
}

namespace {

class GeoJsonReader {
 public:
  GeoJsonReader(std::string_view text, std::string_view source, RowSink& sink)
      : json_(text), source_(source), sink_(sink), reader_(sink.schema(), source) {}

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
      return json_.ReadArray([&] { return ReadFeature(); });
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

  absl::Status ReadFeature() {
    reader_.Clear();
    Geometry geometry;
    json_.Peek();
    int line = json_.line();
    base::Arena arena(1024);
    SLUICE_RETURN_IF_ERROR(json_.ReadObject(arena, [&](std::string_view name) -> absl::Status {
      if (name == "properties" && json_.Peek() != 'n') return reader_.Read(json_);
      if (name != "geometry") return json_.Skip();
      SLUICE_ASSIGN_OR_RETURN(geometry, ReadGeometry(json_, reader_.arena()));
      return absl::OkStatus();
    }));
    const Schema& schema = sink_.schema();
    if (schema.kind() == SchemaProto::area && geometry.area)
      reader_.row()[schema.area()] = AreaValue(*geometry.area, reader_.arena());
    if (schema.kind() == SchemaProto::nearest && geometry.is_point) {
      reader_.row()[schema.latitude()] = Value::Double(geometry.latitude);
      reader_.row()[schema.longitude()] = Value::Double(geometry.longitude);
    }
    from_sink_ = sink_.Add(reader_.row(), source_, line);
    return from_sink_;
  }

  JsonText json_;
  std::string_view source_;
  RowSink& sink_;
  ObjectReader reader_;
  absl::Status from_sink_;  // names its source itself
};

}  // namespace

absl::Status ReadGeoJson(std::string_view text, std::string_view source, RowSink& sink) {
  if (!base::IsUtf8(text))
    return absl::InvalidArgumentError(base::StrCat(source, ": the text isn't UTF-8"));
  return GeoJsonReader(text, source, sink).Read();
}

}  // namespace sluice::enrichment
