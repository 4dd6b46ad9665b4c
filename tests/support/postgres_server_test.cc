#include "tests/support/postgres_server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <pqxx/pqxx>
#include <thread>

#include "tests/support/wait_until.h"

namespace sluice::test_support {
namespace {

using namespace std::chrono_literals;

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

TEST(PostgresServerTest, StartsAgainEachTimeItWasKilledWithBackendsAtWork) {
  auto server = PostgresServer::Create();
  ASSERT_TRUE(server.ok()) << server.status();
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ((*server)->Start(), absl::OkStatus());
    pqxx::connection at_work((*server)->connection());
    (*server)->Kill();
  }
}

// A connection that is there already isn't answered either.
TEST(PostgresServerTest, NoBackendAnswersWhileItIsFrozen) {
  auto server = PostgresServer::Create();
  ASSERT_TRUE(server.ok()) << server.status();
  ASSERT_EQ((*server)->Start(), absl::OkStatus());
  pqxx::connection connection((*server)->connection());
  (*server)->Freeze();
  pqxx::nontransaction work(connection);
  std::atomic<bool> answered = false;
  std::thread asks([&] {
    work.exec("SELECT 1");
    answered = true;
  });
  EXPECT_FALSE(WaitUntil(300ms, [&] { return answered.load(); }));
  (*server)->Thaw();
  EXPECT_TRUE(WaitUntil(10s, [&] { return answered.load(); }));
  asks.join();
}

}  // namespace
}  // namespace sluice::test_support
