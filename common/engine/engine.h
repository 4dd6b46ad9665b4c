// One batch of raw bytes -> outcomes. No I/O, no thread, no clock: the same input gives the same
// bytes.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/arena.h"
#include "common/base/buffer.h"
#include "common/engine/outcome.h"
#include "common/engine/pipeline.h"
#include "common/engine/self_check.h"
#include "common/event/json_reader.h"
#include "common/event/protobuf_reader.h"
#include "common/privacy/pseudonymiser.h"
#include "common/privacy/scrub.h"
#include "common/privacy/seal.h"

namespace sluice::engine {

// One per worker; single-threaded. Allocates nothing per event in the steady state.
//
// The work on a chunk has three steps, so that its owner can time them and the second may go over a
// network: Read -> Pseudonymise -> Write. Only Write hands anything to the sink, so that a chunk
// whose pseudonyms can't be had leaves nothing behind.
//
// What a chunk's events take once they are read is bounded: a chunk that takes more than
// kPieceBytesMax is worked on in pieces, each of which is read again for each step.
//
// An exception while an event is worked on sends that event to quarantine, by the rule kDefect, and
// the others go on; where a whole piece was at work, the piece is divided until the event is found.
// What the exception says goes nowhere: it may hold a value.
class Engine {
 public:
  // A defect of this program that the event brings out.
  static constexpr std::string_view kDefect = "sluice.defect";
  static constexpr size_t kPieceBytesMax = 8 * 1024 * 1024;
  // An identifier's canonical form; beyond, rule sluice.identifier_too_long. Keys that are asked
  // for over a network get it in one request.
  static constexpr size_t kCanonicalBytesMax = 256 * 1024;

  // Pseudonymiser and sealer outlive the engine and are its alone. An error names a domain that
  // isn't there.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(std::shared_ptr<const Pipeline> pipeline,
                                                        privacy::Pseudonymiser& pseudonymiser,
                                                        privacy::Sealer& sealer);

  // Parses, checks and joins. The records must stay until Write. Those whose indexes are in
  // `condemned` are not looked at: they go to quarantine as defects. `alone`: each step works on
  // one record at a time, and at_work says which.
  void Read(std::span<const InputRecord> records, std::span<const size_t> condemned = {},
            bool alone = false);
  // Rows that are missing and that some event of the chunk is to wait for.
  struct Wait {
    std::string_view set;    // of one of them
    int64_t until_ms = 0;    // by the records' times, since the epoch
    int64_t at_most_ms = 0;  // whatever these say
  };
  // After Read. Going on to Write means that the wait is over.
  const std::optional<Wait>& wait() const { return wait_; }
  // kUnavailable: try again, with the same chunk.
  absl::Status Pseudonymise();
  // An error is the sink's.
  absl::Status Write(OutcomeSink& sink);

  // Sends synthetic events through the same steps, and looks through what would be published of
  // them before anything is: kDataLoss names the stream and the field that shows. Not between Read
  // and Write of a chunk. Nothing of it is counted, and no contract's rule is asked. kUnavailable
  // as Pseudonymise.
  absl::Status CheckSelf();

  // The three steps.
  absl::Status Process(std::span<const InputRecord> records, OutcomeSink& sink);

  // The next quarantine records are sealed under another key, and pseudonyms may be of newer
  // epochs; memory that a batch of large events took is given back. Call it at every batch border;
  // what Read and Write pointed to is gone.
  void NewBatch();

  // Of the chunk at hand: events that are known to be defects. After Write, all that are.
  size_t defects() const {
    return static_cast<size_t>(std::count(defects_.begin(), defects_.end(), 1));
  }
  // What Write has done since the tally was last cleared; the owner clears it.
  Tally& tally() { return tally_; }
  // Of the piece at hand, by record: of the whole chunk, where that is one piece.
  const event::Event& event(size_t record) const { return entries_[record].event; }
  // Bytes that are held for the chunk.
  size_t memory_bytes() const {
    return arena_.capacity() + out_.capacity() + batch_.bytes().capacity();
  }
  // Where the record stands that is being worked on, for whoever has to say what the program died
  // of; null between records, and while keys are asked for several. The place outlives the engine.
  using AtWork = std::atomic<const InputRecord*>;
  void ShowWork(AtWork* at_work) { at_work_ = at_work; }

 private:
  // As a value's `identifier`: the value is blank or says nothing, so it identifies nobody, and a
  // pseudonym would link all who have such a value.
  static constexpr uint16_t kNobody = 0xFFFF;

  enum class Fate : uint8_t { kClean, kQuarantined, kSuppressed };
  struct Entry {
    event::Event event;
    Fate fate = Fate::kClean;
    std::string_view position;      // topic/partition/offset
    uint32_t first_identifier = 0;  // in first_targets_
    uint32_t identifier_count = 0;
    size_t position_target = 0;
    int64_t seconds = 0;        // the event's time
    int64_t civil_seconds = 0;  // the same on the wall clock of the event's zone (CivilSeconds)
    bool has_time = false;
    size_t first_row = 0;   // in rows_, one for each join
    size_t first_text = 0;  // in texts_
    size_t text_count = 0;
    size_t first_found = 0;               // in found_
    privacy::PseudonymBatch::Mark asked;  // where the batch was before it
  };
  // A stream's record of the event that is being written.
  struct Prepared {
    CleanRecord record;
    size_t begin = 0;  // of the value, in out_
    size_t end = 0;
    std::array<Header, 10> headers;  // room for all there can be
  };

  // A value found in a text, and the first of its targets.
  struct Found {
    privacy::Finding finding;
    std::optional<size_t> target;
  };
  // A text that is scrubbed.
  struct Text {
    event::Value* value = nullptr;
    contract::NodeId node = contract::kNoNode;
    std::string_view path;
    size_t first_found = 0;  // in found_
    size_t found_count = 0;
  };

  Engine(std::shared_ptr<const Pipeline> pipeline, privacy::Pseudonymiser& pseudonymiser,
         privacy::Sealer& sealer);

  // Records that are worked on together, from `begin` to `end` of the chunk.
  struct Piece {
    size_t begin = 0, end = 0;
    privacy::PseudonymAnswer answer;  // where there are several pieces
  };
  // Reads from `begin` to `end`, or, where it is `bounded`, as much as one piece may take; returns
  // its end.
  size_t ReadPiece(size_t begin, size_t end, bool bounded);
  size_t PieceBytes(size_t repairs) const;
  void Show(const InputRecord* record) { at_work_->store(record, std::memory_order_relaxed); }
  void Reread(size_t piece);
  void ForgetPiece();
  void BeginEntry(const InputRecord& record, Entry& entry);
  void ReadOne(const InputRecord& record, Entry& entry);
  // Of an event that was read: its time, and what identifies in it.
  void CollectIdentifiers(Entry& entry);
  void TakeBack(const Entry& entry);
  void MarkDefect(const InputRecord& record, Entry& entry);
  // Whether it is clean in all streams; otherwise it says why not.
  bool PrepareAll(const InputRecord& record, Entry& entry, OutcomeSink& sink);
  void SetPrefixes();
  void Divide(size_t piece);
  std::string_view Position(const InputRecord& record);
  bool Unframe(std::string_view& value, event::Event& event) const;
  void CollectIdentifiers(const IdentifierNode& parent, event::Value* record, Entry& entry);
  void Identify(const IdentifierNode& identifier, event::Value& value, Entry& entry);
  // Ends the batch's value that begins at `begin` and adds what is asked of it, in the scopes that
  // apply; `path` is the value's. False: there is a period, and the event has no time.
  bool AddRequests(const std::vector<Request>& requests, privacy::IdentifierKind kind,
                   std::string_view path, size_t begin, const Entry& entry);
  bool SetScope(Scope scope, std::string_view path, const Entry& entry);
  // Finds what identifies in the event's texts, once all its names are known.
  void FindInTexts(Entry& entry);
  void AppendScrubbed(const OutputNode& node, const Text& text, std::string& out);
  std::string_view PathOf(const contract::Node& node);
  void Join(const InputRecord& record, Entry& entry);
  void CountJoins(const Entry& entry);
  void Violate(Entry& entry, std::string_view rule, contract::NodeId node);

  absl::Status WriteOne(const InputRecord& record, Entry& entry, OutcomeSink& sink);
  bool Prepare(const InputRecord& record, Entry& entry, const StreamPlan& stream,
               Prepared& prepared);
  void PrepareHeaders(const InputRecord& record, Entry& entry, const StreamPlan& stream,
                      size_t index, Prepared& prepared);
  absl::Status Quarantine(const InputRecord& record, Entry& entry, OutcomeSink& sink);
  template <typename Writer>
  bool WriteEvent(Writer writer, const StreamPlan& stream, Entry& entry);
  template <typename Writer>
  bool WriteFields(Writer& writer, const StreamPlan& stream, const OutputNode& message,
                   const event::Value* record, Entry& entry);
  template <typename Writer>
  bool WriteList(Writer& writer, const StreamPlan& stream, const OutputNode& node,
                 const event::Value& list, const event::Value* record, Entry& entry);
  // Nothing, where an item has become nothing.
  template <typename Writer>
  bool WriteWholeList(Writer& writer, const OutputNode& node, const event::Value& list,
                      const event::Value* record, Entry& entry);
  template <typename Writer>
  bool WriteMap(Writer& writer, const StreamPlan& stream, const OutputNode& node,
                const event::Value& map, Entry& entry);
  template <typename Writer>
  void WriteJoin(Writer& writer, const StreamJoin& carried, const Entry& entry);

  // Counts, once for the event, that a field's value stood for none.
  static void Placeholder(contract::NodeId node, Entry& entry);
  bool IsPlaceholder(const IdentifierNode& identifier, const event::Value& value);
  std::string_view KeyOf(const OutputNode& node, const event::Value& value);
  // The value as the stream has it, nothing where it is treated to nothing; false, and a violation,
  // when it can't be treated so.
  bool Treat(const OutputNode& node, const event::Value& value, const event::Value* record,
             Entry& entry, event::Value& out);
  std::string_view PseudonymText(size_t target);
  // The target of an identifier's value for a stream's request.
  size_t TargetOf(const event::Value& value, uint32_t request, const Entry& entry) const {
    return first_targets_[entry.first_identifier + value.identifier - 1] + request;
  }
  // By how many days the dates of the person whose identifier is at `node` are moved; nullopt: the
  // person isn't known.
  std::optional<int64_t> ShiftDays(const OutputNode& node, const event::Value* record,
                                   const Entry& entry) const;
  const event::Value* Find(const std::vector<uint32_t>& positions, const Entry& entry) const {
    return ValueAt(entry.event.fields, positions);
  }
  // The row of a treatment's map that a point has; kNoRow: none, or it isn't a point.
  enrichment::RowId PlaceOf(const OutputNode& node, const event::Value& value,
                            const event::Value& other, const Entry& entry);
  std::string_view EventId(const StreamPlan& stream, Entry& entry, bool& treated);
  std::string_view EventTime(const StreamPlan& stream, const Entry& entry);

  const std::shared_ptr<const Pipeline> pipeline_;
  privacy::Pseudonymiser& pseudonymiser_;
  privacy::Sealer& sealer_;
  event::JsonReader json_reader_;
  event::ProtobufReader protobuf_reader_;
  const std::vector<int> message_index_;  // of a schema registry's frame for protobuf

  // By the pipeline's indexes, as the pseudonymiser numbers them.
  std::vector<uint16_t> domains_;
  // By identifier node: where blocks in the whole domain are all that is asked.
  std::vector<std::vector<uint16_t>> identifier_domains_;
  std::vector<uint16_t> position_domains_;
  std::string reference_header_;
  std::string source_header_;

  // The chunk at hand.
  std::span<const InputRecord> records_;
  std::vector<Piece> pieces_;
  size_t piece_ = 0;              // the one that entries_ and all below are of
  std::vector<uint8_t> defects_;  // by record
  bool alone_ = false;
  AtWork no_work_ = nullptr;
  AtWork* at_work_ = &no_work_;
  std::vector<Entry> entries_;
  base::Arena arena_;
  privacy::PseudonymBatch batch_;
  privacy::PseudonymAnswer answer_;
  std::vector<std::string> prefixes_;    // of pseudonyms, by the pseudonymiser's domains
  std::vector<uint32_t> first_targets_;  // by identifier
  std::vector<enrichment::RowId> rows_;
  std::optional<Wait> wait_;
  std::vector<uint32_t> indexes_;           // of lists that are open
  std::vector<std::string_view> map_keys_;  // treated, of maps that are open
  base::Buffer out_;
  base::Buffer key_;                 // of the record at hand
  std::vector<event::Value> items_;  // of the list at hand
  std::vector<Prepared> prepared_;
  std::string scratch_;
  std::string scope_;  // of the value at hand
  privacy::Scrubber scrubber_;
  std::vector<Text> texts_;
  std::vector<Found> found_;
  std::unique_ptr<const SelfCheck> self_check_;  // made when it is first asked for
  InputRecord self_check_record_;
  Tally tally_;
};

}  // namespace sluice::engine
