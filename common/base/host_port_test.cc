#include "common/base/host_port.h"

#include <gtest/gtest.h>

namespace sluice::base {
namespace {

TEST(IsHostPort, TakesNamesAndAddresses) {
  for (const char* text : {"broker:9092", "a:1", "kafka-0.kafka.svc.cluster.local:65535",
                           "127.0.0.1:9092", "[::1]:9092", "[fe80::1%eth0]:1", "my_broker:9092"})
    EXPECT_TRUE(IsHostPort(text)) << text;
}

TEST(IsHostPort, RefusesWhatCannotBeReached) {
  for (const char* text :
       {"", "broker", ":9092", "broker:", "broker:0", "broker:65536", "broker:port", "${BROKER}",
        "${BROKER}:9092", "{{ broker }}:9092", "a b:9092", "::1:9092", "ssl://broker:9092",
        "broker:9092,other:9092", "broker:123456"})
    EXPECT_FALSE(IsHostPort(text)) << text;
}

}  // namespace
}  // namespace sluice::base
