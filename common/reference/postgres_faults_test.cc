// PostgreSQL behind a network that fails: at any byte a read is the source's rows, or none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <future>
#include <iostream>

#include "common/base/strings.h"
#include "common/reference/postgres_test.h"
#include "tests/support/tcp_proxy.h"
#include "tests/support/wait_until.h"

namespace sluice::reference {
namespace {

using namespace std::chrono_literals;
using test_support::TcpProxy;

constexpr int kRows = 300;

class PostgresFaults : public PostgresTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(server_->Execute(base::StrCat("DROP TABLE IF EXISTS units; CREATE TABLE units AS "
                                            "SELECT n AS k, repeat('name ', 20) || n AS v FROM "
                                            "generate_series(1, ",
                                            kRows, ") n")),
              absl::OkStatus());
    const std::string connection = server_->connection();
    const size_t at = connection.find("port=") + 5;
    const std::string port = connection.substr(at, connection.find(' ', at) - at);
    auto proxy = TcpProxy::Create(std::atoi(port.c_str()));
    ASSERT_TRUE(proxy.ok()) << proxy.status();
    proxy_ = *std::move(proxy);
    // What is asked of TLS would be answered by one byte; the test counts the rows' own.
    connection_ = base::StrCat("host=127.0.0.1 port=", proxy_->port(),
                               " user=sluice dbname=postgres sslmode=disable gssencmode=disable");
    source_ = Source();
    auto rows = source_->Read();
    ASSERT_TRUE(rows.ok()) << rows.status();
    id_ = (*rows)->id();
  }
  std::unique_ptr<reference::Source> Source(std::string_view rest = "statement_timeout_ms: 300") {
    return SourceFromText(base::StrCat(
        "name: 'units' postgres {connection: '", connection_, "' query: 'select k, v from units' ",
        rest,
        "} schema {columns {name: 'k' type: integer} columns {name: 'v'} key {column: 'k'}}"));
  }
  // The rows as they are, or that they can't be had now; nothing else. Whether they were.
  bool ReadsAllOrNothing(reference::Source& source) {
    auto rows = source.Read();
    if (rows.ok()) {
      EXPECT_EQ((*rows)->id(), id_);
    } else {
      EXPECT_TRUE(absl::IsUnavailable(rows.status())) << rows.status();
    }
    return rows.ok();
  }

  std::unique_ptr<TcpProxy> proxy_;
  std::string connection_, id_;
  std::unique_ptr<reference::Source> source_;
};

TEST_F(PostgresFaults, ACutAtAnyByteOfTheAnswersIsNoVersion) {
  proxy_->SetFault({});
  ASSERT_TRUE(ReadsAllOrNothing(*source_));
  const int64_t bytes = proxy_->answered();
  ASSERT_GT(bytes, 30'000);
  // All of the greeting and the rows' description, then steps that come to every place in a row.
  const char* wanted = std::getenv("SLUICE_FAULT_STEP");
  const int64_t step = wanted == nullptr ? 977 : std::atoll(wanted);
  int cuts = 0;
  for (int64_t at = 1; at < bytes; at += at < 600 ? 37 : step, ++cuts) {
    proxy_->SetFault({TcpProxy::Fault::kCut, at});
    auto source = Source();
    EXPECT_FALSE(ReadsAllOrNothing(*source)) << at;
    proxy_->SetFault({});
    EXPECT_TRUE(ReadsAllOrNothing(*source)) << "the same source, after a cut at " << at;
  }
  std::cout << cuts << " cuts over " << bytes << " bytes\n";
}

TEST_F(PostgresFaults, AHalfOpenConnectionIsGivenUpWithinTheBound) {
  for (int64_t at : {int64_t{1}, int64_t{20'000}}) {
    auto source = Source();
    ASSERT_TRUE(ReadsAllOrNothing(*source));
    proxy_->SetFault({TcpProxy::Fault::kStall, at});
    const auto began = std::chrono::steady_clock::now();
    EXPECT_FALSE(ReadsAllOrNothing(*source));
    EXPECT_LT(std::chrono::steady_clock::now() - began, 300ms + 3s + 2s);
    proxy_->SetFault({});
    EXPECT_TRUE(ReadsAllOrNothing(*source));
  }
}

TEST_F(PostgresFaults, ASlowNetworkIsWaitedFor) {
  proxy_->SetFault({TcpProxy::Fault::kDelay, 0, 20ms});
  EXPECT_TRUE(ReadsAllOrNothing(*Source("statement_timeout_ms: 20000")));
}

TEST_F(PostgresFaults, AServerThatIsRestartedWhileItIsReadIsReadAgain) {
  auto source = Source("statement_timeout_ms: 20000");
  proxy_->SetFault({TcpProxy::Fault::kStall, 20'000});
  auto reading = std::async(std::launch::async, [&] { return ReadsAllOrNothing(*source); });
  ASSERT_TRUE(test_support::WaitUntil(20s, [&] { return proxy_->answered() >= 20'000; }));
  server_->Kill();
  proxy_->SetFault({});
  EXPECT_FALSE(reading.get());
  EXPECT_FALSE(ReadsAllOrNothing(*source)) << "it is away";
  ASSERT_EQ(server_->Start(), absl::OkStatus());
  EXPECT_TRUE(ReadsAllOrNothing(*source));
}

TEST_F(PostgresFaults, ASchemaThatChangesWhileItIsReadWaitsForTheRead) {
  auto source = Source("statement_timeout_ms: 20000");
  proxy_->SetFault({TcpProxy::Fault::kStall, 20'000});
  auto reading = std::async(std::launch::async, [&] { return ReadsAllOrNothing(*source); });
  ASSERT_TRUE(test_support::WaitUntil(20s, [&] { return proxy_->answered() >= 20'000; }));
  auto change = std::async(std::launch::async, [&] {
    return server_->Execute("UPDATE units SET v = 'other'; ALTER TABLE units RENAME v TO w");
  });
  auto watch = Session();
  ASSERT_TRUE(test_support::WaitUntil(20s, [&] {
    return *watch->Query("SELECT FROM pg_locks WHERE NOT granted",
                         [](PostgresSession::Row) { return absl::OkStatus(); }) > 0;
  }));
  proxy_->SetFault({});
  EXPECT_TRUE(reading.get()) << "the rows as they were when the read began";
  EXPECT_EQ(change.get(), absl::OkStatus());
  EXPECT_THAT(source->Read().status().ToString(),
              ::testing::HasSubstr("the query failed (SQLSTATE 42703)"));
}

}  // namespace
}  // namespace sluice::reference
