// Following the reference service: what is joined while it is there, away, frozen or another one.
#include "services/processor/remote_sets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "common/base/strings.h"
#include "common/reference/lmdb_table.h"
#include "common/reference/testing.h"
#include "common/rpc/server.h"
#include "services/processor/local_sets.h"
#include "services/reference/server.h"
#include "tests/support/free_port.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace sluice::processor {
namespace {

using namespace std::chrono_literals;
using reference::IsMapped;
using reference::WriteText;
using test_support::WaitUntil;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Time that a test moves on.
class MovedClock final : public base::Clock {
 public:
  std::chrono::steady_clock::time_point Now() const override {
    return std::chrono::steady_clock::now() + std::chrono::milliseconds(moved_ms_);
  }
  int64_t UnixMillis() const override { return base::SystemClock().UnixMillis() + moved_ms_; }
  void Move(std::chrono::milliseconds by) { moved_ms_ += by.count(); }

 private:
  std::atomic<int64_t> moved_ms_ = 0;
};

class RemoteSetsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    port_ = *test_support::FreePort();
    WriteText(path("units.csv"), "unit,name\nA,One\nB,Two\n");
    WriteText(path("codes.csv"), "code,title\n1,Theft\n");
  }
  void TearDown() override { sets_.reset(); }

  std::string path(const std::string& name) const { return folder_->path() + "/" + name; }

  // `store`: of the units.
  void StartService(const std::string& kept = "service", const std::string& store = "memory") {
    WriteText(
        path("reference.yaml"),
        base::StrCat("folder: ", kept, "\ntrail: trail-", kept,
                     "\nlook_interval_ms: 10\nlisten: {grpc: \"127.0.0.1:", port_,
                     "\"}\nsets:\n  - {name: units, csv: units.csv, ", units_, ", store: ", store,
                     "}\n  - {name: codes, csv: codes.csv, key: code, not_personal: [title]}\n"));
    auto settings = reference::LoadSettings(path("reference.yaml"));
    ASSERT_TRUE(settings.ok()) << settings.status();
    auto server = reference::Server::Create(*std::move(settings));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ASSERT_EQ(server_->Start(), absl::OkStatus());
  }
  std::set<std::string> Files(const std::string& folder) const {
    return reference::FilesIn(path(folder));
  }
  void Follow(bool keep = true, std::vector<std::string> followed = {"codes", "units"},
              const std::string& folder = "follower") {
    RemoteSets::Options options;
    options.channel.address = base::StrCat("127.0.0.1:", port_);
    options.channel.reconnect_backoff_ms_max = 100;
    options.sets = std::move(followed);
    options.age_max = 60s;
    if (keep) {
      auto shelf = reference::Shelf::Open(path(folder));
      ASSERT_TRUE(shelf.ok()) << shelf.status();
      options.shelf = *std::move(shelf);
    }
    auto sets = RemoteSets::Create(std::move(options), clock_);
    ASSERT_TRUE(sets.ok()) << sets.status();
    sets_ = *std::move(sets);
  }
  absl::StatusOr<std::shared_ptr<const SetsState>> Load() {
    return sets_->Load([](int, const absl::Status&) {});
  }
  std::shared_ptr<const SetsState> WaitForState(uint64_t after = 0) {
    EXPECT_TRUE(WaitUntil(20s, [&] { return sets_->Look() > after; })) << Load().status();
    auto state = Load();
    return state.ok() ? *state : nullptr;
  }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("remote-sets");
  std::string units_ = "key: unit, not_personal: [name]";
  MovedClock clock_;
  int port_ = 0;
  std::unique_ptr<reference::Server> server_;
  std::shared_ptr<RemoteSets> sets_;
};

TEST_F(RemoteSetsTest, HasTheSameVersionsAsSetsInItsOwnHands) {
  StartService();
  Follow();
  auto remote = WaitForState();
  ASSERT_NE(remote, nullptr);
  LocalSets::Options options;
  options.sets = {
      reference::SetFromText("name: 'codes' csv: 'codes.csv' key: 'code' not_personal: 'title'"),
      reference::SetFromText("name: 'units' csv: 'units.csv' key: 'unit' not_personal: 'name'")};
  options.sources.resolve = [this](const std::string& name) { return path(name); };
  LocalSets local(std::move(options), clock_);
  auto state = local.Load([](int, const absl::Status& status) { ADD_FAILURE() << status; });
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ((*state)->ids(), remote->ids());
}

TEST_F(RemoteSetsTest, WaitsForEverySetAndSaysForWhich) {
  std::filesystem::remove(path("codes.csv"));
  Follow();
  EXPECT_THAT(Load().status().ToString(), HasSubstr("waits for its reference sets: codes, units"));
  StartService();
  EXPECT_TRUE(WaitUntil(20s, [&] {
    return Load().status().ToString().find("has no version yet of: codes") != std::string::npos;
  })) << Load().status();
  WriteText(path("codes.csv"), "code,title\n1,Theft\n");
  ASSERT_NE(WaitForState(), nullptr);
}

TEST_F(RemoteSetsTest, TakesEachNewVersion) {
  StartService();
  Follow();
  auto first = WaitForState();
  ASSERT_NE(first, nullptr);
  WriteText(path("units.csv"), "unit,name\nA,One\nB,Two\nC,Three\n");
  auto second = WaitForState(first->activation);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->rows.at("units")->size(), 3u);
  EXPECT_EQ(second->tables.at("codes"), first->tables.at("codes")) << "what is the same stays";
}

TEST_F(RemoteSetsTest, GoesOnWithoutTheServiceUntilItsVersionsAreTooOld) {
  StartService();
  Follow();
  auto first = WaitForState();
  ASSERT_NE(first, nullptr);
  server_.reset();
  clock_.Move(55s);
  EXPECT_EQ(sets_->Usable(), absl::OkStatus());
  EXPECT_EQ(Load().value(), first);
  clock_.Move(10s);
  EXPECT_THAT(sets_->Usable().ToString(),
              AllOf(HasSubstr("UNAVAILABLE"), HasSubstr("age_s_max (60 s)")));
  StartService();
  EXPECT_TRUE(WaitUntil(20s, [&] { return sets_->Usable().ok(); }));
  EXPECT_EQ(Load().value(), first);
}

TEST_F(RemoteSetsTest, ComesBackFromItsOwnDiskWithoutTheServiceAsOldAsItIs) {
  StartService();
  Follow();
  auto first = WaitForState();
  ASSERT_NE(first, nullptr);
  server_.reset();
  sets_.reset();
  clock_.Move(30s);
  Follow();
  auto kept = Load();
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ((*kept)->ids(), first->ids());
  EXPECT_EQ((*kept)->activation, first->activation);
  EXPECT_EQ(sets_->Usable(), absl::OkStatus());
  ASSERT_TRUE(sets_->unconfirmed().has_value());
  EXPECT_GE(*sets_->unconfirmed(), 30s);
  clock_.Move(31s);
  EXPECT_TRUE(absl::IsUnavailable(sets_->Usable()));
}

TEST_F(RemoteSetsTest, AServiceThatHasLostItsFolderGoesOnAndOneThatGoesBackIsNotBelieved) {
  StartService();
  Follow();
  auto first = WaitForState();
  ASSERT_NE(first, nullptr);
  // Its activations rise by the clock.
  server_.reset();
  StartService("another");
  auto second = WaitForState(first->activation);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->ids(), first->ids());
  // The old folder comes back, with a version that was replaced since.
  server_.reset();
  WriteText(path("units.csv"), "");
  StartService("service");
  clock_.Move(61s);
  EXPECT_TRUE(WaitUntil(20s, [&] {
    return sets_->Usable().ToString().find("has gone back") != std::string::npos;
  })) << sets_->Usable();
  EXPECT_EQ(Load().value()->activation, second->activation);
}

TEST_F(RemoteSetsTest, FindsPinnedVersionsOnDiskAndAtTheService) {
  StartService();
  Follow();
  auto first = WaitForState();
  ASSERT_NE(first, nullptr);
  WriteText(path("units.csv"), "unit,name\nA,One\nB,Two\nC,Three\n");
  auto second = WaitForState(first->activation);
  ASSERT_NE(second, nullptr);
  auto pinned = sets_->Find(first->ids());
  ASSERT_TRUE(pinned.ok()) << pinned.status();
  EXPECT_EQ((*pinned)->ids(), first->ids());
  sets_.reset();
  std::filesystem::remove_all(path("follower"));
  Follow();
  pinned = sets_->Find(first->ids());
  ASSERT_TRUE(pinned.ok()) << pinned.status();
  server_.reset();
  EXPECT_TRUE(sets_->Find(first->ids()).ok()) << "kept once it was found";
  auto unknown = first->ids();
  unknown["units"] = "0123";
  EXPECT_THAT(sets_->Find(unknown).status().ToString(),
              AllOf(HasSubstr("UNAVAILABLE"), HasSubstr("pinned version 0123")));
}

TEST_F(RemoteSetsTest, AVersionThatIsDamagedOnDiskIsFetchedAgain) {
  StartService();
  Follow();
  auto first = WaitForState();
  ASSERT_NE(first, nullptr);
  sets_.reset();
  std::filesystem::resize_file(path("follower/units/" + first->ids().at("units") + ".snapshot"),
                               10);
  Follow();
  auto again = WaitForState();
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->ids(), first->ids());
}

TEST_F(RemoteSetsTest, AMappedSetIsAFileOnBothSidesWithTheSameVersions) {
  StartService("service", "mapped");
  Follow();
  auto first = WaitForState();
  ASSERT_NE(first, nullptr);
  EXPECT_TRUE(IsMapped(*first->rows.at("units")));
  EXPECT_FALSE(IsMapped(*first->rows.at("codes")));
  const std::string id = first->ids().at("units");
  auto in_memory = reference::SourceFromText(base::StrCat("name: 'units' csv: '", path("units.csv"),
                                                          "' key: 'unit' not_personal: 'name'"))
                       ->Read();
  ASSERT_TRUE(in_memory.ok()) << in_memory.status();
  EXPECT_EQ(id, (*in_memory)->id());
  EXPECT_EQ(Files("service/units"), std::set<std::string>{id + ".mapped"});
  EXPECT_EQ(Files("follower/units"), std::set<std::string>{id + ".mapped"});

  // A difference from a file is a file.
  WriteText(path("units.csv"), "unit,name\nA,One\nB,Two\nC,Three\n");
  auto second = WaitForState(first->activation);
  ASSERT_NE(second, nullptr);
  EXPECT_TRUE(IsMapped(*second->rows.at("units")));
  EXPECT_EQ(second->rows.at("units")->size(), 3u);
  EXPECT_EQ(Files("follower/units").size(), 2u);

  // Both come back from their disks.
  server_.reset();
  sets_.reset();
  std::filesystem::remove(path("units.csv"));
  Follow();
  ASSERT_TRUE(Load().ok()) << Load().status();
  EXPECT_TRUE(IsMapped(*Load().value()->rows.at("units")));
  sets_.reset();
  std::filesystem::remove_all(path("follower"));
  StartService("service", "mapped");
  Follow();
  auto again = WaitForState();
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->ids(), second->ids());
  auto pinned = sets_->Find(first->ids());
  ASSERT_TRUE(pinned.ok()) << pinned.status();
  EXPECT_TRUE(IsMapped(*(*pinned)->rows.at("units")));
}

TEST_F(RemoteSetsTest, ASetMovesIntoAFileAndOutOfItWithoutAnotherVersion) {
  StartService();
  Follow();
  auto first = WaitForState();
  ASSERT_NE(first, nullptr);
  const std::string id = first->ids().at("units");
  for (const std::string store : {"mapped", "memory"}) {
    server_.reset();
    StartService("service", store);
    const std::string kept = id + (store == "mapped" ? ".mapped" : ".snapshot");
    EXPECT_TRUE(WaitUntil(20s, [&] {
      return Files("service/units") == std::set<std::string>{kept};
    })) << store;
  }
  EXPECT_EQ(WaitForState()->ids(), first->ids());
}

// The classification of a column is no part of a version's id.
TEST_F(RemoteSetsTest, AColumnThatIsClassifiedOtherwiseArrivesWithoutAnotherVersion) {
  WriteText(path("units.csv"), "unit,name,head\nA,One,x\nB,Two,y\n");
  auto schema = [](const std::string& head) {
    return base::StrCat(
        "schema: {columns: [{name: unit}, {name: name, not_personal: true}, {name: ", "head", head,
        "}], key: [{column: unit}]}");
  };
  auto decided = [](const SetsState& state, const char* column) {
    const enrichment::Schema& schema = state.tables.at("units")->schema();
    return schema.columns()[*schema.Find(column)].classification.decided();
  };
  for (const std::string store : {"memory", "mapped"}) {
    server_.reset();
    sets_.reset();
    units_ = schema("");
    StartService("service-" + store, store);
    Follow(/*keep=*/true, {"codes", "units"}, "follower-" + store);
    auto first = WaitForState();
    ASSERT_NE(first, nullptr);
    ASSERT_FALSE(decided(*first, "head"));
    server_.reset();
    units_ = schema(", not_personal: true");
    StartService("service-" + store, store);
    auto second = WaitForState(first->activation);
    ASSERT_NE(second, nullptr);
    EXPECT_EQ(second->ids(), first->ids()) << store;
    EXPECT_TRUE(decided(*second, "head")) << store;
    EXPECT_EQ(second->tables.at("codes"), first->tables.at("codes")) << "what is the same stays";
    // It is what is kept, too.
    server_.reset();
    sets_.reset();
    Follow(/*keep=*/true, {"codes", "units"}, "follower-" + store);
    ASSERT_TRUE(Load().ok()) << Load().status();
    EXPECT_TRUE(decided(**Load(), "head")) << store;
  }
}

// Breaks each call off after so many bytes.
class Breaking final : public reference::v1::Reference::Service {
 public:
  Breaking(reference::RowsPtr rows, size_t after) : rows_(std::move(rows)), after_(after) {}

  grpc::Status Watch(grpc::ServerContext* context, const reference::v1::WatchRequest*,
                     grpc::ServerWriter<reference::v1::WatchResponse>* writer) override {
    reference::v1::WatchResponse response;
    response.mutable_active()->set_activation(7);
    (*response.mutable_active()->mutable_ids())["units"] = rows_->id();
    writer->Write(response);
    WaitUntil(20s, [&] { return context->IsCancelled(); });
    return grpc::Status::OK;
  }
  grpc::Status GetSnapshot(
      grpc::ServerContext*, const reference::v1::GetSnapshotRequest* request,
      grpc::ServerWriter<reference::v1::GetSnapshotResponse>* writer) override {
    offsets.push_back(request->offset());
    reference::v1::GetSnapshotResponse response;
    *response.mutable_head() = reference::SnapshotHeadOf("units", *rows_);
    writer->Write(response);
    size_t sent = 0;
    absl::Status all = reference::WriteBody(
        *rows_, nullptr, {request->offset(), 7}, [&](std::string_view part) -> absl::Status {
          response.set_chunk(std::string(part));
          writer->Write(response);
          sent += part.size();
          return sent < after_ ? absl::OkStatus() : absl::UnavailableError("broken off");
        });
    return all.ok() ? grpc::Status::OK : grpc::Status(grpc::StatusCode::UNAVAILABLE, "broken off");
  }

  std::vector<uint64_t> offsets;

 private:
  const reference::RowsPtr rows_;
  const size_t after_;
};

TEST_F(RemoteSetsTest, ASnapshotThatBreaksOffIsFetchedOnFromWhereItWas) {
  for (const std::string store : {"memory", "mapped"}) {
    SCOPED_TRACE(store);
    auto rows =
        reference::SourceFromText(base::StrCat("name: 'units' csv: '", path("units.csv"),
                                               "' key: 'unit' not_personal: 'name' store: ", store))
            ->Read();
    ASSERT_TRUE(rows.ok()) << rows.status();
    const uint64_t bytes = reference::SnapshotHeadOf("units", **rows).bytes();
    Breaking service(*rows, bytes / 3);
    auto server = rpc::Server::Create({.address = base::StrCat("127.0.0.1:", port_)}, {&service});
    ASSERT_TRUE(server.ok()) << server.status();
    ASSERT_EQ((*server)->Start(), absl::OkStatus());
    Follow(false, {"units"});
    auto state = WaitForState();
    ASSERT_NE(state, nullptr);
    EXPECT_EQ(state->ids().at("units"), (*rows)->id());
    EXPECT_EQ(IsMapped(*state->rows.at("units")), store == "mapped");
    EXPECT_GT(service.offsets.size(), 2u);
    EXPECT_TRUE(std::is_sorted(service.offsets.begin(), service.offsets.end()));
    EXPECT_LT(service.offsets.back(), bytes);
    sets_.reset();
    (*server)->Shutdown(1s);
  }
}

}  // namespace
}  // namespace sluice::processor
