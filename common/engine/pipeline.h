// A pipeline, compiled: what is done with every field for every audience, in flat tables.
#pragma once

#include <compare>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/contract/plan.h"
#include "common/engine/join.h"
#include "common/enrichment/table.h"
#include "common/event/output_field.h"
#include "common/privacy/generalise.h"
#include "common/privacy/pseudonymiser.h"
#include "common/validation/validator.h"
#include "sluice/config/v1/pipeline.pb.h"

namespace sluice::engine {

// What is done with a field's value for one stream.
enum class Op : uint8_t {
  kKeep,
  kMessage,  // its fields, each by its own treatment
  kConstant,
  kMask,
  kPseudonymise,
  kEncrypt,
  kFormatPreserve,
  kShiftDate,  // in text
  kShiftTime,
  kScrub,
  kAgeBand,
  kDatePart,  // of a date in text
  kTimePart,  // of a timestamp
  kPostcodePart,
  kGridLatitude,
  kGridLongitude,
  kSnapLatitude,
  kSnapLongitude,
  kAreaOf,
  kBucket,
};

// What remains of a date or time, or of a postcode, when it is generalised.
enum class Part : uint8_t { kYear, kMonth, kDay, kHour, kSector, kDistrict, kArea };

// Within what equal identifiers get equal blocks, beside their domain.
enum class Scope : uint8_t {
  kDomain,  // no further scope
  kMonth,   // of the event's time
  kQuarter,
  kYear,
  kEvent,  // the raw record
  kValue,  // the raw record and the value's path
  kShift,  // not published: the number that a person's dates are moved by
};

// One thing that is asked of the pseudonymiser for each value of an identifier.
struct Request {
  Scope scope = Scope::kDomain;
  uint32_t domain = 0;  // index into Pipeline::domains
  privacy::Form form = privacy::Form::kBlock;
  auto operator<=>(const Request&) const = default;
};

// One field of a stream's output, at one path. Children of one message are neighbours.
struct OutputNode {
  event::OutputField field;
  contract::NodeId node = contract::kNoNode;
  uint32_t position = 0;  // of the value in its message's record
  Op op = Op::kKeep;
  Part part = Part::kYear;
  bool mask_first = false;
  uint32_t request = 0;  // which of the identifier's requests is the stream's; when shifted, the
                         // person's
  uint32_t other_position =
      0;  // kGrid..., kSnap..., kAreaOf: where the point's other number stands
  // A point: the other number is zero where it is absent.
  bool other_absent_is_zero = false;
  // What the value is where it is absent: nothing, or, of a number without presence, zero.
  event::Value absent;
  // It is treated where it is absent too: a constant, a number of a point that is zero.
  bool treat_absent = false;
  // A list: an item that became nothing has no stand-in, and the list is left out with it.
  bool whole_list = false;
  int32_t grid_metres = 0;
  // kPseudonymise: within what equal identifiers get equal pseudonyms.
  Scope scope = Scope::kDomain;
  double bucket = 0;
  privacy::Buckets buckets;
  bool of_float = false;  // kBucket: what is written is the shortest decimal of a float
  // kSnap..., kAreaOf: the set (of the pipeline's tables()), and the column that is published.
  const enrichment::Table* table = nullptr;
  size_t column = 0;
  // kShiftDate, kShiftTime: the person's identifier, in the same message (other_position) or, where
  // this isn't empty, from the event's record down.
  std::vector<uint32_t> person_positions;
  contract::NodeId person = contract::kNoNode;
  int32_t shift_days_max = 0;
  // kScrub: by identifier kind, which of Pipeline::scrub_requests() its findings get, -1 for a
  // placeholder; empty: placeholders only.
  std::vector<int32_t> scrub_requests;
  std::string constant;
  config::v1::Mask mask;
  std::vector<int32_t> bands;
  uint32_t first_child = 0;
  uint32_t child_count = 0;
};

// A joined row as one stream has it.
struct StreamJoin {
  size_t join = 0;              // of Pipeline::joins()
  std::vector<size_t> columns;  // of its JoinPlan::columns; at least one
};

// Where a stream's record key comes from.
enum class KeySource : uint8_t { kEventId, kRaw, kField };

struct StreamPlan {
  std::string name;
  std::string topic;
  config::v1::Format format = config::v1::json;
  bool internal = false;
  int64_t timestamp_grid_ms = 60'000;  // of records' timestamps, where it isn't internal
  std::vector<OutputNode> nodes;       // nodes[0] is the event
  std::vector<StreamJoin> joins;       // that this stream carries
  uint32_t domain = 0;                 // index into Pipeline::domains; meaningful where has_domain
  bool has_domain = false;
  KeySource key = KeySource::kEventId;
  uint32_t key_node = 0;                // kField: index into nodes
  std::vector<uint32_t> key_positions;  // kField: from the event's record down to its message
  // The event's id and time as this stream's headers have them: an index into nodes with the
  // treatment that they get; 0 (the event itself): none.
  uint32_t id_node = 0;
  uint32_t time_node = 0;
  // By contract node: what is done, in words: `keep`, `generalise: month`; empty for messages.
  std::vector<std::string> treatments;
  // What the configuration decides about one field, by its node.
  struct Override {
    std::string path;  // as the configuration has it
    config::v1::Treatment treatment;
  };
  std::map<contract::NodeId, Override> overrides;
  // What would be an error if the configuration didn't accept it by name, with a reason.
  struct Risk {
    std::string name;  // such as join-key:ward or free-text:notes
    std::string config_path;
    std::string text;
  };
  std::vector<Risk> risks;
};

// What a field's value is where nobody knows it, as its contract lists that: such a value is
// treated as absent.
struct Placeholders {
  std::vector<std::string> texts;  // of an identifier, its canonical form; of a number, its digits
  std::vector<std::pair<int64_t, int64_t>> times;  // from this second up to that one

  bool empty() const { return texts.empty() && times.empty(); }
};

// A field of which two streams that aren't internal have something alike, although the treatment of
// one of them hides its value: who has both can tell which records are of one event, or one person.
struct AudienceLink {
  size_t stream = 0;  // of Pipeline::streams(); the pair is there both ways
  size_t other = 0;
  contract::NodeId node = contract::kNoNode;

  // What `stream` accepts it by: links-audiences:shift:visitor.births=public.
  std::string Name(std::string_view treatment, const contract::Plan& plan,
                   const std::vector<StreamPlan>& streams) const;
};
// By a shift, where the other stream shifts or keeps the field: a time's time of day, and what lies
// between two dates: of one event, of one list or repeated message, or of the records that both
// streams let be put together as one person's.
std::vector<AudienceLink> LinksByShift(const contract::Plan& plan,
                                       const std::vector<StreamPlan>& streams);
// By a mask, where the other stream masks or keeps the field: its length, and what it shows.
std::vector<AudienceLink> LinksByMask(const contract::Plan& plan,
                                      const std::vector<StreamPlan>& streams);

// Whether a reason that a stream gives in `accept` says anything.
bool IsReason(std::string_view text);

// An identifier that is checked or pseudonymised, what scrubbing needs to see, or a message on the
// way to one.
struct IdentifierNode {
  enum class Role : uint8_t { kIdentifier, kName, kNumber, kBirth, kText, kPlain };
  // kName, kNumber: an identifier that is also looked for in texts. kPlain: here for its
  // placeholders only.
  Role role = Role::kIdentifier;
  contract::NodeId node = contract::kNoNode;
  uint32_t position = 0;
  std::vector<Request> requests;  // ascending; empty: only checked
  Placeholders placeholders;
  uint32_t first_child = 0;
  uint32_t child_count = 0;
};

// Immutable, shared by all workers.
class Pipeline {
 public:
  struct Options {
    std::shared_ptr<const contract::Plan> contract;
    config::v1::Pipeline config;
    // The reference sets that `enrich` and treatments may name.
    Tables tables;
    // Where a key of the configuration stands (`pipeline.streams[0].treat[PHONE]` ->
    // `stops.yaml:14`), for errors. May be null.
    std::function<std::string(std::string_view path)> locate;
    // Whether a mistake there only follows from one that the caller reports itself: it is left out
    // of the error, whose text may then be empty. May be null.
    std::function<bool(std::string_view path)> follows;
  };

  // Every mistake is reported at once, one line each: where, which field, what to change. In
  // particular, a classified field without a treatment in some stream is an error here, not a leak
  // later.
  static absl::StatusOr<std::shared_ptr<const Pipeline>> Compile(Options options);

  const contract::Plan& contract() const { return *contract_; }
  const validation::Validator& validator() const { return *validator_; }
  const config::v1::Pipeline& config() const { return config_; }
  const std::vector<StreamPlan>& streams() const { return streams_; }
  const std::vector<JoinPlan>& joins() const { return joins_; }
  // identifiers()[0] is the event.
  const std::vector<IdentifierNode>& identifiers() const { return identifiers_; }
  // Some stream scrubs texts.
  bool scrubs() const { return scrubs_; }
  // By identifier kind: what is asked for each value found in a text that is scrubbed.
  const std::vector<std::vector<Request>>& scrub_requests() const { return scrub_requests_; }
  // Names of all domains that streams pseudonymise in.
  const std::vector<std::string>& domains() const { return domains_; }
  // By index into domains(): those of the streams that aren't internal, which know an event only by
  // the pseudonyms of its position.
  const std::vector<uint32_t>& position_domains() const { return position_domains_; }
  // Positions from the event's record down to its time; empty when a message on the way repeats.
  const std::vector<uint32_t>& time_positions() const { return time_positions_; }
  const std::vector<uint32_t>& id_positions() const { return id_positions_; }
  // The sets that outputs depend on, each once: the joins', those that these keep within, and the
  // treatments'.
  const Tables& tables() const { return tables_; }

  // SHA-256 of contract and pipeline, 32 hex digits: the header `sluice-plan`.
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  friend class PipelineCompiler;
  Pipeline() = default;

  std::shared_ptr<const contract::Plan> contract_;
  std::unique_ptr<const validation::Validator> validator_;
  config::v1::Pipeline config_;
  std::vector<StreamPlan> streams_;
  std::vector<JoinPlan> joins_;
  std::vector<IdentifierNode> identifiers_;
  bool scrubs_ = false;
  std::vector<std::vector<Request>> scrub_requests_;
  std::vector<std::string> domains_;
  std::vector<uint32_t> position_domains_;
  std::vector<uint32_t> time_positions_;
  std::vector<uint32_t> id_positions_;
  Tables tables_;
  std::string fingerprint_;
};

}  // namespace sluice::engine
