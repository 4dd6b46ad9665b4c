#include "common/kafka/connection.h"

#include <librdkafka/rdkafka.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>
#include <memory>
#include <utility>

#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::kafka {
namespace {

// How long a failure is worth telling: librdkafka tells the same one again after 30 s.
constexpr std::chrono::seconds kFailureAge(75);
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
bool IsIn(const std::array<std::string_view, size>& names, std::string_view name) {
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

bool Contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

// Of an authentication that was never judged: its request got no answer, as where a quota or a
// frozen broker starves it.
bool WithoutAnswer(std::string_view reason) {
  for (rd_kafka_resp_err_t error :
       {RD_KAFKA_RESP_ERR__TIMED_OUT, RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE,
        RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__RESOLVE}) {
    if (Contains(reason, rd_kafka_err2str(error))) return true;
  }
  return Contains(reason, "timed out") || Contains(reason, "isconnected");
}

// Served by whatever polls the client.
void OnError(rd_kafka_t* client, int error, const char* reason, void*) {
  auto* context = static_cast<ClientContext*>(rd_kafka_opaque(client));
  if (context == nullptr) return;
  BrokerFailure failure = SortFailure(error, reason, context->TakeCertificateFault());
  bool connection = failure.kind != FailureKind::kOutage || WithoutAnswer(reason) ||
                    error == RD_KAFKA_RESP_ERR__TRANSPORT || error == RD_KAFKA_RESP_ERR__RESOLVE ||
                    error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
  if (context->log)
    context->log(3, failure.kind == FailureKind::kOutage ? "ERROR" : "REFUSED", failure.text);
  if (connection) context->Failed(std::move(failure));
}

std::string TimeText(const ASN1_TIME* time) {
  tm parts{};
  char text[32] = "an unknown time";
  if (ASN1_TIME_to_tm(time, &parts) == 1)
    std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// Changes no verdict: keeps what was wrong, which librdkafka's own text doesn't say.
int OnCertificate(rd_kafka_t* client, const char* broker, int32_t, int* error, int depth,
                  const char* der, size_t size, char* text, size_t text_size, void*) {
  if (*error == X509_V_OK) return 1;
  auto* context = static_cast<ClientContext*>(rd_kafka_opaque(client));
  std::string fault = X509_verify_cert_error_string(*error);
  const auto* bytes = reinterpret_cast<const unsigned char*>(der);
  std::unique_ptr<X509, decltype(&X509_free)> certificate(
      d2i_X509(nullptr, &bytes, static_cast<long>(size)), X509_free);
  if (certificate != nullptr && *error == X509_V_ERR_CERT_HAS_EXPIRED)
    fault = "has been expired since " + TimeText(X509_get0_notAfter(certificate.get()));
  if (certificate != nullptr && *error == X509_V_ERR_CERT_NOT_YET_VALID)
    fault = "is valid only from " + TimeText(X509_get0_notBefore(certificate.get()));
  if (context != nullptr) {
    context->CertificateFault(base::StrCat(std::string_view(broker == nullptr ? "" : broker),
                                           depth > 0 ? ": its authority's certificate: " : ": ",
                                           fault));
  }
  std::snprintf(text, text_size, "%s", fault.c_str());
  return 0;
}

bool IsOfSecurity(std::string_view name) {
  return name == "security.protocol" || name.starts_with("sasl.") || name.starts_with("ssl.");
}

}  // namespace

std::string_view FailureKindName(FailureKind kind) {
  constexpr std::string_view kNames[kFailureKinds] = {"outage", "credentials", "permission",
                                                      "certificate"};
  return kNames[static_cast<size_t>(kind)];
}

namespace {

// librdkafka's texts begin with the broker's name: `sasl_ssl://kafka-0:9093/1: ...`.
std::string BrokerOf(std::string_view reason) {
  std::string_view name = reason.substr(0, reason.find(": "));
  if (name.size() == reason.size() || name.find(' ') != name.npos || name.find(':') == name.npos)
    return "brokers";
  return base::StrCat("broker ", name);
}

BrokerFailure Sort(int error, std::string_view reason, std::string_view certificate) {
  if (error == RD_KAFKA_RESP_ERR__AUTHENTICATION && WithoutAnswer(reason)) {
    return {FailureKind::kOutage,
            base::StrCat("the broker did not answer the authentication in time; it has not refused "
                         "it: is it overloaded, or does a client quota throttle this principal? ",
                         reason),
            {}};
  }
  if (error == RD_KAFKA_RESP_ERR__AUTHENTICATION) {
    return {FailureKind::kCredentials,
            base::StrCat("the broker refuses who we say we are: check kafka.security.sasl "
                         "(mechanism, username, and what the password's file holds) and that the "
                         "account exists: ",
                         reason),
            {}};
  }
  if (!certificate.empty()) {
    const bool dated = Contains(certificate, "expired since") || Contains(certificate, "only from");
    return {FailureKind::kCertificate,
            base::StrCat("the broker's certificate isn't believed: ", certificate,
                         dated ? ": renew it on the broker, and compare the clocks"
                               : ": kafka.security.tls.ca must hold the authority that signed it, "
                                 "and brokers must be named as it names them"),
            {}};
  }
  if (Contains(reason, "certificate verify failed")) {
    return {FailureKind::kCertificate,
            base::StrCat("the broker's certificate isn't believed: kafka.security.tls.ca must hold "
                         "the authority that signed it, and brokers must be named as it names "
                         "them: ",
                         reason),
            {}};
  }
  // With TLS 1.3 a broker tells only after the handshake what it thinks of our certificate.
  if ((error == RD_KAFKA_RESP_ERR__SSL && !WithoutAnswer(reason)) ||
      Contains(reason, "SSL alert")) {
    return {FailureKind::kCertificate,
            base::StrCat(Contains(reason, "alert certificate expired")
                             ? "our certificate has expired: renew what "
                               "kafka.security.tls.certificate names: "
                             : "no TLS connection to the broker: check "
                               "kafka.security.tls.certificate and private_key if it asks for "
                               "them, and that kafka.brokers names its TLS port: ",
                         reason),
            {}};
  }
  return {FailureKind::kOutage, std::string(reason), {}};
}

}  // namespace

BrokerFailure SortFailure(int error, std::string_view reason, std::string_view certificate) {
  BrokerFailure failure = Sort(error, reason, certificate);
  failure.operation = error == RD_KAFKA_RESP_ERR__AUTHENTICATION  ? "authenticate"
                      : failure.kind == FailureKind::kCertificate ? "connect over TLS"
                                                                  : "connect";
  failure.resource = BrokerOf(reason);
  return failure;
}

std::string ClientContext::Refusal() const {
  std::optional<BrokerFailure> known = failure();
  return known && known->kind != FailureKind::kOutage ? known->text : "";
}

std::optional<BrokerFailure> ClientContext::failure() const {
  base::MutexLock lock(mutex_);
  if (std::chrono::steady_clock::now() - failed_at_ > kFailureAge) return std::nullopt;
  return failure_;
}

void ClientContext::Failed(BrokerFailure failure) {
  base::MutexLock lock(mutex_);
  auto now = std::chrono::steady_clock::now();
  const bool goes_on =
      failure_ && failure_->kind == failure.kind && now - failed_at_ <= kFailureAge;
  // That no broker is left follows from why each was refused, and says less.
  if (failure_ && failure.kind == FailureKind::kOutage && failure_->kind != FailureKind::kOutage &&
      now - failed_at_ <= kFailureAge)
    return;
  failure.since = goes_on ? failure_->since : now;
  failed_at_ = now;
  failure_ = std::move(failure);
}

void ClientContext::Reached(std::string_view statistics) {
  if (statistics.find("\"state\":\"UP\"") == statistics.npos) return;
  base::MutexLock lock(mutex_);
  failure_.reset();
}

void ClientContext::CertificateFault(std::string text) {
  base::MutexLock lock(mutex_);
  certificate_fault_ = std::move(text);
}

std::string ClientContext::TakeCertificateFault() {
  base::MutexLock lock(mutex_);
  return std::exchange(certificate_fault_, {});
}

absl::Status CheckProperties(const std::map<std::string, std::string>& properties) {
  for (const auto& [name, value] : properties) {
    std::string_view base = WithoutFileSuffix(name);
    if (IsIn(kSecrets, name)) {
      return absl::InvalidArgumentError(base::StrCat(
          "kafka.properties: ", name, " is a secret; give ", name, ".file, a file that holds it"));
    }
    if (base != name && !IsIn(kSecrets, base)) {
      return absl::InvalidArgumentError(
          base::StrCat("kafka.properties: ", base, " takes its value, not a file; drop .file"));
    }
    bool allowed = IsIn(kAllowed, base) ||
                   std::any_of(kAllowedPrefixes.begin(), kAllowedPrefixes.end(),
                               [&](std::string_view prefix) { return base.starts_with(prefix); });
    if (!allowed || IsIn(kDenied, base)) {
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
  rd_kafka_conf_set_ssl_cert_verify_cb(conf.get(), OnCertificate);
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
