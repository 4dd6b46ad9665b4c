#include "services/ctl/offsets.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "absl/strings/numbers.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/batch_writer.h"
#include "common/kafka/reader.h"
#include "services/ctl/acts.h"
#include "services/ctl/quarantine.h"

namespace sluice::ctl {
namespace {

constexpr size_t kSubjectBytesMax = 1000;

// By partition, the offset behind the last raw record that a result names in the clear.
absl::StatusOr<std::map<int32_t, int64_t>> LowerBounds(const Site& site) {
  std::set<std::string> topics = {site.quarantine()};
  for (const config::v1::Stream& stream : site.config.pipeline().streams()) {
    if (stream.internal()) topics.insert(stream.topic());
  }
  std::vector<std::string> all(topics.begin(), topics.end());
  std::map<int32_t, int64_t> bounds;
  SLUICE_RETURN_IF_ERROR(
      kafka::TopicReader({site.connection}).Read(all, [&](const kafka::ReadRecord& record) {
        for (const auto& header : record.headers) {
          if (header.name != "sluice-src") continue;
          if (std::optional<Place> place = RawPlace(site, header.value)) {
            int64_t& bound = bounds[place->first];
            bound = std::max(bound, place->second + 1);
          }
        }
        return absl::OkStatus();
      }));
  return bounds;
}

// A topic that isn't there holds none.
absl::StatusOr<bool> HasResults(const Site& site, kafka::Admin& admin) {
  std::vector<std::string> topics = site.clean();
  topics.push_back(site.quarantine());
  for (const std::string& topic : topics) {
    auto ends = admin.LogEnds(topic);
    if (absl::IsNotFound(ends.status())) continue;
    SLUICE_RETURN_IF_ERROR(ends.status());
    if (std::any_of(ends->begin(), ends->end(), [](int64_t end) { return end != 0; })) return true;
  }
  return false;
}

// Nothing is known of any partition: a pipeline before its first start, or one that lost both.
bool NothingKnown(const GroupView& view) {
  return view.former_id.empty() &&
         std::all_of(view.partitions.begin(), view.partitions.end(),
                     [](const PartitionOffsets& at) { return !at.recorded && at.committed < 0; });
}

std::string Gone(const PartitionOffsets& at, int64_t to) {
  if (to >= at.log_begin) return "";
  return base::StrCat("; records ", to, " to ", at.log_begin - 1, " are gone from the topic: set ",
                      at.partition, "=begin to go on behind them");
}

}  // namespace

absl::StatusOr<GroupView> LookAtGroup(const Site& site) {
  GroupView view;
  const config::v1::Pipeline& pipeline = site.config.pipeline();
  view.site = {processor::PipelineName(pipeline), site.config.kafka().group(), site.raw(), ""};
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<kafka::Admin> admin,
                          kafka::Admin::Create(site.connection));
  SLUICE_ASSIGN_OR_RETURN(view.site.topic_id, admin->TopicId(site.raw()));
  SLUICE_ASSIGN_OR_RETURN(view.members, admin->GroupMembers(view.site.group));
  // First what is committed: a processor that is running has recorded it by then.
  SLUICE_ASSIGN_OR_RETURN(auto committed, admin->GroupOffsets(view.site.group));
  processor::PositionReader reader(
      {site.connection, processor::PositionsTopic(pipeline), view.site.pipeline});
  absl::Status read = reader.ReadOn(*admin);
  if (absl::IsNotFound(read)) {
    return absl::NotFoundError(base::StrCat("topic ", processor::PositionsTopic(pipeline),
                                            " is missing, which records where the pipeline is: "
                                            "`sluicectl topics apply` creates it"));
  }
  SLUICE_RETURN_IF_ERROR(read);
  view.former_id = reader.recorded().FormerId(site.raw(), view.site.topic_id);
  SLUICE_ASSIGN_OR_RETURN(auto ranges, admin->Ranges(site.raw()));
  SLUICE_ASSIGN_OR_RETURN(auto ends, admin->LogEnds(site.raw()));
  for (const kafka::PartitionRange& range : ranges) {
    PartitionOffsets& at = view.partitions.emplace_back();
    at.partition = range.partition;
    at.log_begin = range.begin;
    at.log_end = ends[static_cast<size_t>(range.partition)];
    for (const kafka::GroupOffset& offset : committed) {
      if (offset.topic != site.raw() || offset.partition != range.partition) continue;
      at.committed = offset.offset;
      at.metadata = offset.metadata;
    }
    const positions::v1::Position* recorded =
        reader.recorded().Find(view.site.topic_id, range.partition);
    if (recorded != nullptr) at.recorded = *recorded;
    absl::Status agrees = processor::ComparePosition(
        view.site, {site.raw(), at.partition, at.committed, at.metadata}, recorded);
    at.problem = base::View(agrees.message());
    // What moves on while this is read isn't a difference.
    if (!view.members.empty() && recorded != nullptr && at.committed >= 0 &&
        recorded->next_offset() >= at.committed && recorded->group() == view.site.group) {
      SLUICE_ASSIGN_OR_RETURN(auto again, admin->Committed(view.site.group, site.raw()));
      if (again[static_cast<size_t>(at.partition)] >= recorded->next_offset()) at.problem.clear();
    }
  }
  std::vector<int64_t> offsets;
  for (const PartitionOffsets& at : view.partitions) offsets.push_back(at.committed);
  const std::vector<int32_t> unknown =
      processor::UnknownPartitions(view.site, reader.recorded(), offsets, ends);
  if (unknown.empty()) return view;
  SLUICE_ASSIGN_OR_RETURN(bool results, HasResults(site, *admin));
  if (!results) return view;
  for (int32_t partition : unknown) {
    auto at = std::find_if(view.partitions.begin(), view.partitions.end(),
                           [&](const PartitionOffsets& p) { return p.partition == partition; });
    if (at == view.partitions.end()) continue;
    at->unknown = true;
    at->problem = base::StrCat(
        site.raw(), "/", partition, ": nothing is committed in group ", view.site.group,
        " and nothing is recorded, but there are results: starting at its first record would "
        "publish events again. `sluicectl offsets recover` finds a lower bound in the results");
  }
  return view;
}

absl::StatusOr<std::vector<OffsetChange>> PlanRecovery(const Site& site, const GroupView& view) {
  ResultSources sources;
  for (const config::v1::Stream& stream : site.config.pipeline().streams())
    sources.streams |= stream.internal();
  if (NothingKnown(view) || std::any_of(view.partitions.begin(), view.partitions.end(),
                                        [](const PartitionOffsets& at) { return at.unknown; })) {
    SLUICE_ASSIGN_OR_RETURN(sources.bounds, LowerBounds(site));
  }
  return PlanRecovery(view, sources);
}

std::vector<OffsetChange> PlanRecovery(const GroupView& view, const ResultSources& sources) {
  std::vector<OffsetChange> changes;
  const bool nothing_known = NothingKnown(view);
  for (const PartitionOffsets& at : view.partitions) {
    if (at.recorded) {
      const int64_t to = at.recorded->next_offset();
      if (at.problem.empty()) continue;
      changes.push_back({at.partition, at.committed, to, true, "recorded" + Gone(at, to)});
    } else if (!view.former_id.empty()) {
      // What the group has committed is of the former topic, if it has anything.
      changes.push_back({at.partition, at.committed, at.log_begin, true,
                         "the beginning of the topic that was created again"});
    } else if (at.committed >= 0) {
      if (at.problem.empty()) continue;
      changes.push_back({at.partition, at.committed, at.committed, false,
                         "as the group says; nothing is recorded" + Gone(at, at.committed)});
    } else if (nothing_known || at.unknown) {
      auto bound = sources.bounds.find(at.partition);
      const bool named = bound != sources.bounds.end();
      const int64_t to = named ? bound->second : at.log_begin;
      const bool blind = at.unknown && !sources.streams;
      std::string note = blind ? base::StrCat(
                                     "no stream is internal, so that no result in one "
                                     "names its event: all that was published of events ",
                                     to, " and on is published again")
                         : named ? std::string("behind the last event that a result names")
                                 : std::string("no result names an event of it");
      changes.push_back({at.partition, -1, to, false, note + Gone(at, to), blind});
    }
  }
  return changes;
}

absl::StatusOr<std::vector<OffsetChange>> PlanSet(const GroupView& view,
                                                  const std::vector<std::string>& texts) {
  std::vector<OffsetChange> changes;
  for (const std::string& text : texts) {
    auto wrong = [&text](auto&&... what) {
      return absl::InvalidArgumentError(base::StrCat("'", text, "': ", what...));
    };
    size_t equals = text.find('=');
    int32_t partition = -1;
    if (equals == text.npos || !absl::SimpleAtoi(text.substr(0, equals), &partition))
      return wrong("write PARTITION=OFFSET, such as 0=1500, 0=begin or 0=end");
    auto at = std::find_if(view.partitions.begin(), view.partitions.end(),
                           [&](const PartitionOffsets& p) { return p.partition == partition; });
    if (at == view.partitions.end())
      return wrong("topic ", view.site.topic, " has no partition ", partition);
    if (std::any_of(changes.begin(), changes.end(),
                    [&](const OffsetChange& change) { return change.partition == partition; }))
      return wrong("partition ", partition, " is given twice");
    std::string offset = text.substr(equals + 1);
    int64_t to = offset == "begin" ? at->log_begin : at->log_end;
    if (offset != "begin" && offset != "end" && !absl::SimpleAtoi(offset, &to))
      return wrong("an offset is a number, begin or end");
    if (to < at->log_begin || to > at->log_end) {
      return wrong("the partition holds offsets ", at->log_begin, " to ", at->log_end,
                   ", and reading can begin only there");
    }
    const int64_t now = at->recorded ? at->recorded->next_offset() : at->committed;
    std::string note =
        now < 0     ? ""
        : to < now  ? base::StrCat("up to ", now - to, " records are published a second time")
        : to == now ? "as recorded"
                    : base::StrCat("up to ", to - now,
                                   " records are skipped: they "
                                   "never get a result");
    changes.push_back({partition, at->committed, to, true, std::move(note)});
  }
  std::vector<int32_t> left;
  for (const PartitionOffsets& at : view.partitions) {
    if (at.unknown && std::none_of(changes.begin(), changes.end(), [&](const OffsetChange& change) {
          return change.partition == at.partition;
        }))
      left.push_back(at.partition);
  }
  if (!left.empty()) {
    return absl::InvalidArgumentError(base::StrCat(
        "nothing is known of ", processor::PartitionsText(left),
        " either, and there are results: set what you know of every one, or let `sluicectl offsets "
        "recover` find a lower bound for all"));
  }
  return changes;
}

absl::Status SetOffsets(const Site& site, const GroupView& view,
                        const std::vector<OffsetChange>& changes,
                        const SetOffsetsOptions& options) {
  const bool live = !view.members.empty();
  if (live && options.processors.addresses.empty()) {
    return absl::FailedPreconditionError(base::StrCat(
        "group ", view.site.group, " has ", view.members.size(), " live members (",
        view.members.front(), view.members.size() > 1 ? ", ..." : "",
        "), and Kafka lets only them set its offsets: name the running processors' gRPC ports with "
        "--processor, or stop this pipeline's processors, run this again, and start them"));
  }
  std::optional<Services> services;
  if (live) {
    SLUICE_ASSIGN_OR_RETURN(services, Services::Connect(options.processors));
  }
  for (const PartitionOffsets& at : view.partitions) {
    if (at.metadata.empty() || at.metadata == view.site.pipeline) continue;
    if (at.metadata == options.take_over) continue;
    return absl::FailedPreconditionError(base::StrCat(
        "group ", view.site.group, " belongs to another pipeline, as partition ", at.partition,
        " says; nothing is set. If it is this pipeline under a former name, name that: "
        "--take-over"));
  }
  const config::v1::Pipeline& pipeline = site.config.pipeline();
  std::string what;
  for (const OffsetChange& change : changes) {
    if (what.size() > kSubjectBytesMax) {
      base::StrAppend(what, " ...");
      break;
    }
    base::StrAppend(what, " ", site.raw(), "/", change.partition, " ", change.from, "->",
                    change.to);
  }
  auto act = [&](std::string_view which) {
    return trail::Entry{.operation = trail::Operation::kAlteration,
                        .action = base::StrCat(which, "SetOffsets"),
                        .justification = options.reason,
                        .count = changes.size(),
                        .subject = base::StrCat("group ", view.site.group, what)};
  };
  SLUICE_RETURN_IF_ERROR(RecordAct(options.trail, act("Begin")).status());
  auto set = [&]() -> absl::Status {
    if (services) {
      processor::v1::SetOffsetsRequest request;
      request.set_topic(site.raw());
      request.set_topic_id(view.site.topic_id);
      request.set_set_by(Operator());
      request.set_reason(options.reason);
      for (const OffsetChange& change : changes) {
        processor::v1::SetOffsetsRequest::Partition& at = *request.add_partitions();
        at.set_partition(change.partition);
        at.set_next_offset(change.to);
      }
      std::vector<int32_t> done;
      return services->SetOffsets(std::move(request), done);
    }
    SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<kafka::Admin> admin,
                            kafka::Admin::Create(site.connection));
    std::vector<kafka::GroupOffset> offsets;
    for (const OffsetChange& change : changes)
      offsets.push_back({site.raw(), change.partition, change.to, view.site.pipeline});
    // The broker refuses it if a member has come meanwhile.
    SLUICE_RETURN_IF_ERROR(admin->SetGroupOffsets(view.site.group, offsets));
    SLUICE_ASSIGN_OR_RETURN(
        auto writer, kafka::BatchWriter::Create(
                         {.connection = site.connection,
                          .transactional_id = base::StrCat("sluice-offsets-", view.site.pipeline),
                          .topics = {processor::PositionsTopic(pipeline)}}));
    std::vector<std::string> keys, values;
    for (const OffsetChange& change : changes) {
      positions::v1::Position position;
      position.set_next_offset(change.to);
      position.set_topic(site.raw());
      position.set_group(view.site.group);
      position.set_set_by(Operator());
      position.set_reason(options.reason);
      keys.push_back(
          processor::PositionKeyText(view.site.pipeline, view.site.topic_id, change.partition));
      values.push_back(position.SerializeAsString());
    }
    std::vector<stream::OutputRecord> records;
    for (size_t i = 0; i < keys.size(); ++i)
      records.push_back({.topic = 0, .key = keys[i], .value = values[i]});
    return writer->Write(records, std::nullopt);
  };
  absl::Status done = set();
  trail::Entry end = act("End");
  if (!done.ok()) {
    end.outcome = trail::Outcome::kRefused;
    end.reason = base::View(done.message());
  }
  SLUICE_RETURN_IF_ERROR(RecordAct(options.trail, std::move(end)).status());
  return done;
}

absl::StatusOr<processor::KeyIdentities> RecordedKeys(const Site& site) {
  const config::v1::Pipeline& pipeline = site.config.pipeline();
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<kafka::Admin> admin,
                          kafka::Admin::Create(site.connection));
  processor::PositionReader reader(
      {site.connection, processor::PositionsTopic(pipeline), processor::PipelineName(pipeline)});
  SLUICE_RETURN_IF_ERROR(reader.ReadOn(*admin));
  return reader.recorded().keys();
}

absl::Status ForgetKeys(const Site& site, const processor::KeyIdentities& keys,
                        const std::string& reason, const std::string& trail) {
  const config::v1::Pipeline& pipeline = site.config.pipeline();
  const std::string name = processor::PipelineName(pipeline);
  std::string what;
  for (const auto& [id, epoch] : keys) {
    if (what.size() > kSubjectBytesMax) {
      base::StrAppend(what, " ...");
      break;
    }
    base::StrAppend(what, " ", epoch.label, id.second, "=", epoch.check);
  }
  auto act = [&](std::string_view which) {
    return trail::Entry{.operation = trail::Operation::kAlteration,
                        .action = base::StrCat(which, "ForgetKeys"),
                        .justification = reason,
                        .count = keys.size(),
                        .subject = base::StrCat("pipeline ", name, what)};
  };
  SLUICE_RETURN_IF_ERROR(RecordAct(trail, act("Begin")).status());
  auto forget = [&]() -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(
        auto writer,
        kafka::BatchWriter::Create({.connection = site.connection,
                                    .transactional_id = base::StrCat("sluice-offsets-", name),
                                    .topics = {processor::PositionsTopic(pipeline)}}));
    std::vector<std::string> texts;
    for (const auto& [id, epoch] : keys)
      texts.push_back(processor::EpochKeyText(name, id.first, id.second));
    std::vector<stream::OutputRecord> records;
    for (const std::string& text : texts) records.push_back({.topic = 0, .key = text});
    return writer->Write(records, std::nullopt);
  };
  absl::Status done = forget();
  trail::Entry end = act("End");
  if (!done.ok()) {
    end.outcome = trail::Outcome::kRefused;
    end.reason = base::View(done.message());
  }
  SLUICE_RETURN_IF_ERROR(RecordAct(trail, std::move(end)).status());
  return done;
}

}  // namespace sluice::ctl
