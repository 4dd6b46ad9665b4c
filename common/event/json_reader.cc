#include "common/event/json_reader.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "common/base/short_bytes.h"
#include "common/base/strings.h"
#include "common/event/base64.h"
#include "common/event/time_text.h"

namespace sluice::event {
namespace {

using contract::Cardinality;
using contract::kNoNode;
using contract::Node;
using contract::Type;
using simdjson::dom::element;
using simdjson::dom::element_type;

std::string_view RuleOf(simdjson::error_code error) {
  switch (error) {
    case simdjson::EMPTY:
      return "event.empty";
    case simdjson::CAPACITY:
      return "event.too_large";
    case simdjson::UTF8_ERROR:
      return "json.utf8";
    case simdjson::DEPTH_ERROR:
      return "json.depth";
    case simdjson::NUMBER_ERROR:
      return "json.number";
    default:
      return "json.syntax";
  }
}

bool IsNumber(element_type type) {
  return type == element_type::INT64 || type == element_type::UINT64 ||
         type == element_type::DOUBLE;
}

double NumberOf(element value) {
  switch (value.type()) {
    case element_type::INT64:
      return static_cast<double>(value.get_int64().value_unsafe());
    case element_type::UINT64:
      return static_cast<double>(value.get_uint64().value_unsafe());
    default:
      return value.get_double().value_unsafe();
  }
}

// Whether a value that isn't an object or list is what the spelling says, as it would be written in
// JSON.
bool IsSpelling(element value, std::string_view spelling) {
  switch (value.type()) {
    case element_type::STRING:
      return value.get_string().value_unsafe() == spelling;
    case element_type::BOOL:
      return spelling == (value.get_bool().value_unsafe() ? "true" : "false");
    case element_type::INT64:
    case element_type::UINT64:
    case element_type::DOUBLE: {
      double number;
      auto [end, error] =
          std::from_chars(spelling.data(), spelling.data() + spelling.size(), number);
      return error == std::errc() && end == spelling.data() + spelling.size() &&
             number == NumberOf(value);
    }
    default:
      return false;
  }
}

bool IsSpelling(element value, const std::vector<std::string>& spellings) {
  return std::any_of(spellings.begin(), spellings.end(),
                     [&](const std::string& spelling) { return IsSpelling(value, spelling); });
}

absl::string_view Key(std::string_view text) { return {text.data(), text.size()}; }

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
// Room for an event's text; simdjson holds some 14 bytes for each.
constexpr size_t kKeptBytesMax = 128 * 1024 + simdjson::SIMDJSON_PADDING;

// Whether a number that from_chars finds out of range is too small rather than too large: its
// decimal exponent, with the place of its first digit, is negative.
bool IsTiny(std::string_view number) {
  const size_t mark = number.find_first_of("eE");
  std::string_view digits = number.substr(0, mark);
  if (digits.starts_with('-')) digits.remove_prefix(1);
  const size_t dot = std::min(digits.find('.'), digits.size());
  const size_t first = digits.find_first_of("123456789");
  // How far the first digit stands before the point; negative behind it.
  const auto place = static_cast<int64_t>(dot) - static_cast<int64_t>(first);
  int64_t exponent = 0;
  if (mark != std::string_view::npos) {
    std::string_view text = number.substr(mark + 1);
    if (text.starts_with('+')) text.remove_prefix(1);
    const bool negative = text.starts_with('-');
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), exponent);
    if (error == std::errc::result_out_of_range) return negative;
  }
  return exponent + place < 0;
}

// Whether a number is an integer that no 64-bit type holds.
bool IsWideInteger(std::string_view number) {
  if (number.find_first_of(".eE") != std::string_view::npos) return false;
  const char* end = number.data() + number.size();
  int64_t negative;
  uint64_t positive;
  const std::errc error = number[0] == '-' ? std::from_chars(number.data(), end, negative).ec
                                           : std::from_chars(number.data(), end, positive).ec;
  return error == std::errc::result_out_of_range;
}

// The text with each number that simdjson can't take in a form that it can: an integer of more than
// 64 bits as the double that it is nearest to, and what is beyond every double as the largest one;
// `clipped` says that there is one.
std::string WithWideNumbers(std::string_view json, bool& clipped) {
  constexpr std::string_view kNumber = "0123456789+-.eE";
  std::string out;
  out.reserve(json.size() + json.size() / 8);
  bool in_string = false;
  for (size_t at = 0; at < json.size();) {
    const char c = json[at];
    if (in_string || !(c == '-' || (c >= '0' && c <= '9'))) {
      if (in_string && c == '\\' && at + 1 < json.size()) out += json[at++];
      if (c == '"') in_string = !in_string;
      out += json[at++];
      continue;
    }
    const size_t end = std::min(json.find_first_not_of(kNumber, at), json.size());
    std::string_view number = json.substr(at, end - at);
    at = end;
    double value;
    auto [stop, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    const bool whole = stop == number.data() + number.size();
    const bool negative = number[0] == '-';
    if (whole && error == std::errc::result_out_of_range &&
        number.find_first_of("123456789") != std::string_view::npos && !IsTiny(number)) {
      clipped = true;
      out += negative ? "-1.7976931348623157e308" : "1.7976931348623157e308";
    } else {
      out += number;
      if (whole && error == std::errc() && IsWideInteger(number)) out += "e0";
    }
  }
  return out;
}

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\f\v";
  size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return text.substr(0, 0);
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

}  // namespace

JsonReader::JsonReader(std::shared_ptr<const contract::Plan> plan, Limits limits)
    : plan_(std::move(plan)), limits_(limits) {
  object_of_node_.resize(plan_->nodes().size());
  enums_.resize(plan_->nodes().size());
  for (const Node& node : plan_->nodes()) {
    if (node.is_message() && node.cardinality != Cardinality::kMap)
      object_of_node_[node.id] = AddMessage(node);
    for (const contract::EnumValue& value : node.enum_values) {
      enums_[node.id].try_emplace(value.name, EnumSpelling{value.number, false});
      for (const std::string& spelling : value.spellings) {
        enums_[node.id].try_emplace(spelling, EnumSpelling{value.number, true});
      }
    }
  }
  // The tables of messages are known only now.
  for (Object& object : objects_) {
    for (Entry& entry : object.entries) {
      if (entry.node == kNoNode) continue;
      const Node& node = plan_->node(entry.node);
      entry.object = object_of_node_[entry.node];
      entry.position = plan_->position(node);
      entry.plain = node.type == Type::kString && node.cardinality == Cardinality::kSingular &&
                    node.read.null_values.empty() && !node.read.trim;
    }
  }
}

uint32_t JsonReader::AddMessage(const Node& message) {
  auto table = static_cast<uint32_t>(objects_.size());
  objects_.emplace_back();
  objects_[table].message = message.id;
  uint32_t bit = 0;
  for (const Node& node : plan_->children(message)) {
    if (node.oneof >= 0) objects_[table].has_oneofs = true;
    if (!node.read.source.empty()) {
      AddSource(table, node.read.source, 0, node, bit);
    } else {
      uint32_t entry = AddEntry(table, node.name, bit);
      objects_[table].entries[entry].node = node.id;
      if (node.json_name != node.name) {
        entry = AddEntry(table, node.json_name, bit);
        objects_[table].entries[entry].node = node.id;
      }
    }
    ++bit;
  }
  return table;
}

// Follows a source path through the objects that it leads through, which all fill the same
// message's record.
void JsonReader::AddSource(uint32_t table, const std::vector<std::string>& source, size_t depth,
                           const Node& node, uint32_t bit) {
  if (depth + 1 == source.size()) {
    uint32_t entry = AddEntry(table, source[depth], bit);
    objects_[table].entries[entry].node = node.id;
    return;
  }
  auto found = objects_[table].index.find(source[depth]);
  uint32_t inner;
  if (found != objects_[table].index.end()) {
    inner = objects_[table].entries[found->second].object;
  } else {
    uint32_t entry = AddEntry(table, source[depth], bit);
    inner = static_cast<uint32_t>(objects_.size());
    objects_[table].entries[entry].object = inner;
    objects_.emplace_back();
    objects_[inner].message = objects_[table].message;
  }
  AddSource(inner, source, depth + 1, node, bit);
}

uint32_t JsonReader::AddEntry(uint32_t table, std::string_view key, uint32_t bit) {
  Object& object = objects_[table];
  auto index = static_cast<uint32_t>(object.entries.size());
  object.entries.push_back({std::string(key), bit, kNoNode, 0, index + 1});
  object.index.emplace(std::string(key), index);
  object.bits = std::max(object.bits, bit + 1);
  return index;
}

void JsonReader::Read(std::string_view json, base::Arena& arena, Event& event) {
  arena_ = &arena;
  event_ = &event;
  if (json.empty()) return Fail("event.empty");
  if (json.size() > limits_.event_bytes_max) return Fail("event.too_large");
  used_before_ = arena.used();
  clipped_ = too_large_parsed_ = false;
  const bool has_mark = json.starts_with(kByteOrderMark);
  if (has_mark) json.remove_prefix(kByteOrderMark.size());
  element root;
  if (auto error = Parse(json, root)) return Fail(RuleOf(error));
  simdjson::dom::object object;
  if (root.get_object().get(object)) return Fail("json.not_object");
  if (has_mark) Repaired(plan_->root(), RepairKind::kByteOrderMark);

  // The strings are moved to the arena in one go at the end: simdjson keeps them one after the
  // other, so each one's place there is known before. Its own bound on their bytes is the one to
  // reserve.
  parsed_text_ = reinterpret_cast<const char*>(parser_.doc.string_buf.get());
  kept_text_ = arena.Allocate(5 * json.size() / 3 + simdjson::SIMDJSON_PADDING);
  text_bytes_ = 0;
  may_have_nul_ = json.find('\\') != std::string_view::npos;
  indexes_.clear();
  keys_.clear();
  event.fields = NewRecord(plan_->root());
  ReadObject(0, object, event.fields);
  if (too_large_parsed_) {
    event.Clear();
    return Fail("event.too_large_parsed");
  }
  std::memcpy(kept_text_, parsed_text_, text_bytes_);
}

bool JsonReader::MakeRoom(size_t bytes) {
  if (bytes + simdjson::SIMDJSON_PADDING <= padded_bytes_) return true;
  padded_bytes_ = std::max<size_t>(std::bit_ceil(bytes), 4096) + simdjson::SIMDJSON_PADDING;
  padded_ = std::make_unique<char[]>(padded_bytes_);
  if (parser_.allocate(padded_bytes_ - simdjson::SIMDJSON_PADDING, kDepthMax) == simdjson::SUCCESS)
    return true;
  padded_bytes_ = 0;
  return false;
}

simdjson::error_code JsonReader::Parse(std::string_view json, element& root) {
  if (!MakeRoom(json.size())) return simdjson::CAPACITY;
  std::memcpy(padded_.get(), json.data(), json.size());
  std::memset(padded_.get() + json.size(), 0, simdjson::SIMDJSON_PADDING);
  auto error = parser_.parse(padded_.get(), json.size(), false).get(root);
  if (error != simdjson::NUMBER_ERROR) return error;
  // simdjson refuses a document for a number that no 64-bit type holds, wherever it stands. Written
  // as doubles, such numbers are read; one that is no number is refused this time, too.
  std::string widened = WithWideNumbers(json, clipped_);
  if (!MakeRoom(widened.size())) return simdjson::CAPACITY;
  std::memcpy(padded_.get(), widened.data(), widened.size());
  std::memset(padded_.get() + widened.size(), 0, simdjson::SIMDJSON_PADDING);
  return parser_.parse(padded_.get(), widened.size(), false).get(root);
}

void JsonReader::Trim() {
  if (padded_bytes_ <= kKeptBytesMax) return;
  padded_.reset();
  padded_bytes_ = 0;
  parser_ = simdjson::dom::parser();
}

bool JsonReader::TooLargeParsed() {
  if (arena_->used() - used_before_ > limits_.parsed_bytes_max) too_large_parsed_ = true;
  return too_large_parsed_;
}

Value* JsonReader::NewRecord(const Node& message) {
  Value* record = arena_->AllocateArray<Value>(message.child_count);
  std::fill_n(record, message.child_count, Value());
  return record;
}

Value JsonReader::Text(const Node& node, std::string_view text) {
  if (may_have_nul_ && text.find('\0') != std::string_view::npos) {
    Violate("json.nul", node);
    return Value();
  }
  return Kept(text);
}

Value JsonReader::Kept(std::string_view text) {
  auto at = static_cast<size_t>(text.data() - parsed_text_);
  text_bytes_ = std::max(text_bytes_, at + text.size());
  return Value::Text({kept_text_ + at, text.size()});
}

void JsonReader::Violate(std::string_view rule, const Node& node) {
  if (event_->violations.size() >= kViolationsMax) return;
  event_->violations.push_back({rule, RenderPath(node, indexes_.data(), indexes_.size(), *arena_)});
}

void JsonReader::Fail(std::string_view rule) { event_->violations.push_back({rule, ""}); }

JsonReader::Entry* JsonReader::FindEntry(Object& table, uint32_t predicted, std::string_view key) {
  if (predicted < table.entries.size() && base::SameShort(table.entries[predicted].key, key)) {
    return &table.entries[predicted];
  }
  auto found = table.index.find(Key(key));
  return found == table.index.end() ? nullptr : &table.entries[found->second];
}

void JsonReader::ReadObject(uint32_t table_index, simdjson::dom::object object, Value* record) {
  Object& table = objects_[table_index];
  constexpr uint32_t kWords = contract::kFieldsPerMessageMax / 64;
  uint64_t seen[kWords];
  std::memset(seen, 0, (table.bits + 63) / 64 * 8);
  size_t first_unknown = keys_.size();
  uint32_t* predicted = &table.first;
  for (auto field : object) {
    Entry* entry = FindEntry(table, *predicted, field.key);
    if (entry == nullptr) {
      ++event_->unknown_fields;
      keys_.push_back(field.key);
      SkipUnknown(field.value);
      continue;
    }
    *predicted = static_cast<uint32_t>(entry - table.entries.data());
    predicted = &entry->next;
    uint64_t mask = uint64_t{1} << (entry->bit % 64);
    uint64_t& word = seen[entry->bit / 64];
    if (entry->plain && (word & mask) == 0 && !may_have_nul_ && field.value.is_string()) {
      word |= mask;
      record[entry->position] = Kept(field.value.get_string().value_unsafe());
      continue;
    }
    const Node& node = plan_->node(entry->node == kNoNode ? table.message : entry->node);
    if (word & mask) {
      Violate("json.duplicate_key", node);
      SkipUnknown(field.value);
      continue;
    }
    word |= mask;
    if (entry->node != kNoNode) {
      ReadField(node, entry->object, field.value, record[entry->position]);
    } else if (simdjson::dom::object inner; !field.value.get_object().get(inner)) {
      ReadObject(entry->object, inner, record);
    } else if (!field.value.is_null()) {
      Violate("json.type", node);
    }
  }
  if (!AreDistinct(keys_, first_unknown)) Violate("json.duplicate_key", plan_->node(table.message));
  keys_.resize(first_unknown);
  if (table.has_oneofs) CheckOneofs(plan_->node(table.message), record);
}

// Keys of an object that the contract doesn't know, from `from` on. Sorted where there are many: an
// attacker chooses how many there are.
bool JsonReader::AreDistinct(std::vector<std::string_view>& keys, size_t from) {
  auto begin = keys.begin() + static_cast<std::ptrdiff_t>(from);
  if (keys.end() - begin < 2) return true;
  std::sort(begin, keys.end());
  return std::adjacent_find(begin, keys.end()) == keys.end();
}

// Nothing of it is kept, but it is checked all the same. Depth is bounded by the parser.
void JsonReader::SkipUnknown(element value) {
  if (simdjson::dom::array array; !value.get_array().get(array)) {
    for (element item : array) SkipUnknown(item);
    return;
  }
  simdjson::dom::object object;
  if (value.get_object().get(object)) return;
  size_t first = keys_.size();
  for (auto field : object) {
    keys_.push_back(field.key);
    SkipUnknown(field.value);
  }
  if (!AreDistinct(keys_, first)) Violate("json.duplicate_key", plan_->root());
  keys_.resize(first);
}

void JsonReader::ReadField(const Node& node, uint32_t table, element value, Value& out) {
  if (value.is_null()) return;
  switch (node.cardinality) {
    case Cardinality::kSingular:
      return ReadOne(node, table, value, out);
    case Cardinality::kRepeated:
      return ReadList(node, table, value, out);
    case Cardinality::kMap:
      return ReadMap(node, value, out);
  }
}

void JsonReader::ReadList(const Node& node, uint32_t table, element value, Value& out) {
  simdjson::dom::array array;
  if (value.get_array().get(array)) {
    if (ReadSpelling(node, value, out)) return;
    return Violate("json.type", node);
  }
  size_t count = 0;
  for ([[maybe_unused]] element item : array) ++count;  // array.size() saturates
  if (count > limits_.list_items_max) return Violate("json.too_many_items", node);
  Value* items = arena_->AllocateArray<Value>(count);
  indexes_.push_back(0);
  std::fill_n(items, count, Value());
  for (element item : array) {
    if (TooLargeParsed()) break;
    Value& at = items[indexes_.back()];
    if (item.is_null()) {
      Violate("json.null_item", node);
    } else {
      ReadOne(node, table, item, at);
    }
    ++indexes_.back();
  }
  indexes_.pop_back();
  out = Value::List(items, static_cast<uint32_t>(count));
}

void JsonReader::ReadMap(const Node& node, element value, Value& out) {
  simdjson::dom::object object;
  if (value.get_object().get(object)) return Violate("json.type", node);
  size_t first = keys_.size();
  for (auto field : object) keys_.push_back(field.key);
  size_t count = keys_.size() - first;
  bool distinct = AreDistinct(keys_, first);
  keys_.resize(first);
  if (!distinct) return Violate("json.duplicate_key", node);
  if (count > limits_.list_items_max) return Violate("json.too_many_items", node);

  const Node& key_node = plan_->node(node.first_child);
  const Node& value_node = plan_->node(node.first_child + 1);
  Value* entries = arena_->AllocateArray<Value>(count);
  std::fill_n(entries, count, Value());
  indexes_.push_back(0);
  for (auto field : object) {
    if (TooLargeParsed()) break;
    Value* entry = arena_->AllocateArray<Value>(2);
    entry[0] = entry[1] = Value();
    ReadMapKey(key_node, field.key, entry[0]);
    if (field.value.is_null()) {
      Violate("json.null_item", value_node);
    } else {
      ReadOne(value_node, object_of_node_[value_node.id], field.value, entry[1]);
    }
    entries[indexes_.back()++] = Value::Record(entry);
  }
  indexes_.pop_back();
  out = Value::List(entries, static_cast<uint32_t>(count));
  // Keys that differ as text, such as "1" and "01", may be one number.
  if (key_node.type != Type::kString && !too_large_parsed_ && HasEqualKeys(out, map_keys_))
    Violate("json.duplicate_key", node);
}

void JsonReader::ReadMapKey(const Node& node, std::string_view key, Value& out) {
  if (node.type == Type::kString) {
    out = Text(node, key);
  } else if (node.type != Type::kBool) {
    ReadNumberText(node, key, out);
  } else if (key == "true" || key == "false") {
    out = Value::Bool(key == "true");
  } else {
    Violate("json.type", node);
  }
}

// Whether the value is a spelling of null, or of true or false; then `out` is what it means.
bool JsonReader::ReadSpelling(const Node& node, element value, Value& out) {
  const contract::ReadRules& read = node.read;
  if (!read.null_values.empty() && IsSpelling(value, read.null_values)) {
    Repaired(node, RepairKind::kNullSpelling);
    return true;
  }
  if (node.type != Type::kBool || value.type() == element_type::BOOL) return false;
  bool is_true = IsSpelling(value, read.true_values);
  if (!is_true && !IsSpelling(value, read.false_values)) return false;
  Repaired(node, RepairKind::kBoolSpelling);
  out = Value::Bool(is_true);
  return true;
}

void JsonReader::ReadOne(const Node& node, uint32_t table, element value, Value& out) {
  if (node.is_message()) {
    simdjson::dom::object object;
    if (value.get_object().get(object)) return Violate("json.type", node);
    Value* record = NewRecord(node);
    out = Value::Record(record);
    return ReadObject(table, object, record);
  }
  if (ReadSpelling(node, value, out)) return;
  element_type type = value.type();
  if (type == element_type::STRING) return ReadText(node, value.get_string().value_unsafe(), out);
  switch (node.type) {
    case Type::kBool:
      if (type != element_type::BOOL) break;
      out = Value::Bool(value.get_bool().value_unsafe());
      return;
    case Type::kEnum:
      // A number that no value has is kept: the rule enum.defined_only says whether that's allowed.
    case Type::kInt32:
    case Type::kInt64:
    case Type::kUint32:
    case Type::kUint64:
      if (!IsNumber(type)) break;
      return ReadInteger(node, value, out);
    case Type::kFloat:
    case Type::kDouble:
      if (!IsNumber(type)) break;
      return SetDouble(node, NumberOf(value), out);
    default:
      break;
  }
  Violate("json.type", node);
}

void JsonReader::ReadText(const Node& node, std::string_view text, Value& out) {
  if (node.read.trim) {
    std::string_view trimmed = Trimmed(text);
    if (trimmed.size() != text.size()) {
      Repaired(node, RepairKind::kTrimmed);
      text = trimmed;
      // What is left may be a spelling that only its white space hid.
      for (const std::string& spelling : node.read.null_values) {
        if (text == spelling) return Repaired(node, RepairKind::kNullSpelling);
      }
    }
  }
  switch (node.type) {
    case Type::kString:
      out = Text(node, text);
      return;
    case Type::kBytes: {
      char* bytes = arena_->Allocate(text.size());
      std::optional<size_t> size = DecodeBase64(text, bytes);
      if (!size) return Violate("json.base64", node);
      out = Value::Text({bytes, *size});
      return;
    }
    case Type::kEnum: {
      auto found = enums_[node.id].find(Key(text));
      if (found == enums_[node.id].end()) {
        // protobuf's mapping also takes a value's number in a string.
        int32_t number;
        auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error != std::errc() || end != text.data() + text.size())
          return Violate("json.enum", node);
        out = Value::Int(number);
        return;
      }
      if (found->second.repair) Repaired(node, RepairKind::kEnumSpelling);
      out = Value::Int(found->second.number);
      return;
    }
    case Type::kTimestamp: {
      const auto& zone = node.read.time_zone;
      std::optional<Instant> instant = ParseTimestamp(text, zone ? &*zone : nullptr);
      if (!instant) return Violate("json.timestamp", node);
      if (instant->local) Repaired(node, RepairKind::kLocalTime);
      if (instant->ambiguous) Repaired(node, RepairKind::kAmbiguousTime);
      out = Value::Time(instant->seconds, instant->nanos);
      return;
    }
    case Type::kDuration: {
      std::optional<Span> span = ParseDuration(text);
      if (!span) return Violate("json.duration", node);
      out = Value::Time(span->seconds, span->nanos);
      return;
    }
    case Type::kInt64:
    case Type::kUint64:
      // protobuf's mapping writes these as strings; that is no repair.
      return ReadNumberText(node, text, out);
    case Type::kFloat:
    case Type::kDouble:
      // Its names for what JSON has no number for.
      if (text == "NaN" || text == "Infinity" || text == "-Infinity") {
        const double infinity = std::numeric_limits<double>::infinity();
        out = Value::Double(text == "NaN"        ? std::numeric_limits<double>::quiet_NaN()
                            : text == "Infinity" ? infinity
                                                 : -infinity);
        return;
      }
      [[fallthrough]];
    case Type::kInt32:
    case Type::kUint32:
      // It takes a number in a string, too; a contract may say that this is to be counted.
      ReadNumberText(node, text, out);
      if (!node.read.number_in_string) return;
      if (out.present()) Repaired(node, RepairKind::kNumberInString);
      return;
    case Type::kBool:
    case Type::kMessage:
      return Violate("json.type", node);
  }
}

// A number as JSON writes it, in text.
void JsonReader::ReadNumberText(const Node& node, std::string_view text, Value& out) {
  const char* begin = text.data();
  const char* end = begin + text.size();
  bool digit_first =
      !text.empty() &&
      (std::isdigit(static_cast<unsigned char>(text[0])) ||
       (text[0] == '-' && text.size() > 1 && std::isdigit(static_cast<unsigned char>(text[1]))));
  if (!digit_first) return Violate("json.type", node);
  bool floating = node.type == Type::kFloat || node.type == Type::kDouble;
  if (!floating && text.find_first_of(".eE") == std::string_view::npos) {
    if (text[0] == '-') {
      int64_t value;
      auto [at, error] = std::from_chars(begin, end, value);
      if (at != end) return Violate("json.type", node);
      if (error != std::errc()) return Violate("json.range", node);
      return SetInteger(node, value, out);
    }
    uint64_t value;
    auto [at, error] = std::from_chars(begin, end, value);
    if (at != end) return Violate("json.type", node);
    if (error != std::errc()) return Violate("json.range", node);
    return SetUnsigned(node, value, out);
  }
  double value;
  auto [at, error] = std::from_chars(begin, end, value);
  if (at != end) return Violate("json.type", node);
  if (error != std::errc()) return Violate("json.range", node);
  return floating ? SetDouble(node, value, out) : SetIntegral(node, value, out);
}

void JsonReader::ReadInteger(const Node& node, element value, Value& out) {
  switch (value.type()) {
    case element_type::INT64:
      return SetInteger(node, value.get_int64().value_unsafe(), out);
    case element_type::UINT64:
      return SetUnsigned(node, value.get_uint64().value_unsafe(), out);
    default:
      return SetIntegral(node, value.get_double().value_unsafe(), out);
  }
}

// 1.0 and 1e3 are integers too.
void JsonReader::SetIntegral(const Node& node, double value, Value& out) {
  constexpr double kExact = 9007199254740992.0;  // 2^53: above it, a double isn't one integer
  if (value != std::floor(value)) return Violate("json.type", node);
  if (std::fabs(value) > kExact) return Violate("json.range", node);
  SetInteger(node, static_cast<int64_t>(value), out);
}

void JsonReader::SetInteger(const Node& node, int64_t value, Value& out) {
  switch (node.type) {
    case Type::kInt64:
      out = Value::Int(value);
      return;
    case Type::kInt32:
    case Type::kEnum:
      if (value < std::numeric_limits<int32_t>::min() ||
          value > std::numeric_limits<int32_t>::max())
        break;
      out = Value::Int(value);
      return;
    default:
      if (value < 0) break;
      return SetUnsigned(node, static_cast<uint64_t>(value), out);
  }
  Violate("json.range", node);
}

void JsonReader::SetUnsigned(const Node& node, uint64_t value, Value& out) {
  switch (node.type) {
    case Type::kUint64:
      out = Value::Uint(value);
      return;
    case Type::kUint32:
      if (value > std::numeric_limits<uint32_t>::max()) break;
      out = Value::Uint(value);
      return;
    default:
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) break;
      return SetInteger(node, static_cast<int64_t>(value), out);
  }
  Violate("json.range", node);
}

void JsonReader::SetDouble(const Node& node, double value, Value& out) {
  if (clipped_ && std::fabs(value) == std::numeric_limits<double>::max())
    return Violate("json.range", node);
  if (node.type == Type::kFloat) {
    if (std::fabs(value) > std::numeric_limits<float>::max()) return Violate("json.range", node);
    value = static_cast<float>(value);
  }
  out = Value::Double(value);
}

void JsonReader::CheckOneofs(const Node& message, const Value* record) {
  uint64_t set = 0;
  for (const Node& node : plan_->children(message)) {
    if (node.oneof < 0 || !record[plan_->position(node)].present()) continue;
    uint64_t bit = uint64_t{1} << (node.oneof % 64);
    if (set & bit) Violate("json.oneof", node);
    set |= bit;
  }
}

}  // namespace sluice::event
