#include "common/telemetry/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string_view>
#include <thread>

#include "civetweb.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/telemetry/json.h"

namespace sluice::telemetry {
namespace {

// Opens a connection and drops it.
void Knock(const base::ListenAddress& address, int port) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, address.ip.c_str(), &v4.sin_addr);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = v4.sin_port;
  inet_pton(AF_INET6, address.ip.c_str(), &v6.sin6_addr);
  int fd = socket(address.ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  auto* to = address.ipv6 ? reinterpret_cast<sockaddr*>(&v6) : reinterpret_cast<sockaddr*>(&v4);
  // Whether it is taken doesn't matter.
  (void)connect(fd, to, address.ipv6 ? sizeof(v6) : sizeof(v4));
  close(fd);
}

struct Response {
  int code;
  std::string_view reason;
  std::string_view content_type;
  std::string body;
};

Response RunChecks(const std::vector<HealthCheck>& checks) {
  bool all = true;
  std::string list;
  for (const HealthCheck& check : checks) {
    Health health = check.check();
    all = all && health.ok;
    base::StrAppend(list, list.empty() ? "" : ",", "{\"name\":");
    AppendJsonText(list, check.name);
    base::StrAppend(list, ",\"ok\":", health.ok ? "true" : "false", ",\"reason\":");
    AppendJsonText(list, health.reason);
    list.push_back('}');
  }
  std::string body =
      base::StrCat("{\"ok\":", all ? "true" : "false", ",\"checks\":[", list, "]}\n");
  return {all ? 200 : 503, all ? "OK" : "Service Unavailable", "application/json", std::move(body)};
}

// A pointer in civetweb 1.15, a number that it sets in 1.16.
template <typename Error>
void SetCode(Error& error, unsigned& code) {
  if constexpr (requires { &(error.code = &code); }) error.code = &code;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Create(Options options,
                                                               Registry& registry) {
  SLUICE_ASSIGN_OR_RETURN(base::ListenAddress address,
                          base::ParseListenAddress("listen.http", options.address));
  if (options.threads < 1 || options.threads > 64) {
    return absl::InvalidArgumentError("HTTP threads: must be from 1 to 64");
  }
  if (options.queue_connections_max < 1 || options.request_timeout_ms < 1) {
    return absl::InvalidArgumentError(
        "HTTP queue_connections_max and request_timeout_ms: must be at least 1");
  }
  return std::unique_ptr<HttpServer>(
      new HttpServer(std::move(options), std::move(address), registry));
}

HttpServer::HttpServer(Options options, base::ListenAddress address, Registry& registry)
    : options_(std::move(options)), address_(std::move(address)), registry_(registry) {}

HttpServer::~HttpServer() {
  if (context_ == nullptr) return;
  // civetweb looks for the end every two seconds or when somebody connects: so somebody connects.
  std::atomic<bool> stopped = false;
  std::thread stopper([&] {
    mg_stop(context_);
    stopped = true;
  });
  while (!stopped) {
    Knock(address_, port_);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  stopper.join();
  mg_exit_library();
}

absl::Status HttpServer::Start() {
  if (context_ != nullptr)
    return absl::FailedPreconditionError("the HTTP server is started already");
  mg_init_library(MG_FEATURES_DEFAULT);
  std::string address = address_.ToString();
  std::string threads = std::to_string(options_.threads);
  std::string queue = std::to_string(options_.queue_connections_max);
  std::string timeout_ms = std::to_string(options_.request_timeout_ms);
  const char* settings[] = {"listening_ports",
                            address.c_str(),
                            "num_threads",
                            threads.c_str(),
                            "connection_queue",
                            queue.c_str(),
                            "request_timeout_ms",
                            timeout_ms.c_str(),
                            "enable_keep_alive",
                            "no",
                            nullptr};
  mg_callbacks callbacks{};
  callbacks.begin_request = &HttpServer::OnRequest;
  // civetweb would write to a file or to standard error; what it says of a failed start comes back
  // below.
  callbacks.log_message = [](const mg_connection*, const char*) { return 1; };
  unsigned code = 0;
  char text[256] = "";
  mg_error_data error{};
  SetCode(error, code);
  error.text = text;
  error.text_buffer_size = sizeof(text);
  mg_init_data init{&callbacks, this, settings};
  context_ = mg_start2(&init, &error);
  mg_server_port ports[2] = {};
  if (context_ == nullptr || mg_get_server_ports(context_, 2, ports) < 1) {
    if (context_ != nullptr) mg_stop(context_);
    context_ = nullptr;
    mg_exit_library();
    return absl::UnavailableError(base::StrCat(
        "can't serve HTTP on ", options_.address,
        ": is the port in use, or the address not this machine's? ", std::string_view(text)));
  }
  port_ = ports[0].port;
  return absl::OkStatus();
}

int HttpServer::OnRequest(mg_connection* connection) {
  auto* server = static_cast<HttpServer*>(mg_get_request_info(connection)->user_data);
  server->Answer(connection);
  // Not 0: civetweb has nothing of its own to answer.
  return 1;
}

void HttpServer::Answer(mg_connection* connection) {
  const mg_request_info* request = mg_get_request_info(connection);
  std::string_view method = request->request_method;
  std::string_view path = request->local_uri;
  Response response;
  if (method != "GET" && method != "HEAD") {
    response = {405, "Method Not Allowed", "text/plain", "GET and HEAD only\n"};
  } else if (path == "/metrics") {
    response = {200, "OK", "text/plain; version=0.0.4; charset=utf-8", registry_.Serialize()};
  } else if (path == "/livez") {
    response = RunChecks(options_.live);
  } else if (path == "/readyz") {
    response = RunChecks(options_.ready);
  } else {
    response = {404, "Not Found", "text/plain", "/metrics\n/livez\n/readyz\n"};
  }
  std::string text = base::StrCat("HTTP/1.1 ", response.code, ' ', response.reason,
                                  "\r\nContent-Type: ", response.content_type,
                                  "\r\nContent-Length: ", response.body.size(),
                                  response.code == 405 ? "\r\nAllow: GET, HEAD" : "",
                                  "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n");
  if (method != "HEAD") text += response.body;
  mg_write(connection, text.data(), text.size());
}

}  // namespace sluice::telemetry
