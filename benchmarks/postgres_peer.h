// What a team would join with instead: PostgreSQL and PostGIS, on the rows and the questions that
// the reference tables are measured with.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "benchmarks/bench.h"
#include "common/enrichment/geometry.h"
#include "tests/support/postgres_server.h"

namespace sluice::bench {

class PostgresPeer {
 public:
  // A table: its columns as SQL has them, and each row's values as texts.
  struct Lines {
    std::string columns;
    std::vector<std::vector<std::string>> values;
  };
  struct Join {
    std::string name;
    Lines rows, questions;  // tables of these names
    std::string index;      // a statement
    std::string count;      // the joined, of all questions in one statement
    size_t found = 0;       // what it is to come to, but for what lies on a border
  };

  // kFailedPrecondition: no PostgreSQL, or one without PostGIS.
  static absl::StatusOr<std::unique_ptr<PostgresPeer>> Create();
  // Adds `postgres.NAME_ns`: wall time of a question, the best of three runs of the statement on
  // one core. The tables stay until the next one.
  absl::Status Measure(const Join& join, Report& report);
  // Adds `postgres.NAME_ns`: wall time of one question that is a call of its own, of a prepared
  // statement with one parameter, the questions' first column.
  absl::Status MeasureAsked(const std::string& name, const std::string& statement,
                            const Lines& questions, Report& report);

  static std::string Text(enrichment::GridPoint point);
  static std::string Text(const enrichment::Area& area);

 private:
  explicit PostgresPeer(std::unique_ptr<test_support::PostgresServer> server)
      : server_(std::move(server)) {}
  const std::unique_ptr<test_support::PostgresServer> server_;
};

}  // namespace sluice::bench
