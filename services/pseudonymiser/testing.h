// A pseudonymiser in a test's own process, with certificates for whoever calls it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/keyring.h"
#include "common/rpc/channel.h"
#include "services/pseudonymiser/config.h"
#include "services/pseudonymiser/pseudonymiser.h"
#include "tests/support/certificates.h"
#include "tests/support/temp_dir.h"

namespace sluice::pseudonymiser {

// Files, authority and callers outlive the process in it, which may be started again.
class TestService {
 public:
  // With a keyring of the domains intelligence (int), public (pub) and research (res).
  TestService() {
    EXPECT_TRUE(privacy::Keyring::CreateKeyFile(kek(), random_).ok());
    auto keyring = privacy::Keyring::Create(
        {{"intelligence", "int"}, {"public", "pub"}, {"research", "res"}}, random_);
    EXPECT_TRUE(keyring->Save(this->keyring(), kek(), random_).ok());
  }

  // The policy's YAML; taken at Start(), or at the second look that finds it changed.
  void SetPolicy(const std::string& yaml) { Write(path("policy.yaml"), yaml); }
  // Further lines of the configuration, instead of a short look_interval_ms.
  void SetMore(const std::string& yaml) { more_ = yaml; }

  // Where it keeps what outlives it; empty: nowhere.
  void SetState(const std::string& file) {
    state_ = file.empty() ? "" : base::StrCat("state: ", file);
  }
  // Further keys of `audit`, with a comma in front.
  void SetAudit(const std::string& yaml) { audit_ = yaml; }

  absl::Status Start(const absl::Status& memory = absl::OkStatus()) {
    process_.reset();
    test_support::CertificateFiles server = Issue("server", "IP:127.0.0.1");
    Write(path("pseudonymiser.yaml"),
          base::StrCat("keyring: keyring\nkey_encryption_key: kek\npolicy: policy.yaml\n", state_,
                       "\n"
                       "audit: {file: audit.jsonl, writer: test",
                       audit_,
                       "}\n"
                       "listen: {tls: {certificate: \"",
                       server.certificate, "\", private_key: \"", server.private_key,
                       "\", client_ca: \"", server.authority, "\"}}\n", more_));
    SLUICE_ASSIGN_OR_RETURN(auto config, LoadConfig(path("pseudonymiser.yaml"), ""));
    SLUICE_ASSIGN_OR_RETURN(process_, PseudonymiserProcess::Create(config, memory, clock_));
    return process_->Start();
  }
  void Stop() { process_.reset(); }

  // For a caller whose certificate has this SPIFFE id.
  rpc::TlsFiles Caller(const std::string& id) {
    return FilesOf(Issue(base::StrCat("caller", ++callers_), base::StrCat("URI:", id)));
  }
  // `names` is OpenSSL's form of a subjectAltName.
  rpc::TlsFiles CallerWith(const std::string& names, const std::string& authority = "site") {
    return FilesOf(certificates_.Issue(authority, base::StrCat("caller", ++callers_), names));
  }
  std::string address() const { return base::StrCat("127.0.0.1:", process_->grpc_port()); }
  std::unique_ptr<v1::Pseudonymiser::Stub> Connect(std::optional<rpc::TlsFiles> tls) const {
    auto channel = rpc::Connect({.address = address(), .tls = std::move(tls)}, "test");
    EXPECT_TRUE(channel.ok()) << channel.status();
    return v1::Pseudonymiser::NewStub(*channel);
  }
  std::unique_ptr<v1::Pseudonymiser::Stub> ConnectAs(const std::string& id) {
    return Connect(Caller(id));
  }

  std::string keyring() const { return path("keyring"); }
  std::string kek() const { return path("kek"); }
  std::string trail() const { return path("audit.jsonl"); }
  std::string path(const std::string& name) const { return folder_->path() + "/" + name; }
  const test_support::Certificates& certificates() const { return certificates_; }
  PseudonymiserProcess& process() { return *process_; }
  base::ManualClock& clock() { return clock_; }
  base::SystemRandom& random() { return random_; }

  static std::string Read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  // By renaming, so that no half of it is seen.
  static void Write(const std::string& path, const std::string& text) {
    std::ofstream(path + ".new", std::ios::binary | std::ios::trunc) << text;
    std::filesystem::rename(path + ".new", path);
  }

 private:
  test_support::CertificateFiles Issue(const std::string& name, const std::string& names) {
    return certificates_.Issue("site", name, names);
  }
  static rpc::TlsFiles FilesOf(const test_support::CertificateFiles& files) {
    return {files.certificate, files.private_key, files.authority, 1};
  }

  const std::unique_ptr<test_support::TempDir> folder_ =
      *test_support::TempDir::Create("pseudonymiser");
  test_support::Certificates certificates_;
  base::SystemRandom random_;
  base::ManualClock clock_;
  std::string more_ = "look_interval_ms: 10\n";
  std::string audit_;
  std::string state_ = "state: state";
  int callers_ = 0;
  std::unique_ptr<PseudonymiserProcess> process_;
};

}  // namespace sluice::pseudonymiser
