// What operators see and do over gRPC, with TLS and without.
#include "services/ctl/status_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "common/base/clock.h"
#include "common/rpc/server.h"
#include "services/ctl/testing.h"
#include "sluice/processor/v1/processor.grpc.pb.h"
#include "sluice/pseudonymiser/v1/pseudonymiser.grpc.pb.h"
#include "sluice/reference/v1/reference.grpc.pb.h"
#include "tests/support/certificates.h"

namespace sluice::ctl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// A processor that answers as it is told.
class FakeProcessor final : public processor::v1::Processor::Service {
 public:
  FakeProcessor() {
    status.set_plan("0123456789abcdef");
    status.set_events_in(100);
    status.set_events_clean(90);
    status.set_events_quarantined(10);
    (*status.mutable_epochs())["desk"] = 3;
    (*status.mutable_snapshots())["boroughs"] = "b1";
    auto& worker = *status.add_workers();
    worker.set_state("running");
    for (int i = 0; i < 2; ++i) {
      auto& partition = *worker.add_partitions();
      partition.set_topic("raw");
      partition.set_partition(i);
      partition.set_next_offset(50);
      partition.set_lag_records(7);
      partition.set_lag_seconds(i + 0.5);
    }
  }
  grpc::Status GetStatus(grpc::ServerContext*, const processor::v1::GetStatusRequest*,
                         processor::v1::GetStatusResponse* response) override {
    *response = status;
    status.set_events_in(status.events_in() + 1000);
    return grpc::Status::OK;
  }
  grpc::Status Pause(grpc::ServerContext*, const processor::v1::PauseRequest*,
                     processor::v1::PauseResponse*) override {
    status.mutable_workers(0)->set_state("paused");
    return grpc::Status::OK;
  }
  grpc::Status Resume(grpc::ServerContext*, const processor::v1::ResumeRequest*,
                      processor::v1::ResumeResponse*) override {
    return {grpc::StatusCode::PERMISSION_DENIED, "listen.callers doesn't name 'me'"};
  }

  processor::v1::GetStatusResponse status;
};

class FakePseudonymiser final : public pseudonymiser::v1::Pseudonymiser::Service {
 public:
  FakePseudonymiser() {
    domains.set_generation(5);
    for (const char* name : {"intelligence", "public"}) {
      auto& domain = *domains.add_domains();
      domain.set_name(name);
      for (uint32_t epoch : {1u, 2u}) domain.add_epochs()->set_number(epoch);
    }
    // Three and a half days ago, and nobody knows when.
    auto& begun = *domains.mutable_domains(0)->mutable_epochs(1)->mutable_begun();
    begun.set_seconds(base::SystemClock().UnixMillis() / 1000 - 302'400);
  }
  grpc::Status ListDomains(grpc::ServerContext*, const pseudonymiser::v1::ListDomainsRequest*,
                           pseudonymiser::v1::ListDomainsResponse* response) override {
    *response = domains;
    return grpc::Status::OK;
  }
  grpc::Status ListLockedCallers(grpc::ServerContext*,
                                 const pseudonymiser::v1::ListLockedCallersRequest*,
                                 pseudonymiser::v1::ListLockedCallersResponse* response) override {
    *response = locked;
    return may_see_locked ? grpc::Status::OK
                          : grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "the policy");
  }

  pseudonymiser::v1::ListDomainsResponse domains;
  pseudonymiser::v1::ListLockedCallersResponse locked;
  bool may_see_locked = true;
};

class FakeReference final : public reference::v1::Reference::Service {
 public:
  FakeReference() {
    auto& set = *status.add_sets();
    set.set_name("boroughs");
    set.set_active_id("b10123456789abcdef");
    set.set_rows(33);
    set.set_age_seconds(7'300);
    set.set_looked_seconds(3);
  }
  grpc::Status GetStatus(grpc::ServerContext*, const reference::v1::GetStatusRequest*,
                         reference::v1::GetStatusResponse* response) override {
    *response = status;
    return grpc::Status::OK;
  }

  reference::v1::GetStatusResponse status;
};

class StatusCommandTest : public ::testing::Test {
 protected:
  void Serve(std::optional<rpc::TlsFiles> tls = {}) {
    rpc::ServerOptions options;
    options.tls = std::move(tls);
    server_ = *rpc::Server::Create(options, {&fake_, &pseudonymiser_, &reference_});
    ASSERT_TRUE(server_->Start().ok());
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(server_->port()); }
  Ended Ctl(std::vector<std::string> arguments, Terminal terminal = {}) {
    arguments.insert(arguments.begin() + 1, address());
    return RunCtl(std::move(arguments), "", terminal);
  }

  // Of what isn't a processor.
  Ended Look(const std::vector<std::string>& more, const char* command = "status") {
    std::vector<std::string> arguments = {command};
    for (const std::string& word : more) arguments.push_back(word == "HERE" ? address() : word);
    return RunCtl(std::move(arguments));
  }

  FakeProcessor fake_;
  FakePseudonymiser pseudonymiser_;
  FakeReference reference_;
  std::unique_ptr<rpc::Server> server_;
};

TEST_F(StatusCommandTest, SaysStateLagEpochsAndSnapshots) {
  Serve();
  Ended ended = Ctl({"status", "--partitions"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, AllOf(HasSubstr("running"), HasSubstr("14   1.5"), HasSubstr("desk=3"),
                               HasSubstr("boroughs=b1"), HasSubstr("0123456789ab")));
  Ended json = Ctl({"status", "--output", "json"});
  EXPECT_THAT(json.out, AllOf(HasSubstr("\"state\": \"running\""), HasSubstr("\"lag_records\": 14"),
                              HasSubstr("\"lag_seconds\": 1.5"), HasSubstr("\"desk\": 3"),
                              HasSubstr("\"quarantine_waiting\": null")));
}

TEST_F(StatusCommandTest, WhatIsNotWellIsFoundAndSaysWhy) {
  Serve();
  fake_.status.mutable_workers(0)->set_state("halted");
  fake_.status.mutable_workers(0)->set_reason("the log no longer holds the next record");
  Ended ended = Ctl({"status"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.out, AllOf(HasSubstr("halted"), HasSubstr("no longer holds")));
  fake_.status.mutable_workers(0)->set_state("running");
  fake_.status.set_reload_refusal("processor.yaml:3: unknown key");
  ended = Ctl({"status"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.out, AllOf(HasSubstr("reload refused"), HasSubstr("processor.yaml:3")));
}

TEST_F(StatusCommandTest, OneThatCannotBeReachedDoesNotHideTheOthers) {
  Serve();
  Ended ended = Ctl({"status", "127.0.0.1:1", "--timeout-ms", "500"});
  EXPECT_EQ(ended.code, 3);
  EXPECT_THAT(ended.out, AllOf(HasSubstr("unreachable"), HasSubstr("running")));
}

TEST_F(StatusCommandTest, WatchIsLinesInAPipeAndDrawnOnATerminal) {
  Serve();
  Ended lines = Ctl({"watch", "--count", "2", "--interval", "0.1"});
  EXPECT_EQ(lines.code, 0) << lines.err;
  EXPECT_THAT(lines.out, AllOf(HasSubstr("state=running in_per_s=? lag=14 lag_s=1.5 in=100"),
                               HasSubstr("in=1100"), Not(HasSubstr("\033"))));
  EXPECT_EQ(std::count(lines.out.begin(), lines.out.end(), '\n'), 2);
  Ended drawn = Ctl({"watch", "--count", "2", "--interval", "0.1"}, {.out = true});
  EXPECT_THAT(drawn.out, AllOf(HasSubstr("\033[H\033[2J"), HasSubstr("IN/S")));
  EXPECT_EQ(Ctl({"watch", "--interval", "0"}).code, 2);
}

TEST_F(StatusCommandTest, APseudonymisersDomainsEpochsAndLockedCallers) {
  Serve();
  Ended table = Look({"--pseudonymiser", "HERE"});
  EXPECT_EQ(table.code, 0) << table.err;
  EXPECT_THAT(table.out,
              AllOf(HasSubstr("running"), HasSubstr("intelligence=2,public=2  3d            5"),
                    Not(HasSubstr("SNAPSHOTS"))));
  Ended json = Look({"--pseudonymiser", "HERE", "--output", "json"});
  EXPECT_THAT(json.out, AllOf(HasSubstr("\"generation\": 5"), HasSubstr("\"epoch\": 2"),
                              HasSubstr("\"locked_callers\": []"), HasSubstr("\"services\": []")));

  auto& caller = *pseudonymiser_.locked.add_callers();
  caller.set_caller("spiffe://force/analyst");
  caller.set_reason("sweep");
  caller.mutable_since()->set_seconds(1'700'000'000);
  table = Look({"--pseudonymiser", "HERE"});
  EXPECT_EQ(table.code, 1);
  EXPECT_THAT(table.out, AllOf(HasSubstr("callers locked"), HasSubstr("spiffe://force/analyst"),
                               HasSubstr("2023-11-14T22:13:20Z (sweep)")));
  json = Look({"--pseudonymiser", "HERE", "--output", "json"});
  EXPECT_THAT(json.out, HasSubstr("\"caller\": \"spiffe://force/analyst\""));

  pseudonymiser_.may_see_locked = false;
  table = Look({"--pseudonymiser", "HERE"});
  EXPECT_EQ(table.code, 0) << "what may not be seen isn't wrong";
  EXPECT_THAT(table.out, HasSubstr("who is locked isn't known: the policy"));
  EXPECT_THAT(Look({"--pseudonymiser", "HERE", "--output", "json"}).out,
              HasSubstr("\"locked_callers\": null"));
}

TEST_F(StatusCommandTest, AReferenceServicesSetsVersionsAgesAndRefusals) {
  Serve();
  Ended table = Look({"--reference", "HERE"});
  EXPECT_EQ(table.code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("boroughs  active  b10123456789  33    2h   3s      0"));
  reference_.status.mutable_sets(0)->set_held(true);
  EXPECT_THAT(Look({"--reference", "HERE"}).out, HasSubstr("held"));
  reference_.status.mutable_sets(0)->set_refusal("boroughs.csv: 2 rows instead of 33");
  reference_.status.mutable_sets(0)->set_refused_seconds(300);
  table = Look({"--reference", "HERE"});
  EXPECT_EQ(table.code, 1);
  EXPECT_THAT(table.out, HasSubstr("set boroughs is refused for 5m: boroughs.csv: 2 rows"));
  reference_.status.add_sets()->set_name("wards");
  EXPECT_THAT(Look({"--reference", "HERE"}).out,
              AllOf(HasSubstr("without a version"), HasSubstr("never")));
  Ended json = Look({"--reference", "HERE", "--output", "json"});
  EXPECT_EQ(json.code, 1);
  EXPECT_THAT(json.out, AllOf(HasSubstr("\"state\": \"without a version\""),
                              HasSubstr("\"version\": \"b10123456789abcdef\""),
                              HasSubstr("\"age_seconds\": 7300"),
                              HasSubstr("\"refusal\": \"boroughs.csv: 2 rows instead of 33\"")));
}

TEST_F(StatusCommandTest, EveryKindOfServiceAtOnceAndOneThatIsAwayDoesNotHideTheOthers) {
  Serve();
  Ended all = Look({"HERE", "--pseudonymiser", "HERE", "--reference", "HERE", "--reference",
                    "127.0.0.1:1", "--timeout-ms", "500"});
  EXPECT_EQ(all.code, 3);
  EXPECT_THAT(all.out, AllOf(HasSubstr("desk=3"), HasSubstr("intelligence=2"),
                             HasSubstr("boroughs"), HasSubstr("unreachable")));
  Ended watch = Look({"--count", "1", "--pseudonymiser", "HERE", "--reference", "HERE"}, "watch");
  EXPECT_EQ(watch.code, 0) << watch.err;
  EXPECT_THAT(watch.out,
              AllOf(HasSubstr("state=running epochs=intelligence=2,public=2 keyring=5 locked=0"),
                    HasSubstr("state=running boroughs=b10123456789/active")));
  Ended nothing = Look({});
  EXPECT_EQ(nothing.code, 2);
  EXPECT_THAT(nothing.err, HasSubstr("--pseudonymiser"));
}

TEST_F(StatusCommandTest, PausesAndSaysWhoMayNot) {
  Serve();
  EXPECT_EQ(Ctl({"pause"}).code, 0);
  Ended ended = Ctl({"status"});
  EXPECT_EQ(ended.code, 0) << "a pause is somebody's wish";
  EXPECT_THAT(ended.out, HasSubstr("paused"));
  ended = Ctl({"resume"});
  EXPECT_EQ(ended.code, 4);
  EXPECT_THAT(ended.out, HasSubstr("listen.callers"));
}

TEST_F(StatusCommandTest, OverTlsWithAllThreeFilesOnly) {
  test_support::Certificates certificates;
  auto server = certificates.Issue("ca", "server", "IP:127.0.0.1");
  auto client = certificates.Issue("ca", "client", "DNS:me");
  Serve(rpc::TlsFiles{server.certificate, server.private_key, server.authority});
  Ended ended = Ctl({"status", "--tls-certificate", client.certificate, "--tls-private-key",
                     client.private_key, "--tls-authority", client.authority});
  EXPECT_EQ(ended.code, 0) << ended.out << ended.err;
  EXPECT_EQ(Ctl({"status", "--tls-certificate", client.certificate}).code, 2);
  EXPECT_EQ(Ctl({"status", "--timeout-ms", "1000"}).code, 3) << "without a certificate";
  Ended far = RunCtl({"status", "processor.example:7070"});
  EXPECT_EQ(far.code, 2);
  EXPECT_THAT(far.err, HasSubstr("isn't on this machine"));
}

}  // namespace
}  // namespace sluice::ctl
