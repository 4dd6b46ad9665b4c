// Raw JSON -> Event: parsed whole, checked whole, read as the contract says.
#pragma once

#include <simdjson.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/event/event.h"
#include "common/event/limits.h"

namespace sluice::event {

// One per thread; keeps its memory from event to event.
//
// simdjson's DOM parser checks grammar, UTF-8, numbers and depth of the whole document; its
// On-Demand parser would leave what isn't asked for unchecked. One walk over the result then does
// what no parser does: it refuses a key that stands twice in any object, known or unknown, because
// two readers that disagree on which one counts are a leak.
//
// Rules that an event can break here:
//   event.empty, event.too_large, event.too_large_parsed, json.syntax (also: text after the end),
//   json.utf8, json.depth, json.number (a number that JSON doesn't allow, such as 01),
//   json.not_object: of the whole event, alone;
//   json.duplicate_key, json.type, json.range, json.enum, json.timestamp, json.duration,
//   json.base64, json.null_item, json.nul (U+0000 in a text), json.oneof, json.too_many_items: of a
//   field.
class JsonReader {
 public:
  explicit JsonReader(std::shared_ptr<const contract::Plan> plan, Limits limits = {});

  // Reads one event. Values and paths live in `arena`. Violations are added to `event`;
  // `event.fields` stays null when the text isn't a JSON object. Fields that the contract doesn't
  // know are counted, not kept. A byte order mark before the text is a repair (RFC 8259, 8.1). A
  // number that no 64-bit type holds is its nearest double, and breaks the range of a field that
  // can't hold that; where no field reads it, it says nothing.
  void Read(std::string_view json, base::Arena& arena, Event& event);

  // Gives back what large events took, where it is more than some 2 MiB.
  void Trim();

 private:
  // What a key of one JSON object is read into.
  struct Entry {
    std::string key;
    uint32_t bit = 0;  // marks the field as seen: its two names share it
    contract::NodeId node =
        contract::kNoNode;  // kNoNode: an object on the way to a field of this message
    uint32_t object = 0;    // the table of the object that the value is, if it is one
    uint32_t next = 0;      // the entry that followed this one last time
    uint32_t position = 0;  // of the field's value in its message's record
    bool plain = false;     // one text that is kept as it is
  };
  // The keys of one kind of JSON object: a message's own, or one that its fields' source paths lead
  // through.
  struct Object {
    contract::NodeId message = 0;
    std::vector<Entry> entries;
    absl::flat_hash_map<std::string, uint32_t> index;
    uint32_t bits = 0;
    uint32_t first = 0;  // the entry that came first last time
    bool has_oneofs = false;
  };
  struct EnumSpelling {
    int32_t number;
    bool repair;
  };

  simdjson::error_code Parse(std::string_view json, simdjson::dom::element& root);
  bool MakeRoom(size_t bytes);
  bool TooLargeParsed();

  uint32_t AddMessage(const contract::Node& message);
  void AddSource(uint32_t object, const std::vector<std::string>& source, size_t depth,
                 const contract::Node& node, uint32_t bit);
  uint32_t AddEntry(uint32_t object, std::string_view key, uint32_t bit);

  void ReadObject(uint32_t table, simdjson::dom::object object, Value* record);
  Entry* FindEntry(Object& table, uint32_t predicted, std::string_view key);
  void SkipUnknown(simdjson::dom::element value);
  void ReadField(const contract::Node& node, uint32_t table, simdjson::dom::element value,
                 Value& out);
  void ReadList(const contract::Node& node, uint32_t table, simdjson::dom::element value,
                Value& out);
  void ReadMap(const contract::Node& node, simdjson::dom::element value, Value& out);
  void ReadMapKey(const contract::Node& node, std::string_view key, Value& out);
  void ReadOne(const contract::Node& node, uint32_t table, simdjson::dom::element value,
               Value& out);
  bool ReadSpelling(const contract::Node& node, simdjson::dom::element value, Value& out);
  void ReadText(const contract::Node& node, std::string_view text, Value& out);
  void ReadInteger(const contract::Node& node, simdjson::dom::element value, Value& out);
  void ReadNumberText(const contract::Node& node, std::string_view text, Value& out);
  void SetInteger(const contract::Node& node, int64_t value, Value& out);
  void SetUnsigned(const contract::Node& node, uint64_t value, Value& out);
  void SetDouble(const contract::Node& node, double value, Value& out);
  void SetIntegral(const contract::Node& node, double value, Value& out);
  void CheckOneofs(const contract::Node& message, const Value* record);
  bool AreDistinct(std::vector<std::string_view>& keys, size_t from);

  Value* NewRecord(const contract::Node& message);
  Value Text(const contract::Node& node, std::string_view text);
  Value Kept(std::string_view text);
  void Violate(std::string_view rule, const contract::Node& node);
  void Fail(std::string_view rule);
  void Repaired(const contract::Node& node, RepairKind kind) {
    event_->repairs.push_back({node.id, kind});
  }

  std::shared_ptr<const contract::Plan> plan_;
  Limits limits_;
  std::vector<Object> objects_;  // objects_[0] is the event
  std::vector<uint32_t> object_of_node_;
  std::vector<absl::flat_hash_map<std::string, EnumSpelling>> enums_;  // by node
  simdjson::dom::parser parser_;
  std::unique_ptr<char[]> padded_;
  size_t padded_bytes_ = 0;

  // The event that is being read.
  base::Arena* arena_ = nullptr;
  Event* event_ = nullptr;
  const char* parsed_text_ = nullptr;  // where simdjson keeps the document's strings,
  char* kept_text_ = nullptr;          // and where they will stand in the arena
  size_t text_bytes_ = 0;              // up to the last one that is kept
  bool may_have_nul_ = false;
  bool clipped_ = false;           // some number is the largest double in place of a larger one
  size_t used_before_ = 0;         // of the arena
  bool too_large_parsed_ = false;  // what follows isn't read
  std::vector<uint32_t> indexes_;  // of the lists that are open
  std::vector<std::string_view> keys_;
  std::vector<Value> map_keys_;
};

}  // namespace sluice::event
