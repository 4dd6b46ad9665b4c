#include "services/ctl/fence.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/writer.h"
#include "services/ctl/acts.h"
#include "services/processor/control_log.h"

namespace sluice::ctl {
namespace {

absl::StatusOr<processor::VersionIds> ActiveVersions(
    const config::v1::RemoteReference& wanted, const reference::v1::GetStatusResponse& service) {
  processor::VersionIds ids;
  for (const std::string& name : wanted.sets()) {
    for (const auto& set : service.sets())
      if (set.name() == name && !set.active_id().empty()) ids[name] = set.active_id();
    if (!ids.contains(name)) {
      return absl::FailedPreconditionError(
          base::StrCat("the reference service has no version of ", name, ": see reference status"));
    }
  }
  return ids;
}

trail::Entry ActOf(const std::string& group, const processor::Fence& fence,
                   const std::string& reason) {
  trail::Entry entry;
  entry.operation = trail::Operation::kAlteration;
  entry.action = "WriteFence";
  entry.justification = reason;
  entry.subject = base::StrCat("group ", group);
  for (const auto& [set, id] : *fence.ids) base::StrAppend(entry.subject, " ", set, "=", id);
  for (const auto& [partition, offset] : fence.offsets)
    base::StrAppend(entry.subject, " ", partition, "/", offset);
  return entry;
}

}  // namespace

absl::StatusOr<processor::Fence> WriteFence(const Site& site,
                                            const reference::v1::GetStatusResponse& service,
                                            const FenceOptions& options) {
  const config::v1::Reference& reference = site.config.reference();
  if (reference.control().swap() != config::v1::fenced) {
    return absl::InvalidArgumentError(
        "reference.control.swap isn't `fenced` in this configuration: its workers take new "
        "versions once they have them");
  }
  const std::string& group = site.config.kafka().group();
  const std::string& topic = reference.control().topic();
  SLUICE_ASSIGN_OR_RETURN(auto ids, ActiveVersions(reference.remote(), service));
  processor::KafkaControlLog log(
      {.connection = site.connection, .topic = topic, .group = group, .input = site.raw()});
  SLUICE_RETURN_IF_ERROR(log.ReadOn());
  const auto view = log.view();
  absl::Status agree = view->CheckVersions(service.activation(), ids);
  if (!agree.ok()) {
    return absl::Status(agree.code(), base::StrCat("control topic ", topic, ": the service ",
                                                   base::View(agree.message())));
  }
  if (!view->fences().empty() && *view->fences().back().ids == ids)
    return absl::AlreadyExistsError("the last fence names these versions already");

  processor::Fence fence{.activation = service.activation(),
                         .ids = std::make_shared<const processor::VersionIds>(std::move(ids))};
  SLUICE_ASSIGN_OR_RETURN(auto admin, kafka::Admin::Create(site.connection));
  SLUICE_ASSIGN_OR_RETURN(auto ends, admin->LogEnds(site.raw()));
  SLUICE_ASSIGN_OR_RETURN(auto committed, log.Committed());
  for (size_t i = 0; i < ends.size(); ++i) {
    const auto partition = static_cast<int32_t>(i);
    const bool first = view->fences().empty() && view->pins(partition).empty();
    const int64_t done = i < committed.size() ? std::max<int64_t>(committed[i], 0) : 0;
    fence.offsets[partition] = first ? done : ends[i] + options.ahead;
  }
  SLUICE_ASSIGN_OR_RETURN(auto writer, kafka::TopicWriter::Create({site.connection}));
  SLUICE_RETURN_IF_ERROR(RecordAct(options.trail, ActOf(group, fence, options.reason)).status());
  SLUICE_RETURN_IF_ERROR(
      writer->Write({topic,
                     std::nullopt,
                     site.raw(),
                     processor::FenceRecord(group, site.raw(), fence).SerializeAsString(),
                     {},
                     {}}));
  SLUICE_RETURN_IF_ERROR(writer->Flush());
  // Its number is its place in the topic; another one may have been written beside it.
  SLUICE_RETURN_IF_ERROR(log.ReadOn());
  for (const processor::Fence& written : log.view()->fences())
    if (*written.ids == *fence.ids && written.offsets == fence.offsets)
      fence.number = written.number;
  return fence;
}

}  // namespace sluice::ctl
