// Any text as a contract: a plan or an error that says what to change, never a crash.
#include <cstdio>
#include <cstdlib>

#include "common/contract/loader.h"
#include "common/contract/testing.h"
#include "tests/fuzz/planted.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  // The imports are given, so that the bytes are used on messages and options.
  std::string body(reinterpret_cast<const char*>(data), size);
  auto contracts = contract::Contracts::LoadText({{"test.proto", contract::TestProto(body)}});
  if (!contracts.ok()) {
    if (contracts.status().message().empty()) std::abort();
    return 0;
  }
  fuzz::Planted((*contracts)->EventNames().size() == 2);
  for (const std::string& name : (*contracts)->EventNames()) {
    auto plan = (*contracts)->Compile(name);
    if (!plan.ok() && plan.status().message().empty()) std::abort();
    if (plan.ok() && (*plan)->nodes().size() > contract::kNodesMax) std::abort();
  }
  return 0;
}
