// Values as JSON, in protobuf's mapping with the contract's own field names.
//
// 64-bit integers are strings, as the mapping wants; enums are names; times are RFC 3339 in UTC;
// bytes are base64.
#pragma once

#include "common/base/buffer.h"
#include "common/event/event.h"
#include "common/event/output_field.h"

namespace sluice::event {

// Every field writes `,"name":` before its value, every item a comma; the end of an object or list
// turns its first comma into the bracket that opens it. So no field needs to know whether it is the
// first.
//
// JsonWriter and ProtobufWriter have the same members, for templates over both. What Begin...
// returns goes to the End... that belongs to it.
class JsonWriter {
 public:
  explicit JsonWriter(base::Buffer& out) : out_(out) {}

  size_t BeginEvent() { return out_.size(); }
  void EndEvent(size_t mark) { Close(mark, '{', '}'); }

  void Field(const OutputField& field, const Value& value);
  // An explicit null.
  void Null(const OutputField& field);

  size_t BeginMessage(const OutputField& field) {
    out_.Append(field.json_prefix);
    return out_.size();
  }
  void EndMessage(size_t mark) { Close(mark, '{', '}'); }

  size_t BeginList(const OutputField& field) {
    out_.Append(field.json_prefix);
    return out_.size();
  }
  void Item(const OutputField& field, const Value& value);
  size_t BeginItemMessage(const OutputField&) {
    out_.Append(',');
    return out_.size();
  }
  void EndItemMessage(size_t mark) { Close(mark, '{', '}'); }
  void EndList(const OutputField&, size_t mark) { Close(mark, '[', ']'); }

  size_t BeginMap(const OutputField& field) { return BeginMessage(field); }
  // `,"key":`; the value follows by EntryValue or between BeginEntryMessage and EndMessage.
  size_t BeginEntry(const OutputField& map, const Value& key);
  void EntryValue(const OutputField& map, const Value& value);
  size_t BeginEntryMessage(const OutputField&) { return out_.size(); }
  void EndEntry(size_t) {}
  void EndMap(size_t mark) { Close(mark, '{', '}'); }

 private:
  void Close(size_t mark, char open, char close) {
    char* at = out_.Reserve(2);
    if (out_.size() == mark) {
      *at++ = open;
    } else {
      out_.data()[mark] = open;
    }
    *at++ = close;
    out_.AdvanceTo(at);
  }

  base::Buffer& out_;
};

// Appends text as a JSON string with its quotes. The text is valid UTF-8.
void AppendJsonString(std::string_view text, base::Buffer& out);

}  // namespace sluice::event
