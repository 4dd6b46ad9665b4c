#include "tests/support/postgres_server.h"

#include <gtest/gtest.h>

namespace sluice::test_support {
namespace {

TEST(PostgresServerTest, KeepsItsDataOverAKill) {
  auto server = PostgresServer::Create();
  ASSERT_TRUE(server.ok()) << server.status();
  ASSERT_EQ((*server)->Start(), absl::OkStatus());
  ASSERT_EQ((*server)->Execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)"),
            absl::OkStatus());
  (*server)->Kill();
  EXPECT_FALSE((*server)->Execute("SELECT 1").ok());
  ASSERT_EQ((*server)->Start(), absl::OkStatus());
  EXPECT_EQ((*server)->Execute("SELECT 1 / count(*) FROM t"), absl::OkStatus());
}

}  // namespace
}  // namespace sluice::test_support
