// Where a reference set's rows come from: files, a database, a topic.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/kafka/connection.h"
#include "common/reference/interrupt.h"
#include "common/reference/store.h"
#include "sluice/config/v1/reference_set.pb.h"

namespace sluice::reference {

// Single-threaded. Every wait has a bound. Errors: kUnavailable: the source is away or was just
// being written, so that trying again may help; kCancelled: the interrupt was raised;
// kResourceExhausted: there is no room for its rows; any other: what it has is wrong, and stays so
// until it is changed.
class Source {
 public:
  virtual ~Source() = default;

  // Tells one state of the source from another without reading its rows. Empty: that can't be told.
  virtual absl::StatusOr<std::string> Mark() = 0;
  // All rows as they are now.
  virtual absl::StatusOr<RowsPtr> Read() = 0;
  // The next Read builds on nothing that was read before.
  virtual void Forget() {}
  virtual std::chrono::milliseconds look_interval() const = 0;
  // A state counts once two looks in a row have seen it: it may be half written.
  virtual bool settles() const { return false; }
  // Of the last Read: rows that were left out, as they never hold.
  uint64_t never_hold() const { return never_hold_; }

 protected:
  uint64_t never_hold_ = 0;
};

struct SourceOptions {
  // A path of the configuration as this process reaches it.
  std::function<std::string(const std::string&)> resolve;
  // Of topics.
  kafka::ConnectionOptions kafka;
  // Of files.
  std::chrono::milliseconds look_interval{1000};
  // Of sets that are mapped: Store's.
  std::string folder;
  // Ends what the sources do.
  std::shared_ptr<const Interrupt> interrupt = std::make_shared<Interrupt>();
};

// `set` has been found right by CheckSet.
absl::StatusOr<std::unique_ptr<Source>> MakeSource(const config::v1::ReferenceSet& set,
                                                   const SourceOptions& options);

// What a set is read from, in a few words without a secret: `boroughs.csv`, `topic units`.
std::string SourceName(const config::v1::ReferenceSet& set);

// The files and folders that a set is read from, as the configuration names them; empty: none.
std::string SourceFile(const config::v1::ReferenceSet& set);

// Tells every mistake in a set's configuration by its path below the set, such as `rows_min`.
void CheckSet(const config::v1::ReferenceSet& set,
              const std::function<void(std::string_view path, std::string_view what)>& problem);

}  // namespace sluice::reference
