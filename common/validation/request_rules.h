// buf.validate's rules of gRPC requests, checked on the parsed message before any work is done.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "re2/re2.h"

namespace sluice::validation {

// What a service's requests may hold. An event of a contract is read by our own readers and checked
// by Validator; a request comes parsed from gRPC, and may be large: lists of numbers are counted,
// and not walked through.
//
// Rules: string.max_bytes, string.max_len (which counts bytes here: it is the stricter one),
// string.min_len, string.pattern, bytes.max_len, repeated.max_items, repeated.min_items,
// repeated.unique (of enums), repeated.items, map.max_pairs, enum.defined_only, enum.not_in of 0.
//
// Every text, bytes, list and map of every request must have an upper bound. Immutable; Check is
// thread-safe.
class RequestRules {
 public:
  // kFailedPrecondition: a rule that isn't among these, or a field without an upper bound; all of
  // them are named.
  // `elsewhere` names messages that the service's code bounds, because their file can't import the
  // rules; their fields aren't checked here.
  static absl::StatusOr<std::unique_ptr<const RequestRules>> Compile(
      const google::protobuf::ServiceDescriptor& service, std::set<std::string> elsewhere = {});

  // kInvalidArgument: `field: rule`; never holds a value. A message that isn't a request of the
  // service is an error, too.
  absl::Status Check(const google::protobuf::Message& request) const;

 private:
  // Of one value: a field's, or each of a list's.
  struct Bounds {
    uint64_t bytes_min = 0, bytes_max = ~uint64_t{0};
    bool bounded = false;  // bytes_max was given
    bool defined_only = false, not_zero = false;
    std::shared_ptr<const RE2> pattern;
    bool any() const { return bytes_min > 0 || bounded || defined_only || not_zero || pattern; }
  };
  struct Field {
    const google::protobuf::FieldDescriptor* field = nullptr;
    uint64_t items_min = 0, items_max = ~uint64_t{0};
    bool unique = false;
    Bounds value;
    bool message = false;
  };
  struct Compiler;

  absl::Status CheckMessage(const google::protobuf::Message& message,
                            const std::string& path) const;
  static absl::Status CheckText(const Bounds& bounds, const std::string& text,
                                const std::string& path);
  static absl::Status CheckEnum(const Bounds& bounds,
                                const google::protobuf::FieldDescriptor& field, int number,
                                const std::string& path);

  std::map<const google::protobuf::Descriptor*, std::vector<Field>> messages_;
};

}  // namespace sluice::validation
