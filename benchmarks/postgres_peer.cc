#include "benchmarks/postgres_peer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <pqxx/pqxx>
#include <tuple>

#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::bench {
namespace {

using Clock = std::chrono::steady_clock;

double NanosecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

void Load(pqxx::work& work, const std::string& table, const PostgresPeer::Lines& lines) {
  work.exec(base::StrCat("DROP TABLE IF EXISTS ", table));
  work.exec(base::StrCat("CREATE TABLE ", table, " (", lines.columns, ")"));
  pqxx::stream_to stream(work, table);
  for (const std::vector<std::string>& line : lines.values) {
    // A stream takes tuples only.
    switch (line.size()) {
      case 1:
        stream << std::tie(line[0]);
        break;
      case 2:
        stream << std::tie(line[0], line[1]);
        break;
      default:
        stream << std::tie(line.at(0), line.at(1), line.at(2), line.at(3));
    }
  }
  stream.complete();
}

void AppendDegrees(enrichment::GridPoint point, std::string& out) {
  base::StrAppend(out, std::to_string(point.x / enrichment::kUnitsPerDegree), " ",
                  std::to_string(point.y / enrichment::kUnitsPerDegree));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresPeer>> PostgresPeer::Create() {
  SLUICE_ASSIGN_OR_RETURN(auto server, test_support::PostgresServer::Create());
  SLUICE_RETURN_IF_ERROR(server->Start());
  absl::Status extended = server->Execute("CREATE EXTENSION postgis");
  if (!extended.ok()) {
    return absl::FailedPreconditionError(
        "PostGIS isn't installed: `scripts/setup.sh --peers` brings it");
  }
  return std::unique_ptr<PostgresPeer>(new PostgresPeer(std::move(server)));
}

absl::Status PostgresPeer::Measure(const Join& join, Report& report) {
  try {
    pqxx::connection connection(server_->connection());
    {
      pqxx::work work(connection);
      Load(work, "rows", join.rows);
      Load(work, "questions", join.questions);
      work.exec(join.index);
      work.commit();
    }
    pqxx::nontransaction session(connection);
    session.exec("VACUUM ANALYZE rows");
    session.exec("VACUUM ANALYZE questions");
    session.exec("SET max_parallel_workers_per_gather = 0");
    double best = 1e18;
    for (int run = 0; run < 3; ++run) {
      auto start = Clock::now();
      const auto found = session.exec(join.count)[0][0].as<int64_t>();
      best = std::min(best, NanosecondsSince(start));
      const auto asked = static_cast<double>(join.questions.values.size());
      if (std::abs(static_cast<double>(found) - static_cast<double>(join.found)) > asked / 1'000) {
        return absl::InternalError(
            base::StrCat("postgres.", join.name, " joins ", found, ", the table ", join.found));
      }
    }
    report.Add(base::StrCat("postgres.", join.name, "_ns"),
               best / static_cast<double>(join.questions.values.size()), "ns");
    return absl::OkStatus();
  } catch (const std::exception& error) {
    return absl::InternalError(base::StrCat("postgres.", join.name, ": ", error.what()));
  }
}

absl::Status PostgresPeer::MeasureAsked(const std::string& name, const std::string& statement,
                                        const Lines& questions, Report& report) {
  try {
    pqxx::connection connection(server_->connection());
    connection.prepare("ask", statement);
    pqxx::nontransaction session(connection);
    auto start = Clock::now();
    for (const std::vector<std::string>& question : questions.values)
      session.exec_prepared("ask", question.front());
    report.Add(base::StrCat("postgres.", name, "_ns"),
               NanosecondsSince(start) / static_cast<double>(questions.values.size()), "ns");
    return absl::OkStatus();
  } catch (const std::exception& error) {
    return absl::InternalError(base::StrCat("postgres.", name, ": ", error.what()));
  }
}

std::string PostgresPeer::Text(enrichment::GridPoint point) {
  std::string text = "POINT(";
  AppendDegrees(point, text);
  return text + ")";
}

std::string PostgresPeer::Text(const enrichment::Area& area) {
  std::string text = "MULTIPOLYGON(";
  for (const enrichment::Polygon& polygon : area) {
    text += &polygon == &area.front() ? "(" : ",(";
    for (const enrichment::Ring& ring : polygon) {
      text += &ring == &polygon.front() ? "(" : ",(";
      for (enrichment::GridPoint point : ring) {
        AppendDegrees(point, text);
        text += ',';
      }
      AppendDegrees(ring.front(), text);
      text += ')';
    }
    text += ')';
  }
  return text + ")";
}

}  // namespace sluice::bench
