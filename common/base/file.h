// Whole files: read at once, with errors that say what is wrong with the path.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::base {

// What a configuration, a contract or a key may have; much more than any has.
inline constexpr size_t kFileBytesMax = 64 * 1024 * 1024;

// The file's bytes. Never throws. Each error begins with the path:
//   kNotFound: there is no such file;
//   kFailedPrecondition: it is a folder, this user may not read it, or reading fails;
//   kInvalidArgument: it is longer than `bytes_max`.
// A pipe or a device that ends is read to its end.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max = kFileBytesMax);

// The same errors, for a file that is then read piece by piece; `regular`: also kFailedPrecondition
// for what can be read only once, such as a pipe. Opens nothing, so that a pipe without a writer
// does not block.
absl::Status CheckReadable(const std::string& path, bool regular = false);

}  // namespace sluice::base
