// The floor: consumes and produces copies with the same transactions as the processor, and nothing
// else.
//   sluice-mirror BROKER GROUP IN OUT EVENTS INTERVAL_MS
#include <librdkafka/rdkafka.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

void Set(rd_kafka_conf_t* conf, const char* name, const std::string& value) {
  char error[512];
  if (rd_kafka_conf_set(conf, name, value.c_str(), error, sizeof(error)) != RD_KAFKA_CONF_OK) {
    std::fprintf(stderr, "mirror: %s\n", error);
    std::exit(2);
  }
}

rd_kafka_t* Make(rd_kafka_type_t type, rd_kafka_conf_t* conf) {
  char error[512];
  rd_kafka_t* client = rd_kafka_new(type, conf, error, sizeof(error));
  if (client == nullptr) {
    std::fprintf(stderr, "mirror: %s\n", error);
    std::exit(2);
  }
  return client;
}

void Check(rd_kafka_error_t* error) {
  if (error == nullptr) return;
  std::fprintf(stderr, "mirror: %s\n", rd_kafka_error_string(error));
  std::exit(2);
}

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: sluice-mirror BROKER GROUP IN OUT EVENTS INTERVAL_MS\n");
    return 2;
  }
  const std::string broker = argv[1], group = argv[2];
  const char *in = argv[3], *out = argv[4];
  const long events = std::atol(argv[5]);
  const auto interval = std::chrono::milliseconds(std::atoi(argv[6]));

  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  for (const auto& [name, value] :
       std::map<std::string, std::string>{{"bootstrap.servers", broker},
                                          {"group.id", group},
                                          {"enable.auto.commit", "false"},
                                          {"auto.offset.reset", "earliest"},
                                          {"isolation.level", "read_committed"},
                                          {"check.crcs", "true"},
                                          {"enable.metrics.push", "false"},
                                          {"queued.max.messages.kbytes", "65536"}})
    Set(conf, name.c_str(), value);
  rd_kafka_t* consumer = Make(RD_KAFKA_CONSUMER, conf);
  rd_kafka_poll_set_consumer(consumer);
  conf = rd_kafka_conf_new();
  for (const auto& [name, value] :
       std::map<std::string, std::string>{{"bootstrap.servers", broker},
                                          {"transactional.id", group},
                                          {"compression.codec", "lz4"},
                                          {"linger.ms", "5"},
                                          {"batch.num.messages", "10000"},
                                          {"enable.metrics.push", "false"}})
    Set(conf, name.c_str(), value);
  rd_kafka_t* producer = Make(RD_KAFKA_PRODUCER, conf);
  Check(rd_kafka_init_transactions(producer, -1));
  rd_kafka_topic_t* topic = rd_kafka_topic_new(producer, out, nullptr);
  const struct rd_kafka_metadata* metadata = nullptr;
  if (rd_kafka_metadata(producer, 0, topic, &metadata, 5000) == RD_KAFKA_RESP_ERR_NO_ERROR)
    rd_kafka_metadata_destroy(metadata);
  rd_kafka_topic_partition_list_t* topics = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(topics, in, RD_KAFKA_PARTITION_UA);
  rd_kafka_subscribe(consumer, topics);
  rd_kafka_queue_t* queue = rd_kafka_queue_get_consumer(consumer);

  std::vector<rd_kafka_message_t*> batch(1000);
  std::map<int32_t, int64_t> next;
  long done = 0, open = 0;
  double cpu = 0;
  Clock::time_point start, opened;
  while (done < events) {
    ssize_t got = rd_kafka_consume_batch_queue(queue, 10, batch.data(), batch.size());
    for (ssize_t i = 0; i < got; ++i) {
      rd_kafka_message_t* message = batch[static_cast<size_t>(i)];
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (done == 0) {
          start = Clock::now();
          cpu = CpuSeconds();
        }
        if (open == 0) {
          Check(rd_kafka_begin_transaction(producer));
          opened = Clock::now();
        }
        while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, message->payload,
                                message->len, message->key, message->key_len, nullptr) == -1) {
          rd_kafka_poll(producer, 1);
        }
        next[message->partition] = message->offset + 1;
        ++open;
        ++done;
      }
      rd_kafka_message_destroy(message);
    }
    rd_kafka_poll(producer, 0);
    if (open > 0 && (open >= 20'000 || done >= events || Clock::now() - opened >= interval)) {
      rd_kafka_topic_partition_list_t* offsets =
          rd_kafka_topic_partition_list_new(static_cast<int>(next.size()));
      for (const auto& [partition, offset] : next)
        rd_kafka_topic_partition_list_add(offsets, in, partition)->offset = offset;
      rd_kafka_consumer_group_metadata_t* member = rd_kafka_consumer_group_metadata(consumer);
      Check(rd_kafka_send_offsets_to_transaction(producer, offsets, member, -1));
      rd_kafka_consumer_group_metadata_destroy(member);
      rd_kafka_topic_partition_list_destroy(offsets);
      Check(rd_kafka_commit_transaction(producer, -1));
      open = 0;
    }
  }
  double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::printf("%.3f %.0f\n", (CpuSeconds() - cpu) * 1e6 / static_cast<double>(events),
              static_cast<double>(events) / seconds);
  std::fflush(stdout);
  std::_Exit(0);
}
