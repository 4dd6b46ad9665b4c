#include "common/privacy/key_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <span>
#include <utility>

#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::privacy {
namespace {

constexpr size_t kKeyBytesMax = 4 * 1024;
constexpr int kLockPollMs = 5;

// A file that was opened and may be read.
class OpenFile {
 public:
  static absl::StatusOr<OpenFile> Open(const std::string& path, Readers readers, size_t bytes_max) {
    // A pipe without a writer would be waited for.
    int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
      return KeyFileError(path, base::StrCat("can't be opened: ", std::strerror(errno)));
    OpenFile opened(path, file);
    if (fstat(file, &opened.info_) != 0 || !S_ISREG(opened.info_.st_mode))
      return KeyFileError(path, "isn't a file");
    if (readers == Readers::kOwnerAndGroup &&
        (opened.info_.st_mode & (S_IRWXG | S_IRWXO) & ~(S_IRGRP)) != 0) {
      return KeyFileError(path,
                          "others than its owner and group can read it; make it mode 0400 or 0440");
    }
    if (opened.info_.st_size > static_cast<off_t>(bytes_max))
      return KeyFileError(path, base::StrCat("is larger than ", bytes_max, " bytes"));
    return opened;
  }
  OpenFile(OpenFile&& other) noexcept
      : path_(std::move(other.path_)), file_(std::exchange(other.file_, -1)), info_(other.info_) {}
  OpenFile& operator=(OpenFile&&) = delete;
  ~OpenFile() {
    if (file_ >= 0) close(file_);
  }

  size_t size() const { return static_cast<size_t>(info_.st_size); }
  const struct stat& info() const { return info_; }
  absl::Status ReadInto(std::span<uint8_t> at) const {
    while (!at.empty()) {
      ssize_t got = read(file_, at.data(), at.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return KeyFileError(path_, "can't be read to its end");
      at = at.subspan(static_cast<size_t>(got));
    }
    return absl::OkStatus();
  }

 private:
  OpenFile(std::string path, int file) : path_(std::move(path)), file_(file) {}
  std::string path_;
  int file_;
  struct stat info_ {};
};

FileStamp Stamp(const struct stat& info) {
  return {static_cast<uint64_t>(info.st_dev), static_cast<uint64_t>(info.st_ino),
          static_cast<uint64_t>(info.st_size),
          int64_t{info.st_ctim.tv_sec} * 1'000'000'000 + info.st_ctim.tv_nsec};
}

absl::Status WriteFile(const std::string& path, std::string_view bytes, Overwrite overwrite,
                       mode_t mode);

}  // namespace

absl::Status KeyFileError(const std::string& path, std::string_view what) {
  return absl::FailedPreconditionError(base::StrCat(path, ": ", what));
}

bool FileExists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

absl::StatusOr<base::SecretBytes> ReadKeyFile(const std::string& path, Readers readers) {
  SLUICE_ASSIGN_OR_RETURN(OpenFile file, OpenFile::Open(path, readers, kKeyBytesMax));
  base::SecretBytes bytes(file.size());
  SLUICE_RETURN_IF_ERROR(file.ReadInto(bytes.RevealMutable(base::SecretAccess())));
  return bytes;
}

absl::StatusOr<FileStamp> StampOf(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0)
    return KeyFileError(path, base::StrCat("can't be opened: ", std::strerror(errno)));
  return Stamp(info);
}

absl::StatusOr<SealedFile> ReadSealedFile(const std::string& path, Readers readers,
                                          size_t bytes_max) {
  SLUICE_ASSIGN_OR_RETURN(OpenFile file, OpenFile::Open(path, readers, bytes_max));
  SealedFile sealed{std::string(file.size(), '\0'), Stamp(file.info())};
  SLUICE_RETURN_IF_ERROR(
      file.ReadInto({reinterpret_cast<uint8_t*>(sealed.bytes.data()), sealed.bytes.size()}));
  return sealed;
}

absl::Status WriteKeyFile(const std::string& path, std::string_view bytes, Overwrite overwrite) {
  return WriteFile(path, bytes, overwrite, 0600);
}

absl::Status WritePublicFile(const std::string& path, std::string_view bytes, Overwrite overwrite) {
  return WriteFile(path, bytes, overwrite, 0644);
}

namespace {

absl::Status WriteFile(const std::string& path, std::string_view bytes, Overwrite overwrite,
                       mode_t mode) {
  const bool must_be_new = overwrite == Overwrite::kNever;
  std::string temporary = must_be_new ? path : base::StrCat(path, ".new");
  if (!must_be_new) unlink(temporary.c_str());
  int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
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

}  // namespace

absl::StatusOr<KeyFileLock> KeyFileLock::Take(const std::string& path, int wait_ms) {
  std::string name = base::StrCat(path, ".lock");
  int file = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return KeyFileError(name, base::StrCat("can't be made: ", std::strerror(errno)));
  // The system has no lock that is waited for with a bound.
  for (int waited_ms = 0; flock(file, LOCK_EX | LOCK_NB) != 0; waited_ms += kLockPollMs) {
    const int error = errno;
    if ((error == EWOULDBLOCK && waited_ms < wait_ms) || error == EINTR) {
      const timespec pause{0, kLockPollMs * 1'000'000};
      nanosleep(&pause, nullptr);
      continue;
    }
    close(file);
    if (error == EWOULDBLOCK) {
      return absl::UnavailableError(base::StrCat(name, ": another process has held this lock for ",
                                                 wait_ms,
                                                 " ms: find it with `fuser`; nothing was changed"));
    }
    return KeyFileError(name, base::StrCat("can't be locked: ", std::strerror(error)));
  }
  return KeyFileLock(file);
}

KeyFileLock::~KeyFileLock() {
  if (file_ >= 0) close(file_);
}

}  // namespace sluice::privacy
