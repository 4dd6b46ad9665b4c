// Files that hold keys: read whole, written whole or not at all.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/secret.h"

namespace sluice::privacy {

// kFailedPrecondition, `path: what`.
absl::Status KeyFileError(const std::string& path, std::string_view what);

enum class Readers { kAnyone, kOwnerAndGroup };
// A key's bytes, 4 KiB at most. An error when others than `readers` may read it.
absl::StatusOr<base::SecretBytes> ReadKeyFile(const std::string& path, Readers readers);

bool FileExists(const std::string& path);

// Which file was read: another one has replaced it, or it was written, when this differs.
struct FileStamp {
  uint64_t device = 0, inode = 0, size = 0;
  int64_t changed_ns = 0;
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};
// kFailedPrecondition: there is no such file.
absl::StatusOr<FileStamp> StampOf(const std::string& path);

// A file whose content is sealed: it needs no room in the secure heap, which is small. `bytes_max`
// is the bound that its writer keeps; a larger file isn't read.
struct SealedFile {
  std::string bytes;
  FileStamp stamp;
};
absl::StatusOr<SealedFile> ReadSealedFile(const std::string& path, Readers readers,
                                          size_t bytes_max);

enum class Overwrite { kNever, kReplace };
// Readable by its owner only, and durable. kReplace: a file beside it is renamed over it, so that
// there is the old one or the new one at any time.
absl::Status WriteKeyFile(const std::string& path, std::string_view bytes, Overwrite overwrite);
// The same for a file that anyone may read.
absl::Status WritePublicFile(const std::string& path, std::string_view bytes, Overwrite overwrite);

// Keeps other processes from changing the file at `path` while it lives: an advisory lock on
// `path.lock`, which is left there.
class KeyFileLock {
 public:
  static constexpr int kWaitMs = 5'000;
  // Waits for its turn, but not longer than `wait_ms`: kUnavailable, naming the lock. Whoever holds
  // it may be frozen, and must not freeze others.
  static absl::StatusOr<KeyFileLock> Take(const std::string& path, int wait_ms = kWaitMs);
  ~KeyFileLock();
  KeyFileLock(KeyFileLock&& other) noexcept : file_(other.file_) { other.file_ = -1; }
  KeyFileLock& operator=(KeyFileLock&&) = delete;

 private:
  explicit KeyFileLock(int file) : file_(file) {}
  int file_;
};

}  // namespace sluice::privacy
