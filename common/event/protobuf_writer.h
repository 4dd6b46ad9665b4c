// Values as protobuf binary. The same members as JsonWriter, for templates over both.
#pragma once

#include "common/base/buffer.h"
#include "common/event/event.h"
#include "common/event/output_field.h"

namespace sluice::event {

// A message's length stands before it and is known only after it: one byte is left for it, and a
// message of 128 bytes or more is moved up when it ends.
class ProtobufWriter {
 public:
  explicit ProtobufWriter(base::Buffer& out) : out_(out) {}

  size_t BeginEvent() { return out_.size(); }
  void EndEvent(size_t) {}

  void Field(const OutputField& field, const Value& value);
  // protobuf has no null.
  void Null(const OutputField&) {}

  size_t BeginMessage(const OutputField& field);
  void EndMessage(size_t mark);

  // Numbers and enums are packed.
  size_t BeginList(const OutputField& field);
  void Item(const OutputField& field, const Value& value);
  size_t BeginItemMessage(const OutputField& field) { return BeginMessage(field); }
  void EndItemMessage(size_t mark) { EndMessage(mark); }
  void EndList(const OutputField& field, size_t mark);

  size_t BeginMap(const OutputField&) { return 0; }
  size_t BeginEntry(const OutputField& map, const Value& key);
  void EntryValue(const OutputField& map, const Value& value) { Field(map.entry[1], value); }
  size_t BeginEntryMessage(const OutputField& map) { return BeginMessage(map.entry[1]); }
  void EndEntry(size_t mark) { EndMessage(mark); }
  void EndMap(size_t) {}

 private:
  base::Buffer& out_;
};

}  // namespace sluice::event
