// Files of legacy extracts into a raw topic: each row once, and a manifest whose sums agree.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/ctl/rows.h"
#include "services/ctl/site.h"

namespace sluice::ctl {

struct ImportOptions {
  RowOptions rows;
  // Of CSV: the member that gets an id, made from the import's id and the row's number, so that it
  // is the same whenever the row is read. Empty: none.
  std::string id_field;
  int transaction_rows = 1000;  // 1 to 100,000
  // Where the manifest is written, after every transaction as a whole. Empty: FILE.manifest.json.
  std::string manifest;
  // Sends all rows, also where the manifest names another import of this file that sent some.
  bool again = false;
  std::function<void(uint64_t bytes)> progress = [](uint64_t) {};
};

struct Refusal {
  uint64_t row = 0, line = 0;
  std::string why;
};

// What a manifest says.
struct ImportReport {
  std::string file, topic, sha256;
  // Of content, topic and options: the same file imported again in the same way is the same import.
  std::string id;
  uint64_t bytes = 0;
  std::string by;
  int64_t begun_ms = 0, updated_ms = 0;
  bool complete = false;
  uint64_t read = 0;  // rows, up to the last acknowledged one
  uint64_t sent = 0;  // in the topic, acknowledged; with `refused`, the sum of what was read
  uint64_t refused = 0;
  uint64_t read_before = 0;  // of `read`, what former runs had acknowledged
  std::map<std::string, uint64_t> reasons;
  std::vector<Refusal> refusals;  // the first kRefusalsMax

  static constexpr size_t kRefusalsMax = 100'000;
};

// Rows go to the site's raw topic in transactions, each with the number of its last row as the
// position of a consumer group of the import's own. A run first ends what a former one left open,
// then goes on behind that number: it may be killed anywhere and run again, and no row is sent
// twice. Also a file that was imported whole is not sent again.
absl::StatusOr<ImportReport> ImportFile(const Site& site, const std::string& file,
                                        const ImportOptions& options);

// Only reads the file and says what would be refused.
absl::StatusOr<ImportReport> CheckFile(const Site& site, const std::string& file,
                                       const ImportOptions& options);

}  // namespace sluice::ctl
