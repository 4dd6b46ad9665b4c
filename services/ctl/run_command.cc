#include "services/ctl/run_command.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "common/base/file.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/telemetry/json.h"
#include "services/ctl/config_options.h"
#include "services/ctl/event_reader.h"
#include "services/ctl/json.h"
#include "services/ctl/row_options.h"

namespace sluice::ctl {
namespace {

namespace fs = std::filesystem;

struct Options {
  EngineOptions engine;
  std::string in;
  std::string out;
  RowFileOptions rows;
  bool strict = false;
};

// A file that is there under its name once it is whole.
class OutputFile {
 public:
  static absl::StatusOr<std::unique_ptr<OutputFile>> Create(std::string path) {
    std::string partial = path + ".partial";
    int file = open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) return absl::FailedPreconditionError(partial + ": can't be written");
    return std::unique_ptr<OutputFile>(new OutputFile(std::move(path), std::move(partial), file));
  }
  ~OutputFile() {
    close(file_);
    if (!finished_) unlink(partial_.c_str());
  }

  void Append(std::string_view text) { buffer_ += text; }
  void Append(char c) { buffer_ += c; }

  // Called between events.
  absl::Status FlushWhenFull() {
    return buffer_.size() < kBufferBytes ? absl::OkStatus() : Flush();
  }
  absl::Status Finish() {
    SLUICE_RETURN_IF_ERROR(Flush());
    if (fsync(file_) != 0 || rename(partial_.c_str(), path_.c_str()) != 0)
      return absl::InternalError(path_ + ": can't be written");
    finished_ = true;
    return absl::OkStatus();
  }

 private:
  static constexpr size_t kBufferBytes = 256 * 1024;

  OutputFile(std::string path, std::string partial, int file)
      : path_(std::move(path)), partial_(std::move(partial)), file_(file) {}

  absl::Status Flush() {
    for (std::string_view left = buffer_; !left.empty();) {
      ssize_t written = write(file_, left.data(), left.size());
      if (written <= 0) return absl::InternalError(path_ + ": can't be written; is the disk full?");
      left.remove_prefix(static_cast<size_t>(written));
    }
    buffer_.clear();
    return absl::OkStatus();
  }

  const std::string path_;
  const std::string partial_;
  const int file_;
  std::string buffer_;
  bool finished_ = false;
};

struct Counts {
  uint64_t in = 0, clean = 0, quarantined = 0, suppressed = 0;
  uint64_t refused = 0;           // not in `in`
  std::vector<uint64_t> records;  // by stream
};

// Outcomes into files. Nothing of a raw event goes into the quarantine's: it says which line.
class FileSink final : public engine::OutcomeSink {
 public:
  static absl::StatusOr<std::unique_ptr<FileSink>> Create(const engine::Pipeline& pipeline,
                                                          const fs::path& folder) {
    auto sink = std::unique_ptr<FileSink>(new FileSink(pipeline));
    for (const engine::StreamPlan& stream : pipeline.streams()) {
      if (stream.name.find('/') != std::string::npos || stream.name == "quarantine")
        return absl::InvalidArgumentError(
            base::StrCat("the stream's name '", stream.name, "' can't be a file's: rename it"));
      bool json = stream.format == config::v1::json;
      SLUICE_ASSIGN_OR_RETURN(
          auto file, OutputFile::Create(folder / (stream.name + (json ? ".jsonl" : ".binpb"))));
      sink->streams_.push_back(std::move(file));
    }
    SLUICE_ASSIGN_OR_RETURN(sink->quarantine_, OutputFile::Create(folder / "quarantine.jsonl"));
    sink->counts_.records.resize(pipeline.streams().size());
    return sink;
  }

  // Of the chunk whose outcomes come next; `first` is its first event's number.
  void Begin(const EventChunk& chunk, int64_t first) {
    chunk_ = &chunk;
    first_ = first;
  }

  absl::Status Clean(const engine::InputRecord& record, const engine::CleanRecord& clean) override {
    OutputFile& file = *streams_[clean.stream];
    if (pipeline_.streams()[clean.stream].format == config::v1::json) {
      file.Append(clean.value);
      file.Append('\n');
    } else {
      // As protobuf's delimited streams: a varint with the length before each message.
      for (size_t size = clean.value.size();; size >>= 7) {
        if (size < 0x80) {
          file.Append(static_cast<char>(size));
          break;
        }
        file.Append(static_cast<char>(size | 0x80));
      }
      file.Append(clean.value);
    }
    ++counts_.records[clean.stream];
    if (record.offset != last_clean_) ++counts_.clean;
    last_clean_ = record.offset;
    return file.FlushWhenFull();
  }

  absl::Status Quarantined(const engine::InputRecord& record,
                           const engine::QuarantineRecord& quarantined) override {
    ++counts_.quarantined;
    line_ = base::StrCat("{\"line\":", chunk_->lines[static_cast<size_t>(record.offset - first_)],
                         ",\"reasons\":[");
    for (size_t i = 0; i < quarantined.violations.size(); ++i) {
      const event::Violation& violation = quarantined.violations[i];
      line_ += i == 0 ? "{\"path\":" : ",{\"path\":";
      telemetry::AppendJsonText(line_, violation.path);
      line_ += ",\"rule\":";
      telemetry::AppendJsonText(line_, violation.rule);
      line_ += '}';
      ++reasons_[base::StrCat(violation.rule, violation.path.empty() ? "" : " at ",
                              violation.path)];
    }
    line_ += "]}\n";
    quarantine_->Append(line_);
    return quarantine_->FlushWhenFull();
  }

  void Suppressed(const engine::InputRecord&) override { ++counts_.suppressed; }

  absl::Status Refused(const RefusedRow& row) {
    ++counts_.refused;
    line_ = base::StrCat("{\"line\":", row.line, ",\"refused\":");
    telemetry::AppendJsonText(line_, row.reason);
    line_ += "}\n";
    ++reasons_["refused: " + row.reason];
    quarantine_->Append(line_);
    return quarantine_->FlushWhenFull();
  }

  absl::Status Finish() {
    for (const auto& file : streams_) SLUICE_RETURN_IF_ERROR(file->Finish());
    return quarantine_->Finish();
  }

  Counts& counts() { return counts_; }
  const std::map<std::string, uint64_t>& reasons() const { return reasons_; }

 private:
  explicit FileSink(const engine::Pipeline& pipeline) : pipeline_(pipeline) {}

  const engine::Pipeline& pipeline_;
  std::vector<std::unique_ptr<OutputFile>> streams_;
  std::unique_ptr<OutputFile> quarantine_;
  const EventChunk* chunk_ = nullptr;
  int64_t first_ = 0;
  int64_t last_clean_ = -1;
  Counts counts_;
  std::map<std::string, uint64_t> reasons_;
  std::string line_;
};

// `in` is what came in; every stream has every clean event, and what isn't clean is elsewhere.
absl::Status CheckSums(const Counts& counts, const engine::Tally& tally) {
  bool agree = counts.in == counts.clean + counts.quarantined + counts.suppressed &&
               tally.in == counts.in && tally.clean == counts.clean &&
               tally.quarantined == counts.quarantined && tally.suppressed == counts.suppressed;
  for (uint64_t records : counts.records) agree &= records == counts.clean;
  if (agree) return absl::OkStatus();
  return absl::InternalError(base::StrCat(
      "the sums don't agree: in ", counts.in, ", clean ", counts.clean, ", quarantined ",
      counts.quarantined, ", suppressed ", counts.suppressed, "; nothing was written"));
}

std::string Summary(const engine::Pipeline& pipeline, const FileSink& sink, const Counts& counts,
                    const engine::Tally& tally) {
  JsonText json;
  json.BeginObject().Member("plan", pipeline.fingerprint());
  json.Member("contract", pipeline.contract().name()).Member("in", counts.in);
  json.Member("clean", counts.clean).Member("quarantined", counts.quarantined);
  json.Member("suppressed", counts.suppressed)
      .Member("refused", counts.refused)
      .Key("streams")
      .BeginObject();
  for (size_t i = 0; i < pipeline.streams().size(); ++i)
    json.Member(pipeline.streams()[i].name, counts.records[i]);
  json.EndObject().Key("reasons").BeginObject();
  for (const auto& [reason, count] : sink.reasons()) json.Member(reason, count);
  json.EndObject().Key("repairs").BeginObject();
  for (size_t i = 0; i < tally.repairs.size(); ++i) {
    if (tally.repairs[i] == 0) continue;
    const contract::Node& node =
        pipeline.contract().node(static_cast<contract::NodeId>(i / event::kRepairKinds));
    json.Member(base::StrCat(RepairName(static_cast<event::RepairKind>(i % event::kRepairKinds)),
                             " at ", node.path),
                tally.repairs[i]);
  }
  json.EndObject().Member("unknown_fields", tally.unknown_fields).Key("snapshots").BeginObject();
  for (const auto& table : pipeline.tables()) json.Member(table->set(), table->id());
  json.EndObject().EndObject();
  return std::move(json).Finish();
}

absl::StatusOr<std::unique_ptr<EventReader>> Open(const Options& options, std::istream& in) {
  RowOptions rows;
  SLUICE_RETURN_IF_ERROR(options.rows.Apply(options.in, rows));
  std::string name = options.in == "-" ? "standard input" : options.in;
  if (rows.csv) return EventReader::Csv(in, name, std::move(rows));
  return EventReader::JsonLines(in, name);
}

absl::StatusOr<ExitCode> Run(const Options& options, Output& output) {
  base::SystemRandom random;
  SLUICE_ASSIGN_OR_RETURN(processor::Setup setup, options.engine.Load(random));
  const engine::Pipeline& pipeline = *setup.pipeline;
  if (pipeline.config().input().format() != config::v1::json ||
      !pipeline.config().input().schema_ids().empty()) {
    return absl::InvalidArgumentError(
        "the pipeline's input.format isn't bare json, and files have JSON lines or CSV: set it so "
        "in a copy of the configuration");
  }
  SLUICE_ASSIGN_OR_RETURN(auto keyed, processor::KeyedEngine::Create(setup, random));
  std::ifstream file;
  if (options.in != "-") {
    SLUICE_RETURN_IF_ERROR(base::CheckReadable(options.in));
    file.open(options.in, std::ios::binary);
    if (!file) return absl::NotFoundError(options.in + ": cannot be read");
  }
  std::error_code failed;
  uint64_t total = options.in == "-" ? 0 : fs::file_size(options.in, failed);
  if (failed) total = 0;
  SLUICE_ASSIGN_OR_RETURN(auto reader, Open(options, options.in == "-" ? output.in() : file));
  fs::path folder = options.out;
  fs::create_directories(folder, failed);
  if (failed) return absl::FailedPreconditionError(options.out + ": can't be made a folder");
  if (!fs::is_empty(folder)) {
    return absl::FailedPreconditionError(
        options.out + ": isn't empty; name a new folder, so that no result is overwritten");
  }
  SLUICE_ASSIGN_OR_RETURN(auto sink, FileSink::Create(pipeline, folder));

  Progress progress(output, "bytes", total);
  Counts& counts = sink->counts();
  std::vector<base::InputRecord> records;
  EventChunk chunk;
  for (;;) {
    SLUICE_RETURN_IF_ERROR(reader->Next(chunk));
    if (chunk.events.empty() && chunk.refused.empty()) break;
    for (const RefusedRow& row : chunk.refused) SLUICE_RETURN_IF_ERROR(sink->Refused(row));
    records.clear();
    // Numbered through, as if they stood in partition 0: that makes the same of the same file.
    auto first = static_cast<int64_t>(counts.in);
    for (std::string_view event : chunk.events) {
      base::InputRecord& record = records.emplace_back();
      record.topic = pipeline.config().input().topic();
      record.offset = static_cast<int64_t>(counts.in++);
      record.value = event;
    }
    sink->Begin(chunk, first);
    SLUICE_RETURN_IF_ERROR(keyed.engine->Process(records, *sink));
    progress.Set(chunk.bytes);
  }
  const engine::Tally& tally = keyed.engine->tally();
  SLUICE_RETURN_IF_ERROR(CheckSums(counts, tally));
  std::string summary = Summary(pipeline, *sink, counts, tally);
  SLUICE_ASSIGN_OR_RETURN(auto summary_file, OutputFile::Create(folder / "summary.json"));
  summary_file->Append(summary);
  SLUICE_RETURN_IF_ERROR(sink->Finish());
  SLUICE_RETURN_IF_ERROR(summary_file->Finish());

  if (output.json()) {
    output.out() << summary;
  } else {
    output.out() << "in " << counts.in << " = clean " << counts.clean << " + quarantined "
                 << counts.quarantined << " + suppressed " << counts.suppressed << "\n";
    if (counts.refused > 0)
      output.out() << counts.refused << " rows refused: they can't be events\n";
    for (const auto& [reason, count] : sink->reasons())
      output.out() << "  " << count << "  " << reason << "\n";
    output.out() << "written to " << options.out << "\n";
  }
  return options.strict && counts.quarantined + counts.refused > 0 ? ExitCode::kFound
                                                                   : ExitCode::kOk;
}

}  // namespace

void AddRunCommand(Program& program) {
  auto options = std::make_shared<Options>();
  CLI::App& command = program.Add(
      {.name = "run",
       .summary = "Put a file of events through a pipeline's engine, into files, without Kafka",
       .examples =
           {{"run processor.yaml --in events.jsonl --out result",
             "One file a stream, a quarantine with line numbers, and a summary"},
            {"run pipeline.yaml --contracts proto --throwaway-keys --in old.csv --out result",
             "Try a contract on an extract whose header names the fields' sources"}}},
      [options](Output& output) { return Run(*options, output); });
  options->engine.AddTo(command);
  command.add_option("--in", options->in, "JSON lines or CSV; - is standard input")->required();
  command.add_option("--out", options->out, "Folder for the results; new, or empty")->required();
  options->rows.AddTo(command);
  command.add_flag("--strict", options->strict,
                   "End with 1 when anything went to quarantine or was refused");
}

}  // namespace sluice::ctl
