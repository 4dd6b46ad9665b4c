// How every client of this folder reaches the brokers.
#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/kafka/handle.h"

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
  LogFunction log;
};

// kInvalidArgument that names the property and what to do when one isn't allowed: its value is a
// secret, it would break the delivery promise, or it has an option of its own.
absl::Status CheckProperties(const std::map<std::string, std::string>& properties);

// What librdkafka's callbacks get as their opaque.
struct ClientContext {
  LogFunction log;
};

using Settings = std::vector<std::pair<std::string, std::string>>;

// A configuration with `options`, then `settings`, which win. `context` must outlive the client.
absl::StatusOr<ConfPtr> MakeConf(const ConnectionOptions& options, const Settings& settings,
                                 ClientContext* context);

enum class ClientKind { kProducer, kConsumer };
absl::StatusOr<ClientPtr> MakeClient(ClientKind kind, ConfPtr conf);

// The sum of the values of `"name":<number>` in librdkafka's statistics document.
int64_t SumStatistic(std::string_view json, std::string_view name);

}  // namespace sluice::kafka
