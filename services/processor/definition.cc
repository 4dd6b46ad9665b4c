#include "services/processor/definition.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/strings.h"
#include "common/config/yaml.h"
#include "common/contract/loader.h"
#include "common/reference/guards.h"
#include "common/reference/tables.h"
#include "services/processor/connection.h"

namespace sluice::processor {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPipeline = "pipeline";

// `pipeline.streams[0]` of `pipeline.streams[0].treat`.
std::string_view ParentOf(std::string_view path) {
  size_t end = path.find_last_of(".[");
  return end == std::string_view::npos ? "" : path.substr(0, end);
}

bool Within(std::string_view path, std::string_view whole) {
  return path.starts_with(whole) &&
         (path.size() == whole.size() || path[whole.size()] == '.' || path[whole.size()] == '[');
}

std::string PathOfSet(int index) { return base::StrCat("reference.local.sets[", index, "]"); }

// The key under which a set names its source.
std::string SourceField(const config::v1::ReferenceSet& set) {
  return set.GetDescriptor()->FindFieldByNumber(set.source_case())->name();
}

// A pipeline's file has `contract` at its top, a processor's `pipeline`.
bool IsPipelineOnly(const std::string& text) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    std::string_view at = base::View(line);
    if (at.starts_with("pipeline:")) return false;
    if (at.starts_with("contract:") || at.starts_with("streams:")) return true;
  }
  return false;
}

class Loader {
 public:
  explicit Loader(const std::string& config_file) { definition_.config_file = config_file; }

  absl::StatusOr<Definition> Load(const PipelineSurroundings* surroundings) {
    auto text = ReadFile(definition_.config_file);
    if (!text.ok()) return text.status();
    definition_.pipeline_only = surroundings != nullptr && IsPipelineOnly(*text);
    google::protobuf::Message* message = &definition_.config;
    if (definition_.pipeline_only) message = definition_.config.mutable_pipeline();
    Add(config::ParseYaml(*text, definition_.config_file, *message, &definition_.map), true);
    if (!problems_.empty() && message->ByteSizeLong() == 0) {
      // It isn't YAML: all else would only follow.
    } else if (definition_.pipeline_only) {
      Surround(*surroundings);
    } else {
      CheckProcessor();
    }
    LoadPipeline();
    if (!problems_.empty()) {
      return absl::InvalidArgumentError(absl::StrJoin(problems_, "\n"));
    }
    return std::move(definition_);
  }

 private:
  config::v1::Processor& config() { return definition_.config; }

  // One problem a line. Those of the file itself have a path after their place, from which others
  // may follow.
  void Add(const absl::Status& status, bool with_paths = false) {
    if (status.ok()) return;
    for (absl::string_view line : absl::StrSplit(status.message(), '\n', absl::SkipEmpty())) {
      problems_.emplace_back(base::View(line));
      if (!with_paths) continue;
      std::vector<std::string> parts = absl::StrSplit(problems_.back(), absl::MaxSplits(": ", 2));
      if (parts.size() < 2) continue;
      std::string path =
          definition_.pipeline_only ? base::StrCat(kPipeline, ".", parts[1]) : parts[1];
      if (parts.back().starts_with("unknown key")) misspelt_in_.insert(std::string(ParentOf(path)));
      mistaken_.insert(std::move(path));
    }
  }

  // Contracts name their files as they import one another; here as the working folder knows them.
  // What has no place of its own gets that of `path`.
  void AddOfContracts(std::string_view path, const absl::Status& status) {
    for (absl::string_view text : absl::StrSplit(status.message(), '\n', absl::SkipEmpty())) {
      std::string line(base::View(text));
      std::string file = line.substr(0, line.find(':'));
      if (!file.ends_with(".proto")) {
        bool placed = line.starts_with(definition_.config_file + ":");
        problems_.push_back(placed ? line
                                   : base::StrCat(definition_.Where(path), ": ", path, ": ", line));
        continue;
      }
      for (const std::string& folder : config().contracts()) {
        fs::path whole = fs::path(definition_.Resolve(folder)) / file;
        if (!fs::exists(whole)) continue;
        line.replace(0, file.size(), whole.string());
        break;
      }
      problems_.push_back(std::move(line));
    }
  }

  void Problem(std::string_view path, std::string_view what) {
    if (Follows(path)) return;
    problems_.push_back(base::StrCat(definition_.Where(path), ": ", path, ": ", what));
  }

  // Whether a mistake at this path would only follow from one that is reported: one is around or
  // inside it, or a key beside it is misspelt that may have been this one.
  bool Follows(std::string_view path) const {
    if (misspelt_in_.contains(std::string(ParentOf(path))) && !definition_.map.Has(InFile(path)))
      return true;
    return std::any_of(mistaken_.begin(), mistaken_.end(), [&](const std::string& mistaken) {
      return Within(path, mistaken) || Within(mistaken, path);
    });
  }

  std::string InFile(std::string_view path) const {
    if (!definition_.pipeline_only) return std::string(path);
    return std::string(path == kPipeline ? "" : path.substr(kPipeline.size() + 1));
  }

  void Surround(const PipelineSurroundings& surroundings) {
    for (const std::string& path : surroundings.contracts)
      config().add_contracts(fs::absolute(path).string());
    for (const config::v1::ReferenceSet& set : surroundings.sets) {
      config::v1::ReferenceSet& added = *config().mutable_reference()->mutable_local()->add_sets();
      added = set;
      added.set_csv(fs::absolute(set.csv()).string());
    }
  }

  void CheckProcessor() {
    if (config().kafka().brokers().empty())
      Problem("kafka.brokers", "name at least one, host:port");
    if (config().workers() < 0 || config().workers() > 64) Problem("workers", "must be 1 to 64");
    CheckPseudonymiser();
    for (int i = 0; i < config().reference().local().sets_size(); ++i) {
      const config::v1::ReferenceSet& set = config().reference().local().sets(i);
      std::string path = PathOfSet(i);
      reference::CheckSet(set, [&](std::string_view inner, std::string_view what) {
        Problem(inner.empty() ? path : base::StrCat(path, ".", inner), what);
      });
    }
    if (config().contracts().empty())
      Problem("contracts", "name at least one folder with .proto files");
    if (!config().listen().has_tls() && !config().listen().callers().empty()) {
      Problem("listen.callers", "callers are known by their certificates: set listen.tls");
    }
    if (config().listen().has_tls()) {
      config::v1::Tls& tls = *config().mutable_listen()->mutable_tls();
      for (std::string* file :
           {tls.mutable_certificate(), tls.mutable_private_key(), tls.mutable_client_ca()}) {
        *file = definition_.Resolve(*file);
      }
    }
  }

  void CheckPseudonymiser() {
    if (config().pseudonymiser().has_local() == config().pseudonymiser().has_remote()) {
      return Problem("pseudonymiser",
                     "give either local: {keyring: ..., key_encryption_key: ...} or remote: "
                     "{address: ..., tls: ...}");
    }
    const config::v1::RemotePseudonymiser& remote = config().pseudonymiser().remote();
    auto check = [&](std::string_view key, int32_t value, int32_t min, int32_t max) {
      if (value != 0 && (value < min || value > max))
        Problem(base::StrCat("pseudonymiser.remote.", key),
                base::StrCat("must be ", min, " to ", max));
    };
    check("deadline_ms", remote.deadline_ms(), 10, 10'000);
    check("in_flight", remote.in_flight(), 1, 64);
    check("values_per_call", remote.values_per_call(), 1, 10'000);
    // Its owner waits for an answer with a transaction open.
    const int32_t timeout_ms = config().kafka().transaction_timeout_ms();
    if (remote.deadline_ms() * 2 > (timeout_ms == 0 ? 12'000 : timeout_ms)) {
      Problem("pseudonymiser.remote.deadline_ms",
              "must be at most half of kafka.transaction_timeout_ms, or transactions expire");
    }
  }

  void LoadPipeline() {
    engine::Pipeline::Options options;
    LoadTables(options);
    if (config().contracts().empty()) return;
    std::vector<std::string> paths;
    for (const std::string& path : config().contracts()) paths.push_back(definition_.Resolve(path));
    auto contracts = contract::Contracts::Load(paths);
    if (!contracts.ok()) return AddOfContracts("contracts", contracts.status());
    if (Follows("pipeline.contract")) return;
    auto contract = (*contracts)->Compile(config().pipeline().contract());
    if (!contract.ok()) return AddOfContracts("pipeline.contract", contract.status());
    options.contract = *std::move(contract);
    options.config = config().pipeline();
    options.locate = [&](std::string_view path) { return definition_.Where(path); };
    options.follows = [&](std::string_view path) { return Follows(path); };
    auto pipeline = engine::Pipeline::Compile(std::move(options));
    if (!pipeline.ok()) return AddOfContracts(kPipeline, pipeline.status());
    definition_.pipeline = *std::move(pipeline);
  }

  void LoadTables(engine::Pipeline::Options& options) {
    reference::SourceOptions sources;
    sources.resolve = [this](const std::string& path) { return definition_.Resolve(path); };
    sources.kafka = Connection(config().kafka(), "sluice-reference");
    std::map<std::string, reference::RowsPtr> rows;
    auto sets = config().reference().local().sets();
    std::vector<absl::Status> problems(static_cast<size_t>(sets.size()));
    for (int i = 0; i < sets.size(); ++i) {
      const config::v1::ReferenceSet& set = sets[i];
      if (Follows(PathOfSet(i))) continue;
      auto source = reference::MakeSource(set, sources);
      absl::Status& status = problems[static_cast<size_t>(i)];
      status = source.status();
      if (!status.ok()) continue;
      auto read = (*source)->Read();
      status = read.status();
      if (status.ok()) rows[set.name()] = *std::move(read);
    }
    auto tables = reference::MakeTables(rows);
    if (!tables.ok()) Problem("reference.local.sets", base::View(tables.status().message()));
    for (int i = 0; i < sets.size(); ++i) {
      const config::v1::ReferenceSet& set = sets[i];
      absl::Status& status = problems[static_cast<size_t>(i)];
      bool made = tables.ok() && tables->contains(set.name());
      if (status.ok() && made) status = reference::CheckVersion(set, *tables->at(set.name()));
      if (status.ok() && made) {
        options.tables.push_back(tables->at(set.name()));
        continue;
      }
      if (!status.ok()) {
        std::string path = PathOfSet(i);
        if (absl::IsNotFound(status) && !reference::SourceFile(set).empty())
          base::StrAppend(path, ".", SourceField(set));
        Add(definition_.At(path, status));
      }
      for (int join = 0; join < config().pipeline().enrich_size(); ++join) {
        if (config().pipeline().enrich(join).set() == set.name())
          mistaken_.insert(base::StrCat("pipeline.enrich[", join, "].set"));
      }
    }
  }

  Definition definition_;
  std::vector<std::string> problems_;
  std::set<std::string> mistaken_;     // paths that a problem is reported of
  std::set<std::string> misspelt_in_;  // paths around unknown keys
};

}  // namespace

std::string Definition::Resolve(const std::string& path) const {
  return (fs::path(config_file).parent_path() / path).string();
}

std::string Definition::Where(std::string_view path) const {
  if (!pipeline_only) return map.Where(path);
  if (!Within(path, kPipeline)) return map.Where("");
  return map.Where(path == kPipeline ? "" : path.substr(kPipeline.size() + 1));
}

absl::Status Definition::At(std::string_view path, const absl::Status& status) const {
  return absl::Status(status.code(),
                      base::StrCat(Where(path), ": ", path, ": ", base::View(status.message())));
}

absl::StatusOr<Definition> LoadDefinition(const std::string& config_file,
                                          const PipelineSurroundings* surroundings) {
  return Loader(config_file).Load(surroundings);
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  if (!in) return absl::NotFoundError(base::StrCat(path, ": can't be read"));
  return text.str();
}

}  // namespace sluice::processor
