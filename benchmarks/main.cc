// Measures, one line per figure: `name value unit`. A ratio is to the mirror, in the same run.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <set>

#include "benchmarks/bench.h"

int main(int argc, char** argv) {
  using namespace sluice::bench;
  CLI::App app("Measures Sluice, and what it is compared with, in one run.");
  std::string name, json;
  Options options;
  std::set<std::string> names;
  std::string footer = "NAME:\n";
  for (const Family& family : kFamilies) {
    names.insert(family.name);
    footer += std::string("  ") + family.name + ": " + family.what + "\n";
  }
  app.add_option("NAME", name, "One family; all without it")->check(CLI::IsMember(names));
  app.add_option("--json", json, "Also write the figures to this file");
  app.add_option("--events", options.events, "Of the pipelines' workload")
      ->check(CLI::Range(1000, 100'000'000))
      ->capture_default_str();
  app.footer(footer);
  CLI11_PARSE(app, argc, argv);
  char self[4096];
  ssize_t size = readlink("/proc/self/exe", self, sizeof(self));
  if (size < 0) return 1;
  options.programs.assign(self, static_cast<size_t>(size));
  options.programs.resize(options.programs.rfind("/benchmarks/"));

  Report report;
  absl::Status status;
  for (const Family& family : kFamilies) {
    if (status.ok() && (name.empty() || name == family.name)) status = family.run(options, report);
  }
  if (status.ok() && !json.empty()) status = report.WriteJson(json);
  if (!status.ok()) std::fprintf(stderr, "bench: %s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
