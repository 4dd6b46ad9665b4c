#include "common/privacy/key_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "common/base/strings.h"

namespace sluice::privacy {
namespace {

constexpr size_t kFileBytesMax = 1024 * 1024;

}  // namespace

absl::Status KeyFileError(const std::string& path, std::string_view what) {
  return absl::FailedPreconditionError(base::StrCat(path, ": ", what));
}

absl::StatusOr<base::SecretBytes> ReadKeyFile(const std::string& path, Readers readers) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return KeyFileError(path, base::StrCat("can't be opened: ", std::strerror(errno)));
  absl::Cleanup close_file = [file] { close(file); };
  struct stat info;
  if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) return KeyFileError(path, "isn't a file");
  if (readers == Readers::kOwnerAndGroup &&
      (info.st_mode & (S_IRWXG | S_IRWXO) & ~(S_IRGRP)) != 0) {
    return KeyFileError(path,
                        "others than its owner and group can read it; make it mode 0400 or 0440");
  }
  if (info.st_size > static_cast<off_t>(kFileBytesMax))
    return KeyFileError(path, "is larger than 1 MiB");
  base::SecretBytes bytes(static_cast<size_t>(info.st_size));
  std::span<uint8_t> at = bytes.RevealMutable(base::SecretAccess());
  while (!at.empty()) {
    ssize_t got = read(file, at.data(), at.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return KeyFileError(path, "can't be read to its end");
    at = at.subspan(static_cast<size_t>(got));
  }
  return bytes;
}

absl::Status WriteKeyFile(const std::string& path, std::string_view bytes, Overwrite overwrite) {
  const bool must_be_new = overwrite == Overwrite::kNever;
  std::string temporary = must_be_new ? path : base::StrCat(path, ".new");
  if (!must_be_new) unlink(temporary.c_str());
  int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) {
    return KeyFileError(path, errno == EEXIST
                                  ? "exists already; nothing was overwritten"
                                  : base::StrCat("can't be written: ", std::strerror(errno)));
  }
  bool written = true;
  while (written && !bytes.empty()) {
    ssize_t put = write(file, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    written = put > 0;
    if (written) bytes.remove_prefix(static_cast<size_t>(put));
  }
  written = fsync(file) == 0 && written;
  written = close(file) == 0 && written;
  if (written && !must_be_new) written = rename(temporary.c_str(), path.c_str()) == 0;
  if (!written) {
    unlink(temporary.c_str());
    return KeyFileError(path, "can't be written; the old one, if any, is unchanged");
  }
  // The name is in the folder, and is durable with it only.
  size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  int directory = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool durable = directory >= 0 && fsync(directory) == 0;
  if (directory >= 0) close(directory);
  return durable
             ? absl::OkStatus()
             : KeyFileError(
                   path, "is written, but may be lost at a power cut: its folder can't be synced");
}

absl::StatusOr<KeyFileLock> KeyFileLock::Take(const std::string& path) {
  std::string name = base::StrCat(path, ".lock");
  int file = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return KeyFileError(name, base::StrCat("can't be made: ", std::strerror(errno)));
  while (flock(file, LOCK_EX) != 0) {
    if (errno == EINTR) continue;
    close(file);
    return KeyFileError(name, base::StrCat("can't be locked: ", std::strerror(errno)));
  }
  return KeyFileLock(file);
}

KeyFileLock::~KeyFileLock() {
  if (file_ >= 0) close(file_);
}

}  // namespace sluice::privacy
