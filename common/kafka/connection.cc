#include "common/kafka/connection.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>

#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::kafka {
namespace {

// How long a refusal is worth telling: librdkafka tries again every ten seconds at least.
constexpr std::chrono::seconds kRefusalAge(30);
constexpr std::string_view kFileSuffix = ".file";

constexpr std::array<std::string_view, 6> kSecrets = {
    "sasl.password", "sasl.oauthbearer.client.secret", "ssl.key.password",
    "ssl.key.pem",   "ssl.keystore.password",          "ssl.certificate.pem"};

// What starts a command or loads code, and what would switch off the check of who the broker is.
constexpr std::array<std::string_view, 7> kDenied = {"sasl.kerberos.kinit.cmd",
                                                     "ssl.engine.location",
                                                     "ssl.engine.id",
                                                     "ssl.providers",
                                                     "enable.ssl.certificate.verification",
                                                     "enable.sasl.oauthbearer.unsecure.jwt",
                                                     "debug"};

constexpr std::array<std::string_view, 6> kAllowed = {"security.protocol",
                                                      "client.rack",
                                                      "client.dns.lookup",
                                                      "metadata.max.age.ms",
                                                      "topic.metadata.refresh.interval.ms",
                                                      "connections.max.idle.ms"};
constexpr std::array<std::string_view, 5> kAllowedPrefixes = {
    "sasl.", "ssl.", "socket.", "reconnect.backoff.", "broker.address."};

template <size_t size>
bool Contains(const std::array<std::string_view, size>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string_view WithoutFileSuffix(std::string_view name) {
  if (name.ends_with(kFileSuffix)) name.remove_suffix(kFileSuffix.size());
  return name;
}

absl::Status Set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value) {
  char text[512];
  if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), text, sizeof(text)) !=
      RD_KAFKA_CONF_OK) {
    // librdkafka's own text repeats the value, which may be a secret.
    return absl::InvalidArgumentError(
        base::StrCat("Kafka property ", name, ": unknown, or its value is refused by librdkafka"));
  }
  return absl::OkStatus();
}

void Log(const rd_kafka_t* client, int level, const char* facility, const char* text) {
  auto* context = static_cast<ClientContext*>(rd_kafka_opaque(client));
  if (context != nullptr && context->log) context->log(level, facility, text);
}

std::string Advice(rd_kafka_resp_err_t error, std::string_view reason) {
  if (error == RD_KAFKA_RESP_ERR__AUTHENTICATION) {
    return base::StrCat(
        "the broker refuses who we say we are: check kafka.security.sasl (mechanism, username, and "
        "what the password's file holds): ",
        reason);
  }
  if (reason.find("certificate verify failed") != reason.npos) {
    return base::StrCat(
        "the broker's certificate isn't believed: kafka.security.tls.ca must hold the "
        "authority that signed it, and brokers must be named as it names them: ",
        reason);
  }
  return base::StrCat(
      "no TLS connection to the broker: check kafka.security.tls.certificate and private_key if it "
      "asks for them, and that kafka.brokers names its TLS port: ",
      reason);
}

// Served by whatever polls the client.
void OnError(rd_kafka_t* client, int error, const char* reason, void*) {
  auto* context = static_cast<ClientContext*>(rd_kafka_opaque(client));
  if (context == nullptr) return;
  // With TLS 1.3 a broker tells only after the handshake what it thinks of our certificate.
  if (error == RD_KAFKA_RESP_ERR__AUTHENTICATION || error == RD_KAFKA_RESP_ERR__SSL ||
      std::string_view(reason).find("SSL alert") != std::string_view::npos) {
    std::string advice = Advice(static_cast<rd_kafka_resp_err_t>(error), reason);
    if (context->log) context->log(3, "REFUSED", advice);
    context->Refused(std::move(advice));
  } else if (context->log) {
    context->log(3, "ERROR", reason);
  }
}

bool IsOfSecurity(std::string_view name) {
  return name == "security.protocol" || name.starts_with("sasl.") || name.starts_with("ssl.");
}

}  // namespace

std::string ClientContext::Refusal() const {
  base::MutexLock lock(mutex_);
  if (std::chrono::steady_clock::now() - refused_at_ > kRefusalAge) return "";
  return refusal_;
}

void ClientContext::Refused(std::string text) {
  base::MutexLock lock(mutex_);
  refusal_ = std::move(text);
  refused_at_ = std::chrono::steady_clock::now();
}

absl::Status CheckProperties(const std::map<std::string, std::string>& properties) {
  for (const auto& [name, value] : properties) {
    std::string_view base = WithoutFileSuffix(name);
    if (Contains(kSecrets, name)) {
      return absl::InvalidArgumentError(base::StrCat(
          "kafka.properties: ", name, " is a secret; give ", name, ".file, a file that holds it"));
    }
    if (base != name && !Contains(kSecrets, base)) {
      return absl::InvalidArgumentError(
          base::StrCat("kafka.properties: ", base, " takes its value, not a file; drop .file"));
    }
    bool allowed = Contains(kAllowed, base) ||
                   std::any_of(kAllowedPrefixes.begin(), kAllowedPrefixes.end(),
                               [&](std::string_view prefix) { return base.starts_with(prefix); });
    if (!allowed || Contains(kDenied, base)) {
      return absl::InvalidArgumentError(
          base::StrCat("kafka.properties: ", name,
                       " is not allowed: only properties of the connection are "
                       "(security.protocol, sasl.*, ssl.*, socket.*, reconnect.backoff.*, "
                       "broker.address.*); what "
                       "delivery rests on can't be changed, and limits have options of their own"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ConfPtr> MakeConf(const ConnectionOptions& options, const Settings& settings,
                                 ClientContext* context) {
  if (options.brokers.empty()) {
    return absl::InvalidArgumentError("kafka.brokers is empty; name at least one host:port");
  }
  SLUICE_RETURN_IF_ERROR(CheckProperties(options.properties));
  for (const auto& [name, value] : options.properties) {
    if (!options.security.empty() && IsOfSecurity(name)) {
      return absl::InvalidArgumentError(base::StrCat(
          "kafka.properties: ", name, ": kafka.security says this; drop one of the two"));
    }
  }
  SLUICE_ASSIGN_OR_RETURN(Settings secure, SecuritySettings(options.security));
  std::string brokers;
  for (const std::string& broker : options.brokers) {
    base::StrAppend(brokers, brokers.empty() ? "" : ",", broker);
  }
  ConfPtr conf(rd_kafka_conf_new());
  Settings all = {{"bootstrap.servers", brokers},
                  {"client.id", options.client_id},
                  {"enable.metrics.push", "false"},
                  {"socket.nagle.disable", "true"},
                  {"socket.keepalive.enable", "true"},
                  {"log.connection.close", "false"},
                  // As the Java client. librdkafka's 10 s is as long as a transaction may be open:
                  // a few lost connections in a row ended one whose broker was long back.
                  {"reconnect.backoff.max.ms", "1000"}};
  for (const auto& [name, value] : options.properties) {
    std::string property(WithoutFileSuffix(name));
    if (property == name) {
      all.emplace_back(property, value);
    } else {
      SLUICE_ASSIGN_OR_RETURN(std::string secret,
                              ReadSecret(base::StrCat("kafka.properties.", name), value));
      all.emplace_back(property, std::move(secret));
    }
  }
  all.insert(all.end(), secure.begin(), secure.end());
  all.insert(all.end(), settings.begin(), settings.end());
  for (const auto& [name, value] : all) SLUICE_RETURN_IF_ERROR(Set(conf.get(), name, value));
  rd_kafka_conf_set_opaque(conf.get(), context);
  rd_kafka_conf_set_log_cb(conf.get(), Log);
  rd_kafka_conf_set_error_cb(conf.get(), OnError);
  return conf;
}

absl::Status ExplainRefusal(rd_kafka_t* client, absl::Status status) {
  if (!absl::IsUnavailable(status)) return status;
  rd_kafka_poll(client, 0);
  auto* context = static_cast<ClientContext*>(rd_kafka_opaque(client));
  std::string refusal = context == nullptr ? "" : context->Refusal();
  if (refusal.empty()) return status;
  return absl::UnauthenticatedError(base::StrCat(base::View(status.message()), ": ", refusal));
}

absl::StatusOr<ClientPtr> MakeClient(ClientKind kind, ConfPtr conf) {
  char text[512];
  ClientPtr client(
      rd_kafka_new(kind == ClientKind::kProducer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER,
                   conf.get(), text, sizeof(text)));
  if (client == nullptr) {
    return absl::InvalidArgumentError(base::StrCat("librdkafka refuses the configuration: ", text));
  }
  (void)conf.release();  // rd_kafka_new has taken it
  return client;
}

namespace {

// What a client reads once: files of `security`, and those that properties name.
std::vector<std::string> FilesOf(const ConnectionOptions& options) {
  std::vector<std::string> files = options.security.Files();
  for (const auto& [name, value] : options.properties) {
    if (name.ends_with(kFileSuffix) || (name.starts_with("ssl.") && name.ends_with(".location")))
      files.push_back(value);
  }
  return files;
}

}  // namespace

Renewal::Renewal(const ConnectionOptions& options) : options_(options), watch_(FilesOf(options)) {}

bool Renewal::Due() {
  if (!watch_.Changed()) return false;
  // Made and thrown away: librdkafka reads the files, and checks that a key is its certificate's.
  ClientContext silent;
  auto conf = MakeConf(options_, {}, &silent);
  absl::Status good = conf.status();
  if (good.ok()) good = MakeClient(ClientKind::kProducer, *std::move(conf)).status();
  if (!good.ok()) watch_.Refuse();
  if (options_.log) {
    options_.log(4, "RENEWAL",
                 good.ok()
                     ? "certificates or passwords were renewed: reconnecting"
                     : base::StrCat("renewed files can't be used, so the old ones stay in use: ",
                                    base::View(good.message())));
  }
  return good.ok();
}

int64_t SumStatistic(std::string_view json, std::string_view name) {
  std::string key = base::StrCat("\"", name, "\":");
  int64_t sum = 0;
  for (size_t at = json.find(key); at != json.npos; at = json.find(key, at)) {
    at += key.size();
    while (at < json.size() && json[at] == ' ') ++at;
    int64_t value = 0;
    std::from_chars(json.data() + at, json.data() + json.size(), value);
    sum += value;
  }
  return sum;
}

}  // namespace sluice::kafka
