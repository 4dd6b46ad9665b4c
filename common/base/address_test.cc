#include "common/base/address.h"

#include "gtest/gtest.h"

namespace sluice::base {
namespace {

TEST(ParseListenAddress, TakesIpAddressesAndLocalhost) {
  auto v4 = ParseListenAddress("o", "0.0.0.0:8080");
  ASSERT_TRUE(v4.ok());
  EXPECT_EQ(v4->ToString(), "0.0.0.0:8080");
  EXPECT_FALSE(v4->loopback);
  auto v6 = ParseListenAddress("o", "[::1]:0");
  ASSERT_TRUE(v6.ok());
  EXPECT_EQ(v6->ToString(), "[::1]:0");
  EXPECT_TRUE(v6->loopback);
  EXPECT_FALSE(ParseListenAddress("o", "[::]:80")->loopback);
  EXPECT_TRUE(ParseListenAddress("o", "127.8.9.10:65535")->loopback);
  EXPECT_EQ(ParseListenAddress("o", "localhost:1")->ToString(), "127.0.0.1:1");
}

TEST(ParseListenAddress, RefusesEverythingElseAndNamesTheOption) {
  for (const char* text :
       {"", "8080", "localhost", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:80s",
        "127.0.0.1:80,0.0.0.0:81", "example.org:80", "+80", ":80", "[::1:80", "::1:80",
        "[127.0.0.1]:80", "[]:80", "127.0.0.1:99999999999"}) {
    auto address = ParseListenAddress("listen.grpc", text);
    EXPECT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(View(address.status().message()).substr(0, 13), "listen.grpc: ") << text;
  }
}

}  // namespace
}  // namespace sluice::base
