// What a request that is late does to transactions, and that rules R1 to R4 of
// docs/guides/exactly-once.md undo it: a proxy holds one request of transaction N until it acts in
// N+1. Every scenario also runs with the rules switched off, where the damage must show: a test
// that can't see it proves nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <thread>

#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/reader.h"
#include "common/kafka/source.h"
#include "common/kafka/transaction.h"
#include "common/kafka/writer.h"
#include "common/stream/driver.h"
#include "tests/support/kafka_broker.h"
#include "tests/support/kafka_proxy.h"
#include "tests/support/shared_broker.h"
#include "tests/support/wait_until.h"

namespace sluice::kafka {
namespace {

using namespace std::chrono_literals;
using stream::Position;
using stream::Result;
using stream::Verdict;
using test_support::KafkaBroker;
using test_support::KafkaProxy;

constexpr int kFenced = 47;  // INVALID_PRODUCER_EPOCH
constexpr int kPerTransaction = 10;
constexpr auto kSoon = 30s;

// Copies records; may have nothing to give for a while.
class Copy final : public stream::Transform {
 public:
  absl::Status Process(std::span<const stream::InputRecord> records,
                       stream::Output& output) override {
    if (before && !before(records)) return absl::UnavailableError("a dependency is away");
    for (const stream::InputRecord& record : records) {
      stream::OutputRecord out;
      out.key = record.key;
      out.value = record.value;
      absl::Status produced = output.Produce(out);
      if (!produced.ok()) return produced;
    }
    return absl::OkStatus();
  }

  std::function<bool(std::span<const stream::InputRecord>)> before;
};

// The real transaction with hooks in the worker's own thread, so that a request can be let go at
// one certain moment. Transactions are numbered from 1, at Begin.
class Steered final : public stream::Transaction {
 public:
  explicit Steered(KafkaTransaction& real) : real_(real) {}

  Result Begin() override {
    Result result = real_.Begin();
    if (result.ok()) ++number_;
    return result;
  }
  absl::Status Produce(const stream::OutputRecord& record) override {
    return real_.Produce(record);
  }
  size_t record_bytes_max(size_t topic) const override { return real_.record_bytes_max(topic); }
  Result SendOffsets(std::span<const Position> next) override {
    if (Result early = Call(before_send_offsets); !early.ok()) return early;
    return real_.SendOffsets(next);
  }
  Result Commit() override {
    if (Result early = Call(before_commit); !early.ok()) return early;
    Result result = real_.Commit();
    if (result.ok()) {
      committed.insert(real_.attempt());
      if (after_commit) after_commit(number_);
    }
    return result;
  }
  Result Abort() override {
    Result result = real_.Abort();
    if (after_abort) after_abort(number_);
    return result;
  }
  Result Recreate() override { return real_.Recreate(); }
  bool tainted() const override { return real_.tainted(); }

  // What they return instead of OK is as if the call had failed; it isn't made then.
  using Hook = std::function<Result(int number)>;
  Hook before_send_offsets, before_commit;
  std::function<void(int number)> after_commit, after_abort;
  std::set<std::string> committed;  // attempts

 private:
  Result Call(const Hook& hook) { return hook ? hook(number_) : Result(); }

  KafkaTransaction& real_;
  int number_ = 0;
};

const Result kAppAborts{Verdict::kAbort, "the test aborts"};

// Why new producer epochs were taken.
struct Causes final : stream::DriverProbe {
  void Recreated(stream::RecreateCause cause, std::chrono::nanoseconds) override {
    names.emplace_back(stream::RecreateCauseName(cause));
  }
  void Aborted(const stream::TransactionFacts&, Verdict, std::string_view text) override {
    aborts.emplace_back(text);
  }
  std::vector<std::string> names;
  std::vector<std::string> aborts;
};

// What a read_committed reader finds wrong.
struct Damage {
  int lost = 0;
  int doubled = 0;
  int foreign = 0;  // written by an attempt whose commit wasn't reported
  bool operator==(const Damage&) const = default;
};
void PrintTo(const Damage& damage, std::ostream* out) {
  *out << "lost " << damage.lost << ", doubled " << damage.doubled << ", foreign "
       << damage.foreign;
}

class LateRequestsTest : public ::testing::TestWithParam<bool> {
 protected:
  static void SetUpTestSuite() {
    proxy_ = *KafkaProxy::Create({});
    auto broker = KafkaBroker::Create({.advertised_port = proxy_->port()});
    ASSERT_TRUE(broker.ok()) << broker.status();
    broker_ = *std::move(broker);
    ASSERT_EQ(broker_->Start(), absl::OkStatus());
    proxy_->SetUpstream(broker_->port());
  }
  static void TearDownTestSuite() {
    broker_.reset();
    proxy_.reset();
  }

  static bool rules() { return GetParam(); }

  void SetUp() override {
    auto admin = Admin::Create(Direct());
    ASSERT_TRUE(admin.ok()) << admin.status();
    ASSERT_EQ((*admin)->CreateTopics(std::vector<NewTopic>{{in_, 1}, {out_, 1}}), absl::OkStatus());
  }

  static ConnectionOptions Direct() { return {.brokers = {broker_->direct()}}; }

  // Input records are numbers from 0 on.
  void Feed(int records) {
    auto writer = TopicWriter::Create({Direct()});
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (int i = 0; i < records; ++i) {
      std::string number = std::to_string(fed_++);
      ASSERT_EQ((*writer)->Write({in_, 0, number, number, {}, {}}), absl::OkStatus());
    }
    ASSERT_EQ((*writer)->Flush(), absl::OkStatus());
  }

  // A worker as the processor has it, behind the proxy.
  struct Worker {
    std::unique_ptr<KafkaSource> source;
    std::unique_ptr<KafkaTransaction> transaction;
    std::unique_ptr<Steered> steered;
    Copy transform;
    Causes probe;
    base::SystemClock clock;
    std::unique_ptr<stream::Driver> driver;
  };

  // Only full transactions: the last record of each ends it, unless an interval is given.
  std::unique_ptr<Worker> NewWorker(bool rules, int chunk = kPerTransaction,
                                    int transaction_timeout_ms = 10'000,
                                    int commit_interval_ms = 0) {
    auto worker = std::make_unique<Worker>();
    ConnectionOptions connection{.brokers = {broker_->bootstrap()}};
    connection.client_id = "source-" + name_;
    auto source = KafkaSource::Create({.connection = connection,
                                       .group = "group-" + name_,
                                       .instance = "one",
                                       .topics = {in_},
                                       .session_timeout_ms = 20'000});
    EXPECT_TRUE(source.ok()) << source.status();
    worker->source = *std::move(source);
    worker->transaction = NewTransaction("one", *worker->source, transaction_timeout_ms);
    worker->steered = std::make_unique<Steered>(*worker->transaction);
    stream::DriverOptions options;
    options.commit_interval_ms =
        commit_interval_ms > 0 ? commit_interval_ms : transaction_timeout_ms / 2;
    options.commit_events = kPerTransaction;
    options.chunk_events = chunk;
    options.transaction_timeout_ms = transaction_timeout_ms;
    options.rules = {.recreate_on_taint = rules, .recreate_after_abort = rules};
    auto driver = stream::Driver::Create(options, *worker->source, *worker->steered,
                                         worker->transform, worker->probe, worker->clock);
    EXPECT_TRUE(driver.ok()) << driver.status();
    worker->driver = *std::move(driver);
    return worker;
  }

  std::unique_ptr<KafkaTransaction> NewTransaction(const std::string& id, const GroupMember& member,
                                                   int transaction_timeout_ms = 10'000) {
    // A full batch leaves at once: a transaction's records are one Produce request.
    auto transaction = KafkaTransaction::Create(
        {.connection = {.brokers = {broker_->bootstrap()}, .client_id = Client(id)},
         .transactional_id = Client(id),
         .topics = {out_},
         .transaction_timeout_ms = transaction_timeout_ms,
         .linger_ms = 500,
         .batch_records = kPerTransaction,
         .attempt_header = true},
        member);
    EXPECT_TRUE(transaction.ok()) << transaction.status();
    return *std::move(transaction);
  }
  std::string Client(const std::string& id) const { return id + "-" + name_; }

  KafkaProxy::Match Of(int16_t api, int times = 1) const {
    return {.api_key = api, .client_id_prefix = Client("one"), .times = times};
  }

  // Until `done`, which is asked on another thread than the worker's.
  void RunUntil(Worker& worker, const std::function<bool()>& done) {
    ASSERT_EQ(worker.source->Start(), absl::OkStatus());
    std::thread stopper([&] {
      EXPECT_TRUE(test_support::WaitUntil(60s, done)) << worker.driver->snapshot().text;
      worker.driver->Stop();
    });
    EXPECT_EQ(worker.driver->Run(), absl::OkStatus());
    stopper.join();
    committed_.merge(worker.steered->committed);
  }

  // As often as records are fed: a transaction that was done again after it had been committed
  // counts, too.
  void RunAll(Worker& worker) {
    std::atomic<int64_t> next = 0;
    auto inner = worker.steered->after_commit;
    worker.steered->after_commit = [&, inner](int number) {
      if (inner) inner(number);
      int64_t ours = 0;
      auto at = worker.source->Committed(std::vector<Position>{{in_, 0, -1, -1}});
      if (at.ok() && !at->empty()) ours = (*at)[0].offset;
      next = ours;
    };
    RunUntil(worker, [&] { return next >= fed_; });
  }

  // A new worker of the same group and transactional id goes on where the group stands; only this
  // shows offsets that went back or too far.
  void Restart() {
    Feed(1);
    auto worker = NewWorker(/*rules=*/true, kPerTransaction, /*transaction_timeout_ms=*/10'000,
                            /*commit_interval_ms=*/50);
    RunAll(*worker);
  }

  Damage Read() {
    std::map<std::string, int> seen;
    Damage damage;
    absl::Status read =
        TopicReader({Direct()}).Read(std::vector<std::string>{out_}, [&](const ReadRecord& record) {
          ++seen[std::string(record.value.value_or(""))];
          for (const stream::Header& header : record.headers) {
            if (header.name == "sluice-attempt" && !committed_.contains(std::string(header.value)))
              ++damage.foreign;
          }
          return absl::OkStatus();
        });
    EXPECT_EQ(read, absl::OkStatus());
    for (int i = 0; i < fed_; ++i) {
      int count = seen[std::to_string(i)];
      if (count == 0) ++damage.lost;
      damage.doubled += std::max(0, count - 1);
    }
    return damage;
  }

  // The late request is let go and answered: fenced with the rules, accepted without.
  void LetGo(KafkaProxy::Rule* late) {
    late->Release();
    absl::StatusOr<int16_t> answer = late->WaitUntilAnswered(kSoon);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(*answer, rules() ? kFenced : 0);
  }

  // The broker has taken N+1's records: they begin behind N's where the epoch is the same.
  void WaitForProduce(int count) {
    EXPECT_TRUE(test_support::WaitUntil(kSoon, [&] {
      int answered = 0;
      for (const KafkaProxy::LoggedRequest& request : proxy_->requests()) {
        answered += request.client_id == Client("one") &&
                    request.api_key == test_support::kProduce && request.error == 0;
      }
      return answered >= count;
    }));
  }

  static std::unique_ptr<KafkaProxy> proxy_;
  static std::unique_ptr<KafkaBroker> broker_;
  const std::string name_ = test_support::UniqueName("late");
  const std::string in_ = "in." + name_;
  const std::string out_ = "out." + name_;
  int fed_ = 0;
  std::set<std::string> committed_;
};
std::unique_ptr<KafkaProxy> LateRequestsTest::proxy_;
std::unique_ptr<KafkaBroker> LateRequestsTest::broker_;

// A: the late commit of N comes when N+1 has produced; N+1 is aborted.
TEST_P(LateRequestsTest, ALateCommitDoesNotPublishWhatIsAborted) {
  Feed(30);
  auto worker = NewWorker(rules());
  KafkaProxy::Rule* late = proxy_->HoldCut(Of(test_support::kEndTxn));
  worker->steered->before_send_offsets = [&](int number) {
    if (number != 2) return Result();
    WaitForProduce(2);
    LetGo(late);
    return kAppAborts;
  };
  RunAll(*worker);
  Restart();
  EXPECT_EQ(Read(), rules() ? Damage{} : (Damage{.doubled = 10, .foreign = 10}));
}

// B: the late abort of N comes when N+1 has produced; N+1 commits.
TEST_P(LateRequestsTest, BLateAbortDoesNotLoseWhatIsCommitted) {
  Feed(30);
  auto worker = NewWorker(rules());
  KafkaProxy::Rule* late = proxy_->HoldCut(Of(test_support::kEndTxn));
  worker->steered->before_send_offsets = [&](int number) {
    if (number == 1) {
      WaitForProduce(1);
      return kAppAborts;
    }
    if (number == 2) {
      WaitForProduce(2);
      LetGo(late);
    }
    return Result();
  };
  RunAll(*worker);
  Restart();
  EXPECT_EQ(Read(), rules() ? Damage{} : Damage{.lost = 10});
}

// C1: a Produce of N failed for good, N is aborted, and then it arrives before N+1's own, which
// the broker takes for its double.
TEST_P(LateRequestsTest, C1LateProduceDoesNotTakeTheNextOnesPlace) {
  Feed(30);
  auto worker = NewWorker(rules());
  KafkaProxy::Rule* late = proxy_->HoldCut(Of(test_support::kProduce));
  KafkaProxy::Rule* retries = proxy_->Cut(Of(test_support::kProduce, KafkaProxy::kAlways));
  KafkaProxy::Rule* next = nullptr;
  worker->steered->before_send_offsets = [&](int number) {
    if (number == 1) {
      EXPECT_TRUE(retries->WaitUntilMatched(kSoon));
      return kAppAborts;
    }
    if (number == 2) {
      EXPECT_TRUE(next->WaitUntilMatched(kSoon));
      LetGo(late);
      next->Release();
    }
    return Result();
  };
  worker->steered->after_abort = [&](int number) {
    if (number != 1) return;
    retries->Disable();
    next = proxy_->Hold(Of(test_support::kProduce));
  };
  RunAll(*worker);
  Restart();
  EXPECT_EQ(Read(), rules() ? Damage{} : Damage{.foreign = 10});
}

// D: the late offsets of N come after N+1's: the group stands at N's end, which only a restart
// shows.
TEST_P(LateRequestsTest, DLateOffsetsDoNotTakeTheGroupBack) {
  Feed(20);
  auto worker = NewWorker(rules());
  KafkaProxy::Rule* late = proxy_->HoldCut(Of(test_support::kTxnOffsetCommit));
  std::atomic<int> commits = 0;
  worker->steered->before_commit = [&](int number) {
    if (number == 2) LetGo(late);
    return Result();
  };
  worker->steered->after_commit = [&](int) { ++commits; };
  RunUntil(*worker, [&] { return commits >= 2; });
  Restart();
  EXPECT_EQ(Read(), rules() ? Damage{} : Damage{.doubled = 10});
}

// D2: as D, but N is aborted and N+1 is shorter: the group stands behind what was published.
TEST_P(LateRequestsTest, D2LateOffsetsDoNotTakeTheGroupTooFar) {
  Feed(10);
  auto worker = NewWorker(rules(), /*chunk=*/5);
  KafkaProxy::Rule* late = proxy_->HoldCut(Of(test_support::kTxnOffsetCommit));
  std::atomic<bool> aborted = false, committed = false;
  worker->transform.before = [&](std::span<const stream::InputRecord> records) {
    return !aborted || records[0].offset < 5;  // what it has is committed, the rest is held
  };
  worker->steered->before_commit = [&](int number) {
    if (number == 1) {
      aborted = true;
      return kAppAborts;
    }
    if (number == 2) LetGo(late);
    return Result();
  };
  worker->steered->after_commit = [&](int) { committed = true; };
  RunUntil(*worker, [&] { return committed.load(); });
  Restart();
  EXPECT_EQ(Read(), rules() ? Damage{} : Damage{.lost = 5})
      << testing::PrintToString(worker->probe.aborts)
      << testing::PrintToString(worker->probe.names);
}

// E3: N is aborted while a partition's joining of it has no answer: the producer is of no more use,
// and says so, with and without the rules.
TEST_P(LateRequestsTest, E3LatePartitionOnlyCostsAProducer) {
  Feed(30);
  auto worker = NewWorker(rules(), kPerTransaction, /*transaction_timeout_ms=*/4'000);
  KafkaProxy::Rule* late = proxy_->Hold(Of(test_support::kAddPartitionsToTxn));
  worker->steered->before_send_offsets = [&](int number) {
    if (number == 1) {
      EXPECT_TRUE(late->WaitUntilMatched(kSoon));
      return kAppAborts;
    }
    if (number == 2) {
      late->Release();
      absl::StatusOr<int16_t> answer = late->WaitUntilAnswered(kSoon);
      EXPECT_TRUE(answer.ok()) << answer.status();
      if (answer.ok()) {
        EXPECT_EQ(*answer, kFenced);
      }
    }
    return Result();
  };
  RunAll(*worker);
  EXPECT_THAT(worker->probe.names, testing::ElementsAre("start", "fatal"));
  Restart();
  EXPECT_EQ(Read(), Damage{});
}

// P1: a Produce of N is late, its retry was acknowledged and N committed: the broker knows the
// numbers. It costs no new producer, or every change of a leader would.
TEST_P(LateRequestsTest, P1LateProduceOfACommittedTransactionIsHarmless) {
  Feed(30);
  auto worker = NewWorker(rules());
  KafkaProxy::Rule* late = proxy_->HoldCut(Of(test_support::kProduce));
  worker->steered->before_send_offsets = [&](int number) {
    // The offsets' request shares the connection: it must not be lost with it.
    WaitForProduce(number);
    if (number == 2) {
      late->Release();
      EXPECT_TRUE(late->WaitUntilAnswered(kSoon).ok());
    }
    return Result();
  };
  RunAll(*worker);
  EXPECT_THAT(worker->probe.names, testing::ElementsAre("start"));
  Restart();
  EXPECT_EQ(Read(), Damage{});
}

// The offsets of no group; for a producer that only writes.
class NoMember final : public GroupMember {
  std::unique_ptr<GroupMetadata> group_metadata() const override { return nullptr; }
};

// C5: as C1, but N's records have gone to another worker meanwhile, and N+1 carries others: those
// are lost, N's doubled. Two producers without groups, as a rebalance leaves them.
TEST_P(LateRequestsTest, C5LateProduceDoesNotDoubleWhatAnotherWorkerWrote) {
  NoMember nobody;
  auto one = NewTransaction("one", nobody);
  auto two = NewTransaction("two", nobody);
  fed_ = 20;
  auto produce = [&](KafkaTransaction& transaction, int from) {
    ASSERT_TRUE(transaction.Begin().ok());
    for (int i = from; i < from + kPerTransaction; ++i) {
      std::string number = std::to_string(i);
      stream::OutputRecord record;
      record.key = number;
      record.value = number;
      ASSERT_EQ(transaction.Produce(record), absl::OkStatus());
    }
  };
  auto commit = [&](KafkaTransaction& transaction) {
    Result result = transaction.Commit();
    ASSERT_TRUE(result.ok()) << result.text;
    committed_.insert(transaction.attempt());
  };
  ASSERT_TRUE(one->Recreate().ok());
  ASSERT_TRUE(two->Recreate().ok());

  KafkaProxy::Rule* late = proxy_->HoldCut(Of(test_support::kProduce));
  KafkaProxy::Rule* retries = proxy_->Cut(Of(test_support::kProduce, KafkaProxy::kAlways));
  produce(*one, 0);
  EXPECT_TRUE(retries->WaitUntilMatched(kSoon));
  ASSERT_TRUE(one->Abort().ok());
  retries->Disable();
  // Every abort is followed by a new epoch: the driver's rule.
  if (rules()) {
    ASSERT_TRUE(one->Recreate().ok());
  }

  produce(*two, 0);
  commit(*two);

  KafkaProxy::Rule* next = proxy_->Hold(Of(test_support::kProduce));
  produce(*one, 10);
  EXPECT_TRUE(next->WaitUntilMatched(kSoon));
  LetGo(late);
  next->Release();
  commit(*one);
  EXPECT_EQ(Read(), rules() ? Damage{} : (Damage{.lost = 10, .doubled = 10, .foreign = 10}));
}

INSTANTIATE_TEST_SUITE_P(Rules, LateRequestsTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "On" : "Off"; });

}  // namespace
}  // namespace sluice::kafka
