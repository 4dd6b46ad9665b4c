// Quarantine records and what has become of them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/kafka/admin.h"
#include "common/kafka/reader.h"
#include "common/privacy/seal.h"
#include "services/ctl/site.h"
#include "sluice/quarantine/v1/ledger.pb.h"
#include "sluice/quarantine/v1/payload.pb.h"

namespace sluice::ctl {

using Place = std::pair<int32_t, int64_t>;  // partition and offset in the quarantine topic

// `7/1234`. kInvalidArgument otherwise.
absl::StatusOr<Place> ParsePlace(std::string_view text);
std::string PlaceName(const Place& place);

// What a quarantine record says in the clear. Views are the read record's.
struct Quarantined {
  Place place;
  int64_t timestamp_ms = -1;
  std::string_view source;   // raw topic/partition/offset
  std::string_view reasons;  // rule ids with commas
  std::string_view paths;    // one for each
  uint32_t generation = 0;
  std::string_view topic_id;  // of the raw topic when it was read; empty: not known
  std::optional<std::string_view> sealed;
  bool reference = false;  // what is sealed only says which raw record it was

  static Quarantined From(const kafka::ReadRecord& record);
  // The rules, each once.
  std::vector<std::string_view> Rules() const;
};

// Which records. Everything given must hold.
struct Selection {
  // Of one violation of the record: any of these rule ids, where `string.*` stands for all that
  // begin so, at any of these field paths.
  std::vector<std::string> reasons;
  std::vector<std::string> paths;
  std::vector<Place> places;        // any of these
  std::optional<int64_t> since_ms;  // quarantined at or after
  std::optional<int64_t> until_ms;  // before

  bool Takes(const Quarantined& record) const;
  // As options, for the audit.
  std::string ToString() const;
};

// Ledger entries of runs have keys that begin so.
inline constexpr std::string_view kRunPrefix = "run/";

// The error where the site has no ledger, and what to do.
absl::Status WithoutLedger(const Site& site);

// What has become of each record; those that wait are not in it.
class Ledger {
 public:
  // kNotFound when the site has no ledger topic.
  static absl::StatusOr<Ledger> Read(const Site& site);

  // ACTION_UNSPECIFIED: it waits.
  quarantine::v1::Action FateOf(const Place& place) const;
  // Whether its fate is this run's work.
  bool IsOf(const Place& place, std::string_view run) const;
  size_t size() const { return fates_.size(); }
  // By id, in order of their beginning.
  const std::map<std::string, quarantine::v1::Run>& runs() const { return runs_; }

 private:
  struct Fate {
    quarantine::v1::Action action;
    uint32_t run;  // in run_ids_
  };
  absl::flat_hash_map<Place, Fate> fates_;
  absl::flat_hash_map<std::string, uint32_t> run_ids_;
  std::map<std::string, quarantine::v1::Run> runs_;
};

// What the topic holds now.
absl::StatusOr<std::vector<kafka::ReadRange>> QuarantineRanges(const Site& site);

// Hands every record of the ranges, oldest first in each partition, to `each`. Ends early, with OK,
// when it answers false.
absl::Status ReadQuarantine(const Site& site, std::span<const kafka::ReadRange> ranges,
                            const std::function<absl::StatusOr<bool>(const Quarantined&)>& each);

// How many records wait, followed cheaply: each call reads only what has come since the last one.
class QuarantineDepth {
 public:
  // The site outlives it.
  explicit QuarantineDepth(const Site& site) : site_(site) {}
  absl::StatusOr<uint64_t> Refresh();

 private:
  struct Followed {
    std::vector<int64_t> begins, next;  // by partition
    uint64_t count = 0;
  };
  absl::Status Follow(const std::string& topic, Followed& followed,
                      const std::function<bool(const kafka::ReadRecord&)>& counts);

  const Site& site_;
  Followed records_, fates_;
};

// Opens payloads; where a record only refers to its raw record, fetches that, and takes it only if
// it still is the record that was quarantined.
class PayloadOpener {
 public:
  // `private_key`: a file.
  static absl::StatusOr<PayloadOpener> Create(const Site& site, const std::string& private_key);

  // The raw record. kDataLoss: it can't be opened, or isn't there any more, and why.
  absl::StatusOr<quarantine::v1::Payload> Open(const Quarantined& record);

 private:
  absl::StatusOr<quarantine::v1::Payload> Follow(const quarantine::v1::Reference& reference,
                                                 std::string_view source);

  const Site* site_ = nullptr;
  std::unique_ptr<privacy::Unsealer> unsealer_;
  std::unique_ptr<kafka::Admin> admin_;  // made when it is first needed
  std::string topic_id_;                 // of the raw topic as it is now
};

// Where a raw record stands, by the header `sluice-src`; nullopt: not in this topic.
std::optional<Place> RawPlace(const Site& site, std::string_view source);

}  // namespace sluice::ctl
