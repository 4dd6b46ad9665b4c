// Files that hold keys: read whole, written whole or not at all.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/secret.h"

namespace sluice::privacy {

// kFailedPrecondition, `path: what`.
absl::Status KeyFileError(const std::string& path, std::string_view what);

enum class Readers { kAnyone, kOwnerAndGroup };
// The file's bytes, 1 MiB at most. An error when others than `readers` may read it.
absl::StatusOr<base::SecretBytes> ReadKeyFile(const std::string& path, Readers readers);

enum class Overwrite { kNever, kReplace };
// Readable by its owner only, and durable. kReplace: a file beside it is renamed over it, so that
// there is the old one or the new one at any time.
absl::Status WriteKeyFile(const std::string& path, std::string_view bytes, Overwrite overwrite);

// Keeps other processes from changing the file at `path` while it lives: an advisory lock on
// `path.lock`, which is left there. Waits for its turn.
class KeyFileLock {
 public:
  static absl::StatusOr<KeyFileLock> Take(const std::string& path);
  ~KeyFileLock();
  KeyFileLock(KeyFileLock&& other) noexcept : file_(other.file_) { other.file_ = -1; }
  KeyFileLock& operator=(KeyFileLock&&) = delete;

 private:
  explicit KeyFileLock(int file) : file_(file) {}
  int file_;
};

}  // namespace sluice::privacy
