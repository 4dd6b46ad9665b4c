// One set's way from its source to a version that may be used.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/reference/source.h"

namespace sluice::reference {

// Looks at the source and reads it where it is another; what the rows are held to is the caller's.
// Whatever the source's own mark says, it is read in full once every full_read_interval: a mark can
// miss a change, such as that of a transaction that commits behind a later one. Single-threaded.
class SetLoader {
 public:
  // `clock` outlives it.
  SetLoader(config::v1::ReferenceSet config, std::unique_ptr<Source> source,
            const base::Clock& clock)
      : config_(std::move(config)), source_(std::move(source)), clock_(clock) {}

  const config::v1::ReferenceSet& config() const { return config_; }

  // Whether it is time to look.
  bool Due() const { return clock_.Now() >= look_at_; }
  // Whether it is time to read the source in full, whatever its mark says.
  bool FullReadDue() const { return clock_.Now() >= full_read_at_; }
  std::chrono::milliseconds full_read_interval() const;
  // Rows where the source is another than when it was last read, and stands still; null: it isn't,
  // or doesn't yet. `anyway`: reads it as it is. An error is told once for each state of the
  // source, and again at each look while the source is away.
  absl::StatusOr<RowsPtr> Look(bool anyway);
  // When the last read began that gave rows; nullopt: none has yet.
  std::optional<std::chrono::steady_clock::time_point> read_at() const { return read_at_; }
  // Rows of it that were left out, as they never hold.
  uint64_t never_hold() const { return source_->never_hold(); }
  // The source is another than when it was last read, and was seen so only once.
  bool Settling() const { return settling_; }
  // The state that was last read is to be read again.
  void Forget() { read_.reset(); }

 private:
  const config::v1::ReferenceSet config_;
  const std::unique_ptr<Source> source_;
  const base::Clock& clock_;
  std::chrono::steady_clock::time_point look_at_{}, full_read_at_{};
  std::optional<std::chrono::steady_clock::time_point> read_at_;
  // Marks: of what was last read, and of the last look.
  std::optional<std::string> read_, seen_;
  bool settling_ = false;
};

}  // namespace sluice::reference
