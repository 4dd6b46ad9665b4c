#include "common/rpc/channel.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::rpc {
namespace {

using testing::HasSubstr;

TEST(Connect, RefusesToLeaveTheMachineWithoutTls) {
  for (const char* address : {"pseudonymiser:8443", "192.0.2.1:80", "dns:///reference:80"}) {
    auto channel = Connect({.address = address}, "pseudonymiser.remote");
    EXPECT_EQ(channel.status().code(), absl::StatusCode::kInvalidArgument) << address;
    EXPECT_THAT(std::string(channel.status().message()), HasSubstr("set pseudonymiser.remote.tls"));
  }
}

TEST(Connect, NamesTheOptionThatIsWrong) {
  EXPECT_THAT(std::string(Connect({}, "reference.remote").status().message()),
              HasSubstr("reference.remote.address: name host:port"));
  EXPECT_THAT(std::string(Connect({.address = "a:1", .tls = TlsFiles{.certificate = "no/such.crt"}},
                                  "reference.remote")
                              .status()
                              .message()),
              HasSubstr("reference.remote.tls.certificate: no/such.crt: can't be read"));
}

TEST(Connect, DoesNotWaitForTheServer) {
  EXPECT_TRUE(Connect({.address = "127.0.0.1:1"}, "x").ok());
  EXPECT_TRUE(Connect({.address = "localhost:1"}, "x").ok());
}

}  // namespace
}  // namespace sluice::rpc
