#include "tests/simulation/world.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <iterator>

#include "common/base/strings.h"

namespace sluice::simulation {
namespace {

// How soon a worker must have seen that a topic is another.
constexpr milliseconds kIdentityMax(15'000);
constexpr milliseconds kTick(10);

std::string Name(const PartitionId& partition) {
  return base::StrCat(partition.first, "/", partition.second);
}

}  // namespace

void World::Pass(milliseconds time) {
  if (fibers_.inside()) return fibers_.Wait(now_ + std::max(time, milliseconds(1)));
  if (!on_tick) Until(now_ + time);
}

void World::Until(Time end) {
  while (now_ < end) {
    if (!fibers_.Run(now_)) Advance(std::min(end, fibers_.next()));
  }
}

// What is due until then happens.
void World::Advance(Time to) {
  while (now_ < to) {
    now_ = std::min(to, ticked_ + kTick);
    for (size_t i = 0; i < late_.size();) {
      if (late_[i].first > now_) {
        ++i;
        continue;
      }
      std::function<void()> request = std::move(late_[i].second);
      late_.erase(late_.begin() + static_cast<ptrdiff_t>(i));
      request();
    }
    if (now_ < ticked_ + kTick) continue;
    ticked_ = now_;
    for (auto& [client, beat] : heartbeats) beat();
    for (auto& [id, state] : transactions_) {
      if (!state.open || now_ - state.opened < milliseconds(state.timeout_ms)) continue;
      ++state.epoch;  // who has it open is fenced
      End(state, false);
    }
    for (auto member = members_.begin(); member != members_.end();) {
      if (now_ - member->second.heard < milliseconds(session_timeout_ms)) {
        ++member;
      } else {
        member = members_.erase(member);
        Rebalance();
      }
    }
    if (rebalancing_) CompleteRebalance();
    if (on_tick) on_tick(kTick);
  }
}

void World::MakeTopic(const std::string& name, int partitions) {
  Topic& topic = topics_[name];
  topic = Topic{};
  topic.incarnation = ++incarnations_;
  topic.made = now_;
  topic.partitions.resize(static_cast<size_t>(partitions));
}

void World::DeleteTopic(const std::string& name, bool forgets) {
  topics_[name].exists = false;
  if (forgets)
    std::erase_if(offsets_, [&](const auto& offset) { return offset.first.first == name; });
}

void World::Append(const std::string& name, int32_t partition, bool poison) {
  Entry entry;
  entry.poison = poison;
  topics_[name].partitions[static_cast<size_t>(partition)].entries.push_back(entry);
}

void World::OpenForeign(const std::string& name, int32_t partition) {
  Log& log = topics_[name].partitions[static_cast<size_t>(partition)];
  int64_t producer = ++producers_;
  log.open_from[producer] = log.end();
  Entry entry;
  entry.state = Entry::kOpen;
  entry.producer = producer;
  log.entries.push_back(entry);
  foreign_ = {{name, partition}, producer};
}

void World::EndForeign(bool commit) {
  auto [partition, producer] = *foreign_;
  foreign_.reset();
  Topic& topic = topics_[partition.first];
  if (!topic.exists || partition.second >= static_cast<int32_t>(topic.partitions.size())) return;
  Log& log = topic.partitions[static_cast<size_t>(partition.second)];
  if (log.open_from.erase(producer) == 0) return;  // of the topic before
  for (Entry& entry : log.entries) {
    if (entry.producer == producer && entry.state == Entry::kOpen)
      entry.state = commit ? Entry::kCommitted : Entry::kAborted;
  }
  log.entries.push_back(Entry{.state = Entry::kMarker});
}

int World::InitProducer(const std::string& id, int timeout_ms, int64_t& producer, int& epoch) {
  TransactionState& state = transactions_[id];
  if (state.epoch < 0) state.producer = ++producers_;
  ++state.epoch;
  if (state.open) {
    End(state, false);
    return RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS;  // until its markers are written
  }
  state.timeout_ms = timeout_ms;
  state.ended_one = false;
  producer = state.producer;
  epoch = state.epoch;
  return 0;
}

int World::AddPartition(const std::string& id, int epoch, const PartitionId& partition) {
  TransactionState& state = transactions_[id];
  if (epoch != state.epoch) return RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
  if (!partition.first.empty() && !HasTopic(partition.first))
    return RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
  if (!partition.first.empty() && !may_write) return RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
  if (!state.open) {
    state.open = true;
    state.opened = now_;
    state.ended_one = false;
  }
  if (!partition.first.empty()) state.partitions.insert(partition);
  return 0;
}

int World::Produce(const std::string& id, int epoch, const PartitionId& partition,
                   const Entry& entry) {
  TransactionState& state = transactions_[id];
  if (epoch != state.epoch) return RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
  if (!state.open || !state.partitions.contains(partition))
    return RD_KAFKA_RESP_ERR_INVALID_TXN_STATE;
  if (!HasTopic(partition.first)) return RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
  Log& log = topics_[partition.first].partitions[static_cast<size_t>(partition.second)];
  log.open_from.try_emplace(state.producer, log.end());
  state.written.emplace_back(partition, log.end());
  log.entries.push_back(entry);
  log.entries.back().state = Entry::kOpen;
  log.entries.back().producer = state.producer;
  return 0;
}

int World::CommitOffsets(const std::string& id, int epoch, const std::string& member,
                         int generation, const std::map<PartitionId, int64_t>& offsets,
                         const std::string& metadata) {
  TransactionState& state = transactions_[id];
  if (epoch != state.epoch) return RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
  if (!state.open) return RD_KAFKA_RESP_ERR_INVALID_TXN_STATE;
  if (!may_join) return RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
  Member* found = FindMember(member);
  if (found == nullptr) return RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
  if (generation != generation_) return RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION;
  for (const auto& [partition, offset] : offsets) state.offsets[partition] = offset;
  state.metadata = metadata;
  return 0;
}

int World::EndTransaction(const std::string& id, int epoch, bool commit) {
  TransactionState& state = transactions_[id];
  if (epoch != state.epoch) return RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
  if (!state.open) {
    return state.ended_one && state.committed_last == commit ? 0
                                                             : RD_KAFKA_RESP_ERR_INVALID_TXN_STATE;
  }
  End(state, commit);
  return 0;
}

void World::End(TransactionState& state, bool commit) {
  for (const auto& [partition, offset] : state.written) {
    Topic& topic = topics_[partition.first];
    Log& log = topic.partitions[static_cast<size_t>(partition.second)];
    if (offset >= log.end() || log.entries[static_cast<size_t>(offset)].producer != state.producer)
      continue;  // of the topic before
    log.entries[static_cast<size_t>(offset)].state = commit ? Entry::kCommitted : Entry::kAborted;
    log.open_from.erase(state.producer);
  }
  if (commit) {
    if (checks) Check(state);
    for (const auto& [partition, offset] : state.offsets) {
      if (HasTopic(partition.first)) offsets_[partition] = {offset, state.metadata};
    }
  }
  for (const PartitionId& partition : state.partitions) {
    Topic& topic = topics_[partition.first];
    topic.partitions[static_cast<size_t>(partition.second)].entries.push_back(
        Entry{.state = Entry::kMarker});
  }
  state.open = false;
  state.ended_one = true;
  state.committed_last = commit;
  state.partitions.clear();
  state.offsets.clear();
  state.written.clear();
}

void World::Check(const TransactionState& state) {
  const Topic& raw = topics_[input];
  // Of a topic that has gone, or has only just come: what is on its way may still become a result,
  // and says nothing of what the new topic's records become.
  const bool excused = !raw.exists || (raw.incarnation > 1 && now_ - raw.made <= kIdentityMax);
  std::map<PartitionId, std::vector<int64_t>> found;
  std::map<PartitionId, int64_t> recorded;
  for (const auto& [partition, offset] : state.written) {
    const Entry& entry = topics_[partition.first]
                             .partitions[static_cast<size_t>(partition.second)]
                             .entries[static_cast<size_t>(offset)];
    if (partition.first == positions) {
      // PIPELINE/TOPIC/PARTITION; what has one part more is where a version begins.
      if (std::count(entry.key.begin(), entry.key.end(), '/') != 2) continue;
      positions::v1::Position position;
      if (!position.ParseFromString(entry.value))
        throw Violation{"what is recorded beside the results is no position"};
      recorded[{input, std::stoi(entry.key.substr(entry.key.rfind('/') + 1))}] =
          position.next_offset();
      continue;
    }
    if (entry.source.incarnation != raw.incarnation) {
      if (!excused) throw Violation{"a result of a topic that was deleted long ago"};
      continue;
    }
    found[{input, entry.source.partition}].push_back(entry.source.offset);
    bool quarantined = partition.first == "quarantine";
    if (quarantined != entry.poison) {
      throw Violation{base::StrCat("record ", entry.source.partition, "/", entry.source.offset,
                                   quarantined ? " is in quarantine although it is good"
                                               : " was published although it is refused")};
    }
  }
  if (recorded != state.offsets)
    throw Violation{"what is recorded beside the results isn't what is committed"};
  for (const auto& [partition, offsets] : found) {
    if (!state.offsets.contains(partition))
      throw Violation{base::StrCat("results of ", Name(partition), " without a position")};
  }
  if (excused) {
    for (const auto& [partition, offsets] : found) Publish(partition, state.offsets.at(partition));
    return;
  }
  for (const auto& [partition, next] : state.offsets) {
    if (partition.second >= static_cast<int32_t>(raw.partitions.size()))
      throw Violation{base::StrCat("a position of ", Name(partition), ", which isn't there")};
    const Log& log = raw.partitions[static_cast<size_t>(partition.second)];
    const std::vector<int64_t>& offsets = found[partition];
    int64_t from = PublishedOf(partition);
    if (from < 0) {
      from = log.start;
      if (!offsets.empty()) from = std::min(from, offsets[0]);
    }
    std::vector<int64_t> expected;
    for (int64_t at = from; at < next && at < log.end(); ++at) {
      if (log.entries[static_cast<size_t>(at)].state == Entry::kCommitted) expected.push_back(at);
    }
    if (offsets != expected) {
      std::string text =
          base::StrCat("commit of ", Name(partition), " from ", from, " to ", next, ": results of");
      for (int64_t offset : offsets) base::StrAppend(text, " ", offset);
      text += "; expected";
      for (int64_t offset : expected) base::StrAppend(text, " ", offset);
      throw Violation{text};
    }
    Publish(partition, std::max(next, from));
    committed_records_ += static_cast<int64_t>(offsets.size());
  }
}

void World::Publish(const PartitionId& partition, int64_t from) {
  published_[partition] = {from, topics_[partition.first].incarnation};
}

int64_t World::PublishedOf(const PartitionId& partition) const {
  auto found = published_.find(partition);
  auto topic = topics_.find(partition.first);
  if (found == published_.end() || topic == topics_.end() ||
      found->second.incarnation != topic->second.incarnation)
    return -1;
  return found->second.next;
}

std::string World::Join(const std::string& instance, const std::string& member) {
  if (Member* known = FindMember(member); known != nullptr) {
    known->joined = true;
    known->heard = now_;
    return member;
  }
  std::string name = base::StrCat(instance, "#", ++member_names_);
  for (auto& [id, other] : members_) {
    if (instance.empty() || other.instance != instance) continue;
    // A static member that is back takes its own place, and whoever had it is fenced.
    Member taken = std::move(other);
    members_.erase(id);
    taken.heard = now_;
    taken.joined = true;
    members_[name] = std::move(taken);
    return name;
  }
  members_[name] = Member{instance, now_, true, -1, {}};
  Rebalance();
  return name;
}

void World::Leave(const std::string& member) {
  if (members_.erase(member) > 0) Rebalance();
}

void World::ForgetMember() {
  auto member = members_.begin();
  std::advance(member, Random(members_.size()));
  members_.erase(member);
  Rebalance();
}

Member* World::FindMember(const std::string& member) {
  auto found = members_.find(member);
  return found == members_.end() ? nullptr : &found->second;
}

void World::Rebalance() {
  if (!rebalancing_) {
    for (auto& [id, member] : members_) member.joined = member.generation < 0;
  }
  rebalancing_ = true;
  rebalance_by_ = now_ + milliseconds(session_timeout_ms * 2);
}

void World::CompleteRebalance() {
  bool all = std::all_of(members_.begin(), members_.end(),
                         [](const auto& member) { return member.second.joined; });
  if (!all && now_ < rebalance_by_) return;
  std::erase_if(members_, [](const auto& member) { return !member.second.joined; });
  rebalancing_ = false;
  ++generation_;
  for (auto& [id, member] : members_) {
    member.generation = generation_;
    member.partitions.clear();
  }
  if (members_.empty() || !HasTopic(input)) return;
  auto next = members_.begin();
  for (size_t i = 0; i < topics_[input].partitions.size(); ++i) {
    next->second.partitions.emplace_back(input, static_cast<int32_t>(i));
    if (++next == members_.end()) next = members_.begin();
  }
}

std::optional<World::Offset> World::Committed(const PartitionId& partition) const {
  for (const auto& [id, state] : transactions_) {
    if (state.open && state.offsets.contains(partition)) return std::nullopt;
  }
  auto found = offsets_.find(partition);
  return found == offsets_.end() ? Offset() : found->second;
}

void World::SetOffset(const PartitionId& partition, int64_t offset, const std::string& metadata) {
  offsets_[partition] = {offset, metadata};
}

std::string World::Describe() const {
  std::string text =
      base::StrCat("generation ", generation_, rebalancing_ ? ", rebalancing" : "", ";");
  for (const auto& [id, member] : members_) {
    base::StrAppend(text, " ", id, member.joined ? "" : " (not joined)", ":");
    for (const auto& [topic, number] : member.partitions) base::StrAppend(text, " ", number);
    text += ";";
  }
  for (const auto& [id, state] : transactions_) {
    if (state.open) base::StrAppend(text, " ", id, " is open;");
  }
  for (const auto& [partition, offset] : offsets_)
    base::StrAppend(text, " ", Name(partition), " at ", offset.next);
  return text;
}

}  // namespace sluice::simulation
