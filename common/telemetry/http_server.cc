#include "common/telemetry/http_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/telemetry/json.h"
#include "common/telemetry/socket.h"

namespace sluice::telemetry {
namespace {

using std::chrono::milliseconds;
using Time = std::chrono::steady_clock::time_point;

constexpr size_t kRequestBytesMax = 16 * 1024;
// How long an answer waits for a check's result of now.
constexpr milliseconds kCheckMax(60);
// How long a result is given again while a newer one doesn't come.
constexpr milliseconds kResultAgeMax(10'000);
// For the client to close first, so that what is on its way isn't cut off.
constexpr milliseconds kLinger(1'000);

Time Now() { return std::chrono::steady_clock::now(); }

struct Response {
  int code = 0;
  std::string_view reason;
  std::string_view content_type;
  std::string body;
};

Response Checked(bool ok, std::string_view list) {
  std::string body = base::StrCat("{\"ok\":", ok ? "true" : "false", ",\"checks\":[", list, "]}\n");
  return {ok ? 200 : 503, ok ? "OK" : "Service Unavailable", "application/json", std::move(body)};
}

void AppendCheck(std::string& list, std::string_view name, const Health& health) {
  base::StrAppend(list, list.empty() ? "" : ",", "{\"name\":");
  AppendJsonText(list, name);
  base::StrAppend(list, ",\"ok\":", health.ok ? "true" : "false", ",\"reason\":");
  AppendJsonText(list, health.reason);
  list.push_back('}');
}

Response RunChecks(const std::vector<HealthCheck>& checks) {
  bool all = true;
  std::string list;
  for (const HealthCheck& check : checks) {
    Health health = check.check();
    all = all && health.ok;
    AppendCheck(list, check.name, health);
  }
  return Checked(all, list);
}

Response ChecksHang() {
  std::string list;
  AppendCheck(list, "checks", {false, "they have not ended; a lock or a call hangs"});
  return Checked(false, list);
}

std::string Render(const Response& response, bool with_body) {
  std::string text = base::StrCat("HTTP/1.1 ", response.code, ' ', response.reason,
                                  "\r\nContent-Type: ", response.content_type,
                                  "\r\nContent-Length: ", response.body.size(),
                                  response.code == 405 ? "\r\nAllow: GET, HEAD" : "",
                                  "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n");
  if (with_body) text += response.body;
  return text;
}

}  // namespace

// A thread that makes one kind of response, when it is asked to. Nobody waits in a call of it.
class HttpServer::Worker {
 public:
  // `made` is called on the thread whenever a response is there. An earlier response is given again
  // for `again`, where a newer one takes longer than `patience`, and `none` after that.
  Worker(std::function<Response()> make, std::function<void()> made, milliseconds patience,
         milliseconds again, Response none)
      : make_(std::move(make)),
        made_(std::move(made)),
        patience_(patience),
        again_(again),
        none_(std::move(none)),
        thread_([this] { Run(); }) {}
  ~Worker() {
    {
      base::MutexLock lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  // Asks for a response that is begun after this call; its number.
  uint64_t Ask() {
    uint64_t number = 0;
    {
      base::MutexLock lock(mutex_);
      number = asked_ = begun_ + 1;
    }
    changed_.notify_all();
    return number;
  }
  // The response of this number or a later one; nullopt: it isn't there, and is asked for again
  // until `Patience()` is over.
  std::optional<Response> Find(uint64_t number) {
    base::MutexLock lock(mutex_);
    if (done_ < number) return std::nullopt;
    return last_;
  }
  // How long to wait for what was asked for just now: not at all where another was waited for in
  // vain.
  milliseconds Patience() {
    base::MutexLock lock(mutex_);
    bool late = begun_ > done_ && Now() - begun_at_ > patience_;
    return late ? milliseconds(0) : patience_;
  }
  // For who has waited for long enough.
  Response Instead() {
    base::MutexLock lock(mutex_);
    return done_ > 0 && Now() - done_at_ <= again_ ? last_ : none_;
  }

 private:
  void Run() {
    while (true) {
      {
        base::MutexLock lock(mutex_);
        while (!lock.WaitFor(changed_, std::chrono::hours(1),
                             [this] { return stop_ || asked_ > begun_; })) {
        }
        if (stop_) return;
        begun_ = asked_;
        begun_at_ = Now();
      }
      Response response = make_();
      {
        base::MutexLock lock(mutex_);
        last_ = std::move(response);
        done_ = begun_;
        done_at_ = Now();
      }
      changed_.notify_all();
      made_();
    }
  }

  const std::function<Response()> make_;
  const std::function<void()> made_;
  const milliseconds patience_, again_;
  const Response none_;
  base::Mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  uint64_t asked_ = 0, begun_ = 0, done_ = 0;
  Time begun_at_{}, done_at_{};
  Response last_;
  std::thread thread_;  // the last member: it uses the others
};

// The thread that has the connections.
class HttpServer::Loop {
 public:
  Loop(const Options& options, Registry& registry, Fd listener)
      : options_(options),
        listener_(std::move(listener)),
        wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
        live_([this] { return RunChecks(options_.live); }, [this] { Wake(); }, kCheckMax,
              kResultAgeMax, ChecksHang()),
        ready_([this] { return RunChecks(options_.ready); }, [this] { Wake(); }, kCheckMax,
               kResultAgeMax, ChecksHang()),
        metrics_(
            [&registry] {
              return Response{200, "OK", "text/plain; version=0.0.4; charset=utf-8",
                              registry.Serialize()};
            },
            [this] { Wake(); }, milliseconds(options.request_timeout_ms), milliseconds(0),
            {503, "Service Unavailable", "text/plain", "the metrics are still being collected\n"}),
        thread_([this] { Run(); }) {
    // So that there is a result where the first that is asked for takes too long.
    live_.Ask();
    ready_.Ask();
  }
  ~Loop() {
    stop_ = true;
    Wake();
    thread_.join();
  }

 private:
  struct Connection {
    // kWaiting is for this process: what the client is late with doesn't count then.
    enum { kReading, kWaiting, kWriting, kClosing } phase = kReading;
    Fd fd;
    Time deadline;
    std::string in;
    std::string out;
    size_t sent = 0;
    bool head = false;
    Worker* worker = nullptr;  // whose response it waits for
    uint64_t response = 0;     // number of that
    bool done = false;
  };

  void Wake() {
    uint64_t one = 1;
    (void)!write(wake_.get(), &one, sizeof(one));
  }

  void Run() {
    std::vector<pollfd> fds;
    while (!stop_) {
      fds.clear();
      fds.push_back({wake_.get(), POLLIN, 0});
      fds.push_back({listener_.get(), POLLIN, 0});
      Time next = Now() + std::chrono::seconds(60);
      for (const Connection& connection : connections_) {
        short events = connection.phase == Connection::kWriting   ? POLLOUT
                       : connection.phase == Connection::kWaiting ? 0
                                                                  : POLLIN;
        fds.push_back({connection.fd.get(), events, 0});
        next = std::min(next, connection.deadline);
      }
      auto wait = std::chrono::ceil<milliseconds>(next - Now());
      poll(fds.data(), fds.size(), static_cast<int>(std::max<int64_t>(wait.count(), 0)));
      uint64_t woken = 0;
      (void)!read(wake_.get(), &woken, sizeof(woken));
      for (size_t i = 0; i < connections_.size(); ++i) {
        Connection& connection = connections_[i];
        connection.done |= connection.phase == Connection::kWaiting &&
                           (fds[i + 2].revents & (POLLHUP | POLLERR)) != 0;
        // Also what has come in while nobody looked is served before its time counts as up.
        bool up = Now() >= connection.deadline;
        if (fds[i + 2].revents != 0 || connection.phase == Connection::kWaiting || up)
          Serve(connection);
        connection.done |= Now() >= connection.deadline;
      }
      std::erase_if(connections_, [](const Connection& connection) { return connection.done; });
      if (fds[1].revents != 0) Accept();
    }
  }

  void Accept() {
    while (true) {
      Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (fd.get() < 0) {
        // Without descriptors it would be told of the same client again at once.
        if (errno == EMFILE || errno == ENFILE) std::this_thread::sleep_for(milliseconds(20));
        return;
      }
      if (connections_.size() >= static_cast<size_t>(options_.connections_max)) MakeRoom();
      Connection& connection = connections_.emplace_back();
      connection.fd = std::move(fd);
      connection.deadline = Now() + milliseconds(options_.request_timeout_ms);
      Serve(connection);  // most have sent their request by now
    }
  }

  // Closes the connection that is silent for the longest: one that has its answer, or else one that
  // has sent no request, or else one that doesn't take its answer. Where all wait for this process,
  // metrics are waited for in vain first, since a probe mustn't be.
  void MakeRoom() {
    for (Connection& connection : connections_) {
      if (connection.phase == Connection::kReading) Serve(connection);
    }
    auto close = [this](auto is_it) {
      // They are in the order in which they came.
      auto found = std::find_if(connections_.begin(), connections_.end(), is_it);
      if (found == connections_.end()) return false;
      if (found->phase == Connection::kWaiting) {
        Answer(*found, found->worker->Instead());
        Write(*found);
      }
      connections_.erase(found);
      return true;
    };
    for (auto phase : {Connection::kClosing, Connection::kReading, Connection::kWriting}) {
      if (close([phase](const Connection& other) { return other.phase == phase; })) return;
    }
    if (close([this](const Connection& other) { return other.worker == &metrics_; })) return;
    close([](const Connection&) { return true; });
  }

  void Serve(Connection& connection) {
    if (connection.phase == Connection::kReading) Read(connection);
    if (connection.phase == Connection::kWaiting) {
      if (auto response = connection.worker->Find(connection.response)) {
        Answer(connection, *response);
      } else if (Now() >= connection.deadline) {
        Answer(connection, connection.worker->Instead());
      }
    }
    if (connection.phase == Connection::kWriting) Write(connection);
    if (connection.phase == Connection::kClosing) {
      char rest[1024];
      ssize_t got = 0;
      while ((got = recv(connection.fd.get(), rest, sizeof(rest), 0)) > 0) {
      }
      connection.done |= got == 0 || (errno != EAGAIN && errno != EINTR);
    }
  }

  void Read(Connection& connection) {
    char buffer[4096];
    while (true) {
      ssize_t got = recv(connection.fd.get(), buffer, sizeof(buffer), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) {
        connection.done = true;
        return;
      }
      connection.in.append(buffer, static_cast<size_t>(got));
      if (connection.in.find("\r\n\r\n") != connection.in.npos ||
          connection.in.find("\n\n") != connection.in.npos)
        return Dispatch(connection);
      if (connection.in.size() > kRequestBytesMax) {
        return Answer(connection, {431, "Request Header Fields Too Large", "text/plain",
                                   "the request is too large\n"});
      }
    }
  }

  void Dispatch(Connection& connection) {
    std::string_view line(connection.in);
    line = line.substr(0, line.find_first_of("\r\n"));
    size_t space = line.find(' ');
    size_t second = space == line.npos ? line.npos : line.find(' ', space + 1);
    if (second == line.npos || !line.substr(second + 1).starts_with("HTTP/1."))
      return Answer(connection, {400, "Bad Request", "text/plain", "an HTTP/1 request only\n"});
    std::string_view method = line.substr(0, space);
    std::string_view path = line.substr(space + 1, second - space - 1);
    path = path.substr(0, path.find('?'));
    connection.head = method == "HEAD";
    if (method != "GET" && method != "HEAD") {
      Answer(connection, {405, "Method Not Allowed", "text/plain", "GET and HEAD only\n"});
    } else if (path == "/metrics") {
      Await(connection, metrics_);
    } else if (path == "/livez") {
      Await(connection, live_);
    } else if (path == "/readyz") {
      Await(connection, ready_);
    } else {
      Answer(connection, {404, "Not Found", "text/plain", "/metrics\n/livez\n/readyz\n"});
    }
  }

  void Await(Connection& connection, Worker& worker) {
    connection.deadline = Now() + worker.Patience();
    connection.worker = &worker;
    connection.response = worker.Ask();
    connection.phase = Connection::kWaiting;
  }

  void Answer(Connection& connection, const Response& response) {
    connection.out = Render(response, !connection.head);
    connection.deadline = Now() + milliseconds(options_.request_timeout_ms);
    connection.phase = Connection::kWriting;
  }

  void Write(Connection& connection) {
    while (connection.sent < connection.out.size()) {
      ssize_t sent = send(connection.fd.get(), connection.out.data() + connection.sent,
                          connection.out.size() - connection.sent, MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) {
        connection.done = errno != EAGAIN;
        return;
      }
      connection.sent += static_cast<size_t>(sent);
    }
    shutdown(connection.fd.get(), SHUT_WR);
    connection.deadline = Now() + kLinger;
    connection.phase = Connection::kClosing;
  }

  const Options& options_;
  const Fd listener_;
  const Fd wake_;
  std::atomic<bool> stop_ = false;
  std::vector<Connection> connections_;
  Worker live_, ready_, metrics_;
  std::thread thread_;  // the last member: it uses the others
};

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Create(Options options,
                                                               Registry& registry) {
  SLUICE_ASSIGN_OR_RETURN(base::ListenAddress address,
                          base::ParseListenAddress("listen.http", options.address));
  if (options.connections_max < 1 || options.connections_max > 10'000) {
    return absl::InvalidArgumentError("HTTP connections_max: must be from 1 to 10000");
  }
  if (options.request_timeout_ms < 1) {
    return absl::InvalidArgumentError("HTTP request_timeout_ms: must be at least 1");
  }
  return std::unique_ptr<HttpServer>(
      new HttpServer(std::move(options), std::move(address), registry));
}

HttpServer::HttpServer(Options options, base::ListenAddress address, Registry& registry)
    : options_(std::move(options)), address_(std::move(address)), registry_(registry) {}

HttpServer::~HttpServer() = default;

absl::Status HttpServer::Start() {
  if (loop_ != nullptr) return absl::FailedPreconditionError("the HTTP server is started already");
  auto listener = Listen(address_);
  if (!listener.ok()) {
    return absl::UnavailableError(base::StrCat("can't serve HTTP on ", options_.address, ": ",
                                               base::View(listener.status().message())));
  }
  port_ = listener->port;
  loop_ = std::make_unique<Loop>(options_, registry_, std::move(listener->fd));
  return absl::OkStatus();
}

}  // namespace sluice::telemetry
