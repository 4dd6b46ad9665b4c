#include "common/engine/self_check.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "absl/strings/escaping.h"
#include "common/base/strings.h"
#include "common/engine/treatment_table.h"
#include "common/event/time_text.h"
#include "common/privacy/identifier.h"

namespace sluice::engine {
namespace {

using contract::Cardinality;
using contract::Node;
using contract::NodeId;
using contract::Type;
using event::Value;

constexpr size_t kEventsMax = 8;
// So much of a marker that no other text has it by chance.
constexpr size_t kPieceBytes = 6;
// 2001-02-03T04:05:06Z; each time field is a minute and a second later than the one before it.
constexpr int64_t kSeconds = 981'173'106;
constexpr int32_t kNanos = 123'456'789;

// Ten letters that differ between nodes, as a name has them.
std::string Word(NodeId node) {
  uint64_t bits = (uint64_t{node} + 1) * 0x9E3779B97F4A7C15;
  bits ^= bits >> 29;
  std::string word = "Qj";
  for (int i = 0; i < 10; ++i, bits /= 19) word += "bcdfghkmnprstvwxzlq"[bits % 19];
  return word;
}

std::string Padded(uint64_t number, size_t digits) {
  std::string text = base::StrCat(number);
  return text.size() < digits ? std::string(digits - text.size(), '0') + text : text;
}

std::string Phone(NodeId node) { return base::StrCat("07700900", Padded(node % 1000, 3)); }

std::string Identifier(contract::v1::IdentifierKind kind, NodeId node) {
  constexpr std::string_view kEnds = "ABDEFGHJLNPQRSTUWXYZ";
  switch (kind) {
    case contract::v1::PHONE:
      return Phone(node);
    case contract::v1::EMAIL:
      return base::StrCat(Word(node), "@selfcheck.example");
    case contract::v1::POSTCODE:
      return base::StrCat("ZE", 1 + node % 9, " ", node / 9 % 10, std::string(1, kEnds[node % 20]),
                          std::string(1, kEnds[node / 20 % 20]));
    case contract::v1::IP_ADDRESS:
      return base::StrCat("2001:db8::", Padded(1000 + node, 4), ":77a1");
    default:
      return Word(node);
  }
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

// Whether a marker is in a record: as it stands, in hex or percent-encoded in any case (`lower` is
// the record in small letters), or in base64, wherever it begins there.
bool Stands(std::string_view marker, std::string_view lower, std::string_view record) {
  std::string percent;
  for (char c : marker) base::StrAppend(percent, "%", absl::BytesToHexString({&c, 1}));
  const std::string hex = absl::BytesToHexString(absl::string_view(marker.data(), marker.size()));
  for (const std::string& form : {Lower(marker), hex, percent})
    if (lower.find(form) != std::string_view::npos) return true;
  for (size_t skip = 0; skip < 3 && marker.size() >= skip + kPieceBytes; ++skip) {
    // What base64 makes of whole groups of three.
    const std::string group(marker.substr(skip, (marker.size() - skip) / 3 * 3));
    if (record.find(absl::Base64Escape(group)) != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace

SelfCheck::SelfCheck(const Pipeline& pipeline)
    : pipeline_(pipeline), plan_(pipeline.contract()), absent_(plan_.nodes().size()) {
  for (const Node& node : plan_.nodes()) {
    if (!node.is_message() && node.classification.classified()) Mark(node);
    if (node.oneof < 0) continue;
    size_t place = 0;
    for (const Node& sibling : plan_.children(plan_.node(node.parent)))
      place += sibling.oneof == node.oneof && sibling.id <= node.id;
    events_ = std::max(events_, std::min(place, kEventsMax));
  }
}

void SelfCheck::Mark(const Node& node) {
  Marker marker{.node = node.id};
  switch (node.type) {
    case Type::kString:
      if (node.check_date || node.classification.quasi == contract::v1::DATE_OF_BIRTH) {
        event::CivilDate date = event::CivilFromDays(event::DaysFromCivil(1911, 1, 1) + node.id);
        marker.text = base::StrCat(date.year, "-", Padded(static_cast<uint64_t>(date.month), 2),
                                   "-", Padded(static_cast<uint64_t>(date.day), 2));
      } else if (node.classification.free_text) {
        marker.text = Phone(node.id);
      } else {
        marker.text = Identifier(node.classification.identifier, node.id);
      }
      break;
    case Type::kTimestamp: {
      char text[event::kTimestampBytes];
      const int64_t seconds = kSeconds + 61 * int64_t{node.id};
      char* end = event::WriteTimestamp(seconds, kNanos, text);
      marker.text = std::string(text + 11, end);  // the time of day
      marker.time = true;
      break;
    }
    case Type::kInt32:
    case Type::kUint32:
    case Type::kInt64:
    case Type::kUint64:
      if (node.classification.identifier == 0) break;
      marker.text = base::StrCat(1'700'000'000 + 7919 * int64_t{node.id});
      marker.number = true;
      break;
    case Type::kDouble:
      if (node.classification.quasi != contract::v1::LATITUDE &&
          node.classification.quasi != contract::v1::LONGITUDE)
        break;
      marker.text = base::StrCat(node.classification.quasi == contract::v1::LATITUDE ? "51." : "0.",
                                 1'234'567 + 2 * node.id);
      marker.number = true;
      break;
    default:
      break;
  }
  if (!marker.text.empty() && !CanBeTreated(node, marker.text)) {
    absent_[node.id] = true;
    marker.text.clear();
  }
  if (marker.text.empty()) {
    ++unmarked_;
  } else {
    markers_.push_back(std::move(marker));
  }
}

// Some treatments take only what is valid for its kind, and there is no such marker for each kind.
bool SelfCheck::CanBeTreated(const Node& node, std::string_view text) const {
  for (const StreamPlan& stream : pipeline_.streams()) {
    for (const OutputNode& output : stream.nodes) {
      if (output.node != node.id || output.op == Op::kMessage) continue;
      if (output.op != Op::kFormatPreserve && output.op != Op::kPostcodePart) continue;
      std::string canonical;
      if (!privacy::AppendCanonical(node.classification.identifier, text, canonical)) return false;
    }
  }
  return true;
}

const SelfCheck::Marker* SelfCheck::MarkerOf(NodeId node) const {
  auto found = std::lower_bound(markers_.begin(), markers_.end(), node,
                                [](const Marker& marker, NodeId id) { return marker.node < id; });
  return found == markers_.end() || found->node != node ? nullptr : &*found;
}

Value* SelfCheck::Fill(size_t event, base::Arena& arena) const {
  Value root = ValueOf(plan_.root(), event, arena);
  return root.values;
}

// One value of the node's type, without its list or map.
Value SelfCheck::LeafOf(const Node& node) const {
  const Marker* marker = MarkerOf(node.id);
  switch (node.type) {
    case Type::kBool:
      return Value::Bool(true);
    case Type::kInt32:
    case Type::kInt64:
      return Value::Int(marker == nullptr ? 30 : 1'700'000'000 + 7919 * int64_t{node.id});
    case Type::kUint32:
    case Type::kUint64:
      return Value::Uint(marker == nullptr ? 30 : 1'700'000'000 + 7919 * uint64_t{node.id});
    case Type::kFloat:
    case Type::kDouble: {
      double number = 0.5;
      if (marker != nullptr)
        std::from_chars(marker->text.data(), marker->text.data() + marker->text.size(), number);
      return Value::Double(number);
    }
    case Type::kString:
      return Value::Text(marker == nullptr ? std::string_view("x")
                                           : std::string_view(marker->text));
    case Type::kBytes:
      return Value::Text("x");
    case Type::kEnum:
      return Value::Int(node.enum_values.back().number);
    case Type::kTimestamp:
      return Value::Time(kSeconds + 61 * int64_t{node.id}, kNanos);
    case Type::kDuration:
      return Value::Time(1, 0);
    case Type::kMessage:
      break;
  }
  return Value();
}

Value SelfCheck::ValueOf(const Node& node, size_t event, base::Arena& arena) const {
  auto values = [&arena](size_t count) {
    Value* made = arena.AllocateArray<Value>(count);
    std::fill(made, made + count, Value());
    return made;
  };
  auto record = [&](const Node& message) {
    Value* fields = values(std::max<size_t>(message.child_count, 1));
    for (const Node& child : plan_.children(message)) {
      if (child.oneof >= 0) {
        // Of each oneof, the member whose turn it is.
        size_t place = 0, members = 0;
        for (const Node& sibling : plan_.children(message)) {
          if (sibling.oneof != child.oneof) continue;
          place += sibling.id < child.id;
          ++members;
        }
        if (event % members != place) continue;
      }
      fields[plan_.position(child)] = ValueOf(child, event, arena);
    }
    return Value::Record(fields);
  };
  if (absent_[node.id]) return Value();
  if (node.cardinality == Cardinality::kMap) {
    for (const Node& part : plan_.children(node))
      if (absent_[part.id]) return Value();
  }
  Value one;
  if (node.is_message()) {
    one = record(node);
  } else if (node.classification.free_text) {
    const Marker* marker = MarkerOf(node.id);
    one = Value::Text(arena.Copy(base::StrCat("A call from ", marker->text, " was logged.")));
  } else {
    one = LeafOf(node);
  }
  if (node.cardinality == Cardinality::kSingular) return one;
  Value* items = values(1);
  items[0] = one;
  return Value::List(items, 1);
}

std::string_view SelfCheck::Leak(const StreamPlan& stream, std::string_view record) const {
  const std::string text = Lower(record);
  const bool json = stream.format == config::v1::json;
  for (const Marker& marker : markers_) {
    if ((marker.number || marker.time) && !json) continue;  // it has no text there
    const OutputNode* output = nullptr;
    for (const OutputNode& node : stream.nodes) {
      if (node.node == marker.node && node.op != Op::kMessage) output = &node;
    }
    size_t shown = 0;
    if (output != nullptr) {
      const Shown how = HowMuchShows(*output);
      if (how.measure == Measure::kEverything) continue;
      if (output->op == Op::kShiftTime) continue;                               // the time of day
      if (output->op == Op::kDatePart && output->part == Part::kDay) continue;  // all of it
      if (how.measure == Measure::kCharacters) shown = static_cast<size_t>(how.amount);
    }
    const std::string wanted = Lower(marker.text);
    if (shown == 0) {
      if (Stands(marker.text, text, record)) return plan_.node(marker.node).path;
      continue;
    }
    for (size_t at = 0; at + shown + kPieceBytes <= wanted.size(); ++at) {
      if (text.find(wanted.substr(at, shown + kPieceBytes)) != std::string::npos)
        return plan_.node(marker.node).path;
    }
  }
  return {};
}

}  // namespace sluice::engine
