// Plans for tests, from a contract's text.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "common/contract/loader.h"

namespace sluice::contract {

// The usual head of a contract: package `test` and what contracts import.
inline std::string TestProto(std::string_view body) {
  return std::string(R"(syntax = "proto3";
package test;
import "buf/validate/validate.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/timestamp.proto";
import "sluice/contract/v1/options.proto";
)") + std::string(body);
}

inline absl::StatusOr<std::shared_ptr<const Plan>> TryPlanFromProto(std::string_view body,
                                                                    std::string_view message) {
  auto contracts = Contracts::LoadText({{"test.proto", TestProto(body)}});
  if (!contracts.ok()) return contracts.status();
  return (*contracts)->Compile("test." + std::string(message));
}

// The plan of message `test.MESSAGE`; ends the program with the error's text when there is none.
inline std::shared_ptr<const Plan> PlanFromProto(std::string_view body, std::string_view message) {
  auto plan = TryPlanFromProto(body, message);
  if (!plan.ok()) {
    std::fprintf(stderr, "%s\n", plan.status().ToString().c_str());
    std::abort();
  }
  return *std::move(plan);
}

}  // namespace sluice::contract
