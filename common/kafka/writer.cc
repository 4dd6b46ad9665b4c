#include "common/kafka/writer.h"

#include <librdkafka/rdkafka.h>

#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/status.h"

namespace sluice::kafka {
namespace {

rd_kafka_vu_t Bytes(rd_kafka_vtype_t type, std::string_view bytes) {
  rd_kafka_vu_t argument;
  argument.vtype = type;
  // An empty key or value isn't a null one, to librdkafka, by its pointer.
  argument.u.mem.ptr = const_cast<char*>(bytes.empty() ? "" : bytes.data());
  argument.u.mem.size = bytes.size();
  return argument;
}

}  // namespace

TopicWriter::TopicWriter(WriterOptions options) : options_(std::move(options)) {
  context_.log = options_.connection.log;
}

TopicWriter::~TopicWriter() = default;

absl::StatusOr<std::unique_ptr<TopicWriter>> TopicWriter::Create(WriterOptions options) {
  std::unique_ptr<TopicWriter> writer(new TopicWriter(std::move(options)));
  const WriterOptions& o = writer->options_;
  SLUICE_ASSIGN_OR_RETURN(
      ConfPtr conf, MakeConf(o.connection,
                             {{"enable.idempotence", "true"},
                              {"linger.ms", std::to_string(o.linger_ms)},
                              {"batch.num.messages", "10000"},
                              {"queue.buffering.max.kbytes", std::to_string(o.write_queue_kib)},
                              {"queue.buffering.max.messages", "1000000"},
                              {"message.timeout.ms", std::to_string(o.delivery_timeout_ms)},
                              {"compression.codec", "lz4"},
                              {"partitioner", "murmur2_random"},
                              {"delivery.report.only.error", "true"}},
                             &writer->context_));
  rd_kafka_conf_set_dr_msg_cb(
      conf.get(), [](rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
        auto* context = static_cast<Context*>(static_cast<ClientContext*>(opaque));
        if (context->failure.ok()) {
          context->failure =
              ToStatus(message->err, base::StrCat("write ", rd_kafka_topic_name(message->rkt)));
        }
      });
  SLUICE_ASSIGN_OR_RETURN(writer->client_, MakeClient(ClientKind::kProducer, std::move(conf)));
  return writer;
}

absl::Status TopicWriter::Write(const WriteRecord& record) {
  std::string topic(record.topic);
  std::vector<rd_kafka_vu_t> arguments(2);
  arguments[0].vtype = RD_KAFKA_VTYPE_TOPIC;
  arguments[0].u.cstr = topic.c_str();
  arguments[1].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  arguments[1].u.i = RD_KAFKA_MSG_F_COPY;
  if (record.key) arguments.push_back(Bytes(RD_KAFKA_VTYPE_KEY, *record.key));
  if (record.value) arguments.push_back(Bytes(RD_KAFKA_VTYPE_VALUE, *record.value));
  if (record.partition) {
    arguments.emplace_back().vtype = RD_KAFKA_VTYPE_PARTITION;
    arguments.back().u.i32 = *record.partition;
  }
  if (record.timestamp_ms) {
    arguments.emplace_back().vtype = RD_KAFKA_VTYPE_TIMESTAMP;
    arguments.back().u.i64 = *record.timestamp_ms;
  }
  rd_kafka_headers_t* headers = nullptr;
  if (!record.headers.empty()) {
    headers = rd_kafka_headers_new(record.headers.size());
    for (const stream::Header& header : record.headers) {
      rd_kafka_header_add(headers, header.name.data(), static_cast<ssize_t>(header.name.size()),
                          header.value.data(), static_cast<ssize_t>(header.value.size()));
    }
    arguments.emplace_back().vtype = RD_KAFKA_VTYPE_HEADERS;
    arguments.back().u.headers = headers;
  }
  // A record in a full queue leaves it within delivery_timeout_ms, so this ends.
  ErrorPtr error;
  while (true) {
    error.reset(rd_kafka_produceva(client_.get(), arguments.data(), arguments.size()));
    if (error == nullptr || rd_kafka_error_code(error.get()) != RD_KAFKA_RESP_ERR__QUEUE_FULL)
      break;
    rd_kafka_poll(client_.get(), 10);
  }
  if (error != nullptr) {
    if (headers != nullptr) rd_kafka_headers_destroy(headers);  // taken on success only
    return ToStatus(rd_kafka_error_code(error.get()), base::StrCat("write to topic ", topic));
  }
  return context_.failure;
}

absl::Status TopicWriter::Flush() {
  // Delivery reports of failures only don't wake flush; it polls by itself.
  rd_kafka_resp_err_t error = rd_kafka_flush(client_.get(), options_.delivery_timeout_ms + 1'000);
  absl::Status failure = std::exchange(context_.failure, absl::OkStatus());
  return failure.ok() ? ToStatus(error, "flush") : failure;
}

}  // namespace sluice::kafka
