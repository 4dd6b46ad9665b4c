// A folder of its own for a test, a demo or a benchmark.
#pragma once

#include <stdlib.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/strings.h"

namespace sluice::test_support {

// Lies under $TMPDIR (else /tmp) and is removed with all that is in it when the object goes.
class TempDir {
 public:
  static absl::StatusOr<std::unique_ptr<TempDir>> Create(std::string_view prefix) {
    std::error_code error;
    const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
    if (error) {
      return absl::FailedPreconditionError("no temporary folder: set TMPDIR to one that exists");
    }
    std::string path = base::StrCat(parent.string(), "/", prefix, ".XXXXXX");
    if (mkdtemp(path.data()) == nullptr) {
      return absl::ErrnoToStatus(errno, base::StrCat("no folder can be made in ", parent.string(),
                                                     ": set TMPDIR to one that is writable"));
    }
    return std::unique_ptr<TempDir>(new TempDir(std::move(path)));
  }

  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;  // a process that still writes here may win the race; /tmp is cleaned
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }

 private:
  explicit TempDir(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

}  // namespace sluice::test_support
