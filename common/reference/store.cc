#include "common/reference/store.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/reference/lmdb_builder.h"
#include "common/reference/lmdb_table.h"

namespace sluice::reference {

using enrichment::RowSet;
using enrichment::Schema;

namespace {

namespace fs = std::filesystem;

// Seldom enough to cost nothing.
class Interruptible : public VersionBuilder {
 public:
  explicit Interruptible(std::shared_ptr<const Interrupt> interrupt)
      : interrupt_(std::move(interrupt)) {}

 protected:
  absl::Status Check() {
    if ((++rows_ & 1023) != 0 || interrupt_ == nullptr || !interrupt_->raised())
      return absl::OkStatus();
    return absl::CancelledError("interrupted");
  }

 private:
  const std::shared_ptr<const Interrupt> interrupt_;
  uint64_t rows_ = 0;
};

class MemoryBuilder final : public Interruptible {
 public:
  MemoryBuilder(std::shared_ptr<const Schema> schema, size_t bytes_max,
                std::shared_ptr<const Interrupt> interrupt)
      : Interruptible(std::move(interrupt)), bytes_max_(bytes_max), rows_(std::move(schema)) {}
  const Schema& schema() const override { return rows_.schema(); }
  absl::Status Add(std::span<const event::Value> row, const enrichment::RowPlace& place) override {
    SLUICE_RETURN_IF_ERROR(Check());
    // Its cells twice, as they are put in order, its place in the order, and its texts.
    bytes_ += 2 * row.size_bytes() + kRowBytes;
    for (const event::Value& value : row)
      if (value.kind == event::ValueKind::kText) bytes_ += value.size;
    if (bytes_ > bytes_max_) {
      return enrichment::RowError(
          schema(), row, place,
          base::StrCat("the rows take more than ", bytes_max_,
                       " bytes of memory: set store: mapped, or take rows and columns out"));
    }
    return rows_.Add(row, place);
  }
  size_t size() const override { return rows_.size(); }
  uint64_t never_hold() const override { return rows_.never_hold(); }
  absl::StatusOr<RowsPtr> Finish() override { return rows_.Finish(); }

 private:
  static constexpr size_t kRowBytes = 128;
  const size_t bytes_max_;
  size_t bytes_ = 0;
  RowSet::Builder rows_;
};

class MappedBuilder final : public Interruptible {
 public:
  MappedBuilder(std::string set, std::string file, bool named, std::unique_ptr<LmdbBuilder> rows,
                std::shared_ptr<const Interrupt> interrupt)
      : Interruptible(std::move(interrupt)),
        set_(std::move(set)),
        file_(std::move(file)),
        named_(named),
        rows_(std::move(rows)) {}
  const Schema& schema() const override { return rows_->schema(); }
  absl::Status Add(std::span<const event::Value> row, const enrichment::RowPlace& place) override {
    SLUICE_RETURN_IF_ERROR(Check());
    return rows_->Add(row, place);
  }
  size_t size() const override { return rows_->size(); }
  uint64_t never_hold() const override { return rows_->never_hold(); }
  absl::StatusOr<RowsPtr> Finish() override {
    SLUICE_RETURN_IF_ERROR(rows_->Finish().status());
    auto table = LmdbTable::Open(set_, file_);
    if (!named_ || !table.ok()) unlink(file_.c_str());
    SLUICE_RETURN_IF_ERROR(table.status());
    if (!named_) return *table;
    // Where it is kept, it has another name by then.
    return RowsPtr(table->get(), [held = *table, file = file_](const enrichment::Rows*) mutable {
      held.reset();
      unlink(file.c_str());
    });
  }

 private:
  const std::string set_, file_;
  const bool named_;
  const std::unique_ptr<LmdbBuilder> rows_;
};

}  // namespace

Store Store::Mapped(std::string set, std::string folder) {
  Store store;
  store.mapped_ = true;
  store.set_ = std::move(set);
  store.folder_ = std::move(folder);
  return store;
}

absl::StatusOr<std::string> Store::Folder() const {
  std::error_code error;
  fs::path folder = folder_.empty() ? fs::temp_directory_path(error) : fs::path(folder_) / set_;
  if (!error) fs::create_directories(folder, error);
  if (!error) return folder.string();
  return absl::ResourceExhaustedError(
      base::StrCat(folder.string(), ": can't be made: ", error.message()));
}

absl::StatusOr<std::unique_ptr<VersionBuilder>> Store::Begin(
    std::shared_ptr<const Schema> schema) const {
  if (!mapped_)
    return std::make_unique<MemoryBuilder>(std::move(schema), memory_bytes_max_, interrupt_);
  SLUICE_ASSIGN_OR_RETURN(std::string folder, Folder());
  static std::atomic<uint64_t> files = 0;
  std::string file =
      base::StrCat(folder, "/rows.new-", static_cast<int64_t>(getpid()), "-", ++files);
  SLUICE_ASSIGN_OR_RETURN(auto rows, LmdbBuilder::Create(file, std::move(schema)));
  return std::make_unique<MappedBuilder>(set_, file, !folder_.empty(), std::move(rows), interrupt_);
}

absl::StatusOr<FileText> Store::Read(const std::string& path, const std::string& name) const {
  if (!mapped_) return FileText::Read(path, name);
  SLUICE_ASSIGN_OR_RETURN(std::string folder, Folder());
  return FileText::Map(path, name, folder);
}

}  // namespace sluice::reference
