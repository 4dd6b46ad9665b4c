// What operators see and do over gRPC, with TLS and without.
#include "services/ctl/status_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "common/rpc/server.h"
#include "services/ctl/testing.h"
#include "sluice/processor/v1/processor.grpc.pb.h"
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

class StatusCommandTest : public ::testing::Test {
 protected:
  void Serve(std::optional<rpc::TlsFiles> tls = {}) {
    rpc::ServerOptions options;
    options.tls = std::move(tls);
    server_ = *rpc::Server::Create(options, {&fake_});
    ASSERT_TRUE(server_->Start().ok());
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(server_->port()); }
  Ended Ctl(std::vector<std::string> arguments, Terminal terminal = {}) {
    arguments.insert(arguments.begin() + 1, address());
    return RunCtl(std::move(arguments), "", terminal);
  }

  FakeProcessor fake_;
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
