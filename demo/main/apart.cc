#include "demo/main/apart.h"

#include <google/protobuf/util/json_util.h>

#include <cstdlib>
#include <fstream>

#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::demo {
namespace {

using namespace std::chrono_literals;
using test_support::CertificateFiles;
using test_support::ChildProcess;

// JSON is YAML.
std::string Json(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  return google::protobuf::util::MessageToJsonString(message, &json, options).ok() ? json : "";
}

std::string TlsOf(const CertificateFiles& files) {
  return base::StrCat("{certificate: \"", files.certificate, "\", private_key: \"",
                      files.private_key, "\", client_ca: \"", files.authority, "\"}");
}

}  // namespace

absl::StatusOr<int> PortOf(ChildProcess& process, std::string_view port) {
  std::string key = base::StrCat("\"", port, "\":");
  SLUICE_RETURN_IF_ERROR(process.WaitForOutput(key, 30s));
  std::string output = process.Output();
  return std::atoi(output.c_str() + output.find(key) + key.size());
}

absl::StatusOr<std::unique_ptr<Apart>> Apart::Start(Options options) {
  auto apart = std::unique_ptr<Apart>(new Apart(std::move(options)));
  SLUICE_RETURN_IF_ERROR(apart->StartPseudonymiser());
  SLUICE_RETURN_IF_ERROR(apart->StartReference());
  SLUICE_RETURN_IF_ERROR(apart->WriteProcessor());
  return apart;
}

absl::StatusOr<std::unique_ptr<ChildProcess>> Apart::StartService(const std::string& name) {
  SLUICE_ASSIGN_OR_RETURN(
      auto process, ChildProcess::Start({{base::StrCat(options_.program_folder, "/services/", name,
                                                       "/sluice-", name),
                                          "--config", Path(name + ".yaml")},
                                         {},
                                         Path(name + ".log"),
                                         ""}));
  SLUICE_ASSIGN_OR_RETURN(int port, PortOf(*process, "http_port"));
  targets_.emplace_back("sluice-" + name, port);
  return process;
}

absl::Status Apart::StartPseudonymiser() {
  std::ofstream(Path("policy.yaml"))
      << "callers:\n"
         "  - caller: processor\n"
         "    may: [{calls: [pseudonymise, encrypt, format_preserve, list_domains], domains: "
         "[\"*\"]}]\n"
         "    limits: {bulk: true}\n";
  std::ofstream(Path("pseudonymiser.yaml"))
      << "keyring: keyring\nkey_encryption_key: kek\npolicy: policy.yaml\n"
      << "state: authority\n"
      << "audit: {file: audit.jsonl, writer: demo, topic: {brokers: [\""
      << options_.local.kafka().brokers(0) << "\"], topic: \"" << options_.audit_topic << "\"}}\n"
      << "listen: {tls: " << TlsOf(certificates_.Issue("demo", "pseudonymiser", "IP:127.0.0.1"))
      << "}\n";
  SLUICE_ASSIGN_OR_RETURN(pseudonymiser_, StartService("pseudonymiser"));
  SLUICE_ASSIGN_OR_RETURN(pseudonymiser_port_, PortOf(*pseudonymiser_, "grpc_port"));
  return absl::OkStatus();
}

absl::Status Apart::StartReference() {
  std::ofstream config(Path("reference.yaml"));
  config << "folder: served\ntrail: reference.jsonl\nsets:\n";
  for (auto set : options_.local.reference().local().sets()) {
    set.clear_store();  // what the service serves is in its memory
    config << "  - " << Json(set) << "\n";
  }
  config.close();
  SLUICE_ASSIGN_OR_RETURN(reference_, StartService("reference"));
  SLUICE_ASSIGN_OR_RETURN(reference_port_, PortOf(*reference_, "grpc_port"));
  return absl::OkStatus();
}

absl::Status Apart::WriteProcessor() {
  config::v1::Processor config = options_.local;
  CertificateFiles files = certificates_.Issue("demo", "processor", "DNS:processor");
  config::v1::RemotePseudonymiser& keys = *config.mutable_pseudonymiser()->mutable_remote();
  config.mutable_pseudonymiser()->clear_local();
  keys.set_address(base::StrCat("127.0.0.1:", pseudonymiser_port_));
  keys.mutable_tls()->set_certificate(files.certificate);
  keys.mutable_tls()->set_private_key(files.private_key);
  keys.mutable_tls()->set_client_ca(files.authority);
  config::v1::Reference& sets = *config.mutable_reference();
  sets.mutable_remote()->set_address(base::StrCat("127.0.0.1:", reference_port_));
  for (const auto& set : sets.local().sets()) sets.mutable_remote()->add_sets(set.name());
  sets.clear_local();
  sets.set_folder("kept");
  config_ = Path("apart.yaml");
  std::ofstream(config_) << Json(config) << "\n";
  return absl::OkStatus();
}

}  // namespace sluice::demo
