// Any text as a configuration: it is read, or every problem names its line.
#include "common/config/yaml.h"
#include "sluice/config/v1/processor.pb.h"
#include "tests/fuzz/planted.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  config::v1::Processor processor;
  config::SourceMap map;
  absl::Status status =
      config::ParseYaml({reinterpret_cast<const char*>(data), size}, "c.yaml", processor, &map);
  fuzz::Require(status.ok() || status.message().find("c.yaml") == 0,
                "an error without its place");
  fuzz::Planted(status.ok() && processor.pipeline().streams_size() == 3);
  return 0;
}
