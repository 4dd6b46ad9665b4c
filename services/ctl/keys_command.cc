#include "services/ctl/keys_command.h"

#include <unistd.h>

#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/strings.h"
#include "common/privacy/key_file.h"
#include "common/privacy/keyring.h"
#include "common/privacy/seal.h"

namespace sluice::ctl {
namespace {

using base::StrCat;
using base::SystemRandom;

// `intelligence=int` for each domain.
absl::StatusOr<std::vector<privacy::KeyringDomain>> ParseDomains(
    const std::vector<std::string>& texts) {
  std::vector<privacy::KeyringDomain> domains;
  for (const std::string& text : texts) {
    size_t equals = text.find('=');
    if (equals == std::string::npos) {
      return absl::InvalidArgumentError(
          StrCat("--domain ", text, ": write name=label, such as intelligence=int"));
    }
    domains.push_back({text.substr(0, equals), text.substr(equals + 1)});
  }
  return domains;
}

absl::Status InitKeyring(const std::string& keyring_path, const std::string& key_path,
                         const std::vector<std::string>& texts) {
  SystemRandom random;
  auto domains = ParseDomains(texts);
  if (!domains.ok()) return domains.status();
  auto keyring =
      privacy::Keyring::Create(*std::move(domains), random, base::SystemClock().UnixMillis());
  if (!keyring.ok()) return keyring.status();
  if (access(keyring_path.c_str(), F_OK) == 0) {
    return absl::FailedPreconditionError(
        StrCat(keyring_path, ": exists already; nothing was overwritten"));
  }
  if (access(key_path.c_str(), F_OK) != 0) {
    if (absl::Status made = privacy::Keyring::CreateKeyFile(key_path, random); !made.ok())
      return made;
  }
  return keyring->Save(keyring_path, key_path, random);
}

absl::Status InitQuarantine(const std::string& private_path, const std::string& public_path) {
  SystemRandom random;
  auto keys = privacy::NewSealingKeys(random);
  if (!keys.ok()) return keys.status();
  absl::Status written =
      privacy::WriteKeyFile(private_path, keys->private_pem, privacy::Overwrite::kNever);
  return written.ok()
             ? privacy::WritePublicFile(public_path, keys->public_pem, privacy::Overwrite::kNever)
             : written;
}

absl::StatusOr<ExitCode> Done(const absl::Status& status) {
  if (!status.ok()) return status;
  return ExitCode::kOk;
}

struct Options {
  std::string keyring, key;
  std::vector<std::string> domains;
  std::string private_key, public_key;
  std::string encryption_key;
};

}  // namespace

void AddKeysCommand(Program& program) {
  auto options = std::make_shared<Options>();
  CLI::App& keys = program.Group("keys", "Make keys");
  CLI::App& init =
      program.Add(keys,
                  {.name = "init",
                   .summary = "Make a keyring, and its key-encryption key where there is none",
                   .examples = {{"keys init --keyring keyring --key-encryption-key kek"
                                 " --domain intelligence=int --domain public=pub",
                                 "Two domains, whose pseudonyms begin with int1- and pub1-"}}},
                  [options](Output&) {
                    return Done(InitKeyring(options->keyring, options->key, options->domains));
                  });
  init.add_option("--keyring", options->keyring, "The keyring's file; must not exist")->required();
  init.add_option("--key-encryption-key", options->key, "The file of the key that encrypts it")
      ->required();
  init.add_option("--domain", options->domains, "name=label of a domain; repeatable")
      ->required()
      ->allow_extra_args(false);

  CLI::App& encryption_key = program.Add(
      keys,
      {.name = "encryption-key",
       .summary = "Make a key-encryption key, such as a backup's; overwrites nothing",
       .examples = {{"keys encryption-key --to backup-kek", "Keep it away from what it encrypts"}}},
      [options](Output&) {
        SystemRandom random;
        return Done(privacy::Keyring::CreateKeyFile(options->encryption_key, random));
      });
  encryption_key.add_option("--to", options->encryption_key, "The key's file; must not exist")
      ->required();

  CLI::App& quarantine = program.Add(
      keys,
      {.name = "quarantine",
       .summary = "Make the key pair that quarantine is sealed to",
       .examples = {{"keys quarantine --private quarantine.key --public quarantine.pub",
                     "The processor gets the public key; the private one opens what it sealed"}}},
      [options](Output&) {
        return Done(InitQuarantine(options->private_key, options->public_key));
      });
  quarantine
      .add_option("--private", options->private_key, "The private key's file; must not exist")
      ->required();
  quarantine.add_option("--public", options->public_key, "The public key's file; must not exist")
      ->required();
}

}  // namespace sluice::ctl
