// Any bytes as an audit trail: a chain, or the line of the first broken link.
#include "common/trail/chain.h"
#include "tests/fuzz/planted.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  std::string writer;
  trail::Head head;
  absl::Status status = trail::Verify({reinterpret_cast<const char*>(data), size}, writer, head);
  fuzz::Require(status.ok() || status.message().find("line ") != absl::string_view::npos,
                "an error without its line");
  fuzz::Planted(!status.ok() && writer == "abc");
  return 0;
}
