#include "services/processor/definition.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/host_port.h"
#include "common/base/file.h"
#include "common/base/strings.h"
#include "common/config/yaml.h"
#include "common/contract/loader.h"
#include "services/brokers/connection.h"
#include "services/processor/local_sets.h"
#include "services/processor/positions.h"
#include "services/processor/remote_sets.h"
#include "services/processor/topics.h"

namespace sluice::processor {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPipeline = "pipeline";
constexpr int kVersionsKept = 10;
// For a command that needs the reference service's sets.
constexpr std::chrono::seconds kFirstStateMax{10};

const base::Clock& SystemClock() {
  static const base::SystemClock clock;
  return clock;
}

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
  Loader(const std::string& config_file, const LoadOptions& options) : options_(options) {
    definition_.config_file = config_file;
  }

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
    // Whoever loads a definition uses its pipeline: without a reason for its absence there is one.
    if (problems_.empty() && definition_.pipeline == nullptr && definition_.joined.waiting.empty())
      Problem(kPipeline, "cannot be compiled");
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
    for (int i = 0; i < config().kafka().brokers_size(); ++i)
      CheckAddress(base::StrCat("kafka.brokers[", i, "]"), config().kafka().brokers(i));
    if (config().pseudonymiser().has_remote())
      CheckAddress("pseudonymiser.remote.address", config().pseudonymiser().remote().address());
    if (config().reference().has_remote())
      CheckAddress("reference.remote.address", config().reference().remote().address());
    brokers::ResolveFiles(*config().mutable_kafka(), definition_.config_file);
    absl::Status secure = brokers::Connection(config().kafka(), "").security.Check();
    if (!secure.ok()) Problem("kafka.security", base::View(secure.message()));
    if (config().workers() < 0 || config().workers() > 64) Problem("workers", "must be 1 to 64");
    if (const std::string& name = config().pipeline().name();
        !name.empty() && !IsPipelineName(name)) {
      Problem("pipeline.name", "takes letters, digits, '.', '_' and '-', at most 249 of them");
    }
    CheckTopics(config(),
                [this](const std::string& path, std::string_view what) { Problem(path, what); });
    CheckPseudonymiser();
    CheckReference();
    if (config().contracts().empty())
      Problem("contracts", "name at least one folder with .proto files");
    if (!config().deaths_folder().empty())
      config().set_deaths_folder(definition_.Resolve(config().deaths_folder()));
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

  void CheckAddress(std::string_view path, const std::string& address) {
    if (base::IsHostPort(address)) return;
    Problem(path, base::StrCat("'", address,
                               "' is no host:port, such as broker:9092; placeholders "
                               "aren't filled in here"));
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

  void CheckReference() {
    const config::v1::Reference& reference = config().reference();
    for (int i = 0; i < reference.local().sets_size(); ++i) {
      std::string path = PathOfSet(i);
      reference::CheckSet(reference.local().sets(i),
                          [&](std::string_view inner, std::string_view what) {
                            Problem(inner.empty() ? path : base::StrCat(path, ".", inner), what);
                          });
    }
    for (int i = 0; i < reference.local().sets_size(); ++i) {
      if (reference.local().sets(i).store() == config::v1::ReferenceSet::mapped &&
          reference.folder().empty())
        Problem(PathOfSet(i) + ".store",
                "give reference.folder: mapped sets have their files there");
    }
    if (reference.versions_kept() != 0 &&
        (reference.versions_kept() < 2 || reference.versions_kept() > 1000))
      Problem("reference.versions_kept", "must be 2 to 1,000");
    if (reference.has_control()) CheckControl(reference);
    if (!reference.has_remote()) return;
    if (reference.has_local()) Problem("reference.remote", "excludes local: keep one of them");
    if (reference.folder().empty())
      Problem("reference.folder", "is required with remote: versions are kept there");
    if (reference.remote().sets().empty()) Problem("reference.remote.sets", "name at least one");
    if (reference.remote().age_s_max() < 0)
      Problem("reference.remote.age_s_max", "can't be negative");
  }

  void CheckControl(const config::v1::Reference& reference) {
    if (reference.folder().empty())
      Problem("reference.folder", "is required with control: pinned versions are found there");
    if (!reference.has_remote() && reference.local().sets().empty())
      Problem("reference.control", "there are no sets whose versions could be pinned");
    const config::v1::Control& control = reference.control();
    if (control.swap() == config::v1::fenced && !reference.has_remote()) {
      Problem(
          "reference.control.swap",
          "fenced needs reference.remote: a fence names the versions that a service has active");
    }
    if (control.follow().empty()) return;
    if (control.follow() == config().kafka().group()) {
      Problem(
          "reference.control.follow",
          "is this processor's own group, which can't wait for itself: name the one that leads");
    }
    if (control.swap() != config::v1::when_there)
      Problem("reference.control.swap", "excludes follow: the group that is followed says when");
  }

  void LoadPipeline() {
    engine::Pipeline::Options options;
    LoadSets(options);
    if (config().contracts().empty()) {
      if (definition_.pipeline_only) {
        problems_.push_back(base::StrCat(
            definition_.config_file,
            ": this file holds a pipeline alone, and nothing says where "
            "its contract is: add --contracts FOLDER, the folder with the .proto files"));
      }
      return;
    }
    std::vector<std::string> paths;
    for (const std::string& path : config().contracts()) paths.push_back(definition_.Resolve(path));
    auto contracts = contract::Contracts::Load(paths);
    if (!contracts.ok()) return AddOfContracts("contracts", contracts.status());
    if (Follows("pipeline.contract")) return;
    auto contract = (*contracts)->Compile(config().pipeline().contract());
    if (!contract.ok()) return AddOfContracts("pipeline.contract", contract.status());
    definition_.contract = *std::move(contract);
    if (!definition_.joined.waiting.empty()) return;
    options.contract = definition_.contract;
    options.config = config().pipeline();
    options.locate = [&](std::string_view path) { return definition_.Where(path); };
    options.follows = [&](std::string_view path) { return Follows(path); };
    auto pipeline = engine::Pipeline::Compile(std::move(options));
    if (!pipeline.ok()) return AddOfContracts(kPipeline, pipeline.status());
    definition_.pipeline = *std::move(pipeline);
  }

  // The running ones where their configuration is the same.
  absl::StatusOr<std::shared_ptr<ReferenceSets>> MakeSets() {
    const config::v1::Reference& reference = config().reference();
    bool runs = options_.running_config != nullptr;
    if (runs &&
        google::protobuf::util::MessageDifferencer::Equals(reference, *options_.running_config))
      return options_.running.sets;
    std::shared_ptr<reference::Shelf>& shelf = definition_.joined.shelf;
    if (runs) {
      // Its folder can only change with a restart.
    } else if (options_.keep && !reference.folder().empty()) {
      auto opened = reference::Shelf::Open(definition_.Resolve(reference.folder()));
      if (!opened.ok()) return definition_.At("reference.folder", opened.status());
      shelf = *std::move(opened);
    }
    size_t kept = static_cast<size_t>(reference.versions_kept() == 0 ? kVersionsKept
                                                                     : reference.versions_kept());
    if (reference.has_remote()) {
      const config::v1::RemoteReference& remote = reference.remote();
      RemoteSets::Options remote_options;
      remote_options.channel.address = remote.address();
      if (remote.has_tls()) {
        remote_options.channel.tls = {definition_.Resolve(remote.tls().certificate()),
                                      definition_.Resolve(remote.tls().private_key()),
                                      definition_.Resolve(remote.tls().client_ca())};
      }
      remote_options.sets.assign(remote.sets().begin(), remote.sets().end());
      if (remote.age_s_max() != 0)
        remote_options.age_max = std::chrono::seconds(remote.age_s_max());
      remote_options.shelf = shelf;
      remote_options.versions_kept = kept;
      auto sets = RemoteSets::Create(std::move(remote_options), SystemClock());
      if (!sets.ok())
        return absl::Status(sets.status().code(),
                            base::StrCat(definition_.Where("reference.remote"), ": ",
                                         base::View(sets.status().message())));
      if (!options_.may_wait) (*sets)->WaitForFirst(kFirstStateMax);
      return std::shared_ptr<ReferenceSets>(*std::move(sets));
    }
    LocalSets::Options local;
    local.sets.assign(reference.local().sets().begin(), reference.local().sets().end());
    local.sources.resolve = [folder = fs::path(definition_.config_file).parent_path()](
                                const std::string& path) { return (folder / path).string(); };
    local.sources.kafka = brokers::Connection(config().kafka(), "sluice-reference");
    if (shelf != nullptr) local.sources.folder = definition_.Resolve(reference.folder());
    local.shelf = shelf;
    local.versions_kept = kept;
    local.in_use = options_.running.state;
    return std::make_shared<LocalSets>(std::move(local), SystemClock());
  }

  void LoadSets(engine::Pipeline::Options& options) {
    if (Follows("reference")) return MistakeJoins();
    for (int i = 0; i < config().reference().local().sets_size(); ++i)
      if (Follows(PathOfSet(i))) return MistakeJoins();
    JoinedSets& joined = definition_.joined;
    joined.shelf = options_.running.shelf;
    auto sets = MakeSets();
    if (!sets.ok()) {
      problems_.emplace_back(base::View(sets.status().message()));
      return MistakeJoins();
    }
    joined.sets = *std::move(sets);
    bool told = false;
    auto state = joined.sets->Load([&](int index, const absl::Status& status) {
      told = true;
      const config::v1::ReferenceSet& set = config().reference().local().sets(index);
      std::string path = PathOfSet(index);
      if (absl::IsNotFound(status) && !reference::SourceFile(set).empty())
        base::StrAppend(path, ".", SourceField(set));
      Add(definition_.At(path, status));
    });
    if (state.ok()) {
      joined.state = *std::move(state);
      for (const auto& [name, table] : joined.state->tables) options.tables.push_back(table);
      return;
    }
    if (absl::IsUnavailable(state.status()) && options_.may_wait) {
      definition_.joined.waiting = base::View(state.status().message());
      return;
    }
    if (!told) Problem("reference", base::View(state.status().message()));
    MistakeJoins();
  }

  // Joins with sets that aren't there only follow from what is wrong with these.
  void MistakeJoins() {
    for (int join = 0; join < config().pipeline().enrich_size(); ++join)
      mistaken_.insert(base::StrCat("pipeline.enrich[", join, "].set"));
  }

  const LoadOptions& options_;
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
                                          const PipelineSurroundings* surroundings,
                                          const LoadOptions& options) {
  return Loader(config_file, options).Load(surroundings);
}

absl::StatusOr<std::shared_ptr<const engine::Pipeline>> CompilePipeline(
    const config::v1::Pipeline& config, std::shared_ptr<const contract::Plan> contract,
    const SetsState& state) {
  engine::Pipeline::Options options;
  options.contract = std::move(contract);
  options.config = config;
  for (const auto& [name, table] : state.tables) options.tables.push_back(table);
  return engine::Pipeline::Compile(std::move(options));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) { return base::ReadFile(path); }

}  // namespace sluice::processor
