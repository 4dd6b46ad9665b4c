// An attacker who reads two streams of one pipeline that aren't internal, and says which records
// are of one event.
//
// The engine, its shuffle and the grid of timestamps are the processor's; a transaction has the
// events that come within a commit interval. The attacker has what a subscriber sees. For each
// signal, a record of one stream is given the records of the other that agree with it: where the
// true one is among n, guessing finds it one time in n. What is reported is the mean of that over
// all records, and the mean number of those who agree (the crowd).
#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "benchmarks/bench.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/contract/loader.h"
#include "common/engine/engine.h"
#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"
#include "google/protobuf/text_format.h"
#include "services/processor/shuffle.h"

namespace sluice::bench {
namespace {

constexpr char kContract[] = R"(syntax = "proto3";
package linkage;
import "google/protobuf/timestamp.proto";
import "sluice/contract/v1/options.proto";
message Visit {
  option (sluice.contract.v1.event) = {
    id: "id" time: "at" owner: "bench" purpose: "Bench" lawful_basis: "none" retention: "P1Y"
  };
  string id = 1;
  google.protobuf.Timestamp at = 2;
  string guest = 3 [(sluice.contract.v1.field).identifier = PERSON_NAME];
  string email = 4 [(sluice.contract.v1.field).identifier = EMAIL];
  string address = 5 [(sluice.contract.v1.field).identifier = ADDRESS];
  string phone = 6 [(sluice.contract.v1.field).identifier = PHONE];
  string born = 7 [(sluice.contract.v1.field).quasi = DATE_OF_BIRTH];
  string area = 8 [(sluice.contract.v1.field).quasi = LOCATION_TEXT];
}
)";

// Two audiences: what both are meant to have is the band of ages, the month and the area.
constexpr char kPipeline[] = R"(
contract: "linkage.Visit" input { topic: "raw" } quarantine { topic: "quarantine" public_key: "k" }
streams { name: "a" topic: "a" purpose: "Bench" domain: "a"
  treat { key: "PERSON_NAME" value { encrypt {} } } treat { key: "EMAIL" value { encrypt {} } }
  treat { key: "ADDRESS" value { encrypt {} } } treat { key: "PHONE" value { pseudonymise {} } }
  treat { key: "DATE_OF_BIRTH" value { generalise { age_bands { from: 18 from: 35 from: 60 } } } }
  treat { key: "LOCATION" value { keep {} } } treat { key: "OCCURRED_AT" value { generalise { month {} } } } }
streams { name: "b" topic: "b" purpose: "Bench" domain: "b"
  treat { key: "PERSON_NAME" value { encrypt {} } } treat { key: "EMAIL" value { encrypt {} } }
  treat { key: "ADDRESS" value { encrypt {} } } treat { key: "PHONE" value { pseudonymise {} } }
  treat { key: "DATE_OF_BIRTH" value { generalise { age_bands { from: 18 from: 35 from: 60 } } } }
  treat { key: "LOCATION" value { keep {} } } treat { key: "OCCURRED_AT" value { generalise { month {} } } } }
)";

constexpr int32_t kPartitions = 3;
constexpr uint32_t kPeople = 5'000;

// A record as a subscriber sees it; `event` is what the attacker is after.
struct Seen {
  size_t event = 0;
  int32_t partition = 0;
  size_t offset = 0;  // within its partition, commit markers counted
  size_t batch = 0;   // between two markers
  size_t place = 0;   // within its batch and partition
  int64_t timestamp_ms = 0;
  std::string key, value;
  std::set<std::string> words;  // of headers and values, but for what names the stream
  std::vector<size_t> lengths;  // of the value's texts that say keys made them
  std::string shared;           // what both audiences are meant to have
};

// Takes records as the topics of one stream would.
class Topic final : public stream::Output {
 public:
  void Now(int64_t ms, size_t batch) { now_ms_ = ms, batch_ = batch; }
  absl::Status Produce(const stream::OutputRecord& record) override {
    Seen seen;
    seen.event = event_of(record);
    seen.key = record.key.value_or("");
    seen.partition = static_cast<int32_t>(std::hash<std::string>()(seen.key) % kPartitions);
    seen.value = record.value.value_or("");
    seen.timestamp_ms = record.timestamp_ms.value_or(now_ms_);
    seen.batch = batch_;
    auto& at = at_[record.topic][static_cast<size_t>(seen.partition)];
    seen.offset = at.offset++;
    seen.place = at.place++;
    for (const base::Header& header : record.headers) seen.words.emplace(header.value);
    streams[record.topic].push_back(std::move(seen));
    return absl::OkStatus();
  }
  size_t record_bytes_max(size_t) const override { return size_t{1} << 20; }
  void EndBatch() {
    for (auto& stream : at_)
      for (Place& at : stream) at = {at.offset + (at.place > 0), 0};
  }

  std::array<std::vector<Seen>, 2> streams;
  std::function<size_t(const stream::OutputRecord&)> event_of;

 private:
  struct Place {
    size_t offset = 0, place = 0;
  };
  std::array<std::array<Place, kPartitions>, 2> at_;  // by stream
  int64_t now_ms_ = 0;
  size_t batch_ = 0;
};

class Sink final : public engine::OutcomeSink {
 public:
  absl::Status Clean(const engine::InputRecord& record, const engine::CleanRecord& clean) override {
    stream::OutputRecord out{clean.stream, clean.key, clean.value, clean.headers,
                             clean.timestamp_ms};
    if (clean.timestamp_grid_ms > 0) out.timestamp_ms = now_ms - now_ms % clean.timestamp_grid_ms;
    // What Shuffle copies knows its event by its place in the stream.
    for (const base::Header& header : clean.headers)
      if (header.name == "sluice-src")
        events.emplace(header.value, static_cast<size_t>(record.offset));
    if (clean.timestamp_grid_ms > 0) {
      shuffle.Hold(out);
      return absl::OkStatus();
    }
    return absl::InternalError("the bench's streams aren't internal");
  }
  absl::Status Quarantined(const engine::InputRecord&, const engine::QuarantineRecord&) override {
    return absl::InternalError("a generated event went to quarantine");
  }
  void Suppressed(const engine::InputRecord&) override {}

  int64_t now_ms = 0;
  processor::Shuffle shuffle;
  std::map<std::string, size_t, std::less<>> events;
};

std::string EventOf(std::mt19937_64& random, size_t number) {
  static constexpr std::string_view kParts[] = {"al",  "be", "cor", "dan", "el", "fin", "gwen",
                                                "har", "is", "jo",  "kat", "lu", "mar", "ned"};
  std::mt19937_64 person(random() % kPeople);
  auto name = [&](size_t parts) {
    std::string out;
    for (size_t i = 0; i < parts; ++i) out += kParts[person() % std::size(kParts)];
    return out;
  };
  std::string first = name(1 + person() % 3), last = name(1 + person() % 4);
  char born[16];
  std::snprintf(born, sizeof(born), "%d-%02d-%02d", static_cast<int>(1940 + person() % 75),
                static_cast<int>(1 + person() % 12), static_cast<int>(1 + person() % 28));
  return base::StrCat(R"({"id":"visit-)", number, R"(","at":"2026-03-04T05:06:07Z","guest":")",
                      first, " ", last, R"(","email":")", first, ".", last, "@",
                      name(2 + person() % 3), R"(.example","address":")", person() % 300, " ",
                      name(2 + person() % 5), R"( Street","phone":"07700 9)",
                      10'000 + person() % 90'000, R"(","born":")", born, R"(","area":"ward )",
                      person() % 4, R"("})");
}

std::string_view Member(std::string_view json, std::string_view name) {
  size_t at = json.find(base::StrCat("\"", name, "\":\""));
  if (at == json.npos) return {};
  at += name.size() + 4;
  return json.substr(at, json.find('"', at) - at);
}

// What the attacker makes of what is seen.
void Read(std::vector<Seen>& stream) {
  for (Seen& seen : stream) {
    for (std::string_view name : {"id", "guest", "email", "address", "phone"}) {
      std::string_view text = Member(seen.value, name);
      seen.lengths.push_back(text.size());
      seen.words.emplace(text);
    }
    seen.words.insert(seen.key);
    seen.shared = base::StrCat(Member(seen.value, "at"), "|", Member(seen.value, "born"), "|",
                               Member(seen.value, "area"));
  }
}

struct Signal {
  const char* name;
  std::function<std::string(const Seen&)> of;
};

const std::vector<Signal>& Signals() {
  static const auto* const kSignals = new std::vector<Signal>{
      {"timestamps", [](const Seen& s) { return base::StrCat(s.timestamp_ms); }},
      {"minutes", [](const Seen& s) { return base::StrCat(s.timestamp_ms / 60'000); }},
      {"batches", [](const Seen& s) { return base::StrCat(s.batch); }},
      {"order",
       [](const Seen& s) { return base::StrCat(s.batch, "/", s.partition, "/", s.place); }},
      {"offsets", [](const Seen& s) { return base::StrCat(s.partition, "/", s.offset); }},
      {"partitions", [](const Seen& s) { return base::StrCat(s.partition); }},
      {"lengths",
       [](const Seen& s) {
         std::string text;
         for (size_t length : s.lengths) base::StrAppend(text, length, ",");
         return text;
       }},
      {"record_length", [](const Seen& s) { return base::StrCat(s.value.size()); }},
  };
  return *kSignals;
}

struct Linked {
  double share = 0, crowd = 0;
};

// Of records that agree in `of`, beside what both audiences are meant to have.
Linked LinkedBy(const std::array<std::vector<Seen>, 2>& streams,
                const std::function<std::string(const Seen&)>& of) {
  std::map<std::string, std::vector<size_t>> there;
  for (const Seen& seen : streams[1]) there[of(seen)].push_back(seen.event);
  Linked linked;
  for (const Seen& seen : streams[0]) {
    const std::vector<size_t>& crowd = there[of(seen)];
    linked.crowd += static_cast<double>(crowd.size());
    if (std::find(crowd.begin(), crowd.end(), seen.event) != crowd.end())
      linked.share += 1.0 / static_cast<double>(crowd.size());
  }
  linked.share /= static_cast<double>(streams[0].size());
  linked.crowd /= static_cast<double>(streams[0].size());
  return linked;
}

absl::Status RunAt(double events_per_s, int64_t commit_ms, size_t count, Report& report) {
  SLUICE_ASSIGN_OR_RETURN(auto contracts,
                          contract::Contracts::LoadText({{"linkage.proto", kContract}}));
  engine::Pipeline::Options options;
  SLUICE_ASSIGN_OR_RETURN(options.contract, contracts->Compile("linkage.Visit"));
  if (!google::protobuf::TextFormat::ParseFromString(kPipeline, &options.config))
    return absl::InternalError("the bench's pipeline can't be read");
  SLUICE_ASSIGN_OR_RETURN(auto pipeline, engine::Pipeline::Compile(std::move(options)));
  base::SystemRandom system;
  SLUICE_ASSIGN_OR_RETURN(auto keyring,
                          privacy::Keyring::Create({{"a", "aa"}, {"b", "bb"}}, system));
  SLUICE_ASSIGN_OR_RETURN(auto pseudonymiser, privacy::LocalPseudonymiser::Create(keyring));
  SLUICE_ASSIGN_OR_RETURN(auto keys, privacy::NewSealingKeys(system));
  SLUICE_ASSIGN_OR_RETURN(auto sealer, privacy::Sealer::Create(keys.public_pem, system));
  SLUICE_ASSIGN_OR_RETURN(auto engine, engine::Engine::Create(pipeline, *pseudonymiser, *sealer));

  std::mt19937_64 random(7);
  std::exponential_distribution<double> wait(events_per_s / 1000);
  Sink sink;
  Topic topic;
  topic.event_of = [&](const stream::OutputRecord& record) {
    for (const base::Header& header : record.headers)
      if (header.name == "sluice-src") return sink.events.find(header.value)->second;
    return ~size_t{0};
  };
  // A chunk for each event: the order within one is the least that a slow feed gives.
  double now = 1'780'000'000'000;
  double commit_at = now + static_cast<double>(commit_ms);
  size_t batch = 0;
  for (size_t i = 0; i < count; ++i) {
    now += wait(random);
    if (now >= commit_at) {
      topic.Now(static_cast<int64_t>(commit_at), batch++);
      SLUICE_RETURN_IF_ERROR(sink.shuffle.Release(topic));
      topic.EndBatch();
      commit_at = now + static_cast<double>(commit_ms);
    }
    std::string text = EventOf(random, i);
    base::InputRecord record;
    record.topic = "raw";
    record.offset = static_cast<int64_t>(i);
    record.value = text;
    sink.now_ms = static_cast<int64_t>(now);
    SLUICE_RETURN_IF_ERROR(engine->Process({&record, 1}, sink));
  }
  topic.Now(static_cast<int64_t>(commit_at), batch);
  SLUICE_RETURN_IF_ERROR(sink.shuffle.Release(topic));
  for (std::vector<Seen>& stream : topic.streams) Read(stream);

  const std::string at =
      base::StrCat("linkage.", static_cast<int>(events_per_s), "_per_s_", commit_ms, "_ms.");
  auto add = [&](std::string_view name, const Linked& linked) {
    report.Add(base::StrCat(at, name), linked.share * 100, "% linked");
    report.Add(base::StrCat(at, name, "_crowd"), linked.crowd, "records");
  };
  for (const Signal& signal : Signals()) add(signal.name, LinkedBy(topic.streams, signal.of));
  // Any text that stands in both.
  std::map<std::string, std::vector<size_t>> words;
  for (const Seen& seen : topic.streams[1])
    for (const std::string& word : seen.words)
      if (!word.empty()) words[word].push_back(seen.event);
  double same = 0;
  for (const Seen& seen : topic.streams[0]) {
    double best = 0;
    for (const std::string& word : seen.words) {
      auto found = words.find(word);
      if (found == words.end()) continue;
      const auto& crowd = found->second;
      if (std::find(crowd.begin(), crowd.end(), seen.event) != crowd.end())
        best = std::max(best, 1.0 / static_cast<double>(crowd.size()));
    }
    same += best;
  }
  report.Add(at + "equal_texts", same / static_cast<double>(count) * 100, "% linked");
  add("shared_attributes", LinkedBy(topic.streams, [](const Seen& s) { return s.shared; }));
  add("all", LinkedBy(topic.streams, [](const Seen& s) {
        std::string text = s.shared;
        for (const char* name : {"timestamps", "batches", "lengths", "record_length"}) {
          for (const Signal& signal : Signals())
            if (signal.name == std::string_view(name)) base::StrAppend(text, "|", signal.of(s));
        }
        return text;
      }));
  return absl::OkStatus();
}

}  // namespace

absl::Status RunLinkage(const Options&, Report& report) {
  SLUICE_RETURN_IF_ERROR(RunAt(30, 100, 10'000, report));
  SLUICE_RETURN_IF_ERROR(RunAt(30, 10'000, 10'000, report));
  SLUICE_RETURN_IF_ERROR(RunAt(3'000, 100, 20'000, report));
  return RunAt(3'000, 1'000, 20'000, report);
}

}  // namespace sluice::bench
