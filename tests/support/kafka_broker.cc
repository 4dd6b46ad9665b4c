#include "tests/support/kafka_broker.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "tests/support/free_port.h"

namespace sluice::test_support {
namespace {

constexpr int kPortAttempts = 5;
constexpr std::string_view kServing = "Kafka Server started";
// Any 16 bytes in base64: clusters are told apart by their ports.
constexpr std::string_view kClusterId = "c2x1aWNlLXRlc3QtbG9jYQ";

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string DefaultLibs() {
  if (std::string libs = Variable("SLUICE_KAFKA_LIBS"); !libs.empty()) return libs;
  std::string cache = Variable("SLUICE_CACHE");
  if (cache.empty()) {
    const std::string xdg = Variable("XDG_CACHE_HOME");
    cache = (xdg.empty() ? Variable("HOME") + "/.cache" : xdg) + "/sluice";
  }
  return cache + "/kafka-4.1.0/libs";
}

bool HasKafka(const std::string& libs) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(libs, error)) {
    if (entry.path().filename().string().starts_with("kafka_2.13-")) return true;
  }
  return false;
}

absl::StatusOr<std::string> FindJava() {
  if (const std::string home = Variable("JAVA_HOME"); !home.empty()) {
    if (std::string java = home + "/bin/java"; access(java.c_str(), X_OK) == 0) return java;
  }
  const std::string path = Variable("PATH");
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find(':', at), path.size());
    if (std::string java = path.substr(at, end - at) + "/java"; access(java.c_str(), X_OK) == 0) {
      return java;
    }
    at = end + 1;
  }
  return absl::FailedPreconditionError(
      "no java in JAVA_HOME or PATH, which Kafka needs: run `./run setup`");
}

}  // namespace

absl::StatusOr<std::unique_ptr<KafkaBroker>> KafkaBroker::Create(Options options) {
  if (options.libs.empty()) options.libs = DefaultLibs();
  if (!HasKafka(options.libs)) {
    return absl::FailedPreconditionError(
        base::StrCat("no Kafka in ", options.libs,
                     ": run `./run setup`, or set SLUICE_KAFKA_LIBS to the folder of its jars"));
  }
  SLUICE_ASSIGN_OR_RETURN(std::string java, FindJava());
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<TempDir> folder, TempDir::Create("sluice-kafka"));
  return std::unique_ptr<KafkaBroker>(
      new KafkaBroker(std::move(options), std::move(java), std::move(folder)));
}

KafkaBroker::KafkaBroker(Options options, std::string java, std::unique_ptr<TempDir> folder)
    : options_(std::move(options)), java_(std::move(java)), folder_(std::move(folder)) {}

absl::Status KafkaBroker::ChoosePorts() {
  SLUICE_ASSIGN_OR_RETURN(port_, FreePort());
  SLUICE_ASSIGN_OR_RETURN(direct_port_, FreePort());
  SLUICE_ASSIGN_OR_RETURN(controller_port_, FreePort());
  SLUICE_ASSIGN_OR_RETURN(mutual_tls_port_, FreePort());
  return absl::OkStatus();
}

// Kafka wants a key and its certificate in one file.
void KafkaBroker::AddSecurity(std::map<std::string, std::string>& properties) const {
  const Options::Security& security = *options_.security;
  const std::string store = folder_->path() + "/broker.pem";
  std::ofstream(store) << ReadFile(security.private_key) << ReadFile(security.certificate);
  properties["listener.security.protocol.map"] =
      "CONTROLLER:PLAINTEXT,CLIENT:SASL_SSL,MUTUAL:SSL,DIRECT:PLAINTEXT";
  properties["inter.broker.listener.name"] = "DIRECT";
  const std::string mutual = base::StrCat(",MUTUAL://", mutual_tls());
  properties["listeners"] += mutual;
  properties["advertised.listeners"] += mutual;
  for (const auto& [name, value] : std::map<std::string, std::string>{
           {"ssl.keystore.type", "PEM"},
           {"ssl.keystore.location", store},
           {"ssl.truststore.type", "PEM"},
           {"ssl.truststore.location", security.client_authority},
           {"listener.name.mutual.ssl.client.auth", "required"},
           {"sasl.enabled.mechanisms", "SCRAM-SHA-512"},
           {"listener.name.client.scram-sha-512.sasl.jaas.config",
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"},
           {"authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"},
           // Whoever comes to DIRECT, the broker itself among them.
           {"super.users", "User:ANONYMOUS"},
       }) {
    properties[name] = value;
  }
}

absl::Status KafkaBroker::WriteProperties() const {
  const auto listener = [](std::string_view name, int port) {
    return base::StrCat(name, "://127.0.0.1:", port);
  };
  std::map<std::string, std::string> properties = {
      {"process.roles", "broker,controller"},
      {"node.id", "1"},
      {"controller.quorum.voters", base::StrCat("1@127.0.0.1:", controller_port_)},
      {"controller.listener.names", "CONTROLLER"},
      {"inter.broker.listener.name", "CLIENT"},
      {"listener.security.protocol.map", "CONTROLLER:PLAINTEXT,CLIENT:PLAINTEXT,DIRECT:PLAINTEXT"},
      {"listeners", base::StrCat(listener("CLIENT", port_), ",", listener("DIRECT", direct_port_),
                                 ",", listener("CONTROLLER", controller_port_))},
      {"advertised.listeners",
       base::StrCat(
           listener("CLIENT", options_.advertised_port != 0 ? options_.advertised_port : port_),
           ",", listener("DIRECT", direct_port_))},
      {"log.dirs", folder_->path() + "/data"},
      {"auto.create.topics.enable", "false"},
      {"offsets.topic.replication.factor", "1"},
      {"offsets.topic.num.partitions", "4"},
      {"transaction.state.log.replication.factor", "1"},
      {"transaction.state.log.min.isr", "1"},
      {"transaction.state.log.num.partitions", "4"},
      {"group.initial.rebalance.delay.ms", "0"},
      // A killed broker may register again only when its old session is over: by default 9 s.
      {"broker.session.timeout.ms", "3000"},
      {"broker.heartbeat.interval.ms", "500"},
      // The default is a quarter of the heap.
      {"log.cleaner.dedupe.buffer.size", "8388608"},
  };
  if (options_.security) AddSecurity(properties);
  for (const auto& [name, value] : options_.properties) properties[name] = value;
  const std::string path = folder_->path() + "/server.properties";
  std::ofstream out(path, std::ios::trunc);
  for (const auto& [name, value] : properties) out << name << '=' << value << '\n';
  out.close();
  return out.good() ? absl::OkStatus() : absl::UnavailableError("can't write " + path);
}

std::vector<std::string> KafkaBroker::Java(std::string_view main_class,
                                           std::vector<std::string> arguments) const {
  std::vector<std::string> command = {
      java_,
      base::StrCat("-Xmx", options_.heap_mb, "m"),
      "-XX:-UsePerfData",  // a killed JVM would leave its file in /tmp
      base::StrCat("-XX:ErrorFile=", folder_->path(), "/jvm-error.log"),
      "-Djava.awt.headless=true",
      "-Dorg.slf4j.simpleLogger.showDateTime=true",
      "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
      "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
      "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
      "-Dorg.slf4j.simpleLogger.log.kafka.coordinator=info",
  };
  command.insert(command.end(), options_.jvm_flags.begin(), options_.jvm_flags.end());
  command.insert(command.end(), {"-cp", options_.libs + "/*", std::string(main_class)});
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

absl::Status KafkaBroker::Format() const {
  const std::string log = folder_->path() + "/format.log";
  std::vector<std::string> arguments = {"format", "--ignore-formatted",
                                        "-t",     std::string(kClusterId),
                                        "-c",     folder_->path() + "/server.properties"};
  if (options_.security) {
    for (const auto& [name, password] : options_.security->users) {
      arguments.push_back("--add-scram");
      arguments.push_back(
          base::StrCat("SCRAM-SHA-512=[name=", name, ",iterations=4096,password=", password, "]"));
    }
  }
  SLUICE_ASSIGN_OR_RETURN(
      std::unique_ptr<ChildProcess> process,
      ChildProcess::Start(
          {.command = Java("kafka.tools.StorageTool", arguments), .stdout_path = log}));
  SLUICE_ASSIGN_OR_RETURN(const Exit exit, process->Wait(options_.start_timeout));
  if (exit == Exit{}) return absl::OkStatus();
  return absl::InternalError(base::StrCat("Kafka's folder could not be formatted (",
                                          exit.ToString(), "):\n", Tail(ReadFile(log), 40)));
}

absl::Status KafkaBroker::Launch() {
  // One log per launch: "serving" in it means this launch.
  log_path_ = base::StrCat(folder_->path(), "/broker-", ++launches_, ".log");
  SLUICE_ASSIGN_OR_RETURN(
      process_,
      ChildProcess::Start({.command = Java("kafka.Kafka", {folder_->path() + "/server.properties"}),
                           .stdout_path = log_path_}));
  return process_->WaitForOutput(kServing, options_.start_timeout);
}

absl::Status KafkaBroker::Start() {
  if (process_ != nullptr && process_->running()) {
    return absl::FailedPreconditionError("the broker runs already");
  }
  if (launches_ > 0) return Launch();
  absl::Status status;
  for (int attempt = 0; attempt < kPortAttempts; ++attempt) {
    SLUICE_RETURN_IF_ERROR(ChoosePorts());
    SLUICE_RETURN_IF_ERROR(WriteProperties());
    SLUICE_RETURN_IF_ERROR(Format());
    status = Launch();
    // Somebody was quicker to take a port.
    if (status.ok() || ReadFile(log_path_).find("Address already in use") == std::string::npos) {
      break;
    }
    process_->Kill();
  }
  return status;
}

void KafkaBroker::Kill() {
  if (process_ != nullptr) process_->Kill();
}

absl::Status KafkaBroker::Restart() {
  Kill();
  return Start();
}

absl::Status KafkaBroker::Freeze() { return process_->Signal(SIGSTOP); }

absl::Status KafkaBroker::Thaw() { return process_->Signal(SIGCONT); }

absl::Status KafkaBroker::Stop(std::chrono::milliseconds timeout) {
  if (process_ == nullptr || !process_->running()) return absl::OkStatus();
  SLUICE_RETURN_IF_ERROR(process_->Signal(SIGTERM));
  absl::Status status = process_->Wait(timeout).status();
  Kill();
  return status;
}

std::string KafkaBroker::bootstrap() const {
  return base::StrCat("127.0.0.1:",
                      options_.advertised_port != 0 ? options_.advertised_port : port_);
}

std::string KafkaBroker::mutual_tls() const { return base::StrCat("127.0.0.1:", mutual_tls_port_); }

std::string KafkaBroker::direct() const { return base::StrCat("127.0.0.1:", direct_port_); }

pid_t KafkaBroker::pid() const { return process_ == nullptr ? 0 : process_->pid(); }

std::string KafkaBroker::LogTail(int lines) const {
  return std::string(Tail(ReadFile(log_path_), lines));
}

}  // namespace sluice::test_support
