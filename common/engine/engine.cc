#include "common/engine/engine.h"

#include <algorithm>
#include <charconv>

#include "common/base/short_bytes.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/engine/calendar.h"
#include "common/engine/quarantine_payload.h"
#include "common/event/json_writer.h"
#include "common/event/protobuf_writer.h"
#include "common/event/time_text.h"
#include "common/privacy/identifier.h"
#include "common/privacy/pseudonym.h"
#include "common/privacy/visible.h"

namespace sluice::engine {

using contract::Cardinality;
using contract::Node;
using event::Value;
using event::ValueKind;

namespace {

// A text as it is, an integer in decimal.
std::string_view TextOf(const Value& value, char (&digits)[24]) {
  if (value.kind == ValueKind::kText) return value.text();
  char* end = value.kind == ValueKind::kInt
                  ? std::to_chars(digits, digits + 24, value.integer).ptr
                  : std::to_chars(digits, digits + 24, value.unsigned_integer).ptr;
  return {digits, static_cast<size_t>(end - digits)};
}

// W3C Trace Context, version 00: version-traceid-parentid-flags in lower-case hex, neither id all
// zeros. Nothing else passes: a date or a phone number is made of the same characters.
bool IsTraceparent(std::string_view text) {
  constexpr size_t kBytes = 55;
  if (text.size() != kBytes || !text.starts_with("00-")) return false;
  for (size_t i = 0; i < kBytes; ++i) {
    const bool dash = i == 2 || i == 35 || i == 52;
    const char c = text[i];
    if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return text.substr(3, 32).find_first_not_of('0') != text.npos &&
         text.substr(36, 16).find_first_not_of('0') != text.npos;
}

constexpr std::string_view kReferenceMissing = "sluice.reference_missing";
constexpr uint32_t kIdentifiersMax = 65'000;  // Value::identifier has 16 bits, and kNobody

// Whether every byte is ASCII and no control character; eight at a time.
bool IsPrintableAscii(std::string_view text) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  uint64_t seen = 0;
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    // The high bit of a byte beyond ASCII, or below a space, or of DEL; exact as long as none is.
    seen |= word | (word - 0x20 * kOnes) | (word + kOnes);
  }
  for (; i < text.size(); ++i) seen |= text[i] < 0x20 || text[i] == 0x7F ? 0x80 : 0;
  return (seen & 0x80 * kOnes) == 0;
}

// Whether a text can be a CloudEvents attribute: there is something of it, and none of its
// characters are control characters or noncharacters (CloudEvents 1.0.2, section 3.1).
bool IsAttribute(std::string_view text) {
  if (privacy::IsBlank(text)) return false;
  if (IsPrintableAscii(text)) return true;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7F) return false;
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    if (byte == 0xC2 && next < 0xA0) return false;  // U+0080 to U+009F
    if (i + 2 >= text.size()) continue;
    const auto last = static_cast<unsigned char>(text[i + 2]);
    if (byte == 0xEF && next == 0xB7 && last >= 0x90 && last <= 0xAF) return false;  // U+FDD0...
    if (next == 0xBF && (last == 0xBE || last == 0xBF) && (byte == 0xEF || (byte & 0xCF) == 0x8F))
      return false;  // U+FFFE, U+FFFF and those of the planes above
  }
  return true;
}

event::Limits LimitsOf(const Pipeline& pipeline) {
  event::Limits limits;
  if (int32_t bytes = pipeline.config().input().event_bytes_max(); bytes > 0) {
    limits.event_bytes_max = static_cast<size_t>(bytes);
  }
  if (int32_t bytes = pipeline.config().input().parsed_bytes_max(); bytes > 0) {
    limits.parsed_bytes_max = static_cast<size_t>(bytes);
  }
  return limits;
}

// Where a message stands in its file: its index and those of the messages around it, from the
// outermost on.
std::vector<int> MessageIndexOf(const google::protobuf::Descriptor& message) {
  std::vector<int> indexes;
  for (const auto* at = &message; at != nullptr; at = at->containing_type())
    indexes.insert(indexes.begin(), at->index());
  return indexes;
}

// A zigzag varint, as a frame has them; nullopt: there is none, or none that counts messages.
std::optional<uint32_t> TakeZigzag(std::string_view& bytes) {
  uint64_t bits = 0;
  for (size_t i = 0; i < std::min<size_t>(bytes.size(), 5); ++i) {
    const auto byte = static_cast<uint8_t>(bytes[i]);
    bits |= uint64_t{byte & 0x7Fu} << (7 * i);
    if ((byte & 0x80) != 0) continue;
    bytes.remove_prefix(i + 1);
    if ((bits & 1) != 0 || bits >> 32 != 0) return std::nullopt;
    return static_cast<uint32_t>(bits >> 1);
  }
  return std::nullopt;
}

// Takes the indexes off the frame: how many they are, and they, as zigzag varints. A count of zero
// stands for the file's first message, whose long form is a count of one and the index zero.
bool TakeMessageIndex(const std::vector<int>& expected, std::string_view& bytes) {
  std::optional<uint32_t> count = TakeZigzag(bytes);
  if (!count) return false;
  if (*count == 0) return expected.size() == 1 && expected[0] == 0;
  if (*count != expected.size()) return false;
  for (int index : expected) {
    if (TakeZigzag(bytes) != static_cast<uint32_t>(index)) return false;
  }
  return true;
}

}  // namespace

void Tally::Add(const Tally& other) {
  in += other.in;
  clean += other.clean;
  quarantined += other.quarantined;
  suppressed += other.suppressed;
  unknown_fields += other.unknown_fields;
  for (const auto& [rule, count] : other.violations) violations[rule] += count;
  repairs.resize(std::max(repairs.size(), other.repairs.size()));
  for (size_t i = 0; i < other.repairs.size(); ++i) repairs[i] += other.repairs[i];
  for (size_t i = 0; i < scrubbed.size(); ++i) scrubbed[i] += other.scrubbed[i];
  joined += other.joined;
  hits.resize(std::max(hits.size(), other.hits.size()));
  for (size_t i = 0; i < other.hits.size(); ++i) hits[i] += other.hits[i];
}

void Tally::Clear() {
  in = clean = quarantined = suppressed = unknown_fields = joined = 0;
  for (auto& [rule, count] : violations) count = 0;
  std::fill(repairs.begin(), repairs.end(), 0);
  scrubbed.fill(0);
  std::fill(hits.begin(), hits.end(), 0);
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(std::shared_ptr<const Pipeline> pipeline,
                                                       privacy::Pseudonymiser& pseudonymiser,
                                                       privacy::Sealer& sealer) {
  auto engine = std::unique_ptr<Engine>(new Engine(std::move(pipeline), pseudonymiser, sealer));
  for (const std::string& name : engine->pipeline_->domains()) {
    SLUICE_ASSIGN_OR_RETURN(uint16_t domain, pseudonymiser.Domain(name));
    engine->domains_.push_back(domain);
  }
  for (const IdentifierNode& node : engine->pipeline_->identifiers()) {
    std::vector<uint16_t>& domains = engine->identifier_domains_.emplace_back();
    for (const Request& request : node.requests) {
      if (request.scope != Scope::kDomain || request.form != privacy::Form::kBlock) {
        domains.clear();
        break;
      }
      domains.push_back(engine->domains_[request.domain]);
    }
  }
  for (uint32_t domain : engine->pipeline_->position_domains()) {
    engine->position_domains_.push_back(engine->domains_[domain]);
  }
  return engine;
}

Engine::Engine(std::shared_ptr<const Pipeline> pipeline, privacy::Pseudonymiser& pseudonymiser,
               privacy::Sealer& sealer)
    : pipeline_(std::move(pipeline)),
      pseudonymiser_(pseudonymiser),
      sealer_(sealer),
      json_reader_(std::shared_ptr<const contract::Plan>(pipeline_, &pipeline_->contract()),
                   LimitsOf(*pipeline_)),
      protobuf_reader_(std::shared_ptr<const contract::Plan>(pipeline_, &pipeline_->contract()),
                       LimitsOf(*pipeline_)),
      message_index_(MessageIndexOf(pipeline_->contract().descriptor())),
      prepared_(pipeline_->streams().size()) {
  tally_.repairs.resize(pipeline_->contract().nodes().size() * event::kRepairKinds);
  tally_.hits.resize(pipeline_->joins().size());
  source_header_ = "/" + pipeline_->contract().name();
  for (const auto& table : pipeline_->tables())
    base::StrAppend(reference_header_, reference_header_.empty() ? "" : ",", table->set(), '=',
                    table->id());
}

absl::Status Engine::Process(std::span<const InputRecord> records, OutcomeSink& sink) {
  Read(records);
  SLUICE_RETURN_IF_ERROR(Pseudonymise());
  return Write(sink);
}

void Engine::Read(std::span<const InputRecord> records, std::span<const size_t> condemned,
                  bool alone) {
  records_ = records;
  alone_ = alone;
  wait_.reset();
  defects_.assign(records.size(), 0);
  for (size_t record : condemned) defects_[record] = 1;
  pieces_.clear();
  size_t begin = 0;
  do {
    const size_t end = ReadPiece(begin, records.size(), /*bounded=*/true);
    piece_ = pieces_.size();
    Piece& piece = pieces_.emplace_back();
    piece.begin = begin;
    piece.end = end;
    begin = end;
  } while (begin < records.size());
}

void Engine::ForgetPiece() {
  arena_.Reset();
  batch_.Clear();
  first_targets_.clear();
  rows_.clear();
  texts_.clear();
  found_.clear();
}

size_t Engine::ReadPiece(size_t begin, size_t end, bool bounded) {
  ForgetPiece();
  if (entries_.size() < end - begin) entries_.resize(end - begin);
  size_t repairs = 0;
  for (size_t i = begin; i < end; ++i) {
    if (bounded && i > begin && (alone_ || PieceBytes(repairs) > kPieceBytesMax)) {
      Show(nullptr);
      return i;
    }
    Entry& entry = entries_[i - begin];
    entry.first_row = rows_.size();
    entry.first_text = texts_.size();
    entry.first_found = found_.size();
    entry.first_identifier = static_cast<uint32_t>(first_targets_.size());
    entry.asked = batch_.mark();
    Show(&records_[i]);
    if (defects_[i] != 0) {
      MarkDefect(records_[i], entry);
      continue;
    }
    try {
      ReadOne(records_[i], entry);
    } catch (...) {
      defects_[i] = 1;
      MarkDefect(records_[i], entry);
    }
    repairs += entry.event.repairs.size();
  }
  Show(nullptr);
  return end;
}

size_t Engine::PieceBytes(size_t repairs) const {
  return arena_.used() + batch_.used_bytes() + texts_.size() * sizeof(Text) +
         found_.size() * sizeof(Found) + first_targets_.size() * sizeof(uint32_t) +
         repairs * sizeof(event::Repair);
}

void Engine::Reread(size_t piece) {
  if (piece_ == piece) return;
  piece_ = piece;
  ReadPiece(pieces_[piece].begin, pieces_[piece].end, /*bounded=*/false);
}

// What the event asked for and what was found in it: of one that goes to quarantine, nothing is
// asked of those who hold the keys.
void Engine::TakeBack(const Entry& entry) {
  batch_.TakeBack(entry.asked);
  first_targets_.resize(entry.first_identifier);
  texts_.resize(entry.first_text);
  found_.erase(found_.begin() + static_cast<std::ptrdiff_t>(entry.first_found), found_.end());
}

void Engine::MarkDefect(const InputRecord& record, Entry& entry) {
  TakeBack(entry);
  rows_.resize(entry.first_row);
  indexes_.clear();
  entry.event.Clear();
  entry.event.violations.push_back({kDefect, ""});
  entry.fate = Fate::kQuarantined;
  entry.text_count = 0;
  entry.position = Position(record);
}

void Engine::NewBatch() {
  // What large events took: a steady load of small ones never comes here.
  constexpr size_t kKeptBytesMax = 4 * 1024 * 1024;
  sealer_.NewBatch();
  pseudonymiser_.NewBatch();
  records_ = {};
  pieces_.clear();
  if (arena_.capacity() > kKeptBytesMax) arena_.Trim(kKeptBytesMax);
  out_.Trim(kKeptBytesMax);
  batch_.Trim(kKeptBytesMax);
  json_reader_.Trim();
  if (answer_.blocks.capacity() * sizeof(privacy::PseudonymBlock) + answer_.texts.capacity() +
          answer_.text_ends.capacity() * sizeof(uint32_t) >
      kKeptBytesMax)
    answer_ = {};
  auto trim = []<typename T>(std::vector<T>& items, size_t bytes_max) {
    if (items.capacity() * sizeof(T) > bytes_max) std::vector<T>().swap(items);
  };
  trim(found_, kKeptBytesMax);
  trim(texts_, kKeptBytesMax);
  trim(first_targets_, kKeptBytesMax);
  for (Entry& entry : entries_) trim(entry.event.repairs, 16 * 1024);
}

void Engine::BeginEntry(const InputRecord& record, Entry& entry) {
  entry.event.Clear();
  entry.fate = Fate::kClean;
  entry.has_time = false;
  entry.identifier_count = 0;
  entry.text_count = 0;
  entry.position = Position(record);
}

void Engine::ReadOne(const InputRecord& record, Entry& entry) {
  BeginEntry(record, entry);
  if (!record.value) {
    if (pipeline_->config().input().tombstones() == config::v1::Input::suppress) {
      entry.fate = Fate::kSuppressed;
      return;
    }
    entry.event.violations.push_back({"event.tombstone", ""});
  } else if (std::string_view value = *record.value; Unframe(value, entry.event)) {
    if (pipeline_->config().input().format() == config::v1::protobuf) {
      protobuf_reader_.Read(value, arena_, entry.event);
    } else {
      json_reader_.Read(value, arena_, entry.event);
    }
  }
  if (entry.event.fields != nullptr) {
    pipeline_->validator().Check(entry.event, arena_);
    CollectIdentifiers(entry);
    // Nobody gets the texts of an event that is broken already.
    if (entry.event.violations.empty()) FindInTexts(entry);
    Join(record, entry);
  }
  if (!entry.event.violations.empty()) {
    entry.fate = Fate::kQuarantined;
    entry.text_count = 0;
    TakeBack(entry);
  } else if (!position_domains_.empty()) {
    entry.position_target =
        batch_.Add(contract::v1::SOURCE_POSITION, entry.position, position_domains_);
  }
}

void Engine::CollectIdentifiers(Entry& entry) {
  if (const Value* time = Find(pipeline_->time_positions(), entry)) {
    entry.has_time = true;
    entry.seconds = time->seconds;
    entry.civil_seconds = CivilSeconds(time->seconds, pipeline_->contract().civil_zone());
  }
  if (pipeline_->scrubs()) {
    int64_t day = Truncated(entry.civil_seconds, Part::kDay) / 86400;
    scrubber_.NextEvent(entry.has_time ? event::CivilFromDays(day).year : 0);
  }
  CollectIdentifiers(pipeline_->identifiers()[0], entry.event.fields, entry);
}

absl::Status Engine::CheckSelf() {
  if (self_check_ == nullptr) self_check_ = std::make_unique<const SelfCheck>(*pipeline_);
  const auto& streams = pipeline_->streams();
  const InputRecord& record = self_check_record_;
  self_check_record_.topic = "self-check";
  // Nothing of the chunk before is asked for again.
  records_ = {};
  pieces_.clear();
  if (entries_.empty()) entries_.resize(1);
  for (size_t i = 0; i < self_check_->events(); ++i) {
    ForgetPiece();
    Entry& entry = entries_[0];
    entry.first_row = entry.first_text = entry.first_found = 0;
    entry.first_identifier = 0;
    entry.asked = batch_.mark();
    BeginEntry(record, entry);
    entry.event.fields = self_check_->Fill(i, arena_);
    CollectIdentifiers(entry);
    // Identifiers that fail their check, rows that aren't there: what isn't asked here.
    entry.event.violations.clear();
    FindInTexts(entry);
    Join(record, entry);
    entry.event.violations.clear();
    wait_.reset();
    if (!position_domains_.empty()) {
      entry.position_target =
          batch_.Add(contract::v1::SOURCE_POSITION, entry.position, position_domains_);
    }
    if (!batch_.targets().empty())
      SLUICE_RETURN_IF_ERROR(pseudonymiser_.Pseudonymise(batch_, answer_));
    SetPrefixes();
    out_.Clear();
    map_keys_.clear();
    std::string published;
    for (size_t stream = 0; stream < streams.size(); ++stream) {
      Prepared& prepared = prepared_[stream];
      prepared.record.stream = stream;
      // What can't be treated isn't published.
      if (!Prepare(record, entry, streams[stream], prepared)) continue;
      published = out_.view().substr(prepared.begin, prepared.end - prepared.begin);
      if (prepared.record.key) base::StrAppend(published, "\n", *prepared.record.key);
      for (const Header& header : prepared.record.headers)
        base::StrAppend(published, "\n", header.name, ": ", header.value);
      std::string_view shown = self_check_->Leak(streams[stream], published);
      if (shown.empty()) continue;
      return absl::DataLossError(
          base::StrCat("the self-check failed: the stream '", streams[stream].name,
                       "' shows more of the field '", shown,
                       "' than its treatment may (docs/runbooks/SluiceSelfCheckFailed.md)"));
    }
  }
  return absl::OkStatus();
}

std::string_view Engine::Position(const InputRecord& record) {
  constexpr size_t kNumbersMax = 1 + 11 + 1 + 20;
  char* text = arena_.Allocate(record.topic.size() + kNumbersMax);
  base::CopyShort(text, record.topic.data(), record.topic.size());
  char* at = text + record.topic.size();
  *at++ = '/';
  at = std::to_chars(at, at + 11, record.partition).ptr;
  *at++ = '/';
  at = std::to_chars(at, at + 20, record.offset).ptr;
  arena_.GiveBack(at);
  return {text, static_cast<size_t>(at - text)};
}

// Takes a schema registry's frame off: a zero byte, a four-byte id, which must be one of the
// pipeline's, and for protobuf the place of the contract's message in its file.
bool Engine::Unframe(std::string_view& value, event::Event& event) const {
  const auto& ids = pipeline_->config().input().schema_ids();
  if (ids.empty()) return true;
  if (value.size() < 5 || value[0] != 0) {
    event.violations.push_back({"framing.missing", ""});
    return false;
  }
  uint32_t id = 0;
  for (size_t i = 1; i < 5; ++i) id = id << 8 | static_cast<unsigned char>(value[i]);
  if (std::find(ids.begin(), ids.end(), static_cast<int32_t>(id)) == ids.end()) {
    event.violations.push_back({"framing.schema_id", ""});
    return false;
  }
  value.remove_prefix(5);
  if (pipeline_->config().input().format() != config::v1::protobuf) return true;
  if (!TakeMessageIndex(message_index_, value)) {
    event.violations.push_back({"framing.message_index", ""});
    return false;
  }
  return true;
}

void Engine::CollectIdentifiers(const IdentifierNode& parent, Value* record, Entry& entry) {
  const auto& identifiers = pipeline_->identifiers();
  for (uint32_t i = parent.first_child; i < parent.first_child + parent.child_count; ++i) {
    const IdentifierNode& identifier = identifiers[i];
    Value& value = record[identifier.position];
    if (!value.present()) continue;
    const Node& node = pipeline_->contract().node(identifier.node);
    if (node.cardinality == Cardinality::kSingular) {
      if (node.is_message()) {
        CollectIdentifiers(identifier, value.values, entry);
      } else {
        Identify(identifier, value, entry);
      }
      continue;
    }
    indexes_.push_back(0);
    for (uint32_t item = 0; item < value.size; ++item, ++indexes_.back()) {
      if (!value.values[item].present()) continue;
      if (node.is_message()) {
        CollectIdentifiers(identifier, value.values[item].values, entry);
      } else {
        Identify(identifier, value.values[item], entry);
      }
    }
    indexes_.pop_back();
  }
}

void Engine::Identify(const IdentifierNode& identifier, Value& value, Entry& entry) {
  const Node& node = pipeline_->contract().node(identifier.node);
  auto stands_for_none = [&] {
    entry.event.repairs.push_back({node.id, event::RepairKind::kPlaceholder});
    // In a list its place is kept.
    value = node.cardinality == Cardinality::kSingular ? Value() : Value::Text("");
    value.identifier = kNobody;
  };
  if (!identifier.placeholders.empty() && node.classification.identifier == 0 &&
      IsPlaceholder(identifier, value))
    return stands_for_none();
  switch (identifier.role) {
    case IdentifierNode::Role::kIdentifier:
    case IdentifierNode::Role::kNumber:
    case IdentifierNode::Role::kName:
      break;
    case IdentifierNode::Role::kPlain:
      return;
    case IdentifierNode::Role::kBirth:
      return scrubber_.AddBirth(value.text());
    case IdentifierNode::Role::kText:
      if (texts_.size() - entry.first_text == kIdentifiersMax)
        return Violate(entry, "sluice.too_many_identifiers", node.id);
      texts_.push_back({&value, node.id, PathOf(node)});
      return;
  }
  char digits[24];
  const std::string_view text = TextOf(value, digits);
  size_t before = batch_.bytes().size();
  bool valid = privacy::AppendCanonical(node.classification.identifier, text, batch_.bytes());
  if (batch_.bytes().size() - before > kCanonicalBytesMax) {
    batch_.bytes().resize(before);
    return Violate(entry, "sluice.identifier_too_long", node.id);
  }
  // What is blank, or has no letter and no digit (-, ?), identifies nobody, and a pseudonym would
  // link all who have it.
  const std::string_view canonical = std::string_view(batch_.bytes()).substr(before);
  const bool blank = privacy::IsBlank(text);
  const bool nobody = blank || !privacy::HasLetterOrDigit(canonical);
  if (node.check_identifier && !blank) {
    // The age of a vehicle mark is issued by the event's month.
    bool later = false;
    if (valid && node.classification.identifier == contract::v1::VRM && entry.has_time) {
      const event::CivilDate date =
          event::CivilFromDays(Truncated(entry.civil_seconds, Part::kDay) / 86400);
      later = privacy::IsMarkOfLater(canonical, date.year, date.month);
    }
    if (!valid || later) Violate(entry, "sluice.identifier", node.id);
  }
  const auto& placeholders = identifier.placeholders.texts;
  if (!placeholders.empty() &&
      std::find(placeholders.begin(), placeholders.end(), canonical) != placeholders.end()) {
    batch_.bytes().resize(before);
    return stands_for_none();
  }
  if (identifier.role == IdentifierNode::Role::kName) scrubber_.AddName(text);
  if (valid && identifier.role == IdentifierNode::Role::kNumber) {
    scrubber_.AddNumber(node.classification.identifier,
                        std::string_view(batch_.bytes()).substr(before));
  }
  if (nobody) value.identifier = kNobody;
  if (identifier.requests.empty() || nobody) {
    batch_.bytes().resize(before);
    return;
  }
  if (entry.identifier_count == kIdentifiersMax) {
    batch_.bytes().resize(before);
    return Violate(entry, "sluice.too_many_identifiers", node.id);
  }
  first_targets_.push_back(static_cast<uint32_t>(batch_.targets().size()));
  value.identifier = static_cast<uint16_t>(++entry.identifier_count);
  const std::vector<uint16_t>& domains =
      identifier_domains_[&identifier - pipeline_->identifiers().data()];
  if (!domains.empty()) {
    batch_.AddTargets(node.classification.identifier, domains);
  } else if (!AddRequests(identifier.requests, node.classification.identifier,
                          identifier.requests.back().scope >= Scope::kValue ? PathOf(node)
                                                                            : std::string_view(),
                          before, entry)) {
    Violate(entry, "sluice.untreatable", node.id);
  }
}

bool Engine::IsPlaceholder(const IdentifierNode& identifier, const Value& value) {
  const Placeholders& placeholders = identifier.placeholders;
  if (value.kind == ValueKind::kTime) {
    return std::any_of(placeholders.times.begin(), placeholders.times.end(), [&](const auto& time) {
      return value.seconds >= time.first && value.seconds < time.second;
    });
  }
  char digits[24];
  const std::string_view text = TextOf(value, digits);
  return std::find(placeholders.texts.begin(), placeholders.texts.end(), text) !=
         placeholders.texts.end();
}

std::string_view Engine::PathOf(const Node& node) {
  return event::RenderPath(node, indexes_.data(), indexes_.size(), arena_);
}

void Engine::FindInTexts(Entry& entry) {
  entry.text_count = texts_.size() - entry.first_text;
  const auto& requests = pipeline_->scrub_requests();
  for (size_t i = 0; i < entry.text_count; ++i) {
    Text& text = texts_[entry.first_text + i];
    text.value->identifier = static_cast<uint16_t>(i + 1);
    text.first_found = found_.size();
    for (const privacy::Finding& finding : scrubber_.Find(text.value->text())) {
      Found& found = found_.emplace_back(Found{finding, std::nullopt});
      std::string_view canonical = scrubber_.canonical(finding);
      if (canonical.empty() || requests.empty() || requests[finding.kind].empty()) continue;
      // Nobody's identifier is that long: it becomes a placeholder.
      if (canonical.size() > kCanonicalBytesMax) continue;
      found.target = batch_.targets().size();
      size_t begin = batch_.bytes().size();
      batch_.bytes() += canonical;
      // Each place in the text is a value of its own where nothing is to be linked.
      std::string_view path = text.path;
      if (requests[finding.kind].back().scope == Scope::kValue) {
        char* at = arena_.Allocate(path.size() + 21);
        std::memcpy(at, path.data(), path.size());
        at[path.size()] = '#';
        char* end = std::to_chars(at + path.size() + 1, at + path.size() + 21, finding.begin).ptr;
        path = {at, static_cast<size_t>(end - at)};
      }
      if (!AddRequests(requests[finding.kind], finding.kind, path, begin, entry)) {
        if (entry.event.violations.size() < event::kViolationsMax)
          entry.event.violations.push_back({"sluice.untreatable", text.path});
        found.target = std::nullopt;
      }
    }
    text.found_count = found_.size() - text.first_found;
  }
}

bool Engine::AddRequests(const std::vector<Request>& requests, privacy::IdentifierKind kind,
                         std::string_view path, size_t begin, const Entry& entry) {
  std::string& bytes = batch_.bytes();
  scratch_.assign(bytes, begin);
  bytes.resize(begin);
  for (size_t i = 0; i < requests.size();) {
    const Scope scope = requests[i].scope;
    if (scope != Scope::kDomain) {
      if (!SetScope(scope, path, entry)) return false;
      batch_.BeginScope(scope_);
    }
    bytes += scratch_;
    batch_.EndValue(kind, scope != Scope::kDomain);
    for (; i < requests.size() && requests[i].scope == scope; ++i)
      batch_.AddTarget(domains_[requests[i].domain], requests[i].form);
  }
  return true;
}

// Each begins with a letter of its own, so that no two scopes are alike.
bool Engine::SetScope(Scope scope, std::string_view path, const Entry& entry) {
  scope_.clear();
  switch (scope) {
    case Scope::kDomain:
      return true;
    case Scope::kMonth:
    case Scope::kQuarter:
    case Scope::kYear: {
      if (!entry.has_time) return false;
      event::CivilDate date =
          event::CivilFromDays(Truncated(entry.civil_seconds, Part::kDay) / 86400);
      base::StrAppend(scope_,
                      scope == Scope::kMonth     ? 'm'
                      : scope == Scope::kQuarter ? 'q'
                                                 : 'y',
                      date.year);
      if (scope == Scope::kMonth) base::StrAppend(scope_, '-', date.month);
      if (scope == Scope::kQuarter) base::StrAppend(scope_, '-', (date.month + 2) / 3);
      return true;
    }
    case Scope::kEvent:
      base::StrAppend(scope_, 'e', entry.position);
      return true;
    case Scope::kValue:
      base::StrAppend(scope_, 'v', entry.position, ' ', path);
      return true;
    case Scope::kShift:
      scope_ = "s";
      return true;
  }
  return false;
}

void Engine::Join(const InputRecord& record, Entry& entry) {
  const std::vector<JoinPlan>& joins = pipeline_->joins();
  std::optional<int64_t> seconds;
  if (entry.has_time) seconds = entry.seconds;
  std::optional<Wait> wait;
  // What is wrong with the event without any row that may yet come.
  bool broken = !entry.event.violations.empty();
  for (const JoinPlan& join : joins) {
    JoinAnswer answer =
        Ask(join, joins, std::span(rows_).subspan(entry.first_row), entry.event.fields, seconds);
    rows_.push_back(answer.row);
    if (answer.row != enrichment::kNoRow) continue;
    const bool quarantines = join.on_missing == config::v1::Enrichment::quarantine;
    if (answer.asked && join.wait_ms && record.timestamp_ms >= 0) {
      if (!wait) wait = {join.set};
      wait->until_ms = std::max(wait->until_ms, record.timestamp_ms + *join.wait_ms);
      wait->at_most_ms = std::max(wait->at_most_ms, *join.wait_ms);
    } else if (quarantines && !wait) {
      broken = true;
    }
    if (quarantines) Violate(entry, kReferenceMissing, join.asked_with);
  }
  if (!wait || broken) return;
  if (!wait_) wait_ = {wait->set};
  wait_->until_ms = std::max(wait_->until_ms, wait->until_ms);
  wait_->at_most_ms = std::max(wait_->at_most_ms, wait->at_most_ms);
}

void Engine::CountJoins(const Entry& entry) {
  ++tally_.joined;
  for (size_t i = 0; i < tally_.hits.size(); ++i)
    tally_.hits[i] += rows_[entry.first_row + i] != enrichment::kNoRow;
}

void Engine::Violate(Entry& entry, std::string_view rule, contract::NodeId node) {
  if (entry.event.violations.size() >= event::kViolationsMax) return;
  entry.event.violations.push_back(
      {rule, event::RenderPath(pipeline_->contract().node(node), indexes_.data(), indexes_.size(),
                               arena_)});
}

absl::Status Engine::Pseudonymise() {
  for (size_t at = 0; at < pieces_.size();) {
    Reread(at);
    if (!batch_.targets().empty()) {
      const Piece& piece = pieces_[at];
      Show(piece.end - piece.begin == 1 ? &records_[piece.begin] : nullptr);
      try {
        absl::Status made = pseudonymiser_.Pseudonymise(batch_, answer_);
        Show(nullptr);
        SLUICE_RETURN_IF_ERROR(made);
      } catch (...) {
        Show(nullptr);
        answer_.Clear();
        Divide(at);
        continue;
      }
    }
    if (pieces_.size() == 1) break;
    std::swap(pieces_[at].answer, answer_);
    ++at;
  }
  SetPrefixes();
  return absl::OkStatus();
}

// After an exception that any event of the piece may be the cause of.
void Engine::Divide(size_t at) {
  const size_t begin = pieces_[at].begin, end = pieces_[at].end;
  piece_ = SIZE_MAX;
  if (end - begin == 1) {
    defects_[begin] = 1;
    return;
  }
  Piece second;
  second.begin = pieces_[at].end = begin + (end - begin) / 2;
  second.end = end;
  pieces_.insert(pieces_.begin() + static_cast<std::ptrdiff_t>(at) + 1, std::move(second));
}

void Engine::SetPrefixes() {
  prefixes_.resize(answer_.domains.size());
  for (size_t i = 0; i < prefixes_.size(); ++i) {
    const privacy::DomainEpoch& domain = answer_.domains[i];
    prefixes_[i].clear();
    base::StrAppend(prefixes_[i], domain.label, domain.epoch, '-');
  }
}

absl::Status Engine::Write(OutcomeSink& sink) {
  for (size_t at = 0; at < pieces_.size(); ++at) {
    Reread(at);
    if (pieces_.size() > 1) {
      std::swap(pieces_[at].answer, answer_);
      SetPrefixes();
    }
    const base::Arena::Mark mark = arena_.mark();
    for (size_t i = pieces_[at].begin; i < pieces_[at].end; ++i) {
      // What the event before was written with.
      arena_.RewindTo(mark);
      Show(&records_[i]);
      absl::Status written = WriteOne(records_[i], entries_[i - pieces_[at].begin], sink);
      Show(nullptr);
      SLUICE_RETURN_IF_ERROR(written);
    }
    if (pieces_.size() > 1) pieces_[at].answer = {};
  }
  return absl::OkStatus();
}

bool Engine::PrepareAll(const InputRecord& record, Entry& entry, OutcomeSink& sink) {
  const auto& streams = pipeline_->streams();
  out_.Clear();
  map_keys_.clear();
  for (size_t i = 0; i < streams.size(); ++i) {
    prepared_[i].record.stream = i;
    if (!Prepare(record, entry, streams[i], prepared_[i])) return false;
  }
  bool fits = true;
  for (Prepared& prepared : prepared_) {
    prepared.record.value = out_.view().substr(prepared.begin, prepared.end - prepared.begin);
    if (sink.Fits(prepared.record)) continue;
    entry.event.violations.push_back({"sluice.output_too_large", ""});
    fits = false;
    break;
  }
  if (fits && sink.Refused(record)) [[unlikely]] {
    entry.event.violations.push_back({"sluice.output_refused", ""});
    fits = false;
  }
  return fits;
}

absl::Status Engine::WriteOne(const InputRecord& record, Entry& entry, OutcomeSink& sink) {
  if (entry.fate == Fate::kClean) {
    try {
      if (!PrepareAll(record, entry, sink)) entry.fate = Fate::kQuarantined;
    } catch (...) {
      // Not MarkDefect: what other events of the piece asked for stays.
      defects_[static_cast<size_t>(&record - records_.data())] = 1;
      indexes_.clear();
      entry.event.Clear();
      entry.event.violations.push_back({kDefect, ""});
      entry.fate = Fate::kQuarantined;
    }
  }
  ++tally_.in;
  tally_.unknown_fields += entry.event.unknown_fields;
  for (const event::Repair& repair : entry.event.repairs) {
    ++tally_.repairs[repair.node * event::kRepairKinds + static_cast<size_t>(repair.kind)];
  }
  switch (entry.fate) {
    case Fate::kClean:
      ++tally_.clean;
      CountJoins(entry);
      for (size_t i = 0; i < entry.text_count; ++i) {
        const Text& text = texts_[entry.first_text + i];
        for (size_t j = 0; j < text.found_count; ++j)
          ++tally_.scrubbed[found_[text.first_found + j].finding.kind];
      }
      for (Prepared& prepared : prepared_)
        SLUICE_RETURN_IF_ERROR(sink.Clean(record, prepared.record));
      return absl::OkStatus();
    case Fate::kSuppressed:
      ++tally_.suppressed;
      sink.Suppressed(record);
      return absl::OkStatus();
    case Fate::kQuarantined:
      break;
  }
  ++tally_.quarantined;
  bool only_lacks_rows = !entry.event.violations.empty();
  for (const event::Violation& violation : entry.event.violations) {
    ++tally_.violations[violation.rule];
    only_lacks_rows = only_lacks_rows && violation.rule == kReferenceMissing;
  }
  if (only_lacks_rows) CountJoins(entry);
  return Quarantine(record, entry, sink);
}

bool Engine::Prepare(const InputRecord& record, Entry& entry, const StreamPlan& stream,
                     Prepared& prepared) {
  prepared.begin = out_.size();
  bool written = stream.format == config::v1::json
                     ? WriteEvent(event::JsonWriter(out_), stream, entry)
                     : WriteEvent(event::ProtobufWriter(out_), stream, entry);
  prepared.end = out_.size();
  if (!written) return false;
  PrepareHeaders(record, entry, stream, prepared.record.stream, prepared);
  switch (stream.key) {
    case KeySource::kEventId:
      break;  // set with the header of the same text
    case KeySource::kRaw:
      prepared.record.key = record.key;
      break;
    case KeySource::kField: {
      const OutputNode& node = stream.nodes[stream.key_node];
      const Value* record_value = entry.event.fields;
      for (uint32_t position : stream.key_positions) {
        record_value = record_value[position].present() ? record_value[position].values : nullptr;
        if (record_value == nullptr) break;
      }
      prepared.record.key = std::nullopt;
      if (record_value == nullptr) break;
      Value value = record_value[node.position];
      if (!value.present() && !node.treat_absent) value = node.absent;
      if (!value.present() && !node.treat_absent) break;
      Value treated;
      if (!Treat(node, value, record_value, entry, treated)) return false;
      std::string_view key = KeyOf(node, treated);
      // On a compacted topic, all that have the same nothing as key would be one.
      if (!privacy::IsBlank(key)) prepared.record.key = key;
      break;
    }
  }
  prepared.record.timestamp_ms = stream.internal && record.timestamp_ms >= 0
                                     ? std::optional(record.timestamp_ms)
                                     : std::nullopt;
  prepared.record.timestamp_grid_ms = stream.internal ? 0 : stream.timestamp_grid_ms;
  return true;
}

// A value as a record's key: bare, as JSON would have it between quotes.
std::string_view Engine::KeyOf(const OutputNode& node, const Value& value) {
  if (!value.present()) return {};
  if (value.kind == ValueKind::kText && node.field.type == contract::Type::kString)
    return value.text();
  key_.Clear();
  event::JsonWriter(key_).Item(node.field, value);
  std::string_view text = key_.view().substr(1);
  if (text.size() >= 2 && text.front() == '"') text = text.substr(1, text.size() - 2);
  return arena_.Copy(text);
}

void Engine::PrepareHeaders(const InputRecord& record, Entry& entry, const StreamPlan& stream,
                            size_t, Prepared& prepared) {
  std::string_view position = entry.position;
  if (!stream.internal) {
    const auto& domains = pipeline_->position_domains();
    size_t rank = static_cast<size_t>(std::find(domains.begin(), domains.end(), stream.domain) -
                                      domains.begin());
    position = PseudonymText(entry.position_target + rank);
  }
  bool treated = false;
  std::string_view id = EventId(stream, entry, treated);
  if (!treated) id = position;
  if (stream.key == KeySource::kEventId) prepared.record.key = id;
  if (treated && !IsAttribute(id)) id = position;
  Header* header = prepared.headers.data();
  *header++ = {"ce_specversion", "1.0"};
  *header++ = {"ce_id", id};
  *header++ = {"ce_source", source_header_};
  *header++ = {"ce_type", pipeline_->contract().name()};
  if (std::string_view time = EventTime(stream, entry); !time.empty())
    *header++ = {"ce_time", time};
  *header++ = {"content-type",
               stream.format == config::v1::json ? "application/json" : "application/protobuf"};
  *header++ = {"sluice-src", position};
  *header++ = {"sluice-plan", pipeline_->fingerprint()};
  if (!reference_header_.empty()) *header++ = {"sluice-ref", reference_header_};
  if (stream.internal && IsTraceparent(record.traceparent))
    *header++ = {"traceparent", record.traceparent};
  prepared.record.headers = {prepared.headers.data(), header};
}

// The event's id as the stream has it, if it has it in a form that still identifies.
std::string_view Engine::EventId(const StreamPlan& stream, Entry& entry, bool& treated) {
  treated = false;
  if (stream.id_node == 0) return {};
  const OutputNode& node = stream.nodes[stream.id_node];
  const Value* value = Find(pipeline_->id_positions(), entry);
  if (value == nullptr || privacy::IsBlank(value->text())) return {};
  if (node.op == Op::kKeep) {
    treated = true;
    return value->text();
  }
  if (node.op != Op::kPseudonymise || value->identifier == 0 || value->identifier == kNobody)
    return {};
  treated = true;
  return PseudonymText(TargetOf(*value, node.request, entry));
}

std::string_view Engine::EventTime(const StreamPlan& stream, const Entry& entry) {
  if (stream.time_node == 0 || !entry.has_time) return {};
  const OutputNode& node = stream.nodes[stream.time_node];
  const Value* value = Find(pipeline_->time_positions(), entry);
  int64_t seconds = value->seconds;
  int32_t nanos = value->nanos;
  const auto& zone = pipeline_->contract().civil_zone();
  int64_t offset = 0;
  if (node.op == Op::kTimePart) {
    // The first second of the part on its own wall clock, with what that clock was ahead of UTC.
    seconds = Truncated(entry.civil_seconds, node.part);
    nanos = 0;
    if (zone) {
      offset = seconds - CivilStart(seconds, *zone);
      if (offset % 60 != 0) {
        seconds -= offset;
        offset = 0;
      }
    }
  } else if (node.op != Op::kKeep) {
    return {};
  }
  char* text = arena_.Allocate(event::kTimestampBytes);
  if (offset != 0)
    return {text, static_cast<size_t>(WriteWithOffset(seconds, offset, text) - text)};
  return {text, static_cast<size_t>(event::WriteTimestamp(seconds, nanos, text) - text)};
}

absl::Status Engine::Quarantine(const InputRecord& record, Entry& entry, OutcomeSink& sink) {
  std::string reasons, paths;
  for (const event::Violation& violation : entry.event.violations) {
    base::StrAppend(reasons, reasons.empty() ? "" : ",", violation.rule);
    base::StrAppend(paths, paths.empty() ? "" : ",", violation.path.empty() ? "." : violation.path);
  }
  char generation[12];
  char* end = std::to_chars(generation, generation + sizeof(generation), record.generation).ptr;
  std::vector<Header> headers = {
      {"sluice-src", entry.position},
      {"sluice-reason", reasons},
      {"sluice-path", paths},
      {"sluice-generation", {generation, static_cast<size_t>(end - generation)}},
      {"sluice-plan", pipeline_->fingerprint()},
  };
  if (!record.topic_id.empty()) headers.push_back({"sluice-src-id", record.topic_id});
  headers.push_back({"content-type", "application/vnd.sluice.sealed"});
  quarantine::v1::Payload payload = PayloadOf(record);
  std::string sealed;
  bool is_sealed = true;
  try {
    SLUICE_RETURN_IF_ERROR(sealer_.Seal(entry.position, payload.SerializeAsString(), sealed));
  } catch (...) {
    is_sealed = false;
  }
  QuarantineRecord quarantined{entry.position, sealed, headers, entry.event.violations};
  if (!is_sealed || !sink.Fits(quarantined)) {
    // Nothing is lost: the raw record stands where the reference says, for as long as its topic
    // keeps it. Whoever follows the reference can tell whether it still is that record.
    sealed.clear();
    SLUICE_RETURN_IF_ERROR(sealer_.Seal(
        entry.position, ReferenceTo(payload, record.topic_id).SerializeAsString(), sealed));
    quarantined.value = sealed;
    headers.back().value = "application/vnd.sluice.reference";
    quarantined.headers = headers;
  }
  return sink.Quarantined(record, quarantined);
}

template <typename Writer>
bool Engine::WriteEvent(Writer writer, const StreamPlan& stream, Entry& entry) {
  size_t mark = writer.BeginEvent();
  if (!WriteFields(writer, stream, stream.nodes[0], entry.event.fields, entry)) return false;
  for (const StreamJoin& join : stream.joins) WriteJoin(writer, join, entry);
  writer.EndEvent(mark);
  return true;
}

template <typename Writer>
bool Engine::WriteFields(Writer& writer, const StreamPlan& stream, const OutputNode& message,
                         const Value* record, Entry& entry) {
  for (uint32_t i = message.first_child; i < message.first_child + message.child_count; ++i) {
    const OutputNode& node = stream.nodes[i];
    const Value& value = record[node.position];
    if (!value.present() && !node.treat_absent) continue;
    if (node.field.cardinality == Cardinality::kRepeated) {
      if (!WriteList(writer, stream, node, value, record, entry)) return false;
    } else if (node.field.cardinality == Cardinality::kMap) {
      if (!WriteMap(writer, stream, node, value, entry)) return false;
    } else if (node.op == Op::kMessage) {
      size_t mark = writer.BeginMessage(node.field);
      if (!WriteFields(writer, stream, node, value.values, entry)) return false;
      writer.EndMessage(mark);
    } else if (node.op == Op::kKeep) {
      writer.Field(node.field, value);
    } else {
      Value treated;
      if (!Treat(node, value, record, entry, treated)) return false;
      if (treated.present()) writer.Field(node.field, treated);
    }
  }
  return true;
}

template <typename Writer>
bool Engine::WriteList(Writer& writer, const StreamPlan& stream, const OutputNode& node,
                       const Value& list, const Value* record, Entry& entry) {
  if (node.whole_list) return WriteWholeList(writer, node, list, record, entry);
  size_t mark = writer.BeginList(node.field);
  indexes_.push_back(0);
  for (uint32_t i = 0; i < list.size; ++i, ++indexes_.back()) {
    const Value& item = list.values[i];
    if (node.op == Op::kMessage) {
      size_t item_mark = writer.BeginItemMessage(node.field);
      if (!WriteFields(writer, stream, node, item.values, entry)) return indexes_.clear(), false;
      writer.EndItemMessage(item_mark);
      continue;
    }
    Value treated;
    if (!Treat(node, item, record, entry, treated)) return indexes_.clear(), false;
    // Of two lists side by side, what belongs together stands at one place.
    if (!treated.present()) treated = Value::Text("");
    writer.Item(node.field, treated);
  }
  indexes_.pop_back();
  writer.EndList(node.field, mark);
  return true;
}

template <typename Writer>
bool Engine::WriteWholeList(Writer& writer, const OutputNode& node, const Value& list,
                            const Value* record, Entry& entry) {
  items_.clear();
  indexes_.push_back(0);
  for (uint32_t i = 0; i < list.size; ++i, ++indexes_.back()) {
    Value treated;
    if (!Treat(node, list.values[i], record, entry, treated)) return indexes_.clear(), false;
    if (!treated.present()) return indexes_.pop_back(), true;
    items_.push_back(treated);
  }
  indexes_.pop_back();
  size_t mark = writer.BeginList(node.field);
  for (const Value& item : items_) writer.Item(node.field, item);
  writer.EndList(node.field, mark);
  return true;
}

template <typename Writer>
bool Engine::WriteMap(Writer& writer, const StreamPlan& stream, const OutputNode& node,
                      const Value& map, Entry& entry) {
  // Without its keys a map has no form: a stream whose treatment drops them drops the map (see the
  // compiler).
  const OutputNode& key = stream.nodes[node.first_child];
  const OutputNode& value = stream.nodes[node.first_child + 1];
  size_t mark = writer.BeginMap(node.field);
  const size_t first_key = map_keys_.size();  // a map may stand in another's values
  indexes_.push_back(0);
  for (uint32_t i = 0; i < map.size; ++i, ++indexes_.back()) {
    const Value* parts = map.values[i].values;
    Value treated_key, treated_value;
    if (!Treat(key, parts[0], parts, entry, treated_key)) return indexes_.clear(), false;
    if (!treated_key.present()) treated_key = Value::Text("");
    if (key.op != Op::kKeep) map_keys_.push_back(treated_key.text());
    if (value.op != Op::kMessage) {
      if (!Treat(value, parts[1], parts, entry, treated_value)) return indexes_.clear(), false;
      if (!treated_value.present() && value.field.type != contract::Type::kString) continue;
      if (!treated_value.present()) treated_value = Value::Text("");
    }
    size_t entry_mark = writer.BeginEntry(node.field, treated_key);
    if (value.op == Op::kMessage) {
      size_t message = writer.BeginEntryMessage(node.field);
      if (!WriteFields(writer, stream, value, parts[1].values, entry))
        return indexes_.clear(), false;
      writer.EndMessage(message);
    } else {
      writer.EntryValue(node.field, treated_value);
    }
    writer.EndEntry(entry_mark);
  }
  indexes_.pop_back();
  writer.EndMap(mark);
  // Two spellings of one identifier are two keys, and have one pseudonym: no output has two equal
  // members.
  auto keys = map_keys_.begin() + static_cast<std::ptrdiff_t>(first_key);
  std::sort(keys, map_keys_.end());
  const bool equal = std::adjacent_find(keys, map_keys_.end()) != map_keys_.end();
  map_keys_.resize(first_key);
  if (!equal) return true;
  Violate(entry, "sluice.untreatable", node.node);
  return false;
}

template <typename Writer>
void Engine::WriteJoin(Writer& writer, const StreamJoin& carried, const Entry& entry) {
  const JoinPlan& join = pipeline_->joins()[carried.join];
  enrichment::RowId row = rows_[entry.first_row + carried.join];
  if (row == enrichment::kNoRow) {
    if (join.on_missing == config::v1::Enrichment::null) writer.Null(join.field);
    return;
  }
  size_t mark = writer.BeginMessage(join.field);
  for (size_t i : carried.columns) {
    Value cell = join.table->Cell(row, join.column_indexes[i]);
    if (cell.present()) writer.Field(join.columns[i], cell);
  }
  writer.EndMessage(mark);
}

}  // namespace sluice::engine
