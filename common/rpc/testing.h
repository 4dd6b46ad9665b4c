// What any server of ours is asked by tests: its health, and which services it tells of.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/client_unary_call.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <chrono>
#include <memory>
#include <string>

#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/empty.pb.h"
#include "google/protobuf/wrappers.pb.h"

namespace sluice::rpc {

template <typename Request, typename Response>
grpc::Status CallUnary(grpc::ChannelInterface& channel, const char* path, const Request& request,
                       Response* response) {
  using google::protobuf::MessageLite;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  grpc::internal::RpcMethod method(path, grpc::internal::RpcMethod::NORMAL_RPC);
  return grpc::internal::BlockingUnaryCall<Request, Response, MessageLite, MessageLite>(
      &channel, method, &context, request, response);
}

// 1 is SERVING, 2 NOT_SERVING; a status code where the call fails, negative. grpc.health.v1's
// messages look on the wire like these: request {string service = 1}, response {enum status = 1}.
inline int HealthOf(grpc::ChannelInterface& channel, const std::string& service) {
  google::protobuf::StringValue request;
  request.set_value(service);
  google::protobuf::Int32Value response;
  grpc::Status status = CallUnary(channel, "/grpc.health.v1.Health/Check", request, &response);
  return status.ok() ? response.value() : -static_cast<int>(status.error_code());
}

// Holds the names of the services that the server reflects; empty where it doesn't answer.
inline std::string ReflectedNames(const std::shared_ptr<grpc::Channel>& channel) {
  // The request {string list_services = 7} looks on the wire like a FieldDescriptorProto's
  // default_value.
  google::protobuf::FieldDescriptorProto request;
  request.set_default_value("*");
  google::protobuf::Empty response;
  grpc::TemplatedGenericStub<google::protobuf::FieldDescriptorProto, google::protobuf::Empty> stub(
      channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  grpc::CompletionQueue queue;
  auto next = [&] {
    void* tag;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  auto call = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  call->StartCall(nullptr);
  bool answered = next();
  if (answered) {
    call->Write(request, nullptr);
    answered = next();
  }
  if (answered) {
    call->Read(&response, nullptr);
    answered = next();
    call->WritesDone(nullptr);
    next();
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  next();
  // The fields that Empty doesn't know hold the names.
  return answered ? response.SerializeAsString() : "";
}

}  // namespace sluice::rpc
