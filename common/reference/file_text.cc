#include "common/reference/file_text.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "common/base/status.h"
#include "common/base/stop_scope.h"
#include "common/base/strings.h"

namespace sluice::reference {
namespace {

constexpr size_t kCopyBytes = 1024 * 1024;
// Between two looks at whether it is to end.
constexpr size_t kReadBytes = 64 * kCopyBytes;
// Of a text in memory. What its rows may take is the store's.
constexpr uint64_t kMemoryBytesMax = uint64_t{8} << 30;

absl::Status CantRead(const std::string& name) {
  return absl::NotFoundError(base::StrCat(name, ": can't be read"));
}

// A pipe or a device would be waited for without end, and a folder isn't rows.
absl::StatusOr<int> OpenFile(const std::string& path, const std::string& name) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return CantRead(name);
  struct stat found {};
  if (fstat(file, &found) == 0 && S_ISREG(found.st_mode)) return file;
  close(file);
  return absl::FailedPreconditionError(
      base::StrCat(name, ": isn't a file: a set is read from a file, or from a folder of them"));
}

absl::Status CantCopy(const std::string& name, const std::string& folder) {
  return absl::ResourceExhaustedError(base::StrCat(name, ": can't be copied to ", folder, ": ",
                                                   std::strerror(errno), "; is the disk full?"));
}

}  // namespace

absl::StatusOr<FileText> FileText::Read(const std::string& path, const std::string& name) {
  SLUICE_ASSIGN_OR_RETURN(int from, OpenFile(path, name));
  absl::Cleanup close_from = [from] { close(from); };
  struct stat found {};
  if (fstat(from, &found) != 0) return CantRead(name);
  if (static_cast<uint64_t>(found.st_size) > kMemoryBytesMax) {
    return absl::FailedPreconditionError(
        base::StrCat(name, ": is larger than ", kMemoryBytesMax,
                     " bytes: set store: mapped, or split it into files of a folder"));
  }
  FileText text;
  // One more, to see the end in the same pass.
  text.memory_.resize(static_cast<size_t>(found.st_size) + 1);
  for (size_t size = 0;;) {
    if (size == text.memory_.size()) text.memory_.resize(size + size / 2 + kCopyBytes);
    if (base::StopScope::stop_requested()) return absl::CancelledError("interrupted");
    ssize_t got =
        read(from, text.memory_.data() + size, std::min(text.memory_.size() - size, kReadBytes));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 || size > kMemoryBytesMax) return CantRead(name);
    size += static_cast<size_t>(got);
    if (got > 0) continue;
    text.memory_.resize(size);
    return text;
  }
}

absl::StatusOr<FileText> FileText::Map(const std::string& path, const std::string& name,
                                       const std::string& folder) {
  SLUICE_ASSIGN_OR_RETURN(int from, OpenFile(path, name));
  absl::Cleanup close_from = [from] { close(from); };
  std::string copy = folder + "/text.new-XXXXXX";
  int to = mkostemp(copy.data(), O_CLOEXEC);
  if (to < 0) return CantCopy(name, folder);
  absl::Cleanup close_to = [to] { close(to); };
  unlink(copy.c_str());
  FileText mapped;
  std::vector<char> buffer(kCopyBytes);
  while (true) {
    if (base::StopScope::stop_requested()) return absl::CancelledError("interrupted");
    ssize_t got = read(from, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return CantRead(name);
    if (got == 0) break;
    for (ssize_t done = 0; done < got;) {
      ssize_t written = write(to, buffer.data() + done, static_cast<size_t>(got - done));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return CantCopy(name, folder);
      done += written;
    }
    mapped.size_ += static_cast<size_t>(got);
  }
  if (mapped.size_ == 0) return mapped;
  void* map = mmap(nullptr, mapped.size_, PROT_READ, MAP_SHARED, to, 0);
  if (map == MAP_FAILED) return CantCopy(name, folder);
  mapped.map_ = map;
  madvise(map, mapped.size_, MADV_SEQUENTIAL);
  return mapped;
}

FileText::FileText(FileText&& other) noexcept
    : memory_(std::move(other.memory_)),
      map_(std::exchange(other.map_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

FileText::~FileText() {
  if (map_ != nullptr) munmap(map_, size_);
}

}  // namespace sluice::reference
