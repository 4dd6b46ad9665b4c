// The pipeline of stops and searches as it is shipped, for the configurations that tests write.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <string_view>

#include "common/base/strings.h"

namespace sluice::processor {

// The value of `pipeline:`, indented. `topic_suffix` goes behind the name of each topic, for tests
// that share a broker. `root`: the repository.
inline std::string ShippedPipeline(const std::string& root, std::string_view topic_suffix = "") {
  std::ifstream pipeline(root + "/deploy/config/stops-pipeline.yaml");
  EXPECT_TRUE(pipeline.good()) << root;
  std::string text;
  for (std::string line; std::getline(pipeline, line);) {
    for (std::string_view topic :
         {"raw.stops", "quarantine.stops", "clean.stops.intelligence", "clean.stops.public"}) {
      if (size_t at = line.find(topic); at != std::string::npos)
        line.insert(at + topic.size(), topic_suffix);
    }
    base::StrAppend(text, "  ", line, "\n");
  }
  return text;
}

}  // namespace sluice::processor
