#include "common/enrichment/schema.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "absl/strings/str_join.h"
#include "common/base/sha256.h"
#include "common/base/strings.h"
#include "common/event/time_text.h"

namespace sluice::enrichment {

using event::Value;
using event::ValueKind;
using ColumnProto = reference::v1::Column;
using KeyProto = reference::v1::Key;
using SchemaProto = reference::v1::Schema;

namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

bool IsOrdered(ColumnType type) {
  return type == ColumnProto::integer || type == ColumnProto::number || type == ColumnProto::date ||
         type == ColumnProto::time;
}

// Doubles in order as integers: negative ones have their bits below the sign turned round.
int64_t OrderedBits(double number) {
  auto bits = std::bit_cast<int64_t>(number == 0 ? 0.0 : number);
  return bits >= 0 ? bits : bits ^ kMax;
}

char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool IsFiller(char c) { return IsSpace(c) || c == '.' || c == '-' || c == '/'; }

// Of a bound: above 0 for what is later or higher than every value, below 0 for what is earlier or
// lower; 0 for a value.
int Infinite(const Value& value) {
  switch (value.kind) {
    case ValueKind::kTime:
      return value.seconds == kMax ? 1 : value.seconds == kMin ? -1 : 0;
    case ValueKind::kDouble:
      return std::isinf(value.number) ? (value.number > 0 ? 1 : -1) : 0;
    case ValueKind::kText:
      return value.text() == kInfinity ? 1 : value.text() == kMinusInfinity ? -1 : 0;
    default:
      return 0;
  }
}

// Appends the text in its normal form; nullptr: there isn't room.
char* AppendNormal(std::string_view text, Normalise normalise, char* at, const char* end) {
  while (normalise != KeyProto::none && !text.empty() && IsSpace(text.front()))
    text.remove_prefix(1);
  while (normalise != KeyProto::none && !text.empty() && IsSpace(text.back()))
    text.remove_suffix(1);
  if (text.size() > static_cast<size_t>(end - at)) return nullptr;
  if (normalise == KeyProto::none || normalise == KeyProto::trim) {
    std::memcpy(at, text.data(), text.size());
    return at + text.size();
  }
  for (char c : text) {
    if (normalise == KeyProto::compact && IsFiller(c)) continue;
    *at++ = Upper(c);
  }
  return at;
}

}  // namespace

class SchemaCompiler {
 public:
  SchemaCompiler(const SchemaProto& definition,
                 const std::function<std::string(std::string_view)>& locate)
      : definition_(definition), locate_(locate), schema_(new Schema()) {}

  absl::StatusOr<std::shared_ptr<const Schema>> Compile() {
    schema_->definition_ = definition_;
    CompileColumns();
    CompileKey();
    if (definition_.has_valid()) {
      CompileBounds("valid", definition_.valid().from(), "from", definition_.valid().to(), "to");
    }
    if (definition_.has_bounds()) {
      CompileBounds("bounds", definition_.bounds().low(), "low", definition_.bounds().high(),
                    "high");
    }
    if (definition_.has_point()) CompilePoint();
    CheckKind();
    if (!errors_.empty()) return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
    schema_->identity_ = Identity();
    return schema_;
  }

 private:
  void Error(std::string_view path, std::string_view what) {
    std::string where = locate_ ? locate_(path) : "";
    errors_.push_back(base::StrCat(where, where.empty() ? "" : ": ", path, ": ", what));
  }

  void CompileColumns() {
    if (definition_.columns().empty()) Error("columns", "there are none; name at least one");
    if (definition_.columns_size() > static_cast<int>(kColumnsMax))
      Error("columns", base::StrCat("there are more than ", kColumnsMax));
    std::set<std::string> names;
    for (int i = 0; i < definition_.columns_size(); ++i) {
      const ColumnProto& from = definition_.columns(i);
      std::string path = base::StrCat("columns[", i, "]");
      Column column;
      column.name = from.name();
      column.source = from.source().empty() ? from.name() : from.source();
      column.type = from.type();
      column.required = from.required();
      column.may_be_missing = from.may_be_missing();
      if (column.required && column.may_be_missing)
        Error(path + ".may_be_missing", "a required column can't be missing");
      if (column.name.empty()) Error(path + ".name", "is empty");
      if (!names.insert(column.name).second)
        Error(path + ".name", base::StrCat("two columns are named '", column.name, "'"));
      bool text = column.type == ColumnProto::text;
      bool number = column.type == ColumnProto::integer || column.type == ColumnProto::number;
      if (!text && (!from.in().empty() || !from.pattern().empty() || from.max_len() != 0))
        Error(path, "in, pattern and max_len are rules for texts only");
      if (!number && (from.has_gte() || from.has_lte()))
        Error(path, "gte and lte are rules for integers and numbers only");
      if (from.max_len() < 0) Error(path + ".max_len", "must be 1 or more");
      column.max_len = static_cast<size_t>(std::max(from.max_len(), 0));
      column.in.assign(from.in().begin(), from.in().end());
      std::sort(column.in.begin(), column.in.end());
      if (from.has_gte()) column.gte = from.gte();
      if (from.has_lte()) column.lte = from.lte();
      Classify(path, from, column);
      if (!from.pattern().empty()) {
        column.pattern = std::make_unique<const RE2>(from.pattern(), RE2::Quiet);
        if (!column.pattern->ok())
          Error(path + ".pattern", base::StrCat("isn't RE2: ", column.pattern->error()));
      }
      schema_->columns_.push_back(std::move(column));
    }
  }

  void Classify(const std::string& path, const ColumnProto& from, Column& column) {
    contract::Classification& is = column.classification;
    bool decides = true;
    switch (from.classification_case()) {
      case ColumnProto::kIdentifier:
        is.identifier = from.identifier();
        decides = is.identifier != 0 && is.identifier != contract::v1::SOURCE_POSITION;
        break;
      case ColumnProto::kQuasi:
        is.quasi = from.quasi();
        decides = is.quasi != 0;
        break;
      case ColumnProto::kSensitive:
        is.sensitive = from.sensitive();
        decides = is.sensitive != 0;
        break;
      case ColumnProto::kFreeText:
        is.free_text = from.free_text();
        decides = is.free_text;
        break;
      case ColumnProto::kNotPersonal:
        is.not_personal = from.not_personal();
        decides = is.not_personal;
        break;
      case ColumnProto::CLASSIFICATION_NOT_SET:
        break;
    }
    if (!decides) {
      Error(path, "its classification is no column's kind or a `false`, which decides nothing");
    }
    if (is.decided() && column.type == ColumnProto::area)
      Error(path, "is an area, which no event gets: it has no classification");
    if (is.free_text && column.type != ColumnProto::text) Error(path, "free text is a text");
  }

  // The column's index; kColumnsMax after an error.
  size_t ColumnOf(const std::string& path, const std::string& name) {
    if (auto found = schema_->Find(name)) return *found;
    std::vector<std::string> names;
    for (const Column& column : schema_->columns_) names.push_back(column.name);
    Error(path,
          base::StrCat("there is no column '", name, "'; there are: ", absl::StrJoin(names, ", ")));
    return kColumnsMax;
  }

  void CompileKey() {
    if (definition_.key().empty() && definition_.kind() != SchemaProto::range)
      Error("key", "name the columns that a row is known by");
    if (definition_.key_size() > static_cast<int>(kKeyPartsMax))
      Error("key", base::StrCat("has more than ", kKeyPartsMax, " columns"));
    for (int i = 0; i < definition_.key_size(); ++i) {
      const KeyProto& from = definition_.key(i);
      std::string path = base::StrCat("key[", i, "]");
      KeyPart part;
      part.column = ColumnOf(path + ".column", from.column());
      if (part.column == kColumnsMax) continue;
      Column& column = schema_->columns_[part.column];
      if (schema_->IsKey(part.column)) Error(path + ".column", "stands in the key twice");
      part.type = column.type;
      part.normalise = from.normalise();
      if (column.type != ColumnProto::text && column.type != ColumnProto::integer &&
          column.type != ColumnProto::boolean && column.type != ColumnProto::date) {
        Error(path + ".column", "a key is of the type text, integer, boolean or date");
      }
      if (column.type != ColumnProto::text && from.normalise() != KeyProto::none)
        Error(path + ".normalise", "is for texts only");
      column.required = true;
      schema_->key_.push_back(part);
    }
  }

  void CompileBounds(const std::string& path, const std::string& low, std::string_view low_name,
                     const std::string& high, std::string_view high_name) {
    size_t low_column = ColumnOf(base::StrCat(path, ".", low_name), low);
    size_t high_column = ColumnOf(base::StrCat(path, ".", high_name), high);
    if (low_column == kColumnsMax || high_column == kColumnsMax) return;
    if (low_column == high_column) return Error(path, "one column can't be both bounds");
    ColumnType type = schema_->columns_[low_column].type;
    if (type != schema_->columns_[high_column].type) Error(path, "the bounds are of two types");
    bool valid = path == "valid";
    if (valid ? type != ColumnProto::date && type != ColumnProto::time : !IsOrdered(type)) {
      Error(path, valid ? "its columns are of the type date or time"
                        : "its columns are of the type integer, number, date or time");
    }
    schema_->low_ = low_column;
    schema_->high_ = high_column;
    schema_->columns_[low_column].bound = Column::Bound::kLow;
    schema_->columns_[high_column].bound = Column::Bound::kHigh;
    const std::string& zone = definition_.valid().time_zone();
    if (valid && !zone.empty() && !absl::LoadTimeZone(zone, &schema_->zone_))
      Error("valid.time_zone", base::StrCat("there is no time zone '", zone, "'"));
  }

  void CompilePoint() {
    const reference::v1::Point& point = definition_.point();
    for (auto [field, name, out] : {std::tuple("latitude", &point.latitude(), &schema_->latitude_),
                                    {"longitude", &point.longitude(), &schema_->longitude_}}) {
      std::string path = base::StrCat("point.", field);
      *out = ColumnOf(path, *name);
      if (*out == kColumnsMax) continue;
      if (schema_->columns_[*out].type != ColumnProto::number)
        Error(path, "its column is of the type number");
      schema_->columns_[*out].required = true;
    }
    if (schema_->latitude_ == schema_->longitude_ && schema_->latitude_ != kColumnsMax)
      Error("point", "one column can't be both latitude and longitude");
    if (point.max_metres() < 1 || point.max_metres() > 100'000)
      Error("point.max_metres", "must be 1 to 100,000");
  }

  void CheckKind() {
    Kind kind = definition_.kind();
    auto only = [&](bool given, bool wanted, bool allowed, std::string_view path) {
      if (wanted && !given)
        Error(path, base::StrCat("is needed for the kind ", SchemaProto::Kind_Name(kind)));
      if (given && !wanted && !allowed)
        Error(path, base::StrCat("has no meaning for the kind ", SchemaProto::Kind_Name(kind)));
    };
    bool on_the_map = kind == SchemaProto::area || kind == SchemaProto::nearest;
    only(definition_.has_valid(), kind == SchemaProto::as_of, on_the_map, "valid");
    only(definition_.has_bounds(), kind == SchemaProto::range, false, "bounds");
    only(definition_.has_point(), kind == SchemaProto::nearest, false, "point");
    size_t areas = 0;
    for (size_t i = 0; i < schema_->columns_.size(); ++i) {
      if (schema_->columns_[i].type != ColumnProto::area) continue;
      ++areas;
      schema_->area_ = i;
      if (kind == SchemaProto::area) schema_->columns_[i].required = true;
    }
    if (kind == SchemaProto::area ? areas != 1 : areas != 0) {
      Error("columns", kind == SchemaProto::area ? "exactly one is of the type area"
                                                 : "only the kind area has a column of that type");
    }
  }

  std::string Identity() const {
    base::Sha256 hash;
    hash.AddPart("sluice.reference.v1");
    hash.AddPart(SchemaProto::Kind_Name(definition_.kind()));
    for (const Column& column : schema_->columns_) {
      hash.AddPart(column.name);
      hash.AddPart(ColumnProto::Type_Name(column.type));
    }
    for (const KeyPart& part : schema_->key_) {
      hash.AddPart("key");
      hash.AddPart(schema_->columns_[part.column].name);
      hash.AddPart(KeyProto::Normalise_Name(part.normalise));
    }
    if (schema_->has_interval()) {
      hash.AddPart("interval");
      hash.AddPart(schema_->columns_[schema_->low_].name);
      hash.AddPart(schema_->columns_[schema_->high_].name);
      hash.AddPart(definition_.bounds().half_open() ? "half_open" : "");
      hash.AddPart(base::View(schema_->zone_.name()));
    }
    if (definition_.has_point()) {
      hash.AddPart("point");
      hash.AddPart(definition_.point().latitude());
      hash.AddPart(definition_.point().longitude());
      hash.AddPart(base::StrCat(definition_.point().max_metres()));
      hash.AddPart(definition_.point().within());
    }
    return hash.Hex();
  }

  const SchemaProto& definition_;
  const std::function<std::string(std::string_view)>& locate_;
  std::shared_ptr<Schema> schema_;
  std::vector<std::string> errors_;
};

absl::StatusOr<std::shared_ptr<const Schema>> Schema::Create(
    const SchemaProto& schema, const std::function<std::string(std::string_view path)>& locate) {
  return SchemaCompiler(schema, locate).Compile();
}

absl::StatusOr<std::shared_ptr<const Schema>> Schema::OfTexts(
    const std::vector<std::string>& columns, std::string_view key,
    const std::vector<std::string>& not_personal) {
  std::vector<std::string> errors;
  auto need = [&](std::string_view path, std::string_view name) {
    size_t count = static_cast<size_t>(std::count(columns.begin(), columns.end(), name));
    if (count == 1) return;
    errors.push_back(base::StrCat(path, ": ", count == 0 ? "none" : "more than one",
                                  " of the header's ", columns.size(), " columns is named '", name,
                                  "'; check that the file's first line is its header"));
  };
  need("key", key);
  std::set<std::string> named;
  for (const std::string& name : not_personal) {
    if (!named.insert(name).second) {
      errors.push_back(base::StrCat("not_personal: names '", name, "' twice"));
    } else {
      need("not_personal", name);
    }
  }
  if (!errors.empty()) return absl::InvalidArgumentError(absl::StrJoin(errors, "\n"));
  SchemaProto schema;
  for (const std::string& name : columns) {
    if (name != key && !named.contains(name)) continue;
    ColumnProto& column = *schema.add_columns();
    column.set_name(name);
    if (named.contains(name)) column.set_not_personal(true);
  }
  schema.add_key()->set_column(std::string(key));
  return Create(schema);
}

std::string Schema::KeyForPeople(std::span<const Value> row) const {
  std::string key = KeyText(row);
  return key.empty() ? "" : base::StrCat(" (key ", key, ")");
}

std::string Schema::KeyText(std::span<const Value> row) const {
  constexpr size_t kBytesMax = 64;
  // Undecided ones are shown of areas and places only.
  const bool on_the_map = kind() == SchemaProto::area || kind() == SchemaProto::nearest;
  for (const KeyPart& part : key_) {
    const contract::Classification& is = columns_[part.column].classification;
    if (is.classified() || !(is.not_personal || on_the_map)) return "";
  }
  std::string key;
  for (const KeyPart& part : key_) {
    const Value& value = row[part.column];
    if (!value.present()) return "";
    if (!key.empty()) key += '/';
    if (value.kind == ValueKind::kText) {
      for (char c : value.text().substr(0, kBytesMax))
        key += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
    } else if (value.kind == ValueKind::kBool) {
      key += value.boolean ? "true" : "false";
    } else {
      base::StrAppend(key, value.integer);
    }
  }
  return key;
}

std::optional<size_t> Schema::Find(std::string_view column) const {
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].name == column) return i;
  }
  return std::nullopt;
}

bool Schema::IsKey(size_t column) const {
  return std::any_of(key_.begin(), key_.end(),
                     [&](const KeyPart& part) { return part.column == column; });
}

std::vector<size_t> Schema::PublishedColumns() const {
  bool on_the_map = kind() == SchemaProto::area || kind() == SchemaProto::nearest;
  std::vector<size_t> published;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (!columns_[i].classification.decided()) continue;
    if (IsKey(i) && !on_the_map) continue;
    if (has_interval() && (i == low_ || i == high_)) continue;
    published.push_back(i);
  }
  return published;
}

absl::Status Schema::Check(std::span<const Value> row) const {
  for (size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = columns_[i];
    const Value& value = row[i];
    auto broken = [&](std::string_view what) {
      return absl::InvalidArgumentError(base::StrCat("column '", column.name, "': ", what));
    };
    if (!value.present()) {
      if (column.required) return broken("has no value, and needs one");
      continue;
    }
    if (column.type == ColumnProto::text) {
      if (!column.in.empty() && !std::binary_search(column.in.begin(), column.in.end(),
                                                    value.text(), std::less<std::string_view>())) {
        return broken("isn't one of the texts that `in` names");
      }
      if (column.pattern &&
          !RE2::PartialMatch(re2::StringPiece(value.bytes, value.size), *column.pattern))
        return broken("doesn't match its pattern");
      if (column.max_len > 0 && CodePoints(value.text()) > column.max_len)
        return broken(base::StrCat("is longer than ", column.max_len, " characters"));
    }
    if (column.gte || column.lte) {
      double number =
          value.kind == ValueKind::kInt ? static_cast<double>(value.integer) : value.number;
      if (column.gte && number < *column.gte) return broken("is below its bound");
      if (column.lte && number > *column.lte) return broken("is above its bound");
    }
  }
  if (definition_.has_point() &&
      !(std::abs(row[latitude_].number) <= 90 && std::abs(row[longitude_].number) <= 180)) {
    return absl::InvalidArgumentError(base::StrCat("columns '", columns_[latitude_].name, "' and '",
                                                   columns_[longitude_].name,
                                                   "': aren't degrees of latitude and longitude"));
  }
  return absl::OkStatus();
}

std::optional<int64_t> Schema::Ordered(const Value& value) const {
  switch (value.kind) {
    case ValueKind::kInt:
      if (columns_[low_].type == ColumnProto::number)
        return OrderedBits(static_cast<double>(value.integer));
      return value.integer;
    case ValueKind::kUint:
      if (columns_[low_].type == ColumnProto::number)
        return OrderedBits(static_cast<double>(value.unsigned_integer));
      if (value.unsigned_integer > static_cast<uint64_t>(kMax)) return std::nullopt;
      return static_cast<int64_t>(value.unsigned_integer);
    case ValueKind::kDouble:
      return OrderedBits(value.number);
    case ValueKind::kTime:
      return value.seconds;
    case ValueKind::kText:
      if (auto date = event::ParseDate(value.text()))
        return event::DaysFromCivil(date->year, date->month, date->day);
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

std::optional<int64_t> Schema::Bound(const Value& value) const {
  if (value.kind == ValueKind::kTime && value.nanos != 0) return std::nullopt;
  if (definition_.has_valid() && value.kind == ValueKind::kText) {
    auto date = event::ParseDate(value.text());
    if (!date) return std::nullopt;
    return absl::ToUnixSeconds(
        absl::FromCivil(absl::CivilDay(date->year, date->month, date->day), zone_));
  }
  return Ordered(value);
}

absl::StatusOr<Interval> Schema::IntervalOf(std::span<const Value> row) const {
  Interval interval{kMin, kMax};
  if (Infinite(row[low_]) > 0 || Infinite(row[high_]) < 0) return Interval{};
  for (auto [column, out] : {std::pair(low_, &interval.low), {high_, &interval.high}}) {
    if (!row[column].present() || Infinite(row[column]) != 0) continue;
    std::optional<int64_t> bound = Bound(row[column]);
    if (!bound) {
      return absl::InvalidArgumentError(
          base::StrCat("column '", columns_[column].name, "': isn't in whole seconds"));
    }
    *out = *bound;
  }
  if (interval.low > interval.high) {
    return absl::InvalidArgumentError(
        base::StrCat("column '", columns_[high_].name, "': the row ends before it begins"));
  }
  bool closed = definition_.has_bounds() && !definition_.bounds().half_open();
  if (closed && interval.high != kMax) ++interval.high;
  return interval;
}

std::optional<std::string_view> KeyEncoder::EncodeRow(const Schema& schema,
                                                      std::span<const Value> row) {
  std::array<Value, kKeyPartsMax> parts;
  for (size_t i = 0; i < schema.key().size(); ++i) parts[i] = row[schema.key()[i].column];
  return Encode(schema, std::span(parts).first(schema.key().size()));
}

std::optional<std::string_view> KeyEncoder::EncodeParts(const Schema& schema,
                                                        std::span<const Value> parts) {
  char* at = bytes_.data();
  const char* end = at + bytes_.size();
  for (size_t i = 0; i < parts.size(); ++i) {
    const Value& value = parts[i];
    switch (value.kind) {
      case ValueKind::kText: {
        // The last part needs no length: what is left is its.
        char* length = at;
        if (i + 1 < parts.size()) at += 2;
        if (at > end) return std::nullopt;
        char* begin = at;
        at = AppendNormal(value.text(), schema.key()[i].normalise, at, end);
        if (at == nullptr || at == begin) return std::nullopt;
        if (i + 1 < parts.size()) {
          auto size = static_cast<uint16_t>(at - begin);
          std::memcpy(length, &size, 2);
        }
        break;
      }
      case ValueKind::kUint:
        if (value.unsigned_integer > static_cast<uint64_t>(kMax)) return std::nullopt;
        [[fallthrough]];
      case ValueKind::kInt:
        if (end - at < 8) return std::nullopt;
        std::memcpy(at, &value.integer, 8);
        at += 8;
        break;
      case ValueKind::kBool:
        if (at == end) return std::nullopt;
        *at++ = value.boolean ? 1 : 0;
        break;
      default:
        return std::nullopt;
    }
  }
  return std::string_view(bytes_.data(), static_cast<size_t>(at - bytes_.data()));
}

uint64_t HashKey(std::string_view key) {
  // The 128-bit product of two halves, folded: every bit of either reaches every bit of the result.
  auto mix = [](uint64_t a, uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    Wide product = static_cast<Wide>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  auto load = [](const char* at, size_t bytes) {
    uint64_t word = 0;
    std::memcpy(&word, at, bytes);
    return word;
  };
  // Odd numbers with as many ones as zeros, from the fractions of square roots.
  constexpr uint64_t kA = 0x9E3779B97F4A7C15, kB = 0xC2B2AE3D27D4EB4F, kC = 0x165667B19E3779F9;
  const char* at = key.data();
  size_t left = key.size();
  uint64_t hash = kA ^ (key.size() * kB);
  for (; left > 16; at += 16, left -= 16) hash = mix(load(at, 8) ^ kB, load(at + 8, 8) ^ hash);
  uint64_t low = 0, high = 0;
  if (left >= 8) {
    low = load(at, 8);
    high = load(at + left - 8, 8);
  } else if (left >= 4) {
    low = load(at, 4);
    high = load(at + left - 4, 4);
  } else if (left > 0) {
    low = load(at, 1) | load(at + left / 2, 1) << 8 | load(at + left - 1, 1) << 16;
  }
  hash = mix(low ^ kB, high ^ hash);
  return mix(hash ^ kC, kA);
}

size_t CodePoints(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace sluice::enrichment
