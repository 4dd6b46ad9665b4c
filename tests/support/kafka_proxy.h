// A proxy between Kafka's clients and a broker that can delay, lose or hold single requests: what
// no client can see happen and exactly-once must survive.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "tests/support/kafka_frames.h"

namespace sluice::test_support {

// Listens on a loopback port, to which the broker's advertised listener points:
//   auto proxy = *KafkaProxy::Create({});
//   auto broker = *KafkaBroker::Create({.advertised_port = proxy->port()});
//   broker->Start(); proxy->SetUpstream(broker->port());
// The broker's own requests to itself pass here too (WriteTxnMarkers, the verification of
// transactions): match by client id. Thread-safe; one thread of its own does all input and output.
class KafkaProxy {
 public:
  struct Options {
    int connections_max = 256;  // more are closed at once
    size_t buffer_bytes_max =
        64 * 1024 * 1024;                  // per connection and direction; then it reads no more
    size_t logged_requests_max = 100'000;  // then the oldest are forgotten
  };

  // What became of a request.
  enum class Fate { kForwarded, kHeld, kReleased, kDelayed, kCut, kSwallowed };

  struct LoggedRequest : KafkaRequest {
    int64_t number = 0;      // in the order of arrival at the proxy, from 0
    int64_t connection = 0;  // from 0
    Fate fate = Fate::kForwarded;
    bool answered = false;
    std::optional<int16_t> error;  // the answer's, where it is understood
  };

  // Which requests a rule acts on: those of `api_key` whose client id begins so and that `where`
  // accepts, but the first `skip` of them and those after `times` more.
  static constexpr int kAlways = std::numeric_limits<int>::max();
  struct Match {
    int16_t api_key = 0;
    std::string client_id_prefix;
    int skip = 0;
    int times = 1;
    std::function<bool(const KafkaRequest&)> where;  // must not call the proxy
  };

  // A rule's handle; lives as long as the proxy. Thread-safe.
  class Rule {
   public:
    // Whether the rule has acted (a request is held, cut, delayed, ...) that many times by then.
    bool WaitUntilMatched(std::chrono::milliseconds timeout, int times = 1);
    // Lets what is held go on, each on the socket to the broker on which it would have gone, and
    // what stood behind it too. Later matches are not held.
    void Release();
    // No further matches; what is held stays so.
    void Disable();
    // The error code that the broker answered to the first request this rule acted on. Unavailable
    // when it can't come any more, Unimplemented when it isn't understood, DeadlineExceeded.
    absl::StatusOr<int16_t> WaitUntilAnswered(std::chrono::milliseconds timeout);
    // The first request this rule acted on, as far as it has got.
    std::optional<LoggedRequest> first() const;

   private:
    friend class KafkaProxy;
    enum class Action { kHold, kHoldCut, kCut, kDelay, kBlackhole };
    Rule(KafkaProxy& proxy, Match match, Action action, std::chrono::milliseconds delay)
        : proxy_(proxy), match_(std::move(match)), action_(action), delay_(delay) {}

    KafkaProxy& proxy_;
    const Match match_;
    const Action action_;
    const std::chrono::milliseconds delay_;
    // Under the proxy's mutex.
    int seen_ = 0;
    int acted_ = 0;
    bool released_ = false;
    bool disabled_ = false;
    bool lost_ = false;  // the answer to first_ can't come
    std::optional<LoggedRequest> first_;
  };

  // The network between proxy and clients and broker; for each connection and direction on its own.
  struct Link {
    std::chrono::milliseconds latency{0};
    int64_t bytes_per_second = 0;  // 0: as fast as it goes
    bool paused = false;           // nothing is read, sent or accepted; no connection is closed
  };

  static absl::StatusOr<std::unique_ptr<KafkaProxy>> Create(Options options);
  KafkaProxy(const KafkaProxy&) = delete;
  KafkaProxy& operator=(const KafkaProxy&) = delete;
  ~KafkaProxy();

  int port() const { return port_; }
  // Where new connections go, on loopback. Before it is set they are closed at once.
  void SetUpstream(int port);

  // The first rule, in the order of their making, that matches a request acts on it.
  // Hold: the request waits for Release, and all behind it on its connection. The socket to the
  // broker stays open even when the client gives up.
  Rule* Hold(Match match) { return Add(std::move(match), Rule::Action::kHold); }
  // As Hold, and the client's connection is closed at once: it needn't wait for its timeout.
  Rule* HoldCut(Match match) { return Add(std::move(match), Rule::Action::kHoldCut); }
  // The request isn't forwarded and its connection is closed.
  Rule* Cut(Match match) { return Add(std::move(match), Rule::Action::kCut); }
  // The request and all behind it wait so long.
  Rule* Delay(Match match, std::chrono::milliseconds delay) {
    return Add(std::move(match), Rule::Action::kDelay, delay);
  }
  // Nothing passes on the request's connection from then on, in either direction; it stays open.
  Rule* Blackhole(Match match) { return Add(std::move(match), Rule::Action::kBlackhole); }

  void SetLink(Link link);
  // RST on every connection, to clients and broker; what is held is lost. Returns when done.
  void ResetConnections();

  // Every request so far, in the order of arrival.
  std::vector<LoggedRequest> requests() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Outbox;
  struct Connection;

  KafkaProxy(Options options, int listener, int port, int wake);
  Rule* Add(Match match, Rule::Action action, std::chrono::milliseconds delay = {});
  void Run();
  void Wake();

  // All on the proxy's thread.
  void Accept() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Serve(Connection& connection, Clock::time_point now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForwardRequests(Connection& connection, Clock::time_point now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayPass(Connection& connection, std::string_view frame, Clock::time_point now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForwardAnswers(Connection& connection, Clock::time_point now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Flush(int& fd, Outbox& outbox, Clock::time_point now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Abandon(Connection& connection) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Rule* RuleFor(const KafkaRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  template <typename Change>
  void Update(int64_t number, Rule* rule, Change change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  const int listener_;
  const int port_;
  const int wake_;  // an eventfd

  mutable base::Mutex mutex_;
  std::condition_variable changed_;  // a rule has got further
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool reset_ ABSL_GUARDED_BY(mutex_) = false;
  int upstream_port_ ABSL_GUARDED_BY(mutex_) = 0;
  Link link_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Rule>> rules_ ABSL_GUARDED_BY(mutex_);
  std::deque<LoggedRequest> log_ ABSL_GUARDED_BY(mutex_);
  int64_t next_number_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t next_connection_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::unique_ptr<Connection>> connections_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace sluice::test_support
