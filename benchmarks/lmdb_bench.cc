// 30 million rows, as many as there are addresses in the United Kingdom: loaded into an LMDB file,
// and looked up in it.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "benchmarks/bench.h"
#include "benchmarks/process_usage.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/enrichment/row_reader.h"
#include "common/reference/lmdb_builder.h"
#include "common/reference/lmdb_table.h"

namespace sluice::bench {
namespace {

using event::Value;
using ColumnProto = sluice::reference::v1::Column;
using Clock = std::chrono::steady_clock;

constexpr int64_t kRows = 30'000'000, kRowsPerFile = 1'000'000;
constexpr size_t kQuestions = 1'000'000;

// Numbers of 12 digits, as sparse as real ones: another for each row.
int64_t UprnOf(int64_t row) { return 10'000'000'000 + row * 7'919 + row % 13; }

// UPRN, place, areas, postcode.
std::string FileOf(int64_t first) {
  std::string text = "uprn,latitude,longitude,lsoa,ward,postcode\n";
  text.reserve(static_cast<size_t>(kRowsPerFile) * 72);
  for (int64_t row = first; row < first + kRowsPerFile; ++row) {
    base::StrAppend(text, UprnOf(row), ",5", row % 9, ".", 100'000 + row % 899'989, ",-", row % 8,
                    ".", 100'000 + row % 899'981, ",E0", 1'000'000 + row % 35'672, ",E0",
                    5'000'000 + row % 8'000, ",SW", row % 20 + 1, "A ", row % 9, "AA\n");
  }
  return text;
}

absl::StatusOr<std::shared_ptr<const enrichment::Schema>> AddressSchema() {
  sluice::reference::v1::Schema schema;
  for (auto [name, type] : {std::pair("uprn", ColumnProto::integer),
                            {"latitude", ColumnProto::number},
                            {"longitude", ColumnProto::number},
                            {"lsoa", ColumnProto::text},
                            {"ward", ColumnProto::text},
                            {"postcode", ColumnProto::text}}) {
    ColumnProto& column = *schema.add_columns();
    column.set_name(name);
    column.set_type(type);
  }
  schema.add_key()->set_column("uprn");
  return enrichment::Schema::Create(schema);
}

// Memory that no file stands behind.
double AnonymousMib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::atof(line.c_str() + 8) / 1024;
  }
  return 0;
}

absl::Status Measure(const std::string& file, Report& report) {
  SLUICE_ASSIGN_OR_RETURN(auto schema, AddressSchema());
  SLUICE_ASSIGN_OR_RETURN(auto builder, sluice::reference::LmdbBuilder::Create(file, schema));
  // Making the text isn't part of it.
  Clock::duration wall{};
  double cpu_seconds = 0, peak_mib = 0;
  auto timed = [&](auto work) -> absl::Status {
    auto start = Clock::now();
    double cpu = ThreadCpuSeconds();
    absl::Status done = work();
    cpu_seconds += ThreadCpuSeconds() - cpu;
    wall += Clock::now() - start;
    return done;
  };
  for (int64_t row = 0; row < kRows; row += kRowsPerFile) {
    std::string text = FileOf(row);
    SLUICE_RETURN_IF_ERROR(timed([&] { return enrichment::ReadCsv(text, "addresses", *builder); }));
  }
  SLUICE_RETURN_IF_ERROR(timed([&] { return builder->Finish().status(); }));
  peak_mib = AnonymousMib();
  builder.reset();
  report.Add("reference.load_30m_s", std::chrono::duration<double>(wall).count(), "s");
  report.Add("reference.load_30m_cpu_s", cpu_seconds, "s");

  SLUICE_ASSIGN_OR_RETURN(auto table,
                          sluice::reference::LmdbTable::Open("addresses", file, schema));
  if (table->size() != kRows) return absl::InternalError("the file hasn't the rows it was given");
  std::mt19937_64 random(1);
  std::vector<Value> keys(kQuestions);
  for (Value& key : keys) key = Value::Int(UprnOf(static_cast<int64_t>(random() % kRows)));
  double best = 1e18;
  for (int pass = 0; pass < 5; ++pass) {
    double start = ThreadCpuSeconds();
    size_t found = 0;
    for (const Value& key : keys) {
      enrichment::RowId row = table->Find({.key = {&key, 1}});
      // With a cell of the row: it is looked up to be read.
      if (row != enrichment::kNoRow) found += table->Cell(row, 3).present();
    }
    best = std::min(best, ThreadCpuSeconds() - start);
    if (found != kQuestions) return absl::InternalError("a row isn't found");
  }
  report.Add("lookup.lmdb_ns", best * 1e9 / kQuestions, "ns");
  report.Add("lookup.lmdb_anonymous_mib", std::max(peak_mib, AnonymousMib()), "MiB");
  return absl::OkStatus();
}

}  // namespace

absl::Status RunLmdb(const Options&, Report& report) {
  std::string folder = (std::filesystem::temp_directory_path() / "sluice-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return absl::ErrnoToStatus(errno, folder);
  absl::Status status = Measure(folder + "/addresses.mdb", report);
  std::filesystem::remove_all(folder);
  return status;
}

}  // namespace sluice::bench
