// Configuration: YAML, checked against a protobuf message that is its schema and its documentation.
//
// - Keys are field names, enum values are written by name, maps and lists are YAML's own. A list
// field
//   takes a list only.
// - A message whose only oneof has a member without content may be written as that member's name:
//   `PHONE: pseudonymise` for `PHONE: {pseudonymise: {}}`.
// - A message whose only field is a list may be written as that list: `age_bands: [18, 25]`.
// - A message without fields is written `{}`, or left empty.
// - Numbers and booleans are plain (not quoted); a text may be either. `null` stands for an enum
// value of
//   that name, and is an error anywhere else: a key that has no value is left out.
// - Anchors and aliases are resolved; tags (`!!str`), merge keys (`<<`) and a second document are
// refused.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/config/source_map.h"
#include "google/protobuf/message.h"

namespace sluice::config {

// Larger files are refused.
inline constexpr size_t kYamlBytesMax = 1024 * 1024;
// Deeper nesting is refused.
inline constexpr int kYamlDepthMax = 32;
// Values read in all, where an alias counts as often as it is used: bounds what a small file can
// expand to.
inline constexpr int kYamlNodesMax = 100'000;

// Reads `yaml_text` into `out`, which is cleared first. `file_name` is for the errors. `map`, if
// given, gets the line of every field path. Thread-safe.
//
// Error: kInvalidArgument with every problem found (see Problems); `out` then holds what could be
// read.
absl::Status ParseYaml(std::string_view yaml_text, std::string_view file_name,
                       google::protobuf::Message& out, SourceMap* map);

// The same for the file at `path`. Error also: kNotFound or kUnavailable when it can't be read.
absl::Status ParseYamlFile(const std::string& path, google::protobuf::Message& out, SourceMap* map);

}  // namespace sluice::config
