// A Kafka of one broker, its clock and its network, in one thread: enough of it for what a consumer
// group and transactions rest on, with the faults that real ones have.
//
// The oracle is World::Check: at every commit each raw record has exactly one result, in order. It
// goes by what was published, not by what the group has committed.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "sluice/positions/v1/position.pb.h"
#include "tests/simulation/fibers.h"

namespace sluice::simulation {

using Time = std::chrono::steady_clock::time_point;
using std::chrono::milliseconds;
using PartitionId = std::pair<std::string, int32_t>;  // topic and partition

// Ends a run: what was promised was broken.
struct Violation {
  std::string text;
};

// What the oracle reads from an output record.
struct Source {
  int incarnation = 0;  // of the raw topic
  int32_t partition = 0;
  int64_t offset = 0;
  bool operator==(const Source&) const = default;
};

struct Entry {
  enum State : uint8_t { kOpen, kCommitted, kAborted, kMarker } state = kCommitted;
  bool poison = false;  // its timestamp is beyond what clean topics take
  int64_t producer = -1;
  Source source;           // of an output record
  std::string key, value;  // of a recorded position
};

struct Log {
  int64_t start = 0;
  std::vector<Entry> entries;            // by offset; those before `start` can't be read
  std::map<int64_t, int64_t> open_from;  // by producer, where its open transaction begins

  int64_t end() const { return static_cast<int64_t>(entries.size()); }
  int64_t stable() const {
    int64_t stable = end();
    for (const auto& [producer, from] : open_from) stable = std::min(stable, from);
    return stable;
  }
};

struct Topic {
  int incarnation = 0;
  bool exists = true;
  bool takes_late_timestamps = true;
  int64_t bytes_max = 1'000'000;
  Time made;
  std::vector<Log> partitions;
};

// Of a transactional id.
struct TransactionState {
  int64_t producer = 0;
  int epoch = -1;
  bool open = false;
  bool committed_last = false;  // how the last one of this epoch ended
  bool ended_one = false;
  Time opened;
  int timeout_ms = 0;
  std::set<PartitionId> partitions;
  std::map<PartitionId, int64_t> offsets;
  std::string metadata;  // committed with them
  std::vector<std::pair<PartitionId, int64_t>> written;
};

struct Member {
  std::string instance;
  Time heard;
  bool joined = false;  // for the next generation
  int generation = -1;
  std::vector<PartitionId> partitions;
};

class World final : public base::Clock {
 public:
  explicit World(uint64_t seed) : random_(seed) {}

  Time Now() const override { return now_; }
  int64_t UnixMillis() const override {
    return 1'700'000'000'000 + (now_.time_since_epoch() / milliseconds(1));
  }
  // Time passes for who calls it: a process waits, and others go on. Where there are no processes,
  // it passes at once.
  void Pass(milliseconds time);
  // All processes go on until then.
  void Until(Time end);
  Fibers& fibers() { return fibers_; }
  // What happens to the world as time passes; set by the run.
  std::function<void(milliseconds)> on_tick;
  // What clients do by threads of their own.
  std::map<const void*, std::function<void()>> heartbeats;

  uint64_t Random(uint64_t below) { return random_() % below; }
  bool Chance(double probability) {
    return std::uniform_real_distribution<>(0, 1)(random_) < probability;
  }

  // --- the broker
  Topic& topic(const std::string& name) { return topics_[name]; }
  bool HasTopic(const std::string& name) const {
    auto found = topics_.find(name);
    return found != topics_.end() && found->second.exists;
  }
  void MakeTopic(const std::string& name, int partitions);
  // The group's offsets of a topic go with it; `forgets`: they do, as the coordinator was there to
  // see it.
  void DeleteTopic(const std::string& name, bool forgets);
  void Append(const std::string& topic, int32_t partition, bool poison);
  // A transaction of somebody else's on a raw topic, begun, and ended.
  void OpenForeign(const std::string& topic, int32_t partition);
  void EndForeign(bool commit);
  bool HasForeign() const { return foreign_.has_value(); }

  // Requests, as the broker carries them out. Results are error codes of Kafka's protocol.
  int InitProducer(const std::string& id, int timeout_ms, int64_t& producer, int& epoch);
  int AddPartition(const std::string& id, int epoch, const PartitionId& partition);
  int Produce(const std::string& id, int epoch, const PartitionId& partition, const Entry& entry);
  int CommitOffsets(const std::string& id, int epoch, const std::string& member, int generation,
                    const std::map<PartitionId, int64_t>& offsets, const std::string& metadata);
  int EndTransaction(const std::string& id, int epoch, bool commit);
  // A request that is still on its way, and is carried out when it arrives.
  void Delay(milliseconds by, std::function<void()> request) {
    late_.emplace_back(now_ + by, std::move(request));
  }

  // --- the group
  std::string Join(const std::string& instance, const std::string& member);
  void Leave(const std::string& member);
  Member* FindMember(const std::string& member);
  bool rebalancing() const { return rebalancing_; }
  int generation() const { return generation_; }
  void Rebalance();
  bool has_members() const { return !members_.empty(); }
  size_t members() const { return members_.size(); }
  // As a coordinator does that comes up without having heard of it. There is a member.
  void ForgetMember();
  struct Offset {
    int64_t next = -1;  // -1: nothing is committed
    std::string metadata;
  };
  // What is committed; nullopt: a transaction holds it pending.
  std::optional<Offset> Committed(const PartitionId& partition) const;
  // The group is set by somebody. The broker refuses it while there are members.
  void SetOffset(const PartitionId& partition, int64_t offset, const std::string& metadata);
  void ForgetOffsets() { offsets_.clear(); }
  // Who sets it on purpose: what is published begins there.
  void Publish(const PartitionId& partition, int64_t from);
  // Behind what was published of the topic that is there; -1: nothing was.
  int64_t PublishedOf(const PartitionId& partition) const;
  int64_t committed_records() const { return committed_records_; }
  std::string Describe() const;

  bool checks = true;  // what is committed, by the oracle
  int session_timeout_ms = 6'000;
  std::string input = "raw";
  std::string positions = "positions";
  // Permissions that are missing.
  bool may_write = true, may_read = true, may_join = true;

 private:
  void Advance(Time to);
  void CompleteRebalance();
  void End(TransactionState& state, bool commit);
  // The oracle: what a commit makes visible is what its offsets say, no more and no less.
  void Check(const TransactionState& state);

  std::mt19937_64 random_;
  Time now_{milliseconds(1)};
  std::map<std::string, Topic> topics_;
  int incarnations_ = 0;
  std::map<std::string, TransactionState> transactions_;
  int64_t producers_ = 0;
  std::vector<std::pair<Time, std::function<void()>>> late_;
  std::optional<std::pair<PartitionId, int64_t>> foreign_;  // and its producer
  std::map<std::string, Member> members_;
  bool rebalancing_ = false;
  Time rebalance_by_{};
  int generation_ = 0;
  int member_names_ = 0;
  std::map<PartitionId, Offset> offsets_;
  struct Published {
    int64_t next = -1;
    int incarnation = 0;
  };
  std::map<PartitionId, Published> published_;  // the oracle's
  int64_t committed_records_ = 0;
  Time ticked_{};
  Fibers fibers_;
};

}  // namespace sluice::simulation
