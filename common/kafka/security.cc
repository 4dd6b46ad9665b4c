#include "common/kafka/security.h"

#include "common/base/file.h"
#include "common/base/sha256.h"
#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::kafka {
namespace {

using std::chrono::steady_clock;

constexpr size_t kSecretBytesMax = 64 * 1024;

absl::Status Wrong(std::string_view key, std::string_view what) {
  return absl::InvalidArgumentError(base::StrCat("kafka.security.", key, ": ", what));
}

// librdkafka's own error would come later and wouldn't say which key of the configuration it is.
absl::Status CheckPem(std::string_view key, const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(std::string text, ReadSecret(base::StrCat("kafka.security.", key), path));
  if (text.find("-----BEGIN ") != text.npos) return absl::OkStatus();
  return Wrong(key, base::StrCat(path, " is no PEM file"));
}

}  // namespace

std::vector<std::string> Security::Files() const {
  std::vector<std::string> files;
  for (const std::string& file : {ca, certificate, private_key, private_key_password, password}) {
    if (!file.empty()) files.push_back(file);
  }
  return files;
}

absl::Status Security::Check() const {
  // Without TLS a password could be guessed from what goes over the network, and events be read.
  if (!mechanism.empty() && !tls) return Wrong("sasl", "needs TLS: add kafka.security.tls");
  if (!mechanism.empty() && username.empty()) return Wrong("sasl.username", "is missing");
  if (!mechanism.empty() && password.empty())
    return Wrong("sasl.password", "name a file that holds it");
  if (certificate.empty() != private_key.empty()) {
    return Wrong(certificate.empty() ? "tls.certificate" : "tls.private_key",
                 "is missing; a certificate and its key go together");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadSecret(std::string_view key, const std::string& path) {
  absl::StatusOr<std::string> read = base::ReadFile(path, kSecretBytesMax);
  if (!read.ok())
    return absl::InvalidArgumentError(base::StrCat(key, ": ", base::View(read.status().message())));
  if (read->empty())
    return absl::InvalidArgumentError(
        base::StrCat(key, ": ", path, ": cannot be used: it is empty"));
  std::string secret = *std::move(read);
  while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r')) secret.pop_back();
  return secret;
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> SecuritySettings(
    const Security& security) {
  std::vector<std::pair<std::string, std::string>> settings;
  if (security.empty()) return settings;
  SLUICE_RETURN_IF_ERROR(security.Check());
  settings.emplace_back("security.protocol", security.mechanism.empty() ? "ssl" : "sasl_ssl");
  settings.emplace_back("ssl.endpoint.identification.algorithm", "https");
  if (!security.ca.empty()) {
    SLUICE_RETURN_IF_ERROR(CheckPem("tls.ca", security.ca));
    settings.emplace_back("ssl.ca.location", security.ca);
  }
  if (!security.certificate.empty()) {
    SLUICE_RETURN_IF_ERROR(CheckPem("tls.certificate", security.certificate));
    SLUICE_RETURN_IF_ERROR(CheckPem("tls.private_key", security.private_key));
    settings.emplace_back("ssl.certificate.location", security.certificate);
    settings.emplace_back("ssl.key.location", security.private_key);
  }
  if (!security.private_key_password.empty()) {
    SLUICE_ASSIGN_OR_RETURN(
        std::string password,
        ReadSecret("kafka.security.tls.private_key_password", security.private_key_password));
    settings.emplace_back("ssl.key.password", std::move(password));
  }
  if (!security.mechanism.empty()) {
    SLUICE_ASSIGN_OR_RETURN(std::string password,
                            ReadSecret("kafka.security.sasl.password", security.password));
    settings.emplace_back("sasl.mechanisms", security.mechanism);
    settings.emplace_back("sasl.username", security.username);
    settings.emplace_back("sasl.password", std::move(password));
  }
  return settings;
}

FileWatch::FileWatch(std::vector<std::string> files) : files_(std::move(files)) {
  used_ = seen_ = Look();
}

std::string FileWatch::Look() const {
  base::Sha256 all;
  for (const std::string& path : files_) {
    all.AddPart(base::ReadFile(path, kSecretBytesMax).value_or(""));
  }
  return all.Hex();
}

bool FileWatch::Changed() {
  auto now = steady_clock::now();
  if (files_.empty() || now < next_look_) return false;
  next_look_ = now + kSettle / 2;
  std::string found = Look();
  if (found != seen_) {
    seen_ = std::move(found);
    seen_at_ = now;
  }
  return seen_ != used_ && seen_ != refused_ && now - seen_at_ >= kSettle;
}

}  // namespace sluice::kafka
