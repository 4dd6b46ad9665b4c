// A file's text while its rows are read.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sluice::reference {

// By a copy in either case: a mapped file that is cut short while it is read would end the process.
class FileText {
 public:
  // In memory. `name` is the path in errors.
  static absl::StatusOr<FileText> Read(const std::string& path, const std::string& name);
  // In an unnamed file of the folder, mapped: for texts that are larger than memory may be.
  static absl::StatusOr<FileText> Map(const std::string& path, const std::string& name,
                                      const std::string& folder);
  ~FileText();
  FileText(FileText&& other) noexcept;
  FileText& operator=(FileText&&) = delete;

  std::string_view text() const {
    return map_ == nullptr ? std::string_view(memory_)
                           : std::string_view(static_cast<const char*>(map_), size_);
  }

 private:
  FileText() = default;

  std::string memory_;
  void* map_ = nullptr;
  size_t size_ = 0;
};

}  // namespace sluice::reference
