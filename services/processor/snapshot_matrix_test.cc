// What becomes of a change at the reference service, for a processor that follows it over a network
// that fails: services/reference/matrix_test.h's table once more, and cuts at any byte.
#include <cstdlib>
#include <iostream>

#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "services/processor/remote_sets.h"
#include "services/reference/matrix_test.h"
#include "services/reference/server.h"
#include "tests/support/tcp_proxy.h"
#include "tests/support/wait_until.h"

namespace sluice::processor {
namespace {

using namespace std::chrono_literals;
using reference::MatrixData;
using reference::WriteText;
using test_support::TcpProxy;
using test_support::WaitUntil;

// A reference service of a set in a CSV file, which it reads when it is told to, and a follower of
// it behind a proxy.
class Follower;

class SnapshotHolder final : public reference::MatrixSource {
 public:
  std::string Config() const override { return ""; }
  // Also ends what kept the followers from it.
  void Put(const MatrixData& data) override;
  void Recreate(const MatrixData& data) override;
  bool PutHalf(const MatrixData& data) override;
  bool TakeAway() override;
  void BringBack() override;
  bool Freeze() override;
  void Thaw() override;

  std::string file() const { return folder_->path() + "/s.csv"; }
  // The one that was made first, of those that are there.
  std::vector<Follower*> followers;

 private:
  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("snapshots");
};

class Follower {
 public:
  explicit Follower(SnapshotHolder& holder) : holder_(holder) {
    holder_.followers.push_back(this);
    StartService();
    auto proxy = TcpProxy::Create(port_);
    EXPECT_TRUE(proxy.ok()) << proxy.status();
    proxy_ = *std::move(proxy);
    RemoteSets::Options options;
    options.channel.address = base::StrCat("127.0.0.1:", proxy_->port());
    options.channel.reconnect_backoff_ms_max = 50;
    options.channel.own_connection = true;
    options.sets = {"s"};
    options.part_max = 500ms;
    // What is wrong is told at once.
    options.age_max = 0s;
    auto sets = RemoteSets::Create(std::move(options), clock_);
    EXPECT_TRUE(sets.ok()) << sets.status();
    sets_ = *std::move(sets);
  }
  ~Follower() { std::erase(holder_.followers, this); }

  // A folder by another name has nothing of what was there.
  void StartService() {
    const std::string config = base::StrCat(folder_->path(), "/reference.yaml");
    WriteText(config,
              base::StrCat("folder: kept", folders_, "\ntrail: trail", folders_,
                           "\nlook_interval_ms: 3600000\nlisten: {grpc: \"127.0.0.1:", port_,
                           "\"}\nsets:\n  - name: s\n    csv: ", holder_.file(),
                           "\n    schema: {columns: [{name: code}, {name: label}, {name: strength, "
                           "type: integer}], key: [{column: code}]}\n"));
    auto settings = reference::LoadSettings(config);
    ASSERT_TRUE(settings.ok()) << settings.status();
    auto server = reference::Server::Create(*std::move(settings));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ASSERT_EQ(server_->Start(), absl::OkStatus());
    port_ = server_->grpc_port();
    stub_ = reference::v1::Reference::NewStub(
        *rpc::Connect({.address = base::StrCat("127.0.0.1:", port_), .own_connection = true}, ""));
  }
  void StopService() {
    stub_.reset();
    server_.reset();
  }
  void LoseFolder() {
    ++folders_;
    StopService();
    StartService();
  }
  // Of the proxy: what the follower asks from now on.
  void SetFault(TcpProxy::Fault fault) {
    fault_ = fault;
    faulty_since_ = std::chrono::steady_clock::now();
    proxy_->SetFault(fault);
  }

  // The service's, and the follower's.
  absl::Status Load() {
    std::string wanted;
    uint64_t activation = 0;
    if (server_ != nullptr) {
      grpc::ClientContext context;
      reference::v1::LoadRequest request;
      request.set_set("s");
      reference::v1::LoadResponse response;
      absl::Status loaded = rpc::FromGrpc(stub_->Load(&context, request, &response));
      if (!loaded.ok()) return loaded;
      wanted = response.id();
      activation = response.active().activation();
    }
    // With a fault, what it had before says nothing: it has heard of it since.
    auto has = [&] {
      return Active() == wanted && sets_->Look() >= activation &&
             (fault_.kind == TcpProxy::Fault::kNone ||
              *sets_->unconfirmed() < std::chrono::steady_clock::now() - faulty_since_);
    };
    const bool ends =
        fault_.kind == TcpProxy::Fault::kCut || fault_.kind == TcpProxy::Fault::kStall;
    // Until it has it, or has been kept from it.
    EXPECT_TRUE(WaitUntil(20s, [&] {
      return server_ == nullptr || has() || (ends && proxy_->answered() >= fault_.after_bytes);
    })) << Reason();
    if (has()) return absl::OkStatus();
    return absl::UnavailableError(base::StrCat("kept: ", Reason()));
  }
  std::string Active() const {
    auto state = sets_->Load([](int, const absl::Status&) {});
    return state.ok() ? (*state)->ids().at("s") : "";
  }
  std::string Reason() const { return std::string(sets_->Usable().message()); }
  reference::v1::GetStatusResponse::Set Status() const {
    reference::v1::GetStatusResponse status;
    status.add_sets();
    if (server_ != nullptr) {
      grpc::ClientContext context;
      EXPECT_TRUE(stub_->GetStatus(&context, {}, &status).ok());
    }
    // What is joined is the follower's.
    status.mutable_sets(0)->set_active_id(Active());
    return status.sets(0);
  }
  bool is_served() const { return server_ != nullptr && fault_.kind == TcpProxy::Fault::kNone; }
  std::string Metrics() const {
    return base::StrCat("sluice_reference_refused{set=\"s\"} ", Status().refusal().empty() ? 0 : 1);
  }
  RemoteSets& sets() { return *sets_; }
  TcpProxy& proxy() { return *proxy_; }

 private:
  SnapshotHolder& holder_;
  const base::SystemClock clock_;
  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("follower");
  int port_ = 0;
  int folders_ = 0;
  std::unique_ptr<reference::Server> server_;
  std::unique_ptr<reference::v1::Reference::Stub> stub_;
  std::unique_ptr<TcpProxy> proxy_;
  TcpProxy::Fault fault_;
  std::chrono::steady_clock::time_point faulty_since_;
  std::shared_ptr<RemoteSets> sets_;
};

// The version before is joined. Where the service refuses, its status says so; where the follower
// can't have what the service has, the time since the last confirmation says how old it may be.
void ExpectKept(Follower& follower, const absl::Status& loaded, const std::string& before) {
  EXPECT_FALSE(loaded.ok());
  EXPECT_EQ(follower.Active(), before);
  if (follower.is_served()) {
    EXPECT_NE(follower.Status().refusal(), "");
    return;
  }
  EXPECT_TRUE(WaitUntil(
      20s, [&] { return *follower.sets().unconfirmed() > 200ms && !follower.Reason().empty(); }));
  // A probe's `sluice_reference_unconfirmed_seconds`, and what /readyz says.
  EXPECT_THAT(follower.Reason(), ::testing::HasSubstr("hasn't confirmed its sets"));
}

void SnapshotHolder::Put(const MatrixData& data) {
  WriteText(file(), data.Csv());
  for (Follower* follower : followers) follower->SetFault({TcpProxy::Fault::kNone});
}
void SnapshotHolder::Recreate(const MatrixData& data) {
  Put(data);
  followers[0]->LoseFolder();
}
bool SnapshotHolder::PutHalf(const MatrixData& data) {
  // In the midst of the snapshot's rows: the service has it, and the follower never gets the whole.
  Put(data);
  followers[0]->SetFault({TcpProxy::Fault::kCut, 250});
  return true;
}
bool SnapshotHolder::TakeAway() {
  followers[0]->StopService();
  followers[0]->SetFault({TcpProxy::Fault::kNone});
  return true;
}
void SnapshotHolder::BringBack() { followers[0]->StartService(); }
bool SnapshotHolder::Freeze() {
  followers[0]->SetFault({TcpProxy::Fault::kStall, 0});
  return true;
}
void SnapshotHolder::Thaw() { followers[0]->SetFault({TcpProxy::Fault::kNone}); }

TEST(ChangeMatrix, OfSnapshots) {
  SnapshotHolder source;
  reference::CheckMatrix<Follower>(source);
}

// Snapshots larger than what a socket takes at once.
MatrixData ManyRows(std::string_view label) {
  MatrixData data = MatrixData::Rows(900);
  for (auto& row : data.rows) row[1] = base::StrCat(label, std::string(100, 'x'), row[1]);
  return data;
}

TEST(SnapshotFaults, ACutOrASilenceAtAnyByteOfTheAnswersIsNoVersion) {
  SnapshotHolder source;
  const std::vector<MatrixData> data = {ManyRows("old"), ManyRows("new")};
  source.Put(data[0]);
  Follower follower(source);
  ASSERT_EQ(follower.Load(), absl::OkStatus());
  follower.SetFault({TcpProxy::Fault::kNone});
  source.Put(data[1]);
  ASSERT_EQ(follower.Load(), absl::OkStatus());
  const int64_t bytes = follower.proxy().answered();
  ASSERT_GT(bytes, 100'000);
  const char* wanted = std::getenv("SLUICE_FAULT_STEP");
  const int64_t step = wanted == nullptr ? bytes / 12 : std::atoll(wanted) * 20;
  int faults = 0, kept = 0;
  std::string active = follower.Active();
  for (int64_t at = 1; at < bytes; at += at < 600 ? 211 : step, ++faults) {
    SCOPED_TRACE(at);
    const MatrixData& next = data[static_cast<size_t>(faults) % 2];
    source.Put(next);
    follower.SetFault({faults % 3 == 0 ? TcpProxy::Fault::kStall : TcpProxy::Fault::kCut, at});
    absl::Status loaded = follower.Load();
    // The one or the other, and never a part: what came before the fault may have been all of it.
    const std::string found = follower.Active();
    if (found == active) {
      ++kept;
    } else {
      EXPECT_EQ(found, (*enrichment::RowsFromText(reference::kMatrixSchema, next.Csv()))->id())
          << loaded;
    }
    follower.SetFault({TcpProxy::Fault::kNone});
    ExpectActive(follower, follower.Load(), next);
    active = follower.Active();
  }
  std::cout << faults << " faults over " << bytes << " bytes, in " << kept
            << " the version before\n";
  EXPECT_GT(kept * 2, faults);
}

TEST(SnapshotFaults, ASlowNetworkIsWaitedFor) {
  SnapshotHolder source;
  source.Put(ManyRows("old"));
  Follower follower(source);
  ASSERT_EQ(follower.Load(), absl::OkStatus());
  source.Put(ManyRows("new"));
  follower.SetFault({TcpProxy::Fault::kDelay, 0, 20ms});
  ExpectActive(follower, follower.Load(), ManyRows("new"));
}

TEST(SnapshotFaults, AFollowerEndsSoonWhateverItWaitsFor) {
  SnapshotHolder source;
  source.Put(ManyRows("old"));
  Follower follower(source);
  ASSERT_EQ(follower.Load(), absl::OkStatus());
  source.Put(ManyRows("new"));
  follower.SetFault({TcpProxy::Fault::kStall, 50'000});
  EXPECT_FALSE(follower.Load().ok());
  const auto began = std::chrono::steady_clock::now();
  follower.sets().Stop();
  EXPECT_TRUE(absl::IsUnavailable(follower.sets().Find({{"s", "0123"}}).status()));
  EXPECT_LT(std::chrono::steady_clock::now() - began, 5s);
}

}  // namespace
}  // namespace sluice::processor
