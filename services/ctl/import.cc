#include "services/ctl/import.h"

#include <simdjson.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/sha256.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/batch_writer.h"
#include "common/telemetry/json.h"
#include "services/ctl/json.h"
#include "services/ctl/time_option.h"

namespace sluice::ctl {
namespace {

constexpr size_t kBatchBytesMax = 4 * 1024 * 1024;
constexpr size_t kHeaderBytesMax = 128;  // of what an imported record carries
constexpr int kAttemptsWithoutProgressMax = 5;

absl::StatusOr<std::string> HashOf(const std::string& path, uint64_t& bytes) {
  SLUICE_RETURN_IF_ERROR(base::CheckReadable(path, /*regular=*/true));
  std::ifstream file(path, std::ios::binary);
  base::Sha256 hash;
  std::string block(1024 * 1024, '\0');
  bytes = 0;
  while (file) {
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    auto got = static_cast<size_t>(file.gcount());
    hash.Add({block.data(), got});
    bytes += got;
  }
  if (!file.eof() || file.bad())
    return absl::UnavailableError(base::StrCat(path, ": cannot be read to its end"));
  return hash.Hex();
}

// A UUID (RFC 9562, version 8) that is the row's own.
std::string RowId(const std::string& import, uint64_t row) {
  base::Sha256 hash;
  hash.AddPart(import);
  hash.AddPart(base::StrCat(row));
  std::string hex = hash.Hex(32);
  hex[12] = '8';
  hex[16] = "89ab"[hex[16] % 4];
  return base::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                      hex.substr(16, 4), "-", hex.substr(20));
}

class Importer {
 public:
  Importer(const Site& site, const std::string& file, const ImportOptions& options)
      : site_(site), options_(options) {
    report_.file = file;
    report_.topic = site.raw();
    report_.by = Operator();
    report_.begun_ms = clock_.UnixMillis();
  }

  absl::Status Identify() {
    if (options_.transaction_rows < 1 || options_.transaction_rows > 100'000)
      return absl::InvalidArgumentError("--transaction-rows must be between 1 and 100000");
    if (site_.config.pipeline().input().format() != config::v1::json ||
        site_.config.pipeline().input().schema_ids_size() > 0) {
      return absl::FailedPreconditionError(
          "pipeline.input: an import writes bare JSON, and this topic's events aren't that");
    }
    SLUICE_ASSIGN_OR_RETURN(report_.sha256, HashOf(report_.file, report_.bytes));
    base::Sha256 hash;
    for (const std::string& part :
         {report_.sha256, report_.topic, std::string(options_.rows.csv ? "csv" : "jsonl"),
          options_.rows.key_column, options_.id_field}) {
      hash.AddPart(part);
    }
    for (const auto& [column, name] : options_.rows.names) {
      hash.AddPart(column);
      hash.AddPart(name);
    }
    report_.id = hash.Hex(24);
    return absl::OkStatus();
  }

  absl::Status Check() {
    SLUICE_RETURN_IF_ERROR(Open());
    Row row;
    while (rows_->Next(row)) Count(row, SIZE_MAX);
    SLUICE_RETURN_IF_ERROR(ReadSoFar());
    report_.complete = true;
    return absl::OkStatus();
  }

  absl::Status Import() {
    for (int attempts = 1;; ++attempts) {
      uint64_t before = report_.read;
      absl::Status ended = Pass();
      if (ended.ok()) return absl::OkStatus();
      if (report_.read > before) attempts = 1;
      if (!absl::IsUnavailable(ended) || attempts >= kAttemptsWithoutProgressMax) return ended;
    }
  }

  ImportReport Report() && { return std::move(report_); }

 private:
  absl::Status Open() {
    file_ = std::make_unique<std::ifstream>(report_.file, std::ios::binary);
    if (!*file_) return absl::NotFoundError(base::StrCat(report_.file, ": cannot be read"));
    auto rows = RowReader::Create(*file_, options_.rows);
    if (!rows.ok()) {
      return absl::Status(rows.status().code(),
                          base::StrCat(report_.file, ": ", base::View(rows.status().message())));
    }
    rows_ = *std::move(rows);
    return absl::OkStatus();
  }

  // Behind what is committed, to the file's end.
  absl::Status Pass() {
    const std::string group = base::StrCat("sluice-import-", report_.id);
    auto writer = kafka::BatchWriter::Create({.connection = site_.connection,
                                              .transactional_id = group,
                                              .topics = {site_.raw()},
                                              .group = group});
    if (absl::IsNotFound(writer.status())) {
      return absl::NotFoundError(base::StrCat(base::View(writer.status().message()),
                                              " (`sluicectl topics apply` makes it)"));
    }
    if (!writer.ok()) return writer.status();
    // Only now: the new writer has ended what a former one left open.
    SLUICE_ASSIGN_OR_RETURN(auto admin, kafka::Admin::Create(site_.connection));
    SLUICE_ASSIGN_OR_RETURN(auto committed, admin->Committed(group, site_.raw()));
    uint64_t done = committed.empty() || committed[0] < 0 ? 0 : static_cast<uint64_t>(committed[0]);
    if (done == 0) SLUICE_RETURN_IF_ERROR(CheckNotSentOtherwise(*admin));
    SLUICE_RETURN_IF_ERROR(Open());
    size_t bytes_max = (*writer)->record_bytes_max(0);
    report_.read = report_.sent = report_.refused = 0;
    report_.reasons.clear();
    report_.refusals.clear();
    // The rows that are done already are counted by reading them again.
    Row row;
    while (report_.read < done) {
      if (!rows_->Next(row)) {
        SLUICE_RETURN_IF_ERROR(ReadSoFar());
        return absl::InternalError(base::StrCat(report_.file, ": has fewer rows than group ", group,
                                                " has seen acknowledged"));
      }
      Count(row, bytes_max);
    }
    if (!resumed_) report_.read_before = done;
    resumed_ = true;
    // Before the first row is sent: a later run learns from it what this one may have sent.
    SLUICE_RETURN_IF_ERROR(WriteManifest());
    for (bool more = true; more;) {
      SLUICE_ASSIGN_OR_RETURN(more, WriteBatch(**writer, bytes_max));
      if (auto at = file_->tellg(); at >= 0) options_.progress(static_cast<uint64_t>(at));
    }
    report_.complete = true;
    return WriteManifest();
  }

  // Whether the rows that were read are all there are up to there.
  absl::Status ReadSoFar() const {
    if (rows_->status().ok()) return absl::OkStatus();
    return absl::Status(rows_->status().code(),
                        base::StrCat(report_.file, ": ", base::View(rows_->status().message())));
  }

  std::string ManifestPath() const {
    return options_.manifest.empty() ? report_.file + ".manifest.json" : options_.manifest;
  }

  // The file may have been imported with other content or options: its rows, and where ids are made
  // their ids, would be sent a second time under the new import's name. The manifest names the
  // former import, and its group says whether it sent anything.
  absl::Status CheckNotSentOtherwise(kafka::Admin& admin) const {
    if (options_.again || !std::filesystem::exists(ManifestPath())) return absl::OkStatus();
    SLUICE_ASSIGN_OR_RETURN(std::string text, base::ReadFile(ManifestPath()));
    simdjson::dom::parser parser;
    simdjson::dom::element manifest;
    std::string_view import, topic, sha256;
    uint64_t bytes = 0;
    if (parser.parse(text).get(manifest) != simdjson::SUCCESS ||
        manifest["import"].get(import) != simdjson::SUCCESS ||
        manifest["topic"].get(topic) != simdjson::SUCCESS ||
        manifest["sha256"].get(sha256) != simdjson::SUCCESS ||
        manifest["bytes"].get(bytes) != simdjson::SUCCESS) {
      return absl::FailedPreconditionError(base::StrCat(
          ManifestPath(), ": is not the manifest of an import; name another with --manifest"));
    }
    if (import == report_.id || topic != report_.topic) return absl::OkStatus();
    SLUICE_ASSIGN_OR_RETURN(auto committed,
                            admin.Committed(base::StrCat("sluice-import-", import), site_.raw()));
    if (committed.empty() || committed[0] <= 0) return absl::OkStatus();
    const bool changed = sha256 != report_.sha256;
    return absl::FailedPreconditionError(base::StrCat(
        report_.file, ": ", committed[0], " of its rows were sent by import ", import,
        changed
            ? base::StrCat(", and its content has changed since. Put new rows in a file of their "
                           "own; to complete that import, restore the first ",
                           bytes, " bytes of this file")
            : std::string(", which had other options. To complete that import, use its options"),
        ". With --again, every row is sent again as a new import (", ManifestPath(), ")"));
  }

  // False: the file has ended.
  absl::StatusOr<bool> WriteBatch(kafka::BatchWriter& writer, size_t bytes_max) {
    struct Item {
      std::string json, key, header;
    };
    std::vector<Item> items;
    size_t bytes = 0;
    uint64_t begun = report_.read;
    bool more = true;
    while (report_.read - begun < static_cast<uint64_t>(options_.transaction_rows) &&
           bytes < kBatchBytesMax) {
      Row row;
      more = rows_->Next(row);
      if (!more) break;
      if (!Count(row, bytes_max)) continue;
      bytes += row.json.size();
      items.push_back(
          {std::move(row.json), std::move(row.key), base::StrCat(report_.id, "/", row.number)});
    }
    SLUICE_RETURN_IF_ERROR(ReadSoFar());
    if (report_.read == begun) return false;
    std::vector<stream::OutputRecord> records;
    std::vector<stream::Header> headers(items.size());
    for (size_t i = 0; i < items.size(); ++i) {
      headers[i] = {"sluice-import", items[i].header};
      stream::OutputRecord& record = records.emplace_back();
      if (!items[i].key.empty()) record.key = items[i].key;
      record.value = items[i].json;
      record.headers = {&headers[i], 1};
    }
    absl::Status written =
        writer.Write(records, stream::Position{.topic = site_.raw(),
                                               .partition = 0,
                                               .offset = static_cast<int64_t>(report_.read)});
    // Of an error: whether it is there all the same, the next pass learns from the group.
    SLUICE_RETURN_IF_ERROR(written);
    SLUICE_RETURN_IF_ERROR(WriteManifest());
    return more;
  }

  // Completes the row, counts it, and says whether it is to be sent.
  bool Count(Row& row, size_t bytes_max) {
    ++report_.read;
    if (row.refusal.empty() && options_.rows.csv && !options_.id_field.empty()) {
      std::string id;
      telemetry::AppendJsonText(id, options_.id_field);
      base::StrAppend(id, ":\"", RowId(report_.id, row.number), "\"", row.json == "{}" ? "" : ",");
      row.json.insert(1, id);
    }
    if (row.refusal.empty() && row.json.size() + row.key.size() + kHeaderBytesMax > bytes_max)
      row.refusal = "is larger than the topic takes";
    if (row.refusal.empty()) {
      ++report_.sent;
      return true;
    }
    ++report_.refused;
    ++report_.reasons[row.refusal];
    if (report_.refusals.size() < ImportReport::kRefusalsMax)
      report_.refusals.push_back({row.number, row.line, row.refusal});
    return false;
  }

  absl::Status WriteManifest() {
    report_.updated_ms = clock_.UnixMillis();
    const std::string path = ManifestPath();
    JsonText json;
    json.BeginObject()
        .Member("import", report_.id)
        .Member("file", report_.file)
        .Member("bytes", report_.bytes)
        .Member("sha256", report_.sha256)
        .Member("topic", report_.topic)
        .Member("by", report_.by)
        .Member("begun", TimeText(report_.begun_ms))
        .Member("updated", TimeText(report_.updated_ms))
        .Member("complete", report_.complete)
        .Member("rows_read", report_.read)
        .Member("rows_sent", report_.sent)
        .Member("rows_refused", report_.refused)
        .Key("reasons")
        .BeginObject();
    for (const auto& [why, count] : report_.reasons) json.Member(why, count);
    json.EndObject().Key("refusals").BeginArray();
    for (const Refusal& refusal : report_.refusals) {
      json.BeginObject()
          .Member("row", refusal.row)
          .Member("line", refusal.line)
          .Member("why", refusal.why)
          .EndObject();
    }
    json.EndArray().EndObject();
    std::string temporary = path + ".new";
    std::ofstream out(temporary, std::ios::binary);
    out << std::move(json).Finish();
    out.close();
    std::error_code error;
    if (out) std::filesystem::rename(temporary, path, error);
    if (!out || error)
      return absl::InternalError(base::StrCat(path, ": the manifest can't be written"));
    return absl::OkStatus();
  }

  const Site& site_;
  const ImportOptions& options_;
  base::SystemClock clock_;
  ImportReport report_;
  bool resumed_ = false;
  std::unique_ptr<std::ifstream> file_;
  std::unique_ptr<RowReader> rows_;
};

}  // namespace

absl::StatusOr<ImportReport> ImportFile(const Site& site, const std::string& file,
                                        const ImportOptions& options) {
  Importer importer(site, file, options);
  SLUICE_RETURN_IF_ERROR(importer.Identify());
  SLUICE_RETURN_IF_ERROR(importer.Import());
  return std::move(importer).Report();
}

absl::StatusOr<ImportReport> CheckFile(const Site& site, const std::string& file,
                                       const ImportOptions& options) {
  Importer importer(site, file, options);
  SLUICE_RETURN_IF_ERROR(importer.Identify());
  SLUICE_RETURN_IF_ERROR(importer.Check());
  return std::move(importer).Report();
}

}  // namespace sluice::ctl
