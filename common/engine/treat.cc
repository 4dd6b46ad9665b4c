// What becomes of one value in a stream: the engine's treatments.
#include <algorithm>
#include <cmath>

#include "common/base/short_bytes.h"
#include "common/base/strings.h"
#include "common/engine/calendar.h"
#include "common/engine/engine.h"
#include "common/event/time_text.h"
#include "common/privacy/generalise.h"
#include "common/privacy/identifier.h"
#include "common/privacy/pseudonym.h"
#include "common/privacy/visible.h"

namespace sluice::engine {

using event::Value;
using event::ValueKind;

namespace {

// 0001-01-01 and 9999-12-31: what dates and times as text can be.
const int64_t kFirstDay = event::DaysFromCivil(1, 1, 1);
const int64_t kLastDay = event::DaysFromCivil(9999, 12, 31);

// Characters of an RFC 3339 time that are left.
size_t DigitsOf(Part part) {
  switch (part) {
    case Part::kYear:
      return 4;
    case Part::kMonth:
      return 7;
    case Part::kDay:
      return 10;
    default:
      return 13;
  }
}

privacy::PostcodePart PostcodePartOf(Part part) {
  switch (part) {
    case Part::kSector:
      return privacy::PostcodePart::kSector;
    case Part::kDistrict:
      return privacy::PostcodePart::kDistrict;
    default:
      return privacy::PostcodePart::kArea;
  }
}

// Whether a shift of at most so many days, forwards or backwards, would leave the calendar: such a
// date is nobody's, and what became of it would tell the shift.
bool IsCalendarEnd(int64_t day, int64_t days_max) {
  return day < kFirstDay + days_max || day > kLastDay - days_max;
}

// The point that a number and its other make. Half a point is none, but without presence absent is
// zero; and of two zeros without presence nobody can say that they are there.
std::optional<privacy::Point> PointOf(const OutputNode& node, const Value& value,
                                      const Value& other) {
  const bool latitude = node.op != Op::kGridLongitude && node.op != Op::kSnapLongitude;
  if (!value.present() && !node.absent.present()) return std::nullopt;
  if (!other.present() && !node.other_absent_is_zero) return std::nullopt;
  double mine = value.present() ? NumberOf(value) : 0;
  double others = other.present() ? NumberOf(other) : 0;
  if (mine == 0 && others == 0 && node.absent.present() && node.other_absent_is_zero)
    return std::nullopt;
  return latitude ? privacy::Point{mine, others} : privacy::Point{others, mine};
}

double BoundOf(const OutputNode& node, const Value& value) {
  switch (value.kind) {
    case ValueKind::kInt:
      return node.buckets.BoundOf(value.integer);
    case ValueKind::kUint:
      return node.buckets.BoundOf(value.unsigned_integer);
    default:
      return node.of_float ? node.buckets.BoundOf(static_cast<float>(value.number))
                           : node.buckets.BoundOf(value.number);
  }
}

}  // namespace

bool Engine::Treat(const OutputNode& node, const Value& value, const Value* record, Entry& entry,
                   Value& out) {
  auto untreatable = [&] {
    Violate(entry, "sluice.untreatable", node.node);
    return false;
  };
  auto text_of = [&](size_t room, auto write) {
    char* text = arena_.Allocate(room);
    out = Value::Text({text, static_cast<size_t>(write(text) - text)});
    return true;
  };
  switch (node.op) {
    case Op::kKeep:
    case Op::kMessage:
      out = value;
      return true;
    case Op::kConstant:
      out = Value::Text(node.constant);
      return true;
    case Op::kMask:
      scratch_.clear();
      privacy::AppendMasked(value.text(), static_cast<size_t>(node.mask.keep_first()),
                            static_cast<size_t>(node.mask.keep_last()), node.mask.with()[0],
                            scratch_);
      out = Value::Text(arena_.Copy(scratch_));
      return true;
    case Op::kPseudonymise:
      if (value.identifier == kNobody) return true;
      if (value.identifier == 0) return untreatable();
      out = Value::Text(PseudonymText(TargetOf(value, node.request, entry)));
      return true;
    case Op::kEncrypt:
    case Op::kFormatPreserve: {
      if (value.identifier == kNobody) return true;
      if (value.identifier == 0) return untreatable();
      size_t target = TargetOf(value, node.request, entry);
      std::string_view text = answer_.text(target);
      if (text.empty()) return untreatable();
      if (node.op == Op::kFormatPreserve) {
        out = Value::Text(arena_.Copy(text));
        return true;
      }
      scratch_.clear();
      privacy::AppendEncrypted(answer_.domains[batch_.targets()[target].domain], text, scratch_);
      out = Value::Text(arena_.Copy(scratch_));
      return true;
    }
    case Op::kShiftDate: {
      if (value.size == 0) return true;
      std::optional<event::CivilDate> date = event::ParseDate(value.text());
      if (!date) return untreatable();
      int64_t day = event::DaysFromCivil(date->year, date->month, date->day);
      if (IsCalendarEnd(day, node.shift_days_max)) return Placeholder(node.node, entry), true;
      std::optional<int64_t> days = ShiftDays(node, record, entry);
      if (!days) return true;  // nobody's date: it is left out
      return text_of(10, [&](char* at) {
        return privacy::WriteDatePart(event::CivilFromDays(day + *days), 10, at);
      });
    }
    case Op::kShiftTime: {
      if (IsCalendarEnd(Truncated(value.seconds, Part::kDay) / 86400, node.shift_days_max))
        return Placeholder(node.node, entry), true;
      std::optional<int64_t> days = ShiftDays(node, record, entry);
      if (days) out = Value::Time(value.seconds + *days * 86400, value.nanos);
      return true;
    }
    case Op::kScrub:
      if (value.size == 0) return true;
      if (value.identifier == 0) return untreatable();
      scratch_.clear();
      AppendScrubbed(node, texts_[entry.first_text + value.identifier - 1], scratch_);
      out = Value::Text(arena_.Copy(scratch_));
      return true;
    case Op::kAgeBand: {
      if (value.size == 0) return true;
      std::optional<event::CivilDate> birth = event::ParseDate(value.text());
      if (!birth || !entry.has_time) return untreatable();
      if (IsCalendarEnd(event::DaysFromCivil(birth->year, birth->month, birth->day), 1))
        return Placeholder(node.node, entry), true;
      int64_t day = Truncated(entry.civil_seconds, Part::kDay) / 86400;
      std::optional<int32_t> age = privacy::AgeOn(*birth, event::CivilFromDays(day));
      if (!age) return untreatable();
      return text_of(8, [&](char* at) { return privacy::WriteAgeBand(*age, node.bands, at); });
    }
    case Op::kDatePart: {
      if (value.size == 0) return true;
      std::optional<event::CivilDate> date = event::ParseDate(value.text());
      if (!date) return untreatable();
      return text_of(
          10, [&](char* at) { return privacy::WriteDatePart(*date, DigitsOf(node.part), at); });
    }
    case Op::kTimePart:
      return text_of(event::kTimestampBytes, [&](char* at) {
        event::WriteTimestamp(CivilSeconds(value.seconds, pipeline_->contract().civil_zone()), 0,
                              at);
        return at + DigitsOf(node.part);
      });
    case Op::kPostcodePart:
      if (value.size == 0) return true;
      scratch_.clear();
      if (!privacy::AppendCanonical(contract::v1::POSTCODE, value.text(), scratch_))
        return untreatable();
      out = Value::Text(arena_.Copy(privacy::PartOfPostcode(scratch_, PostcodePartOf(node.part))));
      return true;
    case Op::kGridLatitude:
    case Op::kGridLongitude: {
      bool latitude = node.op == Op::kGridLatitude;
      std::optional<privacy::Point> point = PointOf(node, value, record[node.other_position]);
      if (!point) return true;
      if (!(std::fabs(point->latitude) <= 90 && std::fabs(point->longitude) <= 180))
        return untreatable();
      privacy::Point centre = privacy::GridCentre(*point, node.grid_metres);
      out = Value::Double(latitude ? centre.latitude : centre.longitude);
      return true;
    }
    case Op::kSnapLatitude:
    case Op::kSnapLongitude:
    case Op::kAreaOf: {
      enrichment::RowId row = PlaceOf(node, value, record[node.other_position], entry);
      if (row != enrichment::kNoRow) out = node.table->Cell(row, node.column);
      return true;
    }
    case Op::kBucket:
      out = Value::Double(BoundOf(node, value));
      return true;
  }
  return untreatable();
}

// 1 to the most that are allowed, forwards or backwards; never none at all.
std::optional<int64_t> Engine::ShiftDays(const OutputNode& node, const Value* record,
                                         const Entry& entry) const {
  const Value* person = node.person_positions.empty() ? &record[node.other_position]
                                                      : Find(node.person_positions, entry);
  if (person == nullptr || !person->present() || person->identifier == 0 ||
      person->identifier == kNobody)
    return std::nullopt;
  const privacy::PseudonymBlock& block = answer_.blocks[TargetOf(*person, node.request, entry)];
  uint64_t number = 0;
  for (size_t i = 0; i < 8; ++i) number = number << 8 | block[i];
  const auto most = static_cast<uint64_t>(node.shift_days_max);
  const auto days = static_cast<int64_t>(number % (2 * most)) - node.shift_days_max;
  return days < 0 ? days : days + 1;
}

std::string_view Engine::PseudonymText(size_t target) {
  const std::string& prefix = prefixes_[batch_.targets()[target].domain];
  char* text = arena_.Allocate(prefix.size() + privacy::kBlockTextBytes);
  base::CopyShort(text, prefix.data(), prefix.size());
  char* end = privacy::WriteBlock(answer_.blocks[target], text + prefix.size());
  return {text, static_cast<size_t>(end - text)};
}

enrichment::RowId Engine::PlaceOf(const OutputNode& node, const Value& value, const Value& other,
                                  const Entry& entry) {
  if (node.table->schema().has_interval() && !entry.has_time) return enrichment::kNoRow;
  std::optional<privacy::Point> place = PointOf(node, value, other);
  if (!place) return enrichment::kNoRow;
  auto point = enrichment::GridPoint::Of(place->latitude, place->longitude);
  if (!point) return enrichment::kNoRow;
  enrichment::Question question;
  question.point = *point;
  question.at = entry.seconds;
  return node.table->Find(question);
}

void Engine::Placeholder(contract::NodeId node, Entry& entry) {
  // Once for a field of an event, however many streams it is treated for.
  for (const event::Repair& repair : entry.event.repairs)
    if (repair.node == node && repair.kind == event::RepairKind::kPlaceholder) return;
  entry.event.repairs.push_back({node, event::RepairKind::kPlaceholder});
}

void Engine::AppendScrubbed(const OutputNode& node, const Text& text, std::string& out) {
  std::string_view raw = text.value->text();
  size_t done = 0;
  for (size_t i = 0; i < text.found_count; ++i) {
    const Found& found = found_[text.first_found + i];
    const auto kind = found.finding.kind;
    out.append(raw, done, found.finding.begin - done);
    done = found.finding.end;
    int32_t request = node.scrub_requests.empty() ? -1 : node.scrub_requests[kind];
    if (found.target && request >= 0) {
      size_t target = *found.target + static_cast<size_t>(request);
      const auto& asked = batch_.targets()[target];
      size_t before = out.size();
      if (asked.form == privacy::Form::kBlock) {
        out += PseudonymText(target);
      } else if (asked.form == privacy::Form::kEncrypted) {
        privacy::AppendEncrypted(answer_.domains[asked.domain], answer_.text(target), out);
      } else {
        out += answer_.text(target);
      }
      if (out.size() > before) continue;
    }
    base::StrAppend(
        out, '[',
        kind == 0 ? std::string("DATE_OF_BIRTH") : contract::v1::IdentifierKind_Name(kind), ']');
  }
  out.append(raw, done);
}

}  // namespace sluice::engine
