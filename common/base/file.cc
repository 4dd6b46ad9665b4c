#include "common/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/strings.h"

namespace sluice::base {
namespace {

constexpr size_t kBlockBytes = 256 * 1024;

absl::Status CannotRead(const std::string& path, int error) {
  if (error == ENOENT || error == ENOTDIR)
    return absl::NotFoundError(StrCat(path, ": cannot be read: there is no such file"));
  if (error == EISDIR)
    return absl::FailedPreconditionError(StrCat(path, ": cannot be read: it is a folder"));
  if (error == EACCES || error == EPERM)
    return absl::FailedPreconditionError(
        StrCat(path, ": cannot be read: this user has no permission to read it"));
  return absl::FailedPreconditionError(StrCat(path, ": cannot be read: ", std::strerror(error)));
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return CannotRead(path, errno);
  std::string text;
  struct stat status {};
  if (fstat(file, &status) == 0 && S_ISREG(status.st_mode))
    text.reserve(std::min(static_cast<size_t>(status.st_size), bytes_max) + 1);
  for (;;) {
    const size_t before = text.size();
    const size_t room = std::min(kBlockBytes, bytes_max + 1 - before);
    text.resize(before + room);
    ssize_t got = read(file, text.data() + before, room);
    const int error = errno;
    text.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0 && error == EINTR) continue;
    if (got < 0) {
      close(file);
      return CannotRead(path, error);
    }
    if (got == 0) break;
    if (text.size() > bytes_max) {
      close(file);
      return absl::InvalidArgumentError(
          StrCat(path, ": cannot be read: it is longer than ", bytes_max, " bytes"));
    }
  }
  close(file);
  return text;
}

absl::Status CheckReadable(const std::string& path, bool regular) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return CannotRead(path, errno);
  if (S_ISDIR(status.st_mode)) return CannotRead(path, EISDIR);
  if (access(path.c_str(), R_OK) != 0) return CannotRead(path, errno);
  if (regular && !S_ISREG(status.st_mode)) {
    return absl::FailedPreconditionError(
        StrCat(path,
               ": is not a regular file but a pipe or a device, and this command reads it more "
               "than once: write it to a file first"));
  }
  return absl::OkStatus();
}

}  // namespace sluice::base
