// A set in a file, or in the files of a folder.
#pragma once

#include <string>
#include <vector>

#include "common/reference/source.h"

namespace sluice::reference {

enum class FileFormat { kCsv, kJsonLines, kGeoJson };

class FileSource final : public Source {
 public:
  struct Options {
    std::string path;
    std::string name;  // of the path, in errors
    FileFormat format = FileFormat::kCsv;
    std::shared_ptr<const enrichment::Schema> schema;
    // Where there is no schema: the column of a CSV file that holds the key.
    std::string key;
    std::vector<std::string> not_personal;  // with key: its columns that events may get
    std::chrono::milliseconds look_interval{1000};
    Store store;
  };
  explicit FileSource(Options options) : options_(std::move(options)) {}

  // Of names, inodes, sizes, and times of change: of content, and of anything.
  absl::StatusOr<std::string> Mark() override;
  absl::StatusOr<RowsPtr> Read() override;
  std::chrono::milliseconds look_interval() const override { return options_.look_interval; }
  bool settles() const override { return true; }

 private:
  struct File {
    std::string path;
    std::string name;
  };
  absl::StatusOr<std::vector<File>> Files() const;

  const Options options_;
};

}  // namespace sluice::reference
