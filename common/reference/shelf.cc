#include "common/reference/shelf.h"

#include <fcntl.h>
#include <google/protobuf/util/message_differencer.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "common/base/file.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/reference/lmdb_table.h"
#include "common/reference/snapshot.h"

namespace sluice::reference {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "SLUICEREFERENCE1";
constexpr std::string_view kSnapshot = ".snapshot", kMapped = ".mapped";
constexpr std::string_view kTemporary = ".new-";

absl::Status Failed(const std::string& path, std::string_view what) {
  return absl::UnavailableError(
      base::StrCat(path, ": ", what, ": ", std::strerror(errno), "; is the disk full?"));
}

bool WriteAll(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

// A name in it outlives a power cut.
void SyncFolderOf(const std::string& path) {
  int folder = open(fs::path(path).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  fsync(folder);
  close(folder);
}

using Take = absl::FunctionRef<absl::Status(std::string_view)>;

// Whole or not at all. `write` gives what is in it to its argument.
absl::Status WriteFile(const std::string& path, absl::FunctionRef<absl::Status(Take)> write) {
  static std::atomic<uint64_t> writes = 0;
  std::string temporary = base::StrCat(path, kTemporary, ++writes);
  int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return Failed(temporary, "can't be written");
  absl::Status written = write([&](std::string_view bytes) {
    return WriteAll(file, bytes) ? absl::OkStatus() : Failed(path, "can't be written");
  });
  bool well = written.ok() && fsync(file) == 0;
  well = close(file) == 0 && well;
  if (!well || rename(temporary.c_str(), path.c_str()) != 0) {
    if (written.ok()) written = Failed(path, "can't be written");
    unlink(temporary.c_str());
    return written;
  }
  SyncFolderOf(path);
  return absl::OkStatus();
}

// Whether a version is kept there with this schema.
bool HasDefinition(const std::string& path, const v1::Schema& definition) {
  std::ifstream file(path, std::ios::binary);
  std::string magic(kMagic.size(), '\0'), text;
  uint32_t size = 0;
  constexpr uint32_t kHeadBytesMax = 16 * 1024 * 1024;
  if (!file.read(magic.data(), static_cast<std::streamsize>(magic.size())) || magic != kMagic ||
      !file.read(reinterpret_cast<char*>(&size), sizeof(size)) || size > kHeadBytesMax)
    return false;
  text.resize(size);
  v1::SnapshotHead head;
  return file.read(text.data(), size) && head.ParseFromString(text) &&
         google::protobuf::util::MessageDifferencer::Equals(head.schema(), definition);
}

absl::StatusOr<std::string> ReadWhole(const std::string& path) {
  return base::ReadFile(path, SIZE_MAX - 1);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Shelf>> Shelf::Open(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  std::string path = folder + "/.lock";
  int lock = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) return Failed(path, "can't be written");
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    close(lock);
    return absl::FailedPreconditionError(base::StrCat(
        folder, ": another process keeps its versions here; give each its own folder"));
  }
  // What a process that was killed was writing.
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().filename().string().find(kTemporary) != std::string::npos)
      unlink(at->path().c_str());
  }
  return std::unique_ptr<Shelf>(new Shelf(folder, lock));
}

Shelf::~Shelf() { close(lock_); }

std::string Shelf::PathOf(const std::string& set, const std::string& id,
                          std::string_view suffix) const {
  return base::StrCat(folder_, "/", set, "/", id, suffix);
}

absl::Status Shelf::Put(const std::string& set, const enrichment::Rows& rows) {
  std::error_code error;
  if (const auto* mapped = dynamic_cast<const LmdbTable*>(&rows)) {
    std::string path = PathOf(set, rows.id(), kMapped);
    // What it was built in; gone where it has been kept already.
    if (mapped->file() == path || !fs::exists(mapped->file(), error)) return absl::OkStatus();
    if (rename(mapped->file().c_str(), path.c_str()) != 0) return Failed(path, "can't be written");
    SyncFolderOf(path);
    // One of each version is enough.
    unlink(PathOf(set, rows.id(), kSnapshot).c_str());
    return absl::OkStatus();
  }
  unlink(PathOf(set, rows.id(), kMapped).c_str());
  std::string path = PathOf(set, rows.id(), kSnapshot);
  // Equal rows whose columns are classified otherwise now take the place of what is there.
  if (HasDefinition(path, rows.schema().definition())) return absl::OkStatus();
  fs::create_directories(fs::path(path).parent_path(), error);
  return WriteFile(path, [&](Take take) -> absl::Status {
    std::string head = SnapshotHeadOf(set, rows).SerializeAsString();
    auto size = static_cast<uint32_t>(head.size());
    SLUICE_RETURN_IF_ERROR(take(base::StrCat(
        kMagic, std::string_view(reinterpret_cast<const char*>(&size), sizeof(size)), head)));
    return WriteBody(rows, nullptr, {}, take);
  });
}

absl::StatusOr<RowsPtr> Shelf::Get(const std::string& set, const std::string& id) const {
  std::error_code error;
  if (std::string mapped = PathOf(set, id, kMapped); fs::exists(mapped, error)) {
    auto table = LmdbTable::Open(set, mapped);
    if (table.ok() && (*table)->id() == id) return *table;
    return absl::DataLossError(base::StrCat(mapped, ": is damaged; remove it"));
  }
  std::string path = PathOf(set, id, kSnapshot);
  SLUICE_ASSIGN_OR_RETURN(std::string text, ReadWhole(path));
  auto broken = [&] { return absl::DataLossError(base::StrCat(path, ": is damaged; remove it")); };
  std::string_view rest = text;
  uint32_t size = 0;
  if (!rest.starts_with(kMagic) || rest.size() < kMagic.size() + sizeof(size)) return broken();
  rest.remove_prefix(kMagic.size());
  std::memcpy(&size, rest.data(), sizeof(size));
  rest.remove_prefix(sizeof(size));
  v1::SnapshotHead head;
  if (rest.size() < size || !head.ParseFromArray(rest.data(), static_cast<int>(size)) ||
      head.set() != set || head.id() != id)
    return broken();
  auto reader = SnapshotReader::Create(std::move(head), Store());
  if (!reader.ok() || !(*reader)->Add(rest.substr(size)).ok()) return broken();
  auto rows = (*reader)->Finish();
  if (!rows.ok()) return broken();
  return rows;
}

std::vector<Kept> Shelf::List(const std::string& set) const {
  std::vector<Kept> kept;
  std::error_code error;
  for (fs::directory_iterator at(base::StrCat(folder_, "/", set), error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().extension() != std::string(kSnapshot) &&
        at->path().extension() != std::string(kMapped))
      continue;
    auto changed = at->last_write_time(error);
    auto time = std::chrono::file_clock::to_sys(changed).time_since_epoch();
    kept.push_back({at->path().stem().string(),
                    std::chrono::duration_cast<std::chrono::milliseconds>(time).count()});
  }
  std::sort(kept.begin(), kept.end(), [](const Kept& a, const Kept& b) {
    return std::tie(b.kept_unix_ms, a.id) < std::tie(a.kept_unix_ms, b.id);
  });
  return kept;
}

void Shelf::Prune(const std::string& set, size_t count, const std::set<std::string>& in_use) {
  size_t kept = 0;
  for (const Kept& version : List(set)) {
    if (in_use.contains(version.id) || ++kept <= count) continue;
    for (std::string_view suffix : {kSnapshot, kMapped})
      unlink(PathOf(set, version.id, suffix).c_str());
  }
}

absl::Status Shelf::PutState(const google::protobuf::Message& state) {
  return WriteFile(folder_ + "/state", [&](Take take) { return take(state.SerializeAsString()); });
}

absl::StatusOr<bool> Shelf::GetState(google::protobuf::Message& state) const {
  auto text = ReadWhole(folder_ + "/state");
  if (absl::IsNotFound(text.status())) return false;
  SLUICE_RETURN_IF_ERROR(text.status());
  if (!state.ParseFromString(*text))
    return absl::DataLossError(base::StrCat(folder_, "/state: is damaged; remove the folder"));
  return true;
}

}  // namespace sluice::reference
