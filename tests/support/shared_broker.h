// One broker for all tests of a process.
#pragma once

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/strings.h"
#include "gtest/gtest.h"
#include "tests/support/kafka_broker.h"

namespace sluice::test_support {

// Started at the first call, ended with the process. For tests that leave it as they found it; what
// kills, freezes or stands behind a proxy has a broker of its own. Without Kafka the process ends
// with the reason: a test run that silently skips its proof would be worse.
inline KafkaBroker& SharedBroker() {
  static const std::unique_ptr<KafkaBroker> broker = [] {
    auto created = KafkaBroker::Create({});
    absl::Status status = created.status();
    if (status.ok()) status = (*created)->Start();
    if (!status.ok()) {
      std::cerr << "Kafka: " << status.message() << std::endl;
      std::exit(1);
    }
    return *std::move(created);
  }();
  return *broker;
}

// A name for a topic, a group or a transactional id that no other test of this process uses.
inline std::string UniqueName(std::string_view stem) {
  static std::atomic<int> count = 0;
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  std::string name = base::StrCat(stem, ".", test == nullptr ? "setup" : test->test_suite_name(),
                                  ".", test == nullptr ? "" : test->name(), ".", ++count);
  for (char& c : name) {
    if (c == '/') c = '-';  // parametrised tests; Kafka's names take no slash
  }
  return name;
}

}  // namespace sluice::test_support
