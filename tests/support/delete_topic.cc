#include "tests/support/delete_topic.h"

#include <librdkafka/rdkafka.h>

#include <memory>

#include "common/base/strings.h"

namespace sluice::test_support {

absl::Status DeleteTopic(const std::string& bootstrap, const std::string& topic,
                         std::chrono::milliseconds timeout) {
  char text[256] = "";
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap.c_str(), text, sizeof(text));
  std::unique_ptr<rd_kafka_t, decltype(&rd_kafka_destroy)> client(
      rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text)), rd_kafka_destroy);
  if (client == nullptr) return absl::InternalError(text);
  std::unique_ptr<rd_kafka_queue_t, decltype(&rd_kafka_queue_destroy)> queue(
      rd_kafka_queue_new(client.get()), rd_kafka_queue_destroy);
  rd_kafka_DeleteTopic_t* request = rd_kafka_DeleteTopic_new(topic.c_str());
  rd_kafka_DeleteTopics(client.get(), &request, 1, nullptr, queue.get());
  rd_kafka_DeleteTopic_destroy(request);
  std::unique_ptr<rd_kafka_event_t, decltype(&rd_kafka_event_destroy)> event(
      rd_kafka_queue_poll(queue.get(), static_cast<int>(timeout.count())), rd_kafka_event_destroy);
  if (event == nullptr) return absl::DeadlineExceededError("delete topic: no answer");
  rd_kafka_resp_err_t error = rd_kafka_event_error(event.get());
  size_t count = 0;
  const rd_kafka_topic_result_t** results =
      rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event.get()), &count);
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR && count == 1)
    error = rd_kafka_topic_result_error(results[0]);
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return absl::OkStatus();
  return absl::InternalError(base::StrCat("delete topic ", topic, ": ", rd_kafka_err2str(error)));
}

}  // namespace sluice::test_support
