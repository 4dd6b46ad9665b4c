// The service over its own gRPC port: what becomes active and what doesn't, what is served, and to
// whom.
#include "services/reference/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <sstream>
#include <thread>
#include <vector>

#include "common/base/strings.h"
#include "common/reference/testing.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "tests/support/certificates.h"
#include "tests/support/child_process.h"
#include "tests/support/postgres_server.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace sluice::reference {
namespace {

using namespace std::chrono_literals;
using test_support::WaitUntil;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

std::string Units(int count, std::string_view name = "n", std::string_view changed = "2026-01-01") {
  std::string csv = "unit,name,changed\n";
  for (int i = 0; i < count; ++i) base::StrAppend(csv, "U", i, ",", name, ",", changed, "\n");
  return csv;
}

class ReferenceServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteText(path("units.csv"), Units(20));
    WriteText(path("codes.csv"), "code,title\n1,Theft\n2,Fraud\n");
  }

  std::string path(const std::string& name) const { return folder_->path() + "/" + name; }

  // `sets` stands where the two sets do otherwise.
  void WriteConfig(std::string_view rest = "", std::string_view sets = "") {
    WriteText(
        path("reference.yaml"),
        base::StrCat("folder: kept\ntrail: trail.jsonl\nversions_kept: 3\nlook_interval_ms: ",
                     look_interval_ms_, "\n", rest, "sets:\n",
                     sets.empty()
                         ? "  - name: units\n"
                           "    csv: units.csv\n"
                           "    rises: changed\n"
                           "    schema: {columns: [{name: unit}, {name: name}, {name: "
                           "changed, type: date}], key: [{column: unit}]}\n"
                           "  - {name: codes, csv: codes.csv, key: code, not_personal: [title]}\n"
                         : sets));
  }
  void Start() {
    auto settings = LoadSettings(path("reference.yaml"));
    ASSERT_TRUE(settings.ok()) << settings.status();
    auto server = Server::Create(*std::move(settings));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ASSERT_EQ(server_->Start(), absl::OkStatus());
    stub_ = Stub();
  }
  std::unique_ptr<v1::Reference::Stub> Stub(
      const std::optional<rpc::TlsFiles>& tls = std::nullopt) {
    auto channel = rpc::Connect({.address = base::StrCat("localhost:", server_->grpc_port()),
                                 .tls = tls,
                                 .reconnect_backoff_ms_max = 100},
                                "test");
    EXPECT_TRUE(channel.ok()) << channel.status();
    return v1::Reference::NewStub(*channel);
  }

  template <typename Response, typename Request>
  absl::Status Call(grpc::Status (v1::Reference::Stub::*method)(grpc::ClientContext*,
                                                                const Request&, Response*),
                    const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    return rpc::FromGrpc(((*stub_).*method)(&context, request, &response));
  }
  v1::GetStatusResponse Status() {
    v1::GetStatusResponse response;
    EXPECT_EQ(Call(&v1::Reference::Stub::GetStatus, v1::GetStatusRequest(), response),
              absl::OkStatus());
    return response;
  }
  v1::GetStatusResponse::Set StatusOf(const std::string& set) {
    v1::GetStatusResponse status = Status();
    for (const auto& found : status.sets())
      if (found.name() == set) return found;
    return {};
  }
  std::string Active(const std::string& set) { return StatusOf(set).active_id(); }
  // Until the set is at another version than this one.
  std::string WaitForChange(const std::string& set, const std::string& from) {
    EXPECT_TRUE(WaitUntil(20s, [&] { return Active(set) != from; })) << StatusOf(set).refusal();
    return Active(set);
  }
  std::string WaitForRefusal(const std::string& set) {
    EXPECT_TRUE(WaitUntil(20s, [&] { return !StatusOf(set).refusal().empty(); }));
    return StatusOf(set).refusal();
  }
  absl::Status Load(const std::string& set, bool accept = false, std::string_view why = "") {
    v1::LoadRequest request;
    request.set_set(set);
    request.set_accept_change(accept);
    request.set_justification(std::string(why));
    v1::LoadResponse response;
    return Call(&v1::Reference::Stub::Load, request, response);
  }
  absl::Status Rollback(const std::string& set) {
    v1::RollbackRequest request;
    request.set_set(set);
    request.set_justification("a test");
    v1::RollbackResponse response;
    return Call(&v1::Reference::Stub::Rollback, request, response);
  }
  absl::StatusOr<Snapshot> Get(const v1::GetSnapshotRequest& request) {
    grpc::ClientContext context;
    auto reader = stub_->GetSnapshot(&context, request);
    Snapshot snapshot;
    v1::GetSnapshotResponse part;
    while (reader->Read(&part)) {
      if (part.has_head()) snapshot.head = part.head();
      snapshot.body += part.chunk();
    }
    absl::Status status = rpc::FromGrpc(reader->Finish());
    if (!status.ok()) return status;
    return snapshot;
  }
  std::string Trail() { return test_support::ReadFile(path("trail.jsonl")); }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("reference");
  int look_interval_ms_ = 10;
  std::unique_ptr<Server> server_;
  std::unique_ptr<v1::Reference::Stub> stub_;
};

TEST_F(ReferenceServerTest, ServesWhatItsSourcesHaveAndFollowsThem) {
  WriteConfig();
  Start();
  std::string first = WaitForChange("units", "");
  WaitForChange("codes", "");
  v1::ListSetsResponse sets;
  ASSERT_EQ(Call(&v1::Reference::Stub::ListSets, v1::ListSetsRequest(), sets), absl::OkStatus());
  ASSERT_EQ(sets.sets_size(), 2);
  EXPECT_EQ(sets.sets(0).schema().columns_size(), 3);
  EXPECT_EQ(sets.sets(0).versions(0).id(), first);
  EXPECT_EQ(sets.sets(0).versions(0).rows(), 20u);

  WriteText(path("units.csv"), Units(21));
  std::string second = WaitForChange("units", first);
  auto snapshot = Get([] {
    v1::GetSnapshotRequest request;
    request.set_set("units");
    return request;
  }());
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  auto rows = ReadSnapshot(*snapshot);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ((*rows)->id(), second);
  EXPECT_EQ((*rows)->size(), 21u);
}

TEST_F(ReferenceServerTest, OnlyTheDifferenceIsSentToWhoHasAVersionAndACallIsResumed) {
  WriteText(path("units.csv"), Units(1000));
  WriteConfig();
  Start();
  std::string first = WaitForChange("units", "");
  v1::GetSnapshotRequest request;
  request.set_set("units");
  auto whole = Get(request);
  ASSERT_TRUE(whole.ok());
  RowsPtr rows = *ReadSnapshot(*whole);
  // Where it broke off.
  request.set_id(first);
  request.set_offset(whole->body.size() / 3);
  auto rest = Get(request);
  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(whole->body.substr(request.offset()), rest->body);
  request.set_offset(whole->body.size() + 1);
  EXPECT_EQ(Get(request).status().code(), absl::StatusCode::kOutOfRange);

  WriteText(path("units.csv"), Units(1001));
  std::string second = WaitForChange("units", first);
  request.set_offset(0);
  request.set_id(second);
  request.set_base_id(first);
  auto difference = Get(request);
  ASSERT_TRUE(difference.ok());
  EXPECT_LT(difference->body.size(), 100u);
  EXPECT_EQ((*ReadSnapshot(*difference, rows.get()))->id(), second);
  // Another base than any that is kept: the whole.
  request.set_base_id("0123");
  EXPECT_EQ(Get(request)->head.base_id(), "");
  request.set_id("0123");
  EXPECT_TRUE(absl::IsNotFound(Get(request).status()));
}

TEST_F(ReferenceServerTest, WatchTellsOfEachChangeAndBeats) {
  WriteConfig();
  Start();
  std::string first = WaitForChange("units", "");
  WaitForChange("codes", "");
  grpc::ClientContext context;
  v1::WatchRequest request;
  request.add_sets("units");
  auto reader = stub_->Watch(&context, request);
  v1::WatchResponse response;
  ASSERT_TRUE(reader->Read(&response));
  uint64_t activation = response.active().activation();
  EXPECT_THAT(response.active().ids(), UnorderedElementsAre(Pair("units", first)));
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.active().activation(), activation) << "a beat";
  WriteText(path("units.csv"), Units(22));
  while (response.active().activation() == activation) ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.active().ids().at("units"), Active("units"));
  EXPECT_EQ(Status().watchers(), 1u);
  context.TryCancel();
  EXPECT_TRUE(WaitUntil(20s, [&] { return Status().watchers() == 0; }));
}

TEST_F(ReferenceServerTest, WhatIsWrongStaysOutTheLastGoodOneGoesOnAndTheReasonShows) {
  WriteConfig();
  Start();
  std::string good = WaitForChange("units", "");
  struct Case {
    std::string text, reason;
  };
  for (const Case& wrong : {
           Case{Units(10), "more than shrink_percent_max (10) are missing"},
           Case{"", "no header"},
           Case{"unit,name,changed\n", "there are no rows"},
           Case{Units(20).substr(0, Units(20).size() / 2), "isn't a date"},
           Case{Units(20, "n", "2025-12-31"), "is older than the version in use"},
           Case{Units(20) + "U1,twice,2026-01-02\n", "this key stands in"},
           Case{Units(20, "n", "yesterday"), "line 2: column 'changed': isn't a date"},
       }) {
    WriteText(path("units.csv"), wrong.text);
    EXPECT_TRUE(WaitUntil(
        20s, [&] { return StatusOf("units").refusal().find(wrong.reason) != std::string::npos; }))
        << wrong.reason << " / " << StatusOf("units").refusal();
    EXPECT_EQ(Active("units"), good);
  }
  EXPECT_GE(StatusOf("units").loads_refused(), 7u);
  EXPECT_THAT(Trail(), Not(HasSubstr("Load"))) << "nobody asked for it";
  WriteText(path("units.csv"), Units(20, "mended"));
  WaitForChange("units", good);
  EXPECT_EQ(StatusOf("units").refusal(), "");
}

TEST_F(ReferenceServerTest, ALoadThatIsAskedForSaysWhatIsWrongAndMayBeAccepted) {
  look_interval_ms_ = 3'600'000;
  WriteConfig();
  Start();
  ASSERT_EQ(Load("units"), absl::OkStatus());
  std::string good = Active("units");
  WriteText(path("units.csv"), Units(5));
  EXPECT_THAT(Load("units").ToString(),
              AllOf(HasSubstr("FAILED_PRECONDITION"), HasSubstr("are missing")));
  EXPECT_TRUE(absl::IsInvalidArgument(Load("units", true)));
  EXPECT_EQ(Active("units"), good);
  EXPECT_EQ(Load("units", true, "the force was split up"), absl::OkStatus());
  EXPECT_NE(Active("units"), good);
  WriteText(path("units.csv"), "unit,name,changed\n");
  EXPECT_FALSE(Load("units", true, "never").ok()) << "no rows are none, whoever accepts it";
  EXPECT_TRUE(absl::IsNotFound(Load("unitz")));
  EXPECT_THAT(Trail(), AllOf(HasSubstr("the force was split up"), HasSubstr("units=")));
  trail::Head head;
  std::string writer;
  EXPECT_EQ(trail::Verify(Trail(), writer, head), absl::OkStatus());
}

TEST_F(ReferenceServerTest, ARollbackHoldsTheSetUntilItIsReleased) {
  WriteConfig();
  Start();
  std::string first = WaitForChange("units", "");
  EXPECT_THAT(Rollback("units").ToString(), HasSubstr("was active before"));
  WriteText(path("units.csv"), Units(21));
  std::string second = WaitForChange("units", first);
  uint64_t activation = Status().activation();
  ASSERT_EQ(Rollback("units"), absl::OkStatus());
  EXPECT_EQ(Active("units"), first);
  EXPECT_GT(Status().activation(), activation) << "going back is a step forward";
  EXPECT_TRUE(StatusOf("units").held());
  WriteText(path("units.csv"), Units(22));
  // Seen, and not taken: another set's change is.
  std::string codes = Active("codes");
  WriteText(path("codes.csv"), "code,title\n1,Theft\n2,Fraud\n3,Arson\n");
  WaitForChange("codes", codes);
  EXPECT_EQ(Active("units"), first);
  v1::ActivateRequest release;
  release.set_set("units");
  release.set_release(true);
  v1::ActivateResponse released;
  EXPECT_TRUE(absl::IsInvalidArgument(Call(&v1::Reference::Stub::Activate, release, released)));
  release.set_justification("mended");
  ASSERT_EQ(Call(&v1::Reference::Stub::Activate, release, released), absl::OkStatus());
  std::string third = WaitForChange("units", first);
  EXPECT_NE(third, second);
  EXPECT_FALSE(StatusOf("units").held());
}

TEST_F(ReferenceServerTest, WhatWasActiveComesBackAfterARestartWithoutItsSource) {
  WriteConfig();
  Start();
  std::string units = WaitForChange("units", ""), codes = WaitForChange("codes", "");
  uint64_t activation = Status().activation();
  server_.reset();
  std::filesystem::remove(path("units.csv"));
  Start();
  EXPECT_EQ(Active("units"), units);
  EXPECT_EQ(Active("codes"), codes);
  EXPECT_EQ(Status().activation(), activation);
  EXPECT_THAT(WaitForRefusal("units"), HasSubstr("units.csv: can't be read"));
}

TEST_F(ReferenceServerTest, AFrozenDatabaseIsToldOfAndDoesNotKeepTheServiceFromEnding) {
  auto database = test_support::PostgresServer::Create();
  ASSERT_TRUE(database.ok()) << database.status();
  ASSERT_EQ((*database)->Start(), absl::OkStatus());
  ASSERT_EQ((*database)->Execute("CREATE TABLE units AS SELECT 'A' AS unit"), absl::OkStatus());
  auto set = [&](std::string_view name, int timeout_ms) {
    return base::StrCat(
        "  - name: ", name, "\n    postgres: {connection: \"", (*database)->connection(),
        "\", query: select unit from units, look_interval_ms: 100, "
        "statement_timeout_ms: ",
        timeout_ms, "}\n    schema: {columns: [{name: unit}], key: [{column: unit}]}\n");
  };
  WriteConfig("", set("soon", 100) + set("late", 600'000));
  Start();
  const std::string soon = WaitForChange("soon", ""), late = WaitForChange("late", "");
  (*database)->Freeze();
  EXPECT_THAT(WaitForRefusal("soon"), HasSubstr("the server doesn't answer in time"));
  EXPECT_EQ(Active("soon"), soon);
  EXPECT_GT(StatusOf("soon").confirmed_seconds(), 3);
  EXPECT_EQ(StatusOf("late").refusal(), "") << "it may take ten minutes";
  const auto began = std::chrono::steady_clock::now();
  server_->Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - began, 5s);
}

TEST_F(ReferenceServerTest, HowOldTheLastConfirmedReadIsComesFromTheSourceNotFromTheLook) {
  WriteConfig("",
              "  - {name: units, csv: units.csv, key: unit, full_read_interval_ms: 3600000}\n"
              "  - {name: codes, csv: codes.csv, key: code, full_read_interval_ms: 1000}\n");
  Start();
  WaitForChange("units", "");
  WaitForChange("codes", "");
  // Both are looked at all the time; one is read.
  ASSERT_TRUE(WaitUntil(20s, [&] {
    auto units = StatusOf("units"), codes = StatusOf("codes");
    return units.confirmed_seconds() > 1.5 &&
           codes.confirmed_seconds() < units.confirmed_seconds() && units.looked_seconds() < 1;
  }));
  EXPECT_EQ(StatusOf("codes").full_read_interval_seconds(), 1);
  // A refused version confirms nothing, and stays to be seen when another was taken.
  WriteText(path("codes.csv"), "code,title\n1,Theft\n1,Fraud\n");
  WaitForRefusal("codes");
  ASSERT_TRUE(WaitUntil(20s, [&] { return StatusOf("codes").confirmed_seconds() > 2.5; }));
  WriteText(path("codes.csv"), "code,title\n1,Theft\n2,Fraud\n");
  ASSERT_TRUE(WaitUntil(20s, [&] { return StatusOf("codes").confirmed_seconds() < 1; }));
  EXPECT_EQ(StatusOf("codes").refusal(), "");
  EXPECT_THAT(StatusOf("codes").last_refusal(), HasSubstr("this key stands in"));
  EXPECT_GT(StatusOf("codes").last_refused_unix_ms(), 0);
}

TEST_F(ReferenceServerTest, SetsOfOneGroupChangeTogetherOrNotAtAll) {
  WriteConfig(
      "",
      "  - {name: units, csv: units.csv, key: unit, not_personal: [name, changed], group: g}\n"
      "  - {name: codes, csv: codes.csv, key: code, not_personal: [title], group: g}\n");
  Start();
  std::string units = WaitForChange("units", ""), codes = Active("codes");
  EXPECT_NE(codes, "");
  WriteText(path("codes.csv"), "code,title\n1,Theft\n1,Fraud\n");
  WaitForRefusal("codes");
  WriteText(path("units.csv"), Units(21));
  EXPECT_THAT(Load("units").ToString(), HasSubstr("they change together"));
  EXPECT_EQ(Active("units"), units);
  grpc::ClientContext context;
  v1::WatchRequest request;
  request.add_sets("units");
  request.add_sets("codes");
  auto reader = stub_->Watch(&context, request);
  v1::WatchResponse response;
  ASSERT_TRUE(reader->Read(&response));
  WriteText(path("codes.csv"), "code,title\n1,Theft\n2,Arson\n");
  while (response.active().ids().at("codes") == codes) ASSERT_TRUE(reader->Read(&response));
  EXPECT_NE(response.active().ids().at("units"), units) << "in one step";
}

TEST_F(ReferenceServerTest, LookupAnswersInBatches) {
  WriteConfig();
  Start();
  std::string first = WaitForChange("units", "");
  v1::LookupRequest request;
  request.set_set("units");
  request.add_questions()->add_key("U3");
  request.add_questions()->add_key("nobody");
  v1::LookupResponse response;
  ASSERT_EQ(Call(&v1::Reference::Stub::Lookup, request, response), absl::OkStatus());
  EXPECT_EQ(response.id(), first);
  ASSERT_EQ(response.rows_size(), 2);
  EXPECT_THAT(response.rows(0).values(), UnorderedElementsAre(Pair("unit", "U3"), Pair("name", "n"),
                                                              Pair("changed", "2026-01-01")));
  EXPECT_FALSE(response.rows(1).found());
  // Of a version that was active before.
  WriteText(path("units.csv"), Units(20, "new"));
  WaitForChange("units", first);
  request.set_id(first);
  ASSERT_EQ(Call(&v1::Reference::Stub::Lookup, request, response), absl::OkStatus());
  EXPECT_EQ(response.rows(0).values().at("name"), "n");
  request.add_questions();
  EXPECT_THAT(Call(&v1::Reference::Stub::Lookup, request, response).ToString(),
              HasSubstr("questions[2]: key: has 0 values"));
  for (int i = 0; i < 1000; ++i) request.add_questions()->add_key("x");
  EXPECT_TRUE(absl::IsInvalidArgument(Call(&v1::Reference::Stub::Lookup, request, response)));
}

TEST_F(ReferenceServerTest, OverTlsEachCallerMayDoWhatAccessSaysAndNothingElse) {
  test_support::Certificates certificates;
  auto own = certificates.Issue("ca", "server", "DNS:localhost");
  WriteConfig(base::StrCat(
      "listen: {tls: {certificate: ", own.certificate, ", private_key: ", own.private_key,
      ", client_ca: ", own.authority, "}}\naccess:\n",
      "  - {caller: \"spiffe://force/processor\", may: [read], sets: [units]}\n",
      "  - {caller: keeper.force, may: [read, manage, look]}\n"));
  Start();
  auto as = [&](const std::string& name, const std::string& names) {
    auto files = certificates.Issue("ca", name, names);
    stub_ = Stub(rpc::TlsFiles{files.certificate, files.private_key, files.authority});
  };
  as("keeper", "DNS:keeper.force");
  WaitForChange("units", "");
  EXPECT_EQ(Load("units"), absl::OkStatus());

  as("processor", "URI:spiffe://force/processor");
  v1::GetSnapshotRequest request;
  request.set_set("units");
  EXPECT_TRUE(Get(request).ok());
  request.set_set("codes");
  EXPECT_TRUE(absl::IsPermissionDenied(Get(request).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(Load("units")));
  EXPECT_TRUE(absl::IsPermissionDenied(Rollback("units")));
  v1::GetStatusResponse status;
  EXPECT_TRUE(absl::IsPermissionDenied(
      Call(&v1::Reference::Stub::GetStatus, v1::GetStatusRequest(), status)));
  v1::ListSetsResponse sets;
  ASSERT_EQ(Call(&v1::Reference::Stub::ListSets, v1::ListSetsRequest(), sets), absl::OkStatus());
  EXPECT_EQ(sets.sets_size(), 1) << "only those that it may read";
  {
    grpc::ClientContext context;
    v1::WatchRequest watch;
    watch.add_sets("units");
    watch.add_sets("codes");
    auto reader = stub_->Watch(&context, watch);
    v1::WatchResponse response;
    EXPECT_FALSE(reader->Read(&response));
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  }

  as("stranger", "DNS:stranger");
  EXPECT_TRUE(
      absl::IsPermissionDenied(Call(&v1::Reference::Stub::ListSets, v1::ListSetsRequest(), sets)));
  EXPECT_TRUE(WaitUntil(20s, [&] {
    return Trail().find("\"who\":\"stranger\"") != std::string::npos;
  })) << "refused before its call, and written a moment later";
  EXPECT_THAT(Trail(),
              AllOf(HasSubstr("\"who\":\"spiffe://force/processor\""), HasSubstr("refused")));

  // Names without end, of a caller that may do something and of one that may not.
  const size_t before = Trail().size();
  for (const char* caller : {"processor", "stranger"}) {
    as(caller,
       std::string(caller) == "processor" ? "URI:spiffe://force/processor" : "DNS:stranger");
    for (int i = 0; i < 50; ++i) {
      v1::LookupRequest lookup;
      lookup.set_set(base::StrCat(std::string(2'000'000, 'x'), i));
      v1::LookupResponse none;
      EXPECT_FALSE(Call(&v1::Reference::Stub::Lookup, lookup, none).ok());
    }
  }
  server_.reset();
  EXPECT_LT(Trail().size() - before, 10'000u);
}

// SLUICE_ATTACK_S: how long.
TEST_F(ReferenceServerTest, AProcessorIsServedWhateverOthersDo) {
  const char* given = std::getenv("SLUICE_ATTACK_S");
  const std::chrono::seconds duration(given == nullptr ? 3 : std::atoi(given));
  test_support::Certificates certificates;
  auto own = certificates.Issue("ca", "server", "DNS:localhost");
  WriteConfig(base::StrCat("listen: {tls: {certificate: ", own.certificate,
                           ", private_key: ", own.private_key, ", client_ca: ", own.authority,
                           "}}\naccess:\n", "  - {caller: processor.force, may: [read, look]}\n",
                           "  - {caller: greedy.force, may: [read], sets: [codes]}\n"));
  Start();
  auto as = [&](const std::string& name) {
    auto files = certificates.Issue("ca", name, "DNS:" + name);
    return Stub(rpc::TlsFiles{files.certificate, files.private_key, files.authority});
  };
  stub_ = as("processor.force");
  WaitForChange("units", "");
  WaitForChange("codes", "");
  auto greedy = as("greedy.force"), stranger = as("stranger.force");

  // Streams that are opened and never read.
  struct Open {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::WatchResponse>> reader;
  };
  std::vector<std::unique_ptr<Open>> streams;
  v1::WatchRequest watch;
  watch.add_sets("codes");
  for (auto* stub : {greedy.get(), stranger.get()}) {
    for (int i = 0; i < 90; ++i) {
      auto& open = *streams.emplace_back(std::make_unique<Open>());
      open.reader = stub->Watch(&open.context, watch);
    }
  }
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  auto every = [&](std::chrono::milliseconds pace, auto act) {
    threads.emplace_back([&stop, pace, act] {
      for (auto next = std::chrono::steady_clock::now(); !stop; next += pace) {
        std::this_thread::sleep_until(next);
        act();
      }
    });
  };
  auto look_up = [](v1::Reference::Stub& stub, const std::string& set) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    v1::LookupRequest request;
    request.set_set(set);
    request.add_questions()->add_key(set == "units" ? "U1" : "1");
    v1::LookupResponse response;
    return rpc::FromGrpc(stub.Lookup(&context, request, &response));
  };
  every(20ms, [&] { look_up(*stranger, "units").IgnoreError(); });
  every(50ms, [&] { look_up(*greedy, "units").IgnoreError(); });
  every(100ms, [&] { look_up(*greedy, std::string(2'000'000, 'x')).IgnoreError(); });

  const auto end = std::chrono::steady_clock::now() + duration;
  for (auto next = std::chrono::steady_clock::now(); next < end; next += 20ms) {
    std::this_thread::sleep_until(next);
    ASSERT_EQ(look_up(*stub_, "units"), absl::OkStatus());
  }
  EXPECT_LE(Status().watchers(), 64u) << "one caller's share";
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (auto& open : streams) open->context.TryCancel();
  v1::WatchResponse none;
  EXPECT_FALSE(streams.back()->reader->Read(&none));
  EXPECT_LT(Trail().size(), 20'000u);
  streams.clear();
  stub_.reset();
  server_.reset();
  Start();
}

TEST_F(ReferenceServerTest, MistakesOfTheConfigurationAreNamedAllAtOnce) {
  WriteText(
      path("reference.yaml"),
      "folder: kept\ntrail: t\nversions_kept: 1\naccess: [{caller: a, may: [], sets: [x]}]\n"
      "sets:\n  - {name: a, csv: a.csv, key: k}\n  - {name: a, store: mapped, topic: {name: "
      "t}, key: k}\n"
      "  - {name: p, group: g, csv: p.csv, schema: {kind: nearest, columns: [{name: id}, {name: "
      "y, type: number}, {name: x, type: number}], key: [{column: id}], point: {latitude: y, "
      "longitude: x, max_metres: 50, within: a}}}\n");
  EXPECT_THAT(LoadSettings(path("reference.yaml")).status().ToString(),
              AllOf(HasSubstr(":3: versions_kept: must be 2"), HasSubstr("set listen.tls"),
                    HasSubstr("access[0].may: name at least one"),
                    HasSubstr("access[0].sets[0]: there is no such set"),
                    HasSubstr("sets[1].store: a topic's rows are held in memory"),
                    HasSubstr(":7: sets[1].name: is another set's too"),
                    HasSubstr("sets[1].key: only a CSV source"),
                    HasSubstr("sets[2].schema.point.within: must be a set of the same group"),
                    HasSubstr("kafka.brokers: name at least one")));
}

size_t LoadedSets(const std::string& log) {
  size_t count = 0;
  for (size_t at = 0; (at = log.find("version_active", at)) != log.npos; ++at) ++count;
  return count;
}

// SLUICE_STOP_ROWS makes the sets larger.
TEST_F(ReferenceServerTest, TheProcessEndsSoonWhateverItDoesWithALargeSet) {
  const char* wanted = std::getenv("SLUICE_STOP_ROWS");
  const int64_t count = wanted == nullptr ? 200'000 : std::atoll(wanted);
  std::string csv = "unit,name\n";
  for (int64_t i = 0; i < count; ++i) base::StrAppend(csv, i * 7919 % count, ",n", i, "\n");
  WriteText(path("units.csv"), csv);
  // One ring, of as many points: a comb, each of whose teeth is as high as the map.
  std::string ring;
  for (int64_t i = 0; i < count; ++i) {
    base::StrAppend(ring, "[", static_cast<double>(i) * 100 / static_cast<double>(count), ",",
                    i % 2 == 0 ? 1 : 2, "],");
  }
  WriteText(path("areas.geojson"),
            base::StrCat(R"({"type":"FeatureCollection","features":[{"type":"Feature",)"
                         R"("properties":{"code":"A"},"geometry":{"type":"Polygon",)"
                         R"("coordinates":[[)",
                         ring, R"([100,0],[0,0],[0,1]]]}}]})"));
  WriteConfig("",
              "  - {name: units, csv: units.csv, key: unit, not_personal: [name]}\n"
              "  - {name: mapped, csv: units.csv, key: unit, not_personal: [name], store: mapped}\n"
              "  - {name: areas, geojson: areas.geojson, schema: {kind: area, columns: [{name: "
              "code}, {name: shape, type: area}], key: [{column: code}]}}\n");
  // By what the process has done so far: at its start, while it reads, sorts, builds and writes.
  for (int tenths : {0, 1, 3, 6, 10, 15}) {
    SCOPED_TRACE(tenths);
    std::filesystem::remove_all(path("kept"));
    std::filesystem::remove(path("log"));
    auto process = test_support::ChildProcess::Start(
        {{std::string(std::getenv("SLUICE_BINARY_DIR")) + "/services/reference/sluice-reference",
          "--config", path("reference.yaml")},
         {},
         path("log"),
         ""});
    ASSERT_TRUE(process.ok()) << process.status();
    const std::string stat = base::StrCat("/proc/", (*process)->pid(), "/stat");
    // Whatever it has done by then, where it needs less.
    EXPECT_TRUE(WaitUntil(60s, [&] {
      std::string text = test_support::ReadFile(stat);
      std::istringstream fields(text.substr(std::min(text.rfind(')') + 2, text.size())));
      std::string skipped;
      int64_t user = 0, system = 0;
      for (int i = 0; i < 11; ++i) fields >> skipped;
      fields >> user >> system;
      return (user + system) * 10 >= int64_t{tenths} * count / 200'000 * sysconf(_SC_CLK_TCK) ||
             LoadedSets((*process)->Output()) == 3;
    }));
    ASSERT_EQ((*process)->Signal(SIGTERM), absl::OkStatus());
    auto ended = (*process)->Wait(5s);
    ASSERT_TRUE(ended.ok()) << ended.status();
    // The signal itself, where it came before the process had said what becomes of it.
    if (ended->signal != SIGTERM) {
      EXPECT_EQ(*ended, test_support::Exit{});
    }
    EXPECT_THAT((*process)->Output(), Not(HasSubstr("still being read")));
  }
}

TEST_F(ReferenceServerTest, TheProcessServesMetricsSaysWhatItWaitsForAndEndsWhenItIsTold) {
  std::filesystem::remove(path("codes.csv"));
  WriteConfig();
  auto process = test_support::ChildProcess::Start(
      {{std::string(std::getenv("SLUICE_BINARY_DIR")) + "/services/reference/sluice-reference",
        "--config", path("reference.yaml")},
       {},
       path("log"),
       ""});
  ASSERT_TRUE(process.ok()) << process.status();
  ASSERT_EQ((*process)->WaitForOutput("version_refused", 20s), absl::OkStatus());
  EXPECT_THAT((*process)->Output(), HasSubstr("codes.csv: can't be read"));
  WriteText(path("codes.csv"), "code,title\n1,Theft\n");
  EXPECT_TRUE(WaitUntil(20s, [&] {
    std::string log = (*process)->Output();
    return log.find("\"set\":\"codes\",\"id\"") != std::string::npos;
  })) << (*process)->Output();
  ASSERT_EQ((*process)->Signal(SIGTERM), absl::OkStatus());
  auto ended = (*process)->Wait(20s);
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(*ended, test_support::Exit{});
}

}  // namespace
}  // namespace sluice::reference
