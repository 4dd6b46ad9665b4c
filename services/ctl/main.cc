// The command line for people.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/base/strings.h"
#include "common/privacy/keyring.h"
#include "common/privacy/seal.h"

namespace {

using sluice::base::StrCat;
using sluice::base::SystemRandom;

int Report(const absl::Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "sluicectl: %s\n", std::string(status.message()).c_str());
  return 1;
}

absl::Status WriteNew(const std::string& path, const std::string& text, mode_t mode) {
  int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (file < 0)
    return absl::FailedPreconditionError(
        StrCat(path, ": exists already, or its folder doesn't; nothing was overwritten"));
  bool written = write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  written = close(file) == 0 && written;
  return written ? absl::OkStatus() : absl::InternalError(StrCat(path, ": can't be written"));
}

// `intelligence=int` for each domain.
absl::StatusOr<std::vector<sluice::privacy::KeyringDomain>> ParseDomains(
    const std::vector<std::string>& texts) {
  std::vector<sluice::privacy::KeyringDomain> domains;
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
  auto keyring = sluice::privacy::Keyring::Create(*std::move(domains), random);
  if (!keyring.ok()) return keyring.status();
  if (access(keyring_path.c_str(), F_OK) == 0) {
    return absl::FailedPreconditionError(
        StrCat(keyring_path, ": exists already; nothing was overwritten"));
  }
  if (access(key_path.c_str(), F_OK) != 0) {
    if (absl::Status made = sluice::privacy::Keyring::CreateKeyFile(key_path, random); !made.ok())
      return made;
  }
  return keyring->Save(keyring_path, key_path, random);
}

absl::Status InitQuarantine(const std::string& private_path, const std::string& public_path) {
  SystemRandom random;
  auto keys = sluice::privacy::NewSealingKeys(random);
  if (!keys.ok()) return keys.status();
  if (absl::Status written = WriteNew(private_path, keys->private_pem, 0600); !written.ok())
    return written;
  return WriteNew(public_path, keys->public_pem, 0644);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Sluice's command line.");
  app.require_subcommand(1);
  CLI::App* keys = app.add_subcommand("keys", "Make keys")->require_subcommand(1);

  std::string keyring, key;
  std::vector<std::string> domains;
  CLI::App* init = keys->add_subcommand(
      "init", "Make a keyring, and its key-encryption key where there is none");
  init->add_option("--keyring", keyring, "The keyring's file; must not exist")->required();
  init->add_option("--key-encryption-key", key, "The file of the key that encrypts it")->required();
  init->add_option("--domain", domains, "name=label of a domain; repeatable")->required();

  std::string private_key, public_key;
  CLI::App* quarantine =
      keys->add_subcommand("quarantine", "Make the key pair that quarantine is sealed to");
  quarantine->add_option("--private", private_key, "The private key's file; must not exist")
      ->required();
  quarantine->add_option("--public", public_key, "The public key's file; must not exist")
      ->required();

  CLI11_PARSE(app, argc, argv);
  return Report(init->parsed() ? InitKeyring(keyring, key, domains)
                               : InitQuarantine(private_key, public_key));
}
