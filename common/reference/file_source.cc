#include "common/reference/file_source.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/enrichment/csv.h"
#include "common/enrichment/row_reader.h"

namespace sluice::reference {
namespace {

namespace fs = std::filesystem;
using enrichment::Schema;

std::string_view Extension(FileFormat format) {
  return format == FileFormat::kCsv         ? ".csv"
         : format == FileFormat::kJsonLines ? ".jsonl"
                                            : ".geojson";
}

absl::Status ReadRows(FileFormat format, std::string_view text, std::string_view name,
                      enrichment::RowSink& sink, enrichment::ColumnsSeen& seen) {
  switch (format) {
    case FileFormat::kCsv:
      return enrichment::ReadCsv(text, name, sink);
    case FileFormat::kJsonLines:
      return enrichment::ReadJsonLinesPart(text, name, sink, seen);
    default:
      return enrichment::ReadGeoJsonPart(text, name, sink, seen);
  }
}

// Of a CSV file's header.
absl::StatusOr<std::shared_ptr<const Schema>> SchemaOf(std::string_view text,
                                                       const std::string& key,
                                                       const std::vector<std::string>& not_personal,
                                                       const std::string& name) {
  auto in_source = [&](std::string_view where, const absl::Status& status) {
    return absl::InvalidArgumentError(
        base::StrCat(name, ": ", where, base::View(status.message())));
  };
  auto reader = enrichment::CsvReader::Create(text);
  if (!reader.ok()) return in_source("", reader.status());
  auto schema = Schema::OfTexts(reader->header(), key, not_personal);
  if (!schema.ok()) return in_source("line 1: ", schema.status());
  return *std::move(schema);
}

}  // namespace

absl::StatusOr<std::vector<FileSource::File>> FileSource::Files() const {
  std::error_code error;
  if (!fs::is_directory(options_.path, error))
    return std::vector<File>{{options_.path, options_.name}};
  std::vector<File> files;
  for (fs::directory_iterator at(options_.path, error), end; !error && at != end;
       at.increment(error)) {
    std::string file = at->path().filename().string();
    if (file[0] == '.' || at->path().extension() != Extension(options_.format)) continue;
    files.push_back({at->path().string(), base::StrCat(options_.name, "/", file)});
  }
  if (error) return absl::UnavailableError(base::StrCat(options_.name, ": can't be listed"));
  if (files.empty()) {
    return absl::NotFoundError(
        base::StrCat(options_.name, ": has no *", Extension(options_.format), " files"));
  }
  std::sort(files.begin(), files.end(),
            [](const File& a, const File& b) { return a.path < b.path; });
  return files;
}

absl::StatusOr<std::string> FileSource::Mark() {
  SLUICE_ASSIGN_OR_RETURN(std::vector<File> files, Files());
  std::string mark;
  for (const File& file : files) {
    struct stat found {};
    if (stat(file.path.c_str(), &found) != 0)
      return absl::NotFoundError(base::StrCat(file.name, ": can't be read"));
    base::StrAppend(mark, file.path, ' ', static_cast<uint64_t>(found.st_ino), ' ',
                    static_cast<int64_t>(found.st_size), ' ',
                    static_cast<int64_t>(found.st_mtim.tv_sec), '.',
                    static_cast<int64_t>(found.st_mtim.tv_nsec), ' ',
                    static_cast<int64_t>(found.st_ctim.tv_sec), '.',
                    static_cast<int64_t>(found.st_ctim.tv_nsec), '\n');
  }
  return mark;
}

absl::StatusOr<RowsPtr> FileSource::Read() {
  SLUICE_ASSIGN_OR_RETURN(std::string before, Mark());
  SLUICE_ASSIGN_OR_RETURN(std::vector<File> files, Files());
  std::shared_ptr<const Schema> schema = options_.schema;
  std::unique_ptr<VersionBuilder> builder;
  std::optional<enrichment::ColumnsSeen> seen;
  absl::Status wrong;
  for (const File& file : files) {
    SLUICE_ASSIGN_OR_RETURN(FileText read, options_.store.Read(file.path, file.name));
    const std::string_view text = read.text();
    if (schema == nullptr) {
      auto found = SchemaOf(text, options_.key, options_.not_personal, file.name);
      wrong = found.status();
      if (!wrong.ok()) break;
      schema = *std::move(found);
    }
    if (builder == nullptr) {
      SLUICE_ASSIGN_OR_RETURN(builder, options_.store.Begin(schema));
      seen.emplace(*schema);
    }
    wrong = ReadRows(options_.format, text, file.name, *builder, *seen);
    if (!wrong.ok()) break;
  }
  // A CSV file has its columns' names in it.
  if (wrong.ok() && options_.format != FileFormat::kCsv &&
      builder->size() + builder->never_hold() > 0)
    wrong = seen->Check(options_.name);
  if (absl::IsCancelled(wrong)) return wrong;
  absl::StatusOr<RowsPtr> rows = wrong.ok() ? builder->Finish() : wrong;
  if (builder != nullptr) never_hold_ = builder->never_hold();
  if (wrong.ok() && !rows.ok() && builder->size() == 0) {
    rows = absl::InvalidArgumentError(
        base::StrCat(options_.name, ": ", base::View(rows.status().message())));
  }
  // What was wrong may only have been half of a file.
  SLUICE_ASSIGN_OR_RETURN(std::string after, Mark());
  if (after != before)
    return absl::UnavailableError(base::StrCat(options_.name, ": is being written"));
  return rows;
}

}  // namespace sluice::reference
