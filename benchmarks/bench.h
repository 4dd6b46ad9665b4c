// What every family of benchmarks gets, and where each is named.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace sluice::bench {

struct Options {
  int events = 1'000'000;  // of the pipelines' workload
  std::string programs;    // the build folder, where the programs are that are measured
};

// Prints each figure as it comes, one line each: `name value unit`.
class Report {
 public:
  void Add(const std::string& name, double value, const std::string& unit);
  // An object of names and values.
  absl::Status WriteJson(const std::string& path) const;

 private:
  struct Figure {
    std::string name;
    double value;
  };
  std::vector<Figure> figures_;
};

// One family: a file `NAME_bench.cc`. Its name is what `./run bench NAME` takes.
struct Family {
  const char* name;
  const char* what;
  absl::Status (*run)(const Options& options, Report& report);
};

absl::Status RunEngine(const Options& options, Report& report);
absl::Status RunLookup(const Options& options, Report& report);
absl::Status RunLmdb(const Options& options, Report& report);
absl::Status RunPipeline(const Options& options, Report& report);
absl::Status RunPositions(const Options& options, Report& report);
absl::Status RunLatency(const Options& options, Report& report);
absl::Status RunReference(const Options& options, Report& report);
absl::Status RunCtlRun(const Options& options, Report& report);
absl::Status RunPseudonym(const Options& options, Report& report);
absl::Status RunPipelineRemote(const Options& options, Report& report);
absl::Status RunPseudonymiser(const Options& options, Report& report);
absl::Status RunScrub(const Options& options, Report& report);
absl::Status RunLinkage(const Options& options, Report& report);
absl::Status RunTls(const Options& options, Report& report);
absl::Status RunHostile(const Options& options, Report& report);
absl::Status RunImage(const Options& options, Report& report);

inline const std::vector<Family> kFamilies = {
    {"engine", "the engine alone, on one core", RunEngine},
    {"lookup", "one look-up in each kind of reference table", RunLookup},
    {"lmdb", "a reference set of 30 million rows; takes a minute or two and 7 GB of disk", RunLmdb},
    {"pipeline", "the processor beside a bare mirror, on a real Kafka", RunPipeline},
    {"positions", "what recording positions beside the results costs, on a real Kafka",
     RunPositions},
    {"latency", "from produce to a read_committed reader", RunLatency},
    {"reference", "a worker while other versions of its reference sets come", RunReference},
    {"ctl_run", "sluicectl run over a file, CPU seconds of the whole process", RunCtlRun},
    {"pseudonym", "pseudonyms made with keys at hand, as the engine asks for them", RunPseudonym},
    {"pseudonymiser", "its service over loopback gRPC with mutual TLS", RunPseudonymiser},
    {"pipeline_remote", "as pipeline, the keys in the pseudonymiser's process", RunPipelineRemote},
    {"scrub", "identifiers in free text: how fast, how many, how rightly", RunScrub},
    {"hostile", "the worst events and files for each stage: linear, below a second", RunHostile},
    {"linkage", "an attacker who links the records of two audiences", RunLinkage},
    {"tls", "the processor over TLS and SASL beside plain TCP, on a real Kafka", RunTls},
    {"image", "the sizes of the services' images, where they have been built", RunImage},
};

}  // namespace sluice::bench
