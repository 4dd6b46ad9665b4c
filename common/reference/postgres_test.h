// A PostgreSQL for each suite of tests.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/strings.h"
#include "common/reference/postgres_session.h"
#include "common/reference/testing.h"
#include "tests/support/postgres_server.h"

namespace sluice::reference {

class PostgresTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto server = test_support::PostgresServer::Create();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ASSERT_EQ(server_->Start(), absl::OkStatus());
  }
  static void TearDownTestSuite() { server_.reset(); }

  static void Execute(const std::string& sql) {
    ASSERT_EQ(server_->Execute(sql), absl::OkStatus()) << sql.substr(0, 200);
  }
  // For what another session does meanwhile.
  static std::unique_ptr<PostgresSession> Session(
      std::chrono::milliseconds statement_timeout = std::chrono::milliseconds(60'000),
      std::string_view options = "") {
    auto session =
        PostgresSession::Connect({.connection = base::StrCat(server_->connection(), " ", options),
                                  .statement_timeout = statement_timeout});
    EXPECT_TRUE(session.ok()) << session.status();
    return *std::move(session);
  }

  static inline std::unique_ptr<test_support::PostgresServer> server_;
};

}  // namespace sluice::reference
