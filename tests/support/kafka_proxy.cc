#include "tests/support/kafka_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace sluice::test_support {
namespace {

constexpr size_t kLengthBytes = 4;
constexpr size_t kReadBytes = 64 * 1024;

sockaddr_in Loopback(int port) {
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(port))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

uint32_t BigEndian32(std::string_view bytes) {
  uint32_t value = 0;
  for (const char byte : bytes.substr(0, 4)) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

void SendAtOnce(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void Close(int& fd) {
  if (fd >= 0) close(fd);
  fd = -1;
}

void CloseWithReset(int& fd) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  Close(fd);
}

// Appends what has arrived, to about `limit` bytes in `to`; false when the other side has closed.
bool ReadInto(int fd, std::string& to, size_t limit) {
  char buffer[kReadBytes];
  while (to.size() < limit) {
    const ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    to.append(buffer, static_cast<size_t>(got));
  }
  return true;
}

}  // namespace

// What goes out on a socket, and not before its time.
struct KafkaProxy::Outbox {
  struct Chunk {
    Clock::time_point due;
    std::string bytes;
  };
  std::deque<Chunk> chunks;
  size_t front_sent = 0;
  size_t size = 0;
  Clock::time_point next_send;  // by the link's rate

  bool empty() const { return chunks.empty(); }
  void Add(std::string_view bytes, Clock::time_point due) {
    if (!empty()) due = std::max(due, chunks.back().due);  // a shorter latency doesn't overtake
    chunks.push_back({due, std::string(bytes)});
    size += bytes.size();
  }
  void Clear() {
    chunks.clear();
    front_sent = size = 0;
  }
  Clock::time_point due() const { return std::max(chunks.front().due, next_send); }
};

struct KafkaProxy::Connection {
  struct Pending {
    int64_t number;
    int16_t api_key;
    int16_t api_version;
    Rule* rule;
  };

  int64_t id = 0;
  int client = -1;  // -1: closed
  int server = -1;
  std::string from_client;  // whole and part frames not yet forwarded
  std::string from_server;
  Outbox to_client;
  Outbox to_server;
  std::unordered_map<int32_t, Pending> pending;  // by correlation id
  Rule* rule = nullptr;                          // what the frame at the front waits for
  LoggedRequest front;                           // that frame
  Clock::time_point resume_at;                   // for a delay
  bool cut = false;
  bool swallow = false;
  bool done = false;

  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    Close(client);
    Close(server);
  }
  void CloseClient() {
    Close(client);
    to_client.Clear();
  }
  void CloseServer() {
    Close(server);
    to_server.Clear();
  }
};

bool KafkaProxy::Rule::WaitUntilMatched(std::chrono::milliseconds timeout, int times) {
  base::MutexLock lock(proxy_.mutex_);
  return lock.WaitFor(proxy_.changed_, timeout, [&] { return acted_ >= times; });
}

void KafkaProxy::Rule::Release() {
  {
    base::MutexLock lock(proxy_.mutex_);
    released_ = true;
  }
  proxy_.Wake();
}

void KafkaProxy::Rule::Disable() {
  base::MutexLock lock(proxy_.mutex_);
  disabled_ = true;
}

absl::StatusOr<int16_t> KafkaProxy::Rule::WaitUntilAnswered(std::chrono::milliseconds timeout) {
  base::MutexLock lock(proxy_.mutex_);
  const auto answered = [&] { return first_.has_value() && first_->answered; };
  lock.WaitFor(proxy_.changed_, timeout, [&] { return answered() || lost_; });
  if (answered()) {
    if (first_->error.has_value()) return *first_->error;
    return absl::UnimplementedError("this version of the answer isn't understood");
  }
  if (lost_) return absl::UnavailableError("the connection ended before the broker answered");
  return absl::DeadlineExceededError(first_.has_value() ? "the broker has not answered"
                                                        : "no request has matched");
}

std::optional<KafkaProxy::LoggedRequest> KafkaProxy::Rule::first() const {
  base::MutexLock lock(proxy_.mutex_);
  return first_;
}

absl::StatusOr<std::unique_ptr<KafkaProxy>> KafkaProxy::Create(Options options) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  int wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (listener < 0 || wake < 0 ||
      bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listener, SOMAXCONN) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    absl::Status status = absl::ErrnoToStatus(errno, "the proxy can't listen on loopback");
    Close(listener);
    Close(wake);
    return status;
  }
  std::unique_ptr<KafkaProxy> proxy(
      new KafkaProxy(options, listener, ntohs(address.sin_port), wake));
  proxy->thread_ = std::thread([p = proxy.get()] { p->Run(); });
  return proxy;
}

KafkaProxy::KafkaProxy(Options options, int listener, int port, int wake)
    : options_(options), listener_(listener), port_(port), wake_(wake) {}

KafkaProxy::~KafkaProxy() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
  }
  Wake();
  thread_.join();
  close(listener_);
  close(wake_);
}

void KafkaProxy::SetUpstream(int port) {
  base::MutexLock lock(mutex_);
  upstream_port_ = port;
}

KafkaProxy::Rule* KafkaProxy::Add(Match match, Rule::Action action,
                                  std::chrono::milliseconds delay) {
  base::MutexLock lock(mutex_);
  rules_.push_back(std::unique_ptr<Rule>(new Rule(*this, std::move(match), action, delay)));
  return rules_.back().get();
}

void KafkaProxy::SetLink(Link link) {
  {
    base::MutexLock lock(mutex_);
    link_ = link;
  }
  Wake();
}

void KafkaProxy::ResetConnections() {
  base::MutexLock lock(mutex_);
  reset_ = true;
  Wake();
  while (!lock.WaitFor(changed_, std::chrono::seconds(1), [this] { return !reset_; })) {
  }
}

std::vector<KafkaProxy::LoggedRequest> KafkaProxy::requests() const {
  base::MutexLock lock(mutex_);
  return {log_.begin(), log_.end()};
}

void KafkaProxy::Wake() {
  const uint64_t one = 1;
  (void)!write(wake_, &one, sizeof(one));  // fails only when it is awake anyway
}

void KafkaProxy::Run() {
  std::vector<pollfd> polls;
  while (true) {
    int timeout_ms = -1;
    polls.assign(1, {wake_, POLLIN, 0});
    {
      base::MutexLock lock(mutex_);
      if (stopping_) return connections_.clear();
      const Clock::time_point now = Clock::now();
      const auto wait_until = [&](Clock::time_point time) {
        const auto ms = std::chrono::ceil<std::chrono::milliseconds>(time - now).count();
        const int bounded = static_cast<int>(std::clamp<int64_t>(ms, 0, 60'000));
        timeout_ms = timeout_ms < 0 ? bounded : std::min(timeout_ms, bounded);
      };
      const auto watch = [&](int fd, bool room, const Outbox& outbox) {
        if (fd < 0) return;
        short events = room ? POLLIN : 0;
        if (!outbox.empty()) {
          if (outbox.due() <= now) events |= POLLOUT;
          if (outbox.due() > now) wait_until(outbox.due());
        }
        if (events != 0) polls.push_back({fd, events, 0});
      };
      if (!link_.paused) {
        polls.push_back({listener_, POLLIN, 0});
        for (const auto& c : connections_) {
          watch(c->client, c->from_client.size() + c->to_server.size < options_.buffer_bytes_max,
                c->to_client);
          watch(c->server, c->from_server.size() + c->to_client.size < options_.buffer_bytes_max,
                c->to_server);
          if (c->rule != nullptr && c->rule->action_ == Rule::Action::kDelay) {
            wait_until(c->resume_at);
          }
        }
      }
    }
    poll(polls.data(), polls.size(), timeout_ms);

    base::MutexLock lock(mutex_);
    uint64_t ignored;
    (void)!read(wake_, &ignored, sizeof(ignored));
    if (reset_) {
      for (const auto& connection : connections_) {
        CloseWithReset(connection->client);
        CloseWithReset(connection->server);
        Abandon(*connection);
      }
      connections_.clear();
      reset_ = false;
      changed_.notify_all();
    }
    if (link_.paused) continue;
    Accept();
    // Every connection, whatever poll said: none of it blocks, and there are few.
    for (const auto& connection : connections_) Serve(*connection, Clock::now());
    std::erase_if(connections_, [](const auto& connection) { return connection->done; });
  }
}

void KafkaProxy::Accept() {
  while (true) {
    int client = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) return;
    if (upstream_port_ == 0 ||
        connections_.size() >= static_cast<size_t>(options_.connections_max)) {
      Close(client);
      continue;
    }
    auto connection = std::make_unique<Connection>();
    connection->id = next_connection_++;
    connection->client = client;
    connection->server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    SendAtOnce(client);
    SendAtOnce(connection->server);
    const sockaddr_in address = Loopback(upstream_port_);
    if (connect(connection->server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) ==
            0 ||
        errno == EINPROGRESS) {
      connections_.push_back(std::move(connection));
    }
  }
}

void KafkaProxy::Serve(Connection& c, Clock::time_point now) {
  if (c.client >= 0 && c.to_server.size < options_.buffer_bytes_max &&
      !ReadInto(c.client, c.from_client, options_.buffer_bytes_max - c.to_server.size)) {
    c.CloseClient();
  }
  ForwardRequests(c, now);
  if (c.server >= 0 && c.to_client.size < options_.buffer_bytes_max &&
      !ReadInto(c.server, c.from_server, options_.buffer_bytes_max - c.to_client.size)) {
    c.CloseServer();
  }
  ForwardAnswers(c, now);
  Flush(c.server, c.to_server, now);
  Flush(c.client, c.to_client, now);
  // The broker still executes what it has got from a client that left, and its answers are awaited.
  const bool drained = c.swallow || (c.rule == nullptr && c.pending.empty() && c.to_server.empty());
  const bool answerless = c.server < 0 && !c.swallow && (c.to_client.empty() || c.client < 0);
  if (answerless || (c.client < 0 && drained)) {
    Abandon(c);
  }
}

void KafkaProxy::ForwardRequests(Connection& c, Clock::time_point now) {
  size_t done = 0;
  while (!c.swallow && !c.cut) {
    const std::string_view rest = std::string_view(c.from_client).substr(done);
    if (rest.size() < kLengthBytes) break;
    const size_t length = BigEndian32(rest);
    if (length > options_.buffer_bytes_max - kLengthBytes) {  // not Kafka
      c.cut = true;
      c.CloseClient();
      break;
    }
    if (rest.size() < kLengthBytes + length) break;
    if (!MayPass(c, rest.substr(kLengthBytes, length), now)) break;
    c.to_server.Add(rest.substr(0, kLengthBytes + length), now + link_.latency);
    done += kLengthBytes + length;
  }
  c.from_client.erase(0, c.swallow || c.cut ? std::string::npos : done);
}

KafkaProxy::Rule* KafkaProxy::RuleFor(const KafkaRequest& request) {
  for (const auto& rule : rules_) {
    const Match& match = rule->match_;
    if (rule->disabled_ || rule->released_ || rule->acted_ >= match.times ||
        match.api_key != request.api_key ||
        !request.client_id.starts_with(match.client_id_prefix) ||
        (match.where != nullptr && !match.where(request)) || ++rule->seen_ <= match.skip) {
      continue;
    }
    return rule.get();
  }
  return nullptr;
}

// Changes what is known of a request, in the log and in the rule that acted on it.
template <typename Change>
void KafkaProxy::Update(int64_t number, Rule* rule, Change change) {
  if (!log_.empty() && number >= log_.front().number) {
    change(log_[static_cast<size_t>(number - log_.front().number)]);
  }
  if (rule != nullptr && rule->first_->number == number) change(*rule->first_);
  changed_.notify_all();
}

// Whether the frame at the front is forwarded now.
bool KafkaProxy::MayPass(Connection& c, std::string_view frame, Clock::time_point now) {
  Rule* rule = c.rule;
  if (rule == nullptr) {
    auto request = ParseKafkaRequest(frame);
    if (!request.ok()) {
      c.cut = true;
      c.CloseClient();
      return false;
    }
    rule = RuleFor(*request);
    c.front = LoggedRequest{*std::move(request)};
    c.front.number = next_number_++;
    c.front.connection = c.id;
    if (rule != nullptr) {
      switch (rule->action_) {
        case Rule::Action::kHoldCut:
          c.CloseClient();
          [[fallthrough]];
        case Rule::Action::kHold:
          c.front.fate = Fate::kHeld;
          c.rule = rule;
          break;
        case Rule::Action::kDelay:
          c.front.fate = Fate::kDelayed;
          c.resume_at = now + rule->delay_;
          c.rule = rule;
          break;
        case Rule::Action::kCut:
          c.front.fate = Fate::kCut;
          c.cut = true;
          c.CloseClient();
          break;
        case Rule::Action::kBlackhole:
          c.front.fate = Fate::kSwallowed;
          c.swallow = true;
          break;
      }
      if (rule->acted_++ == 0) {
        rule->first_ = c.front;
        rule->lost_ = c.rule == nullptr;
      }
    }
    log_.push_back(c.front);
    if (log_.size() > options_.logged_requests_max) log_.pop_front();
    changed_.notify_all();
    if (rule != nullptr) return false;
  } else {
    if (rule->action_ == Rule::Action::kDelay ? now < c.resume_at : !rule->released_) return false;
    c.rule = nullptr;
    if (rule->action_ != Rule::Action::kDelay) {
      Update(c.front.number, rule, [](LoggedRequest& request) { request.fate = Fate::kReleased; });
    }
  }
  c.pending.insert_or_assign(
      c.front.correlation_id,
      Connection::Pending{c.front.number, c.front.api_key, c.front.api_version, rule});
  return true;
}

void KafkaProxy::ForwardAnswers(Connection& c, Clock::time_point now) {
  size_t done = 0;
  while (true) {
    const std::string_view rest = std::string_view(c.from_server).substr(done);
    if (rest.size() < 2 * kLengthBytes) break;
    const size_t length = BigEndian32(rest);
    if (length > options_.buffer_bytes_max - kLengthBytes) {  // not Kafka
      c.CloseServer();
      done = c.from_server.size();
      break;
    }
    if (rest.size() < kLengthBytes + length) break;
    const std::string_view frame = rest.substr(kLengthBytes, length);
    const auto asked = c.pending.find(static_cast<int32_t>(BigEndian32(frame)));
    if (asked != c.pending.end()) {
      const Connection::Pending& pending = asked->second;
      const auto error = ParseKafkaError(pending.api_key, pending.api_version, frame);
      Update(pending.number, pending.rule, [&](LoggedRequest& request) {
        request.answered = true;
        request.error = error;
      });
      c.pending.erase(asked);
    }
    if (c.client >= 0 && !c.swallow) {
      c.to_client.Add(rest.substr(0, kLengthBytes + length), now + link_.latency);
    }
    done += kLengthBytes + length;
  }
  c.from_server.erase(0, done);
}

void KafkaProxy::Flush(int& fd, Outbox& outbox, Clock::time_point now) {
  const int64_t rate = link_.bytes_per_second;
  while (fd >= 0 && !outbox.empty() && outbox.due() <= now) {
    const std::string& bytes = outbox.chunks.front().bytes;
    size_t count = bytes.size() - outbox.front_sent;
    // Ten milliseconds' worth at a time, or a large frame would pass at once.
    if (rate > 0) count = std::min(count, static_cast<size_t>(std::max<int64_t>(rate / 100, 1)));
    const ssize_t sent = send(fd, bytes.data() + outbox.front_sent, count, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      Close(fd);
      return outbox.Clear();
    }
    outbox.front_sent += static_cast<size_t>(sent);
    outbox.size -= static_cast<size_t>(sent);
    if (rate > 0) {
      outbox.next_send =
          std::max(now, outbox.next_send) + std::chrono::microseconds(sent * 1'000'000 / rate);
    }
    if (outbox.front_sent == bytes.size()) {
      outbox.chunks.pop_front();
      outbox.front_sent = 0;
    }
  }
}

// Closes both sides; whoever awaits an answer is told that none comes.
void KafkaProxy::Abandon(Connection& c) {
  c.CloseClient();
  c.CloseServer();
  c.done = true;
  const auto lose = [](Rule* rule, int64_t number) {
    if (rule != nullptr && rule->first_->number == number) rule->lost_ = true;
  };
  lose(c.rule, c.front.number);
  for (const auto& [id, pending] : c.pending) lose(pending.rule, pending.number);
  changed_.notify_all();
}

}  // namespace sluice::test_support
