// A topic's id as text.
#pragma once

#include <string>

struct rd_kafka_Uuid_s;

namespace sluice::kafka {

// Base64 of RFC 4648, section 5 (URL and file name safe), without padding, as Kafka's own tools
// print it: it has no `/`, so it can be part of a key or a path. Empty: there is no id, or it is
// zero.
std::string TopicIdText(const rd_kafka_Uuid_s* id);

}  // namespace sluice::kafka
