#include "common/kafka/topic_id.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>

namespace sluice::kafka {

std::string TopicIdText(const rd_kafka_Uuid_s* id) {
  if (id == nullptr || (rd_kafka_Uuid_most_significant_bits(id) == 0 &&
                        rd_kafka_Uuid_least_significant_bits(id) == 0))
    return "";
  std::string text = rd_kafka_Uuid_base64str(id);  // of section 4, with `+` and `/`
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  text.erase(text.find_last_not_of('=') + 1);
  return text;
}

}  // namespace sluice::kafka
