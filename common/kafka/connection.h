// How every client of this folder reaches the brokers.
#pragma once

#include <chrono>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/kafka/handle.h"
#include "common/kafka/security.h"

namespace sluice::kafka {

// Called on librdkafka's threads, without a payload. `severity` is syslog's: 3 error, 4 warning, 6
// info.
using LogFunction =
    std::function<void(int severity, std::string_view facility, std::string_view text)>;

struct ConnectionOptions {
  std::vector<std::string> brokers;  // host:port, at least one
  std::string client_id = "sluice";
  // Further librdkafka properties: how to connect, nothing else. A property that holds a secret is
  // given as `<property>.file`, the path of a file that holds it.
  std::map<std::string, std::string> properties;
  Security security;
  LogFunction log;
};

// kInvalidArgument that names the property and what to do when one isn't allowed: its value is a
// secret, it would break the delivery promise, or it has an option of its own.
absl::Status CheckProperties(const std::map<std::string, std::string>& properties);

// What keeps a client from what it asks the brokers for, by what mends it.
enum class FailureKind {
  kOutage,       // no broker answers, or not in time: passes by itself
  kCredentials,  // they refuse who we say we are: the password's file, or the account
  kPermission,   // they know us and don't let us: an ACL is missing
  kCertificate,  // TLS: theirs isn't believed, or ours isn't
};
inline constexpr size_t kFailureKinds = 4;
std::string_view FailureKindName(FailureKind kind);

struct BrokerFailure {
  FailureKind kind = FailureKind::kOutage;
  std::string text;  // which operation, on what, and what to change; no secret
  // Since when it has been this kind without a success in between.
  std::chrono::steady_clock::time_point since;
  std::string operation = {};  // what was asked, such as `write an output topic`
  std::string resource = {};   // of what, such as `topic clean.stops`, or which broker
};

// Sorts what librdkafka tells of a connection; `certificate`: what was wrong with the broker's, if
// it was looked at.
BrokerFailure SortFailure(int error, std::string_view reason, std::string_view certificate);

// What librdkafka's callbacks get as their opaque.
struct ClientContext {
  explicit ClientContext(LogFunction log_function = {}) : log(std::move(log_function)) {}

  // Why a broker has lately turned us away or wasn't believed, and what to change; empty: it
  // hasn't, or the client wasn't polled since. Thread-safe.
  std::string Refusal() const;
  // What keeps the client from the brokers; nullopt: nothing that it knows of. Thread-safe.
  std::optional<BrokerFailure> failure() const;

  // All thread-safe.
  void Failed(BrokerFailure failure);
  // librdkafka's statistics document: a connection that stands ends what was told before.
  void Reached(std::string_view statistics);
  // The next failure of TLS is this certificate's.
  void CertificateFault(std::string text);
  std::string TakeCertificateFault();

  LogFunction log;

 private:
  mutable base::Mutex mutex_;
  std::optional<BrokerFailure> failure_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point failed_at_ ABSL_GUARDED_BY(mutex_);
  std::string certificate_fault_ ABSL_GUARDED_BY(mutex_);
};

using Settings = std::vector<std::pair<std::string, std::string>>;

// A configuration with `options`, then `settings`, which win. `context` must outlive the client.
absl::StatusOr<ConfPtr> MakeConf(const ConnectionOptions& options, const Settings& settings,
                                 ClientContext* context);

// kUnauthenticated instead of kUnavailable where the brokers are there but turn this client away,
// with what to do. Polls the client: not for consumers that poll as such.
absl::Status ExplainRefusal(rd_kafka_s* client, absl::Status status);

enum class ClientKind { kProducer, kConsumer };
absl::StatusOr<ClientPtr> MakeClient(ClientKind kind, ConfPtr conf);

// Sees that certificates or passwords have been renewed, for clients that live long: librdkafka
// reads them once, so such a client is replaced. Not thread-safe.
class Renewal {
 public:
  explicit Renewal(const ConnectionOptions& options);

  // True when a new client would be made from other files than the one in use, and they are good:
  // what is unreadable or doesn't fit together is logged once and waited out.
  bool Due();
  // Whether there is any file to renew.
  bool watches() const { return !watch_.empty(); }
  // A client has been made anew.
  void Done() { watch_.Take(); }

 private:
  const ConnectionOptions options_;
  FileWatch watch_;
};

// The sum of the values of `"name":<number>` in librdkafka's statistics document.
int64_t SumStatistic(std::string_view json, std::string_view name);

}  // namespace sluice::kafka
