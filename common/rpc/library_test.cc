#include "common/rpc/library.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <cstdio>
#include <cstdlib>

#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "gmock/gmock.h"
#include "google/protobuf/wrappers.pb.h"
#include "gtest/gtest.h"

namespace sluice::rpc {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// A call whose payload holds a marker, in a process whose environment asks for every trace.
[[noreturn]] void CallWithTracesAskedFor(bool initialise) {
  setenv("GRPC_TRACE", "http,api,channel,call_error,op_failure,tcp", 1);
  setenv("GRPC_VERBOSITY", "DEBUG", 1);
  if (initialise) {
    InitialiseLibrary();
    if (std::getenv("GRPC_TRACE") != nullptr || std::getenv("GRPC_VERBOSITY") != nullptr)
      std::_Exit(2);
  }
  // Plain gRPC, so that nothing but InitialiseLibrary() is tried.
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  auto server = builder.BuildAndStart();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  grpc::TemplatedGenericStub<google::protobuf::StringValue, google::protobuf::StringValue> stub(
      grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port),
                                grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  google::protobuf::StringValue request, response;
  request.set_value("marker-7f3a");
  grpc::Status status;
  auto call = stub.PrepareUnaryCall(&context, "/no.such/Method", request, &queue);
  call->StartCall();
  call->Finish(&response, &status, nullptr);
  void* tag;
  bool ok;
  queue.Next(&tag, &ok);
  std::fprintf(stderr, "ended with %d\n", static_cast<int>(status.error_code()));
  std::_Exit(0);
}

class InitialiseLibraryDeathTest : public testing::Test {
 protected:
  // gRPC's threads don't survive a fork: each try runs in a process of its own.
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(InitialiseLibraryDeathTest, TracesAskedForByTheEnvironmentPrintNoPayload) {
  EXPECT_EXIT(CallWithTracesAskedFor(true), testing::ExitedWithCode(0),
              AllOf(HasSubstr("ended with 12"), Not(HasSubstr("marker-7f3a"))));
}

TEST_F(InitialiseLibraryDeathTest, WithoutItTheyDo) {
  EXPECT_EXIT(CallWithTracesAskedFor(false), testing::ExitedWithCode(0), HasSubstr("marker-7f3a"));
}

}  // namespace
}  // namespace sluice::rpc
