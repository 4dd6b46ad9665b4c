// What the configuration says of the topics themselves, which `sluicectl topics` makes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/config/v1/processor.pb.h"

namespace sluice::processor {

// A topic's use, and what it is to be: all that `topics` leaves open is filled in.
struct TopicPlan {
  enum Use { kRaw, kClean, kQuarantine };
  std::string name;
  Use use = kClean;
  config::v1::Topic settings;
};

// The pipeline's topics, each once: raw, clean ones, quarantine.
std::vector<TopicPlan> TopicPlans(const config::v1::Processor& config);

// Tells what is wrong with `topics`, by its path.
void CheckTopics(
    const config::v1::Processor& config,
    const std::function<void(const std::string& path, std::string_view what)>& problem);

}  // namespace sluice::processor
