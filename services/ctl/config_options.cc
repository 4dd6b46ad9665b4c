#include "services/ctl/config_options.h"

#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/seal.h"

namespace sluice::ctl {

void SurroundingOptions::AddTo(CLI::App& command) {
  command
      .add_option("--contracts", contracts,
                  "For a file that holds a pipeline alone: a folder with .proto files, or a "
                  "descriptor set; repeatable")
      ->allow_extra_args(false);
  command
      .add_option(
          "--reference", references,
          "For a file that holds a pipeline alone: name=file.csv:key:not_personal=column,... "
          "of a reference set; repeatable")
      ->allow_extra_args(false);
}

absl::StatusOr<processor::PipelineSurroundings> SurroundingOptions::Parse() const {
  processor::PipelineSurroundings surroundings{contracts, {}};
  constexpr std::string_view kNotPersonal = ":not_personal=";
  for (const std::string& whole : references) {
    const size_t short_form = whole.rfind(kNotPersonal);
    const std::string text = whole.substr(0, short_form);
    size_t equals = text.find('='), colon = text.rfind(':');
    if (equals == std::string::npos || colon == std::string::npos || equals == 0 ||
        colon <= equals + 1 || colon + 1 == text.size()) {
      return absl::InvalidArgumentError(
          base::StrCat("--reference ", whole,
                       ": write name=file.csv:key:not_personal=column,..., such as "
                       "boroughs=boroughs.csv:code:not_personal=name"));
    }
    config::v1::ReferenceSet set;
    set.set_name(text.substr(0, equals));
    set.set_csv(text.substr(equals + 1, colon - equals - 1));
    set.set_key(text.substr(colon + 1));
    if (short_form != std::string::npos) {
      for (absl::string_view column :
           absl::StrSplit(whole.substr(short_form + kNotPersonal.size()), ','))
        set.add_not_personal(std::string(column));
    }
    surroundings.sets.push_back(std::move(set));
  }
  return surroundings;
}

void EngineOptions::AddTo(CLI::App& command) {
  command.add_option("config", config, "Configuration of a processor, or a pipeline alone")
      ->required();
  surroundings.AddTo(command);
  command.add_flag("--throwaway-keys", throwaway_keys,
                   "Use fresh keys that are forgotten at the end, instead of the configuration's: "
                   "the next run has other pseudonyms");
}

absl::StatusOr<processor::Setup> EngineOptions::Load(base::RandomSource& random) const {
  SLUICE_ASSIGN_OR_RETURN(auto around, surroundings.Parse());
  SLUICE_ASSIGN_OR_RETURN(auto definition, processor::LoadDefinition(config, &around));
  if (!throwaway_keys) {
    if (definition.pipeline_only) {
      return absl::InvalidArgumentError(base::StrCat(
          config,
          ": is a pipeline alone, without keys: add --throwaway-keys to try it, or name a "
          "processor's configuration"));
    }
    return processor::LoadKeys(std::move(definition));
  }
  std::vector<privacy::KeyringDomain> domains;
  for (const std::string& name : definition.pipeline->domains()) {
    std::string label = "t";
    for (size_t n = domains.size() + 1; n > 0; n /= 26) label += static_cast<char>('a' + n % 26);
    domains.push_back({name, std::move(label)});
  }
  if (domains.empty()) domains.push_back({"none", "tnone"});
  SLUICE_ASSIGN_OR_RETURN(auto keyring, privacy::Keyring::Create(std::move(domains), random));
  SLUICE_ASSIGN_OR_RETURN(auto sealing, privacy::NewSealingKeys(random));
  processor::Setup setup;
  setup.config = std::move(definition.config);
  setup.pipeline = std::move(definition.pipeline);
  setup.keyring = std::move(keyring);
  setup.quarantine_key_pem = std::move(sealing.public_pem);
  return setup;
}

}  // namespace sluice::ctl
