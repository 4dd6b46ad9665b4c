#include "common/kafka/admin.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/status.h"
#include "common/kafka/topic_id.h"

namespace sluice::kafka {
namespace {

constexpr std::chrono::milliseconds kLeaderRetry(50);

struct EventDeleter {
  void operator()(rd_kafka_event_t* event) const { rd_kafka_event_destroy(event); }
};
using EventPtr = std::unique_ptr<rd_kafka_event_t, EventDeleter>;

struct TopicCollectionDeleter {
  void operator()(rd_kafka_TopicCollection_t* topics) const {
    rd_kafka_TopicCollection_destroy(topics);
  }
};
using TopicCollectionPtr = std::unique_ptr<rd_kafka_TopicCollection_t, TopicCollectionDeleter>;

struct ResourceDeleter {
  void operator()(rd_kafka_ConfigResource_t* resource) const {
    rd_kafka_ConfigResource_destroy(resource);
  }
};
using ResourcePtr = std::unique_ptr<rd_kafka_ConfigResource_t, ResourceDeleter>;

// Sends one admin request and waits for its answer.
template <typename Send>
absl::StatusOr<EventPtr> Ask(rd_kafka_t* client, rd_kafka_admin_op_t op, int timeout_ms,
                             std::string_view what, Send send) {
  rd_kafka_AdminOptions_t* options = rd_kafka_AdminOptions_new(client, op);
  char text[256];
  rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof(text));
  QueuePtr queue(rd_kafka_queue_new(client));
  send(options, queue.get());
  rd_kafka_AdminOptions_destroy(options);
  EventPtr event(rd_kafka_queue_poll(queue.get(), timeout_ms + 1'000));
  if (event == nullptr)
    return absl::UnavailableError(base::StrCat(what, ": no broker answered in time"));
  SLUICE_RETURN_IF_ERROR(ExplainRefusal(client, ToStatus(rd_kafka_event_error(event.get()), what)));
  return event;
}

PartitionListPtr EveryPartition(const std::string& topic, int count, int64_t offset) {
  PartitionListPtr list(rd_kafka_topic_partition_list_new(count));
  for (int i = 0; i < count; ++i)
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), i)->offset = offset;
  return list;
}

// A topic that was just made, or a leader that moves, has none for a moment; a group's coordinator
// that moves reads its log first.
template <typename Call>
absl::Status UntilLed(int timeout_ms, Call call) {
  auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  while (true) {
    absl::Status asked = call();
    if (!absl::IsUnavailable(asked) || std::chrono::steady_clock::now() >= until) return asked;
    std::this_thread::sleep_for(kLeaderRetry);
  }
}

// A consumer: the one kind of client that never has a broker create a topic, and that asks for
// offsets as a read_committed reader sees them.
absl::StatusOr<ClientPtr> MakeAdminClient(const ConnectionOptions& options, ClientContext& context,
                                          Settings more = {}) {
  more.emplace_back("allow.auto.create.topics", "false");
  more.emplace_back("isolation.level", "read_committed");
  SLUICE_ASSIGN_OR_RETURN(ConfPtr conf, MakeConf(options, more, &context));
  return MakeClient(ClientKind::kConsumer, std::move(conf));
}

}  // namespace

Admin::Admin(ConnectionOptions options, int timeout_ms)
    : timeout_ms_(timeout_ms), context_{options.log}, options_(std::move(options)) {}

absl::StatusOr<std::unique_ptr<Admin>> Admin::Create(ConnectionOptions options, int timeout_ms) {
  std::unique_ptr<Admin> admin(new Admin(std::move(options), timeout_ms));
  SLUICE_ASSIGN_OR_RETURN(admin->client_, MakeAdminClient(admin->options_, admin->context_));
  return admin;
}

absl::Status Admin::CreateTopics(std::span<const NewTopic> topics) {
  std::vector<rd_kafka_NewTopic_t*> requests;
  for (const NewTopic& topic : topics) {
    char text[256];
    rd_kafka_NewTopic_t* request = rd_kafka_NewTopic_new(
        topic.name.c_str(), topic.partitions, topic.replication_factor, text, sizeof(text));
    if (request == nullptr) {
      rd_kafka_NewTopic_destroy_array(requests.data(), requests.size());
      return absl::InvalidArgumentError(base::StrCat("topic ", topic.name, ": ", text));
    }
    for (const auto& [name, value] : topic.config) {
      rd_kafka_NewTopic_set_config(request, name.c_str(), value.c_str());
    }
    requests.push_back(request);
  }
  auto event =
      Ask(client_.get(), RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout_ms_, "create topics",
          [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
            rd_kafka_CreateTopics(client_.get(), requests.data(), requests.size(), options, queue);
          });
  rd_kafka_NewTopic_destroy_array(requests.data(), requests.size());
  if (!event.ok()) return event.status();
  size_t count = 0;
  const rd_kafka_topic_result_t** results =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event->get()), &count);
  for (size_t i = 0; i < count; ++i) {
    SLUICE_RETURN_IF_ERROR(
        ToStatus(rd_kafka_topic_result_error(results[i]),
                 base::StrCat("create topic ", rd_kafka_topic_result_name(results[i]))));
  }
  return absl::OkStatus();
}

absl::Status Admin::DeleteRecords(const std::string& topic, int32_t partition, int64_t before) {
  std::string what = base::StrCat("delete records of ", topic, "/", partition);
  PartitionListPtr list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition)->offset = before;
  rd_kafka_DeleteRecords_t* request = rd_kafka_DeleteRecords_new(list.get());
  auto event = Ask(client_.get(), RD_KAFKA_ADMIN_OP_DELETERECORDS, timeout_ms_, what,
                   [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                     rd_kafka_DeleteRecords(client_.get(), &request, 1, options, queue);
                   });
  rd_kafka_DeleteRecords_destroy(request);
  if (!event.ok()) return event.status();
  const rd_kafka_topic_partition_list_t* done =
      rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event->get()));
  for (int i = 0; i < done->cnt; ++i) SLUICE_RETURN_IF_ERROR(ToStatus(done->elems[i].err, what));
  return absl::OkStatus();
}

absl::Status Admin::DeleteTopics(const std::vector<std::string>& topics) {
  std::vector<rd_kafka_DeleteTopic_t*> requests;
  for (const std::string& topic : topics)
    requests.push_back(rd_kafka_DeleteTopic_new(topic.c_str()));
  auto event =
      Ask(client_.get(), RD_KAFKA_ADMIN_OP_DELETETOPICS, timeout_ms_, "delete topics",
          [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
            rd_kafka_DeleteTopics(client_.get(), requests.data(), requests.size(), options, queue);
          });
  rd_kafka_DeleteTopic_destroy_array(requests.data(), requests.size());
  if (!event.ok()) return event.status();
  size_t count = 0;
  const rd_kafka_topic_result_t** results =
      rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event->get()), &count);
  for (size_t i = 0; i < count; ++i) {
    SLUICE_RETURN_IF_ERROR(
        ToStatus(rd_kafka_topic_result_error(results[i]),
                 base::StrCat("delete topic ", rd_kafka_topic_result_name(results[i]))));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int32_t>> Admin::Brokers() {
  const rd_kafka_metadata_t* metadata = nullptr;
  SLUICE_RETURN_IF_ERROR(ExplainRefusal(
      client_.get(), ToStatus(rd_kafka_metadata(client_.get(), 0, nullptr, &metadata, timeout_ms_),
                              "list brokers")));
  std::vector<int32_t> brokers;
  for (int i = 0; i < metadata->broker_cnt; ++i) brokers.push_back(metadata->brokers[i].id);
  rd_kafka_metadata_destroy(metadata);
  return brokers;
}

absl::StatusOr<int> Admin::PartitionCount(const std::string& name) {
  TopicPtr topic(rd_kafka_topic_new(client_.get(), name.c_str(), nullptr));
  const rd_kafka_metadata_t* metadata = nullptr;
  SLUICE_RETURN_IF_ERROR(ExplainRefusal(
      client_.get(),
      ToStatus(rd_kafka_metadata(client_.get(), 0, topic.get(), &metadata, timeout_ms_),
               base::StrCat("look up topic ", name))));
  rd_kafka_resp_err_t error = metadata->topics[0].err;
  int count = metadata->topics[0].partition_cnt;
  rd_kafka_metadata_destroy(metadata);
  SLUICE_RETURN_IF_ERROR(ToStatus(error, base::StrCat("topic ", name)));
  return count;
}

absl::StatusOr<std::string> Admin::TopicId(const std::string& name) {
  std::string what = base::StrCat("describe topic ", name);
  const char* names[] = {name.c_str()};
  TopicCollectionPtr topics(rd_kafka_TopicCollection_of_topic_names(names, 1));
  SLUICE_ASSIGN_OR_RETURN(
      EventPtr event, Ask(client_.get(), RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout_ms_, what,
                          [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                            rd_kafka_DescribeTopics(client_.get(), topics.get(), options, queue);
                          }));
  size_t count = 0;
  const rd_kafka_TopicDescription_t** found = rd_kafka_DescribeTopics_result_topics(
      rd_kafka_event_DescribeTopics_result(event.get()), &count);
  if (count != 1) return absl::UnavailableError(base::StrCat(what, ": no answer"));
  if (const rd_kafka_error_t* error = rd_kafka_TopicDescription_error(found[0]))
    SLUICE_RETURN_IF_ERROR(ToStatus(rd_kafka_error_code(error), base::StrCat("topic ", name)));
  return TopicIdText(rd_kafka_TopicDescription_topic_id(found[0]));
}

absl::StatusOr<std::vector<std::string>> Admin::NotWritable(
    const std::vector<std::string>& topics) {
  std::vector<const char*> names;
  for (const std::string& topic : topics) names.push_back(topic.c_str());
  TopicCollectionPtr collection(
      rd_kafka_TopicCollection_of_topic_names(names.data(), names.size()));
  SLUICE_ASSIGN_OR_RETURN(
      EventPtr event,
      Ask(client_.get(), RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout_ms_, "ask for permissions",
          [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
            rd_kafka_error_destroy(
                rd_kafka_AdminOptions_set_include_authorized_operations(options, 1));
            rd_kafka_DescribeTopics(client_.get(), collection.get(), options, queue);
          }));
  size_t count = 0;
  const rd_kafka_TopicDescription_t** found = rd_kafka_DescribeTopics_result_topics(
      rd_kafka_event_DescribeTopics_result(event.get()), &count);
  std::vector<std::string> denied;
  for (size_t i = 0; i < count; ++i) {
    const rd_kafka_error_t* error = rd_kafka_TopicDescription_error(found[i]);
    const rd_kafka_resp_err_t code =
        error == nullptr ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_error_code(error);
    size_t operations = 0;
    const rd_kafka_AclOperation_t* may =
        rd_kafka_TopicDescription_authorized_operations(found[i], &operations);
    if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
        (code == RD_KAFKA_RESP_ERR_NO_ERROR && may != nullptr &&
         std::find(may, may + operations, RD_KAFKA_ACL_OPERATION_WRITE) == may + operations))
      denied.emplace_back(rd_kafka_TopicDescription_name(found[i]));
  }
  return denied;
}

absl::StatusOr<std::map<std::string, std::string>> Admin::Describe(int type,
                                                                   const std::string& name) {
  ResourcePtr resource(
      rd_kafka_ConfigResource_new(static_cast<rd_kafka_ResourceType_t>(type), name.c_str()));
  std::string what = base::StrCat("describe configuration of ", name);
  SLUICE_ASSIGN_OR_RETURN(
      EventPtr event, Ask(client_.get(), RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout_ms_, what,
                          [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                            rd_kafka_ConfigResource_t* resources[] = {resource.get()};
                            rd_kafka_DescribeConfigs(client_.get(), resources, 1, options, queue);
                          }));
  size_t count = 0;
  const rd_kafka_ConfigResource_t** results = rd_kafka_DescribeConfigs_result_resources(
      rd_kafka_event_DescribeConfigs_result(event.get()), &count);
  std::map<std::string, std::string> config;
  for (size_t i = 0; i < count; ++i) {
    SLUICE_RETURN_IF_ERROR(ToStatus(rd_kafka_ConfigResource_error(results[i]), what));
    size_t entries = 0;
    const rd_kafka_ConfigEntry_t** entry = rd_kafka_ConfigResource_configs(results[i], &entries);
    for (size_t j = 0; j < entries; ++j) {
      const char* value = rd_kafka_ConfigEntry_value(entry[j]);
      config[rd_kafka_ConfigEntry_name(entry[j])] = value == nullptr ? "" : value;
    }
  }
  return config;
}

absl::StatusOr<std::map<std::string, std::string>> Admin::DescribeTopic(const std::string& topic) {
  return Describe(RD_KAFKA_RESOURCE_TOPIC, topic);
}

absl::StatusOr<std::map<std::string, std::string>> Admin::DescribeBroker(int32_t broker) {
  return Describe(RD_KAFKA_RESOURCE_BROKER, std::to_string(broker));
}

absl::Status Admin::AlterTopic(const std::string& topic, const std::string& name,
                               const std::string& value) {
  ResourcePtr resource(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
  ErrorPtr refused(rd_kafka_ConfigResource_add_incremental_config(
      resource.get(), name.c_str(), RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET, value.c_str()));
  if (refused != nullptr) return absl::InvalidArgumentError(rd_kafka_error_string(refused.get()));
  std::string what = base::StrCat("set ", name, " of topic ", topic);
  SLUICE_ASSIGN_OR_RETURN(EventPtr event,
                          Ask(client_.get(), RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS, timeout_ms_,
                              what, [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                                rd_kafka_ConfigResource_t* resources[] = {resource.get()};
                                rd_kafka_IncrementalAlterConfigs(client_.get(), resources, 1,
                                                                 options, queue);
                              }));
  size_t count = 0;
  const rd_kafka_ConfigResource_t** results = rd_kafka_IncrementalAlterConfigs_result_resources(
      rd_kafka_event_IncrementalAlterConfigs_result(event.get()), &count);
  for (size_t i = 0; i < count; ++i) {
    SLUICE_RETURN_IF_ERROR(ToStatus(rd_kafka_ConfigResource_error(results[i]), what));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PartitionRange>> Admin::Ranges(const std::string& topic) {
  SLUICE_ASSIGN_OR_RETURN(int count, PartitionCount(topic));
  std::vector<PartitionRange> ranges(count);
  for (int partition = 0; partition < count; ++partition) {
    PartitionRange& range = ranges[partition];
    range.partition = partition;
    SLUICE_RETURN_IF_ERROR(UntilLed(timeout_ms_, [&] {
      return ToStatus(rd_kafka_query_watermark_offsets(client_.get(), topic.c_str(), partition,
                                                       &range.begin, &range.end, timeout_ms_),
                      base::StrCat("look up offsets of ", topic, "/", partition));
    }));
  }
  return ranges;
}

absl::StatusOr<std::vector<int64_t>> Admin::LogEnds(const std::string& topic) {
  SLUICE_ASSIGN_OR_RETURN(int count, PartitionCount(topic));
  PartitionListPtr list = EveryPartition(topic, count, RD_KAFKA_OFFSET_SPEC_LATEST);
  std::string what = base::StrCat("look up the ends of ", topic);
  std::vector<int64_t> ends(count, -1);
  auto ask = [&]() -> absl::Status {
    // read_uncommitted is this request's default, whatever the client's.
    SLUICE_ASSIGN_OR_RETURN(EventPtr event,
                            Ask(client_.get(), RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout_ms_, what,
                                [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                                  rd_kafka_ListOffsets(client_.get(), list.get(), options, queue);
                                }));
    size_t size = 0;
    const rd_kafka_ListOffsetsResultInfo_t** infos =
        rd_kafka_ListOffsets_result_infos(rd_kafka_event_ListOffsets_result(event.get()), &size);
    for (size_t i = 0; i < size; ++i) {
      const rd_kafka_topic_partition_t& at =
          *rd_kafka_ListOffsetsResultInfo_topic_partition(infos[i]);
      SLUICE_RETURN_IF_ERROR(ToStatus(at.err, what));
      ends[at.partition] = at.offset;
    }
    return absl::OkStatus();
  };
  SLUICE_RETURN_IF_ERROR(UntilLed(timeout_ms_, ask));
  return ends;
}

absl::StatusOr<std::vector<int64_t>> Admin::Committed(const std::string& group,
                                                      const std::string& topic) {
  SLUICE_ASSIGN_OR_RETURN(int count, PartitionCount(topic));
  PartitionListPtr list = EveryPartition(topic, count, RD_KAFKA_OFFSET_INVALID);
  std::string what = base::StrCat("look up what group ", group, " has committed");
  SLUICE_RETURN_IF_ERROR(GroupClient(group).status());
  std::vector<int64_t> committed(count, -1);
  auto ask = [&]() -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(
        EventPtr event,
        Ask(group_client_.get(), RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, timeout_ms_, what,
            [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
              rd_kafka_ListConsumerGroupOffsets_t* request =
                  rd_kafka_ListConsumerGroupOffsets_new(group.c_str(), list.get());
              rd_kafka_ListConsumerGroupOffsets(group_client_.get(), &request, 1, options, queue);
              rd_kafka_ListConsumerGroupOffsets_destroy(request);
            }));
    size_t size = 0;
    const rd_kafka_group_result_t** groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
        rd_kafka_event_ListConsumerGroupOffsets_result(event.get()), &size);
    for (size_t i = 0; i < size; ++i) {
      if (const rd_kafka_error_t* error = rd_kafka_group_result_error(groups[i]))
        return ToStatus(rd_kafka_error_code(error), what);
      const rd_kafka_topic_partition_list_t* found = rd_kafka_group_result_partitions(groups[i]);
      for (int j = 0; j < found->cnt; ++j) {
        SLUICE_RETURN_IF_ERROR(ToStatus(found->elems[j].err, what));
        committed[found->elems[j].partition] = std::max<int64_t>(found->elems[j].offset, -1);
      }
    }
    return absl::OkStatus();
  };
  SLUICE_RETURN_IF_ERROR(UntilLed(timeout_ms_, ask));
  return committed;
}

absl::StatusOr<rd_kafka_s*> Admin::GroupClient(const std::string& group) {
  if (group != group_) {
    group_.clear();
    SLUICE_ASSIGN_OR_RETURN(group_client_,
                            MakeAdminClient(options_, context_, {{"group.id", group}}));
    group_ = group;
  }
  return group_client_.get();
}

absl::StatusOr<std::vector<GroupOffset>> Admin::GroupOffsets(const std::string& group) {
  std::string what = base::StrCat("look up what group ", group, " has committed");
  SLUICE_ASSIGN_OR_RETURN(rd_kafka_t * client, GroupClient(group));
  std::vector<GroupOffset> offsets;
  auto ask = [&]() -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(
        EventPtr event, Ask(client, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, timeout_ms_, what,
                            [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                              rd_kafka_ListConsumerGroupOffsets_t* request =
                                  rd_kafka_ListConsumerGroupOffsets_new(group.c_str(), nullptr);
                              rd_kafka_ListConsumerGroupOffsets(client, &request, 1, options,
                                                                queue);
                              rd_kafka_ListConsumerGroupOffsets_destroy(request);
                            }));
    size_t size = 0;
    const rd_kafka_group_result_t** groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
        rd_kafka_event_ListConsumerGroupOffsets_result(event.get()), &size);
    offsets.clear();
    for (size_t i = 0; i < size; ++i) {
      if (const rd_kafka_error_t* error = rd_kafka_group_result_error(groups[i]))
        return ToStatus(rd_kafka_error_code(error), what);
      const rd_kafka_topic_partition_list_t* found = rd_kafka_group_result_partitions(groups[i]);
      for (int j = 0; j < found->cnt; ++j) {
        const rd_kafka_topic_partition_t& at = found->elems[j];
        SLUICE_RETURN_IF_ERROR(ToStatus(at.err, what));
        if (at.offset < 0) continue;
        offsets.push_back({at.topic,
                           at.partition,
                           at.offset,
                           {static_cast<const char*>(at.metadata), at.metadata_size}});
      }
    }
    return absl::OkStatus();
  };
  SLUICE_RETURN_IF_ERROR(UntilLed(timeout_ms_, ask));
  return offsets;
}

absl::Status Admin::SetGroupOffsets(const std::string& group,
                                    std::span<const GroupOffset> offsets) {
  std::string what = base::StrCat("set the offsets of group ", group);
  SLUICE_ASSIGN_OR_RETURN(rd_kafka_t * client, GroupClient(group));
  PartitionListPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(offsets.size())));
  for (const GroupOffset& offset : offsets) {
    rd_kafka_topic_partition_t* at =
        rd_kafka_topic_partition_list_add(list.get(), offset.topic.c_str(), offset.partition);
    at->offset = offset.offset;
    SetMetadata(offset.metadata, *at);
  }
  auto ask = [&]() -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(
        EventPtr event, Ask(client, RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS, timeout_ms_, what,
                            [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                              rd_kafka_AlterConsumerGroupOffsets_t* request =
                                  rd_kafka_AlterConsumerGroupOffsets_new(group.c_str(), list.get());
                              rd_kafka_AlterConsumerGroupOffsets(client, &request, 1, options,
                                                                 queue);
                              rd_kafka_AlterConsumerGroupOffsets_destroy(request);
                            }));
    auto status = [&](rd_kafka_resp_err_t error) {
      if (error == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
          error == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION ||
          error == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS) {
        return absl::FailedPreconditionError(
            base::StrCat(what, ": it has live members; stop them first"));
      }
      return ToStatus(error, what);
    };
    size_t size = 0;
    const rd_kafka_group_result_t** groups = rd_kafka_AlterConsumerGroupOffsets_result_groups(
        rd_kafka_event_AlterConsumerGroupOffsets_result(event.get()), &size);
    for (size_t i = 0; i < size; ++i) {
      if (const rd_kafka_error_t* error = rd_kafka_group_result_error(groups[i]))
        SLUICE_RETURN_IF_ERROR(status(rd_kafka_error_code(error)));
      const rd_kafka_topic_partition_list_t* set = rd_kafka_group_result_partitions(groups[i]);
      for (int j = 0; set != nullptr && j < set->cnt; ++j)
        SLUICE_RETURN_IF_ERROR(status(set->elems[j].err));
    }
    return absl::OkStatus();
  };
  return UntilLed(timeout_ms_, ask);
}

absl::Status Admin::DeleteGroup(const std::string& group) {
  std::string what = base::StrCat("delete group ", group);
  rd_kafka_DeleteGroup_t* request = rd_kafka_DeleteGroup_new(group.c_str());
  auto event = Ask(client_.get(), RD_KAFKA_ADMIN_OP_DELETEGROUPS, timeout_ms_, what,
                   [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                     rd_kafka_DeleteGroups(client_.get(), &request, 1, options, queue);
                   });
  rd_kafka_DeleteGroup_destroy(request);
  if (!event.ok()) return event.status();
  size_t size = 0;
  const rd_kafka_group_result_t** groups =
      rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event->get()), &size);
  for (size_t i = 0; i < size; ++i) {
    const rd_kafka_error_t* error = rd_kafka_group_result_error(groups[i]);
    if (error == nullptr) continue;
    if (rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP)
      return absl::FailedPreconditionError(base::StrCat(what, ": it has live members"));
    return ToStatus(rd_kafka_error_code(error), what);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> Admin::GroupMembers(const std::string& group) {
  std::string what = base::StrCat("look up the members of group ", group);
  std::vector<std::string> members;
  auto ask = [&]() -> absl::Status {
    const char* name = group.c_str();
    SLUICE_ASSIGN_OR_RETURN(
        EventPtr event, Ask(client_.get(), RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, timeout_ms_,
                            what, [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                              rd_kafka_DescribeConsumerGroups(client_.get(), &name, 1, options,
                                                              queue);
                            }));
    size_t size = 0;
    const rd_kafka_ConsumerGroupDescription_t** groups =
        rd_kafka_DescribeConsumerGroups_result_groups(
            rd_kafka_event_DescribeConsumerGroups_result(event.get()), &size);
    members.clear();
    for (size_t i = 0; i < size; ++i) {
      const rd_kafka_error_t* error = rd_kafka_ConsumerGroupDescription_error(groups[i]);
      rd_kafka_resp_err_t code =
          error == nullptr ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_error_code(error);
      if (code == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) continue;
      SLUICE_RETURN_IF_ERROR(ToStatus(code, what));
      for (size_t j = 0; j < rd_kafka_ConsumerGroupDescription_member_count(groups[i]); ++j) {
        const rd_kafka_MemberDescription_t* member =
            rd_kafka_ConsumerGroupDescription_member(groups[i], j);
        const char* instance = rd_kafka_MemberDescription_group_instance_id(member);
        const char* client = rd_kafka_MemberDescription_client_id(member);
        const char* host = rd_kafka_MemberDescription_host(member);
        members.push_back(base::StrCat(std::string_view(instance != nullptr ? instance
                                                        : client != nullptr ? client
                                                                            : "?"),
                                       " at ", std::string_view(host == nullptr ? "?" : host)));
      }
    }
    return absl::OkStatus();
  };
  SLUICE_RETURN_IF_ERROR(UntilLed(timeout_ms_, ask));
  return members;
}

}  // namespace sluice::kafka
