#include "services/ctl/quarantine.h"

#include <algorithm>
#include <charconv>

#include "common/base/file.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/engine/quarantine_payload.h"

namespace sluice::ctl {
namespace {

using quarantine::v1::Action;

template <typename Number>
bool ParseNumber(std::string_view text, Number& out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

std::vector<std::string_view> SplitAtCommas(std::string_view text) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    size_t comma = std::min(text.find(','), text.size());
    parts.push_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

bool Matches(std::string_view pattern, std::string_view text) {
  if (!pattern.ends_with('*')) return pattern == text;
  pattern.remove_suffix(1);
  return text.starts_with(pattern);
}

bool AnyMatches(const std::vector<std::string>& patterns, std::string_view text) {
  return patterns.empty() ||
         std::any_of(patterns.begin(), patterns.end(),
                     [text](const std::string& pattern) { return Matches(pattern, text); });
}

}  // namespace

absl::Status WithoutLedger(const Site& site) {
  return absl::NotFoundError(base::StrCat("topic ", site.ledger(),
                                          " isn't there, which keeps what was redriven and "
                                          "discarded: `sluicectl topics apply` makes it"));
}

absl::StatusOr<Place> ParsePlace(std::string_view text) {
  Place place;
  size_t slash = text.rfind('/');
  if (slash == std::string_view::npos || !ParseNumber(text.substr(slash + 1), place.second) ||
      !ParseNumber(text.substr(0, slash), place.first) || place.first < 0 || place.second < 0) {
    return absl::InvalidArgumentError(
        base::StrCat("'", text, "' isn't a place: write partition/offset, such as 0/42"));
  }
  return place;
}

std::string PlaceName(const Place& place) { return base::StrCat(place.first, '/', place.second); }

Quarantined Quarantined::From(const kafka::ReadRecord& record) {
  Quarantined out;
  out.place = {record.partition, record.offset};
  out.timestamp_ms = record.timestamp_ms;
  out.sealed = record.value;
  for (const stream::Header& header : record.headers) {
    if (header.name == "sluice-src") out.source = header.value;
    if (header.name == "sluice-reason") out.reasons = header.value;
    if (header.name == "sluice-path") out.paths = header.value;
    if (header.name == "sluice-generation") ParseNumber(header.value, out.generation);
    if (header.name == "sluice-src-id") out.topic_id = header.value;
    if (header.name == "content-type")
      out.reference = header.value == "application/vnd.sluice.reference";
  }
  return out;
}

std::vector<std::string_view> Quarantined::Rules() const {
  std::vector<std::string_view> rules = SplitAtCommas(reasons);
  std::sort(rules.begin(), rules.end());
  rules.erase(std::unique(rules.begin(), rules.end()), rules.end());
  return rules;
}

bool Selection::Takes(const Quarantined& record) const {
  if (!places.empty() && std::find(places.begin(), places.end(), record.place) == places.end())
    return false;
  if (since_ms && record.timestamp_ms < *since_ms) return false;
  if (until_ms && record.timestamp_ms >= *until_ms) return false;
  if (reasons.empty() && paths.empty()) return true;
  // The headers name rule and path of each violation in the same order.
  std::vector<std::string_view> rules = SplitAtCommas(record.reasons);
  std::vector<std::string_view> fields = SplitAtCommas(record.paths);
  for (size_t i = 0; i < std::max(rules.size(), fields.size()); ++i) {
    if (AnyMatches(reasons, i < rules.size() ? rules[i] : "") &&
        AnyMatches(paths, i < fields.size() ? fields[i] : ""))
      return true;
  }
  return false;
}

std::string Selection::ToString() const {
  std::string text;
  auto add = [&text](std::string_view option, std::string_view value) {
    base::StrAppend(text, text.empty() ? "" : " ", option, " ", value);
  };
  for (const std::string& reason : reasons) add("--reason", reason);
  for (const std::string& path : paths) add("--path", path);
  for (const Place& place : places) add("--at", PlaceName(place));
  if (since_ms) add("--since", base::StrCat(*since_ms));
  if (until_ms) add("--until", base::StrCat(*until_ms));
  return text;
}

absl::StatusOr<Ledger> Ledger::Read(const Site& site) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<kafka::Admin> admin,
                          kafka::Admin::Create(site.connection));
  auto ends = admin->LogEnds(site.ledger());
  if (absl::IsNotFound(ends.status())) return WithoutLedger(site);
  if (!ends.ok()) return ends.status();
  SLUICE_ASSIGN_OR_RETURN(auto ranges, admin->Ranges(site.ledger()));
  std::vector<kafka::ReadRange> all;
  for (const kafka::PartitionRange& range : ranges) {
    all.push_back({site.ledger(), range.partition, range.begin,
                   (*ends)[static_cast<size_t>(range.partition)]});
  }
  // What the quarantine itself keeps no longer needs no memory.
  SLUICE_ASSIGN_OR_RETURN(auto kept, admin->Ranges(site.quarantine()));
  Ledger ledger;
  SLUICE_RETURN_IF_ERROR(
      kafka::TopicReader({site.connection})
          .Read(all, [&](const kafka::ReadRecord& record) -> absl::Status {
            std::string_view key = record.key.value_or("");
            std::string value(record.value.value_or(""));
            if (key.starts_with(kRunPrefix)) {
              quarantine::v1::Run run;
              if (run.ParseFromString(value))
                ledger.runs_[std::string(key.substr(kRunPrefix.size()))] = std::move(run);
              return absl::OkStatus();
            }
            quarantine::v1::Fate fate;
            auto place = ParsePlace(key);
            if (!place.ok() || !fate.ParseFromString(value)) {
              return absl::DataLossError(base::StrCat(
                  record.topic, '/', record.partition, '/', record.offset,
                  ": isn't an entry of a ledger; nothing is done on the word of such a topic"));
            }
            auto partition = static_cast<size_t>(place->first);
            if (partition < kept.size() && place->second >= kept[partition].begin) {
              auto id = static_cast<uint32_t>(ledger.run_ids_.size());
              id = ledger.run_ids_.emplace(fate.run(), id).first->second;
              ledger.fates_[*place] = {fate.action(), id};
            }
            return absl::OkStatus();
          }));
  return ledger;
}

Action Ledger::FateOf(const Place& place) const {
  auto found = fates_.find(place);
  return found == fates_.end() ? quarantine::v1::ACTION_UNSPECIFIED : found->second.action;
}

bool Ledger::IsOf(const Place& place, std::string_view run) const {
  auto found = fates_.find(place);
  auto id = run_ids_.find(std::string(run));
  return found != fates_.end() && id != run_ids_.end() && found->second.run == id->second;
}

absl::StatusOr<std::vector<kafka::ReadRange>> QuarantineRanges(const Site& site) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<kafka::Admin> admin,
                          kafka::Admin::Create(site.connection));
  SLUICE_ASSIGN_OR_RETURN(auto ranges, admin->Ranges(site.quarantine()));
  std::vector<kafka::ReadRange> all;
  for (const kafka::PartitionRange& range : ranges)
    all.push_back({site.quarantine(), range.partition, range.begin, range.end});
  return all;
}

absl::Status ReadQuarantine(const Site& site, std::span<const kafka::ReadRange> ranges,
                            const std::function<absl::StatusOr<bool>(const Quarantined&)>& each) {
  bool ended = false;
  absl::Status read = kafka::TopicReader({site.connection})
                          .Read(ranges, [&](const kafka::ReadRecord& record) -> absl::Status {
                            SLUICE_ASSIGN_OR_RETURN(bool more, each(Quarantined::From(record)));
                            ended = !more;
                            return more ? absl::OkStatus() : absl::CancelledError();
                          });
  return ended ? absl::OkStatus() : read;
}

absl::Status QuarantineDepth::Follow(const std::string& topic, Followed& followed,
                                     const std::function<bool(const kafka::ReadRecord&)>& counts) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<kafka::Admin> admin,
                          kafka::Admin::Create(site_.connection));
  SLUICE_ASSIGN_OR_RETURN(std::vector<kafka::PartitionRange> now, admin->Ranges(topic));
  std::vector<int64_t> begins;
  for (const kafka::PartitionRange& range : now) begins.push_back(range.begin);
  // What retention takes must not go on being counted.
  if (begins != followed.begins) followed = {begins, begins, 0};
  std::vector<kafka::ReadRange> news;
  for (const kafka::PartitionRange& range : now) {
    auto at = static_cast<size_t>(range.partition);
    news.push_back({topic, range.partition, followed.next[at], range.end});
  }
  SLUICE_RETURN_IF_ERROR(
      kafka::TopicReader({site_.connection}).Read(news, [&](const kafka::ReadRecord& record) {
        followed.count += counts(record);
        return absl::OkStatus();
      }));
  for (const kafka::ReadRange& range : news)
    followed.next[static_cast<size_t>(range.partition)] = range.end;
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> QuarantineDepth::Refresh() {
  std::vector<int64_t> begins = records_.begins;
  SLUICE_RETURN_IF_ERROR(Follow(site_.quarantine(), records_, [](const auto&) { return true; }));
  if (records_.begins != begins) fates_ = {};
  absl::Status ledger = Follow(site_.ledger(), fates_, [this](const kafka::ReadRecord& record) {
    auto place = ParsePlace(record.key.value_or(""));
    auto partition = place.ok() ? static_cast<size_t>(place->first) : SIZE_MAX;
    return partition < records_.begins.size() && place->second >= records_.begins[partition];
  });
  // Without a ledger nothing was taken out yet.
  if (!ledger.ok() && !absl::IsNotFound(ledger)) return ledger;
  return records_.count - std::min(records_.count, fates_.count);
}

absl::StatusOr<PayloadOpener> PayloadOpener::Create(const Site& site,
                                                    const std::string& private_key) {
  SLUICE_ASSIGN_OR_RETURN(std::string pem, base::ReadFile(private_key));
  PayloadOpener opener;
  opener.site_ = &site;
  auto unsealer = privacy::Unsealer::Create(pem);
  if (!unsealer.ok()) {
    return absl::Status(unsealer.status().code(),
                        base::StrCat(private_key, ": ", base::View(unsealer.status().message())));
  }
  opener.unsealer_ = *std::move(unsealer);
  return opener;
}

absl::StatusOr<quarantine::v1::Payload> PayloadOpener::Open(const Quarantined& record) {
  if (!record.sealed) {
    return absl::DataLossError(
        "only names where its raw record stood, without a proof of what that was (an earlier "
        "version wrote it): which event it was is not known any more");
  }
  SLUICE_ASSIGN_OR_RETURN(std::string opened, unsealer_->Unseal(record.source, *record.sealed));
  quarantine::v1::Payload payload;
  if (!payload.ParseFromString(opened)) return absl::DataLossError("isn't a quarantine payload");
  if (payload.has_reference()) return Follow(payload.reference(), record.source);
  return payload;
}

std::optional<Place> RawPlace(const Site& site, std::string_view source) {
  std::string prefix = site.raw() + "/";
  if (!source.starts_with(prefix)) return std::nullopt;
  auto place = ParsePlace(source.substr(prefix.size()));
  return place.ok() ? std::optional(*place) : std::nullopt;
}

absl::StatusOr<quarantine::v1::Payload> PayloadOpener::Follow(
    const quarantine::v1::Reference& reference, std::string_view source) {
  std::optional<Place> place = RawPlace(*site_, source);
  if (!place) return absl::DataLossError("refers to another topic");
  if (admin_ == nullptr) {
    SLUICE_ASSIGN_OR_RETURN(admin_, kafka::Admin::Create(site_->connection));
    SLUICE_ASSIGN_OR_RETURN(topic_id_, admin_->TopicId(site_->raw()));
  }
  if (!reference.topic_id().empty() && reference.topic_id() != topic_id_) {
    return absl::DataLossError(
        base::StrCat("is a reference to a raw record of another topic of this name: ", site_->raw(),
                     " was deleted and created again (id ", reference.topic_id(), " then, ",
                     topic_id_, " now), and the record went with the old one"));
  }
  // Asked for each time: retention goes on. A range that isn't there would be waited for.
  SLUICE_ASSIGN_OR_RETURN(auto held, admin_->Ranges(site_->raw()));
  bool there = std::any_of(held.begin(), held.end(), [&](const kafka::PartitionRange& range) {
    return range.partition == place->first && range.begin <= place->second &&
           place->second < range.end;
  });
  bool found = false;
  quarantine::v1::Payload payload;
  if (there) {
    kafka::ReadRange range{site_->raw(), place->first, place->second, place->second + 1};
    SLUICE_RETURN_IF_ERROR(
        kafka::TopicReader({site_->connection})
            .Read(std::vector<kafka::ReadRange>{range}, [&](const kafka::ReadRecord& original) {
              found = true;
              base::InputRecord record;
              record.key = original.key;
              record.value = original.value;
              record.headers = original.headers;
              payload = engine::PayloadOf(record);
              return absl::OkStatus();
            }));
  }
  if (!found) {
    return absl::DataLossError("is a reference to a raw record that its topic keeps no longer");
  }
  if (engine::DigestOf(payload) != reference.digest()) {
    return absl::DataLossError(
        "is a reference to a raw record that isn't there any more: another one stands at its "
        "place (the topic was created again, or lost its end)");
  }
  return payload;
}

}  // namespace sluice::ctl
