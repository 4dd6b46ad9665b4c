#include "common/kafka/reader.h"

#include <librdkafka/rdkafka.h>

#include <map>
#include <memory>
#include <utility>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/status.h"

namespace sluice::kafka {
namespace {

constexpr int kStuckQueryMs = 5'000;

struct MessageDeleter {
  void operator()(rd_kafka_message_t* message) const { rd_kafka_message_destroy(message); }
};
using MessagePtr = std::unique_ptr<rd_kafka_message_t, MessageDeleter>;

std::optional<std::string_view> Bytes(const void* data, size_t size) {
  if (data == nullptr) return std::nullopt;
  return std::string_view(static_cast<const char*>(data), size);
}

// Why nothing comes of what isn't read to its end.
absl::Status Stuck(rd_kafka_t* client,
                   const std::map<std::pair<std::string, int32_t>, int64_t>& ends, int waited_ms) {
  std::string text = base::StrCat("nothing came for ", waited_ms, " ms");
  for (const auto& [at, end] : ends) {
    int64_t low = 0, stable = 0;
    rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(
        client, at.first.c_str(), at.second, &low, &stable, kStuckQueryMs);
    std::string where = base::StrCat(at.first, "/", at.second);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return absl::UnavailableError(
          base::StrCat(text, " from ", where, ": ", rd_kafka_err2str(error)));
    }
    if (stable >= end) continue;
    return absl::DeadlineExceededError(base::StrCat(
        text, ": a producer's transaction on ", where, " is open since offset ", stable,
        " and hides what follows, up to ", end,
        ". Kafka's `kafka-transactions.sh --broker-list BROKERS find-hanging` names the producer"));
  }
  return absl::DeadlineExceededError(base::StrCat(text, "; is a broker unavailable?"));
}

}  // namespace

absl::Status TopicReader::Read(std::span<const std::string> topics,
                               const std::function<absl::Status(const ReadRecord&)>& each) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Admin> admin, Admin::Create(options_.connection));
  std::vector<ReadRange> all;
  for (const std::string& topic : topics) {
    SLUICE_ASSIGN_OR_RETURN(std::vector<PartitionRange> ranges, admin->Ranges(topic));
    for (const PartitionRange& range : ranges)
      all.push_back({topic, range.partition, range.begin, range.end});
  }
  return Read(all, each);
}

absl::Status TopicReader::Read(std::span<const ReadRange> ranges,
                               const std::function<absl::Status(const ReadRecord&)>& each) {
  PartitionListPtr list(rd_kafka_topic_partition_list_new(16));
  std::map<std::pair<std::string, int32_t>, int64_t> ends;  // of what isn't read to its end yet
  for (const ReadRange& range : ranges) {
    if (range.begin >= range.end) continue;
    rd_kafka_topic_partition_list_add(list.get(), range.topic.c_str(), range.partition)->offset =
        range.begin;
    ends[{range.topic, range.partition}] = range.end;
  }
  if (ends.empty()) return absl::OkStatus();

  ClientContext context{options_.connection.log};
  SLUICE_ASSIGN_OR_RETURN(
      ConfPtr conf,
      MakeConf(options_.connection,
               {{"group.id",
                 "sluice-reader"},  // librdkafka wants one for assign(); nothing is committed
                {"enable.auto.commit", "false"},
                {"enable.auto.offset.store", "false"},
                {"isolation.level", "read_committed"},
                {"check.crcs", "true"},
                {"auto.offset.reset", "error"},
                {"allow.auto.create.topics", "false"},
                // The last offsets may be transactions' markers, which no record shows.
                {"enable.partition.eof", "true"},
                {"fetch.wait.max.ms", "20"},
                {"queued.max.messages.kbytes", std::to_string(options_.read_ahead_kib)}},
               &context));
  SLUICE_ASSIGN_OR_RETURN(ClientPtr client, MakeClient(ClientKind::kConsumer, std::move(conf)));
  rd_kafka_poll_set_consumer(client.get());
  SLUICE_RETURN_IF_ERROR(ToStatus(rd_kafka_assign(client.get(), list.get()), "assign"));

  std::vector<stream::Header> headers;
  while (!ends.empty()) {
    MessagePtr message(rd_kafka_consumer_poll(client.get(), options_.idle_timeout_ms));
    if (message == nullptr) {
      return Stuck(client.get(), ends, options_.idle_timeout_ms);
    }
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR &&
        message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      if (message->rkt == nullptr) continue;  // a connection's, which librdkafka mends
      return ToStatus(message->err, base::StrCat("read ", rd_kafka_topic_name(message->rkt)));
    }
    std::string topic = rd_kafka_topic_name(message->rkt);
    auto end = ends.find({topic, message->partition});
    if (end == ends.end()) continue;
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF || message->offset >= end->second) {
      if (message->offset >= end->second) ends.erase(end);
      continue;
    }
    ReadRecord record;
    record.topic = topic;
    record.partition = message->partition;
    record.offset = message->offset;
    rd_kafka_timestamp_type_t type;
    record.timestamp_ms = rd_kafka_message_timestamp(message.get(), &type);
    record.key = Bytes(message->key, message->key_len);
    record.value = Bytes(message->payload, message->len);
    headers.clear();
    rd_kafka_headers_t* raw = nullptr;
    if (rd_kafka_message_headers(message.get(), &raw) == RD_KAFKA_RESP_ERR_NO_ERROR) {
      const char* name;
      const void* value;
      size_t size;
      for (size_t i = 0;
           rd_kafka_header_get_all(raw, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
           ++i) {
        headers.push_back({name, {static_cast<const char*>(value), value == nullptr ? 0 : size}});
      }
    }
    record.headers = headers;
    SLUICE_RETURN_IF_ERROR(each(record));
    if (message->offset + 1 >= end->second) ends.erase(end);
  }
  return absl::OkStatus();
}

}  // namespace sluice::kafka
