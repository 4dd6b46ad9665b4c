// Reads one event from protobuf's binary form (https://protobuf.dev/programming-guides/encoding).
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "common/base/arena.h"
#include "common/contract/plan.h"
#include "common/event/event.h"
#include "common/event/limits.h"

namespace sluice::event {

// Stricter than protobuf's own parsers where two of them may differ: a singular field or map key
// that comes twice, and a number outside its field's type, break the contract. What every library
// reads is read: -1 of 32 bits in five bytes, true as any number but zero, groups among the fields
// that the contract doesn't know. Allocates nothing per event in the steady state. Single-threaded.
class ProtobufReader {
 public:
  explicit ProtobufReader(std::shared_ptr<const contract::Plan> plan, Limits limits = {});

  // Reads one event. Texts stay in `bytes`; lists, records and paths live in `arena`. Violations
  // are added to `event`; `event.fields` stays null when the bytes aren't protobuf. Fields that the
  // contract doesn't know are counted, not kept.
  void Read(std::string_view bytes, base::Arena& arena, Event& event);

 private:
  // How a field's numbers stand on the wire.
  enum class Encoding : uint8_t { kVarint, kZigzag, kFixed32, kFixed64, kBytes };
  struct Field {
    int32_t number = 0;
    contract::NodeId node = contract::kNoNode;
  };
  struct Input {
    const char* at;
    const char* end;
    bool empty() const { return at == end; }
  };
  struct Tag {
    int32_t number = 0;
    uint8_t wire = 0;
  };

  bool ReadMessage(const contract::Node& message, std::string_view bytes, Value* record, int depth);
  bool Count(const contract::Node& message, std::string_view bytes, uint32_t* counts);
  bool ReadField(const contract::Node& node, Tag tag, Input& in, Value& out, uint32_t& count,
                 int depth);
  bool ReadOne(const contract::Node& node, Tag tag, Input& in, Value& out, int depth);
  bool ReadScalar(const contract::Node& node, Input& in, Value& out);
  bool ReadText(const contract::Node& node, Input& in, Value& out);
  bool ReadTime(const contract::Node& node, Input& in, Value& out);
  bool ReadEntry(const contract::Node& map, Input& in, Value& out, int depth);
  void CheckKeys(const contract::Node& map, const Value& list);
  void CheckOneofs(const contract::Node& message, const Value* record);
  void SetNumber(const contract::Node& node, uint64_t bits, Value& out);

  // The child of `message` with this number; null: unknown.
  const contract::Node* Find(const contract::Node& message, int32_t number) const;
  Value* NewRecord(const contract::Node& message);
  void Violate(std::string_view rule, const contract::Node& node);
  // False: the bytes aren't protobuf, and what was read of them says nothing.
  bool Malformed(std::string_view rule = "protobuf.malformed");

  // Each moves `in` behind what it reads; false: there isn't one.
  static bool ReadVarint(Input& in, uint64_t& value);
  static bool ReadTag(Input& in, Tag& tag);
  static bool ReadBytes(Input& in, std::string_view& bytes);
  static bool Skip(Input& in, Tag tag);
  static uint8_t WireOf(Encoding encoding);

  std::shared_ptr<const contract::Plan> plan_;
  Limits limits_;
  std::vector<Encoding> encodings_;         // by node
  std::vector<std::vector<Field>> fields_;  // by message node, ordered by number

  // The event that is being read.
  base::Arena* arena_ = nullptr;
  Event* event_ = nullptr;
  std::string_view failure_;
  size_t used_before_ = 0;         // of the arena
  std::vector<uint32_t> indexes_;  // of the lists that are open
  std::vector<Value> keys_;
};

}  // namespace sluice::event
