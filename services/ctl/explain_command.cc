#include "services/ctl/explain_command.h"

#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/util/json_util.h>
#include <simdjson.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/engine/output_schema.h"
#include "common/kafka/admin.h"
#include "common/kafka/reader.h"
#include "services/ctl/config_options.h"
#include "services/ctl/json.h"
#include "services/ctl/site.h"
#include "services/processor/explain.h"

namespace sluice::ctl {
namespace {

using processor::v1::ExplainResponse;

struct Options {
  EngineOptions engine;
  std::string event;
  std::string broker;
};

// An event, with what it points to.
struct Raw {
  std::string topic;
  std::string value, key;
  base::InputRecord record;
};

// A reader would wait for a record that may still come.
absl::Status CheckIsThere(const kafka::ConnectionOptions& connection, const std::string& event,
                          const base::InputRecord& record) {
  SLUICE_ASSIGN_OR_RETURN(auto admin, kafka::Admin::Create(connection));
  SLUICE_ASSIGN_OR_RETURN(auto ranges, admin->Ranges(std::string(record.topic)));
  for (const auto& range : ranges) {
    if (range.partition != record.partition) continue;
    if (record.offset >= range.begin && record.offset < range.end) return absl::OkStatus();
    return absl::NotFoundError(base::StrCat(event, ": the partition has the offsets ", range.begin,
                                            " to ", range.end, ", the last one not included"));
  }
  return absl::NotFoundError(
      base::StrCat(event, ": the topic has the partitions 0 to ", ranges.size() - 1));
}

absl::Status FromKafka(const Options& options, const config::v1::Processor& config, Raw& raw) {
  raw.topic = options.event;
  if (!processor::ParsePosition(raw.topic, raw.record)) {
    return absl::InvalidArgumentError(base::StrCat(
        options.event, ": with --broker, name topic/partition/offset, such as raw.stops/0/42"));
  }
  kafka::ReaderOptions reader;
  reader.connection = ConnectionOf(config.kafka());
  reader.connection.brokers = {options.broker};
  SLUICE_RETURN_IF_ERROR(CheckIsThere(reader.connection, options.event, raw.record));
  bool found = false;
  std::vector<kafka::ReadRange> range = {{std::string(raw.record.topic), raw.record.partition,
                                          raw.record.offset, raw.record.offset + 1}};
  SLUICE_RETURN_IF_ERROR(
      kafka::TopicReader(std::move(reader)).Read(range, [&](const kafka::ReadRecord& record) {
        if (record.offset != raw.record.offset) return absl::OkStatus();
        found = true;
        if (record.value) raw.value = *record.value;
        if (record.key) raw.key = *record.key;
        if (record.value) raw.record.value = raw.value;
        if (record.key) raw.record.key = raw.key;
        raw.record.timestamp_ms = record.timestamp_ms;
        return absl::OkStatus();
      }));
  if (found) return absl::OkStatus();
  return absl::NotFoundError(base::StrCat(
      options.event, ": there is no such record; was it retained, and is its transaction over?"));
}

absl::Status FromFile(const Options& options, const engine::Pipeline& pipeline, Output& output,
                      Raw& raw) {
  if (options.event == "-") {
    raw.value.assign(std::istreambuf_iterator<char>(output.in()), {});
  } else {
    SLUICE_ASSIGN_OR_RETURN(raw.value, processor::ReadFile(options.event));
  }
  // A text file's last line has an end that isn't the event's.
  if (pipeline.config().input().format() == config::v1::json) {
    while (raw.value.ends_with('\n') || raw.value.ends_with('\r')) raw.value.pop_back();
  }
  raw.topic = pipeline.config().input().topic();
  raw.record.topic = raw.topic;
  raw.record.value = raw.value;
  return absl::OkStatus();
}

// A stream's record as JSON, whatever its format.
absl::StatusOr<std::string> JsonOf(const engine::Pipeline& pipeline,
                                   const processor::v1::CleanEvent& clean) {
  for (const engine::StreamPlan& stream : pipeline.streams()) {
    if (stream.name != clean.stream() || stream.format == config::v1::json) continue;
    google::protobuf::DescriptorPool pool(google::protobuf::DescriptorPool::generated_pool());
    SLUICE_RETURN_IF_ERROR(engine::OutputSchemaText(pipeline, stream).status());
    const auto* file = pool.BuildFile(engine::OutputSchema(pipeline, stream));
    google::protobuf::DynamicMessageFactory factory(&pool);
    std::unique_ptr<google::protobuf::Message> message(
        factory.GetPrototype(file->message_type(0))->New());
    google::protobuf::util::JsonPrintOptions print;
    print.preserve_proto_field_names = true;
    std::string json;
    if (!message->ParseFromString(clean.value()) ||
        !google::protobuf::util::MessageToJsonString(*message, &json, print).ok())
      return absl::InternalError("a record doesn't fit its own schema");
    return json;
  }
  return clean.value();
}

// Every value of a record by its path, in order.
using Flat = std::vector<std::pair<std::string, std::string>>;

void Flatten(simdjson::dom::element element, const std::string& path, Flat& flat) {
  if (element.is_object()) {
    for (auto [key, value] : element.get_object())
      Flatten(value, path.empty() ? std::string(key) : base::StrCat(path, ".", key), flat);
  } else if (element.is_array()) {
    size_t index = 0;
    for (simdjson::dom::element value : element.get_array())
      Flatten(value, base::StrCat(path, "[", index++, "]"), flat);
  } else {
    flat.emplace_back(path, element.is_string() ? std::string(element.get_string().value())
                                                : simdjson::minify(element));
  }
}

struct Explained {
  ExplainResponse response;
  std::vector<std::string> json;  // by clean record
};

std::string_view VerdictName(const ExplainResponse& response) {
  switch (response.verdict()) {
    case processor::v1::CLEAN:
      return "clean";
    case processor::v1::QUARANTINED:
      return "quarantined";
    case processor::v1::SUPPRESSED:
      return "suppressed";
    default:
      return "unknown";
  }
}

// The streams' records side by side: one row a field.
absl::Status PrintRecords(const Explained& explained, Output& output) {
  std::vector<std::string> header = {"output"};
  std::vector<std::string> paths;
  std::vector<std::map<std::string, std::string>> values;
  for (int i = 0; i < explained.response.clean_size(); ++i) {
    const auto& clean = explained.response.clean(i);
    header.push_back(clean.stream());
    simdjson::dom::parser parser;
    simdjson::dom::element document;
    if (parser.parse(explained.json[static_cast<size_t>(i)]).get(document) != simdjson::SUCCESS)
      return absl::InternalError("a record isn't JSON");
    Flat flat = {{"(topic)", clean.topic()}, {"(key)", clean.key()}};
    Flatten(document, "", flat);
    for (const auto& header_field : clean.headers())
      flat.emplace_back(base::StrCat("(", header_field.name(), ")"), header_field.value());
    auto& column = values.emplace_back();
    for (auto& [path, value] : flat) {
      if (std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(path);
      column[path] = std::move(value);
    }
  }
  Table table(std::move(header));
  for (bool headers : {false, true}) {
    for (const std::string& path : paths) {
      if (path.starts_with('(') != headers) continue;
      std::vector<std::string> row = {path};
      for (const auto& column : values) {
        auto found = column.find(path);
        row.push_back(found == column.end() ? output.Paint(Colour::kDim, "-") : found->second);
      }
      table.Add(std::move(row));
    }
  }
  table.Print(output);
  return absl::OkStatus();
}

absl::Status Print(const Explained& explained, const engine::Pipeline& pipeline, Output& output) {
  const ExplainResponse& response = explained.response;
  bool clean = response.verdict() == processor::v1::CLEAN;
  output.out() << "verdict: "
               << output.Paint(clean ? Colour::kGreen : Colour::kRed, VerdictName(response))
               << "\n";
  for (const auto& violation : response.violations()) {
    output.out() << "  " << (violation.path().empty() ? "the event" : violation.path())
                 << " breaks " << violation.rule() << "\n";
  }
  for (const auto& repair : response.repairs())
    output.out() << "  repaired: " << repair.kind() << " at " << repair.path() << "\n";
  if (response.unknown_fields() > 0) {
    output.out() << "  " << response.unknown_fields()
                 << " fields that the contract doesn't know were dropped\n";
  }
  if (response.clean_size() > 0) {
    output.out() << "\n";
    SLUICE_RETURN_IF_ERROR(PrintRecords(explained, output));
  }
  output.out() << "\n";
  std::vector<std::string> header = {"why: field", "is"};
  for (const engine::StreamPlan& stream : pipeline.streams()) header.push_back(stream.name);
  Table table(std::move(header));
  for (const auto& field : response.treatments()) {
    std::vector<std::string> row = {field.path(),
                                    field.classification().empty() ? "-" : field.classification()};
    for (const engine::StreamPlan& stream : pipeline.streams()) {
      auto found = field.treatments().find(stream.name);
      row.push_back(found == field.treatments().end() ? "drop" : found->second);
    }
    table.Add(std::move(row));
  }
  table.Print(output);
  return absl::OkStatus();
}

std::string ToJson(const Explained& explained) {
  const ExplainResponse& response = explained.response;
  JsonText json;
  json.BeginObject().Member("verdict", VerdictName(response)).Key("violations").BeginArray();
  for (const auto& violation : response.violations()) {
    json.BeginObject().Member("path", violation.path()).Member("rule", violation.rule());
    json.EndObject();
  }
  json.EndArray().Key("repairs").BeginArray();
  for (const auto& repair : response.repairs()) {
    json.BeginObject().Member("path", repair.path()).Member("kind", repair.kind());
    json.Member("count", repair.count()).EndObject();
  }
  json.EndArray().Member("unknown_fields", response.unknown_fields()).Key("clean").BeginArray();
  for (int i = 0; i < response.clean_size(); ++i) {
    const auto& clean = response.clean(i);
    json.BeginObject().Member("stream", clean.stream()).Member("topic", clean.topic());
    json.Key("key");
    // A record's key has a byte at least, or there is none.
    clean.key().empty() ? json.Null() : json.Value(clean.key());
    json.Key("value").Raw(explained.json[static_cast<size_t>(i)]);
    json.Key("headers").BeginObject();
    for (const auto& header : clean.headers()) json.Member(header.name(), header.value());
    json.EndObject().EndObject();
  }
  json.EndArray().Key("treatments").BeginArray();
  for (const auto& field : response.treatments()) {
    json.BeginObject().Member("path", field.path());
    json.Member("classification", field.classification()).Key("treatments").BeginObject();
    std::map<std::string, std::string> sorted(field.treatments().begin(), field.treatments().end());
    for (const auto& [stream, treatment] : sorted) json.Member(stream, treatment);
    json.EndObject().EndObject();
  }
  json.EndArray().EndObject();
  return std::move(json).Finish();
}

absl::StatusOr<ExitCode> Explain(const Options& options, Output& output) {
  base::SystemRandom random;
  SLUICE_ASSIGN_OR_RETURN(processor::Setup setup, options.engine.Load(random));
  SLUICE_ASSIGN_OR_RETURN(auto keyed, processor::KeyedEngine::Create(setup, random));
  Raw raw;
  SLUICE_RETURN_IF_ERROR(options.broker.empty() ? FromFile(options, *setup.pipeline, output, raw)
                                                : FromKafka(options, setup.config, raw));
  Explained explained;
  SLUICE_RETURN_IF_ERROR(
      processor::ExplainEvent(*setup.pipeline, *keyed.engine, raw.record, explained.response));
  for (const auto& clean : explained.response.clean()) {
    SLUICE_ASSIGN_OR_RETURN(std::string json, JsonOf(*setup.pipeline, clean));
    explained.json.push_back(std::move(json));
  }
  if (output.json()) {
    output.out() << ToJson(explained);
  } else {
    SLUICE_RETURN_IF_ERROR(Print(explained, *setup.pipeline, output));
  }
  return explained.response.verdict() == processor::v1::QUARANTINED ? ExitCode::kFound
                                                                    : ExitCode::kOk;
}

}  // namespace

void AddExplainCommand(Program& program) {
  auto options = std::make_shared<Options>();
  CLI::App& command = program.Add(
      {.name = "explain",
       .summary = "Show what becomes of one event, for every stream, and why",
       .examples = {{"explain processor.yaml event.json",
                     "Ends with 1 when the event would go to quarantine"},
                    {"explain pipeline.yaml --contracts proto --throwaway-keys - < event.json",
                     "Without keys, from standard input"},
                    {"explain processor.yaml --broker localhost:9092 raw.stops/0/42",
                     "A record that Kafka has"}}},
      [options](Output& output) { return Explain(*options, output); });
  options->engine.AddTo(command);
  command
      .add_option("event", options->event,
                  "A file with the event, - for standard input; topic/partition/offset with "
                  "--broker")
      ->required();
  command.add_option("--broker", options->broker, "host:port of a Kafka that has the event");
}

}  // namespace sluice::ctl
