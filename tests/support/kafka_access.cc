#include "tests/support/kafka_access.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <set>

#include "common/base/status.h"
#include "tests/support/wait_until.h"

namespace sluice::test_support {
namespace {

constexpr int kTimeoutMs = 20'000;
constexpr int kScramIterations = 4096;

rd_kafka_ResourceType_t TypeOf(KafkaAccess::Resource resource) {
  switch (resource) {
    case KafkaAccess::Resource::kTopic:
      return RD_KAFKA_RESOURCE_TOPIC;
    case KafkaAccess::Resource::kGroup:
      return RD_KAFKA_RESOURCE_GROUP;
    case KafkaAccess::Resource::kCluster:
      return RD_KAFKA_RESOURCE_BROKER;
    default:
      return RD_KAFKA_RESOURCE_TRANSACTIONAL_ID;
  }
}

rd_kafka_ResourcePatternType_t PatternOf(KafkaAccess::Resource resource) {
  return resource == KafkaAccess::Resource::kTransactionalIdPrefix
             ? RD_KAFKA_RESOURCE_PATTERN_PREFIXED
             : RD_KAFKA_RESOURCE_PATTERN_LITERAL;
}

// A cluster has one name.
std::string NameOf(KafkaAccess::Resource resource, const std::string& name) {
  return resource == KafkaAccess::Resource::kCluster ? "kafka-cluster" : name;
}

rd_kafka_AclOperation_t OperationOf(KafkaAccess::Operation operation) {
  switch (operation) {
    case KafkaAccess::Operation::kRead:
      return RD_KAFKA_ACL_OPERATION_READ;
    case KafkaAccess::Operation::kWrite:
      return RD_KAFKA_ACL_OPERATION_WRITE;
    case KafkaAccess::Operation::kDescribe:
      return RD_KAFKA_ACL_OPERATION_DESCRIBE;
    default:
      return RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS;
  }
}

absl::Status StatusOf(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_NO_ERROR ? absl::OkStatus()
                                             : absl::InternalError(rd_kafka_err2str(error));
}

// An answer to what went well may be there too, with no error in it.
absl::Status StatusOf(const rd_kafka_error_t* error) {
  return error == nullptr ? absl::OkStatus() : StatusOf(rd_kafka_error_code(error));
}

struct FilterDeleter {
  void operator()(rd_kafka_AclBindingFilter_t* filter) const {
    rd_kafka_AclBinding_destroy(filter);
  }
};
using FilterPtr = std::unique_ptr<rd_kafka_AclBindingFilter_t, FilterDeleter>;

// Of whatever `principal` was granted on a resource.
FilterPtr FilterOf(const std::string& principal, KafkaAccess::Resource resource,
                   const std::string& name,
                   rd_kafka_AclOperation_t operation = RD_KAFKA_ACL_OPERATION_ANY) {
  char text[256];
  return FilterPtr(rd_kafka_AclBindingFilter_new(
      TypeOf(resource), NameOf(resource, name).c_str(), PatternOf(resource), principal.c_str(),
      nullptr, operation, RD_KAFKA_ACL_PERMISSION_TYPE_ANY, text, sizeof(text)));
}

// Sends one request; `check` looks at its answer.
absl::Status Ask(rd_kafka_t* client, const std::function<void(rd_kafka_queue_t*)>& send,
                 const std::function<absl::Status(rd_kafka_event_t*)>& check) {
  rd_kafka_queue_t* queue = rd_kafka_queue_new(client);
  send(queue);
  rd_kafka_event_t* event = rd_kafka_queue_poll(queue, kTimeoutMs);
  absl::Status status = event == nullptr ? absl::UnavailableError("no broker answered")
                                         : StatusOf(rd_kafka_event_error(event));
  if (status.ok()) status = check(event);
  rd_kafka_event_destroy(event);
  rd_kafka_queue_destroy(queue);
  return status;
}

// A change is acknowledged when the controller has it; what a broker judges by follows, and on a
// busy machine much later. The broker's own view is what DescribeAcls shows.
absl::Status WaitForView(rd_kafka_t* client, rd_kafka_AclBindingFilter_t* filter,
                         const std::function<bool(const std::set<rd_kafka_AclOperation_t>&)>& is) {
  absl::Status asked;
  bool seen = WaitUntil(std::chrono::milliseconds(kTimeoutMs), [&] {
    std::set<rd_kafka_AclOperation_t> operations;
    asked = Ask(
        client,
        [&](rd_kafka_queue_t* queue) { rd_kafka_DescribeAcls(client, filter, nullptr, queue); },
        [&](rd_kafka_event_t* event) {
          size_t count = 0;
          const rd_kafka_AclBinding_t** acls =
              rd_kafka_DescribeAcls_result_acls(rd_kafka_event_DescribeAcls_result(event), &count);
          for (size_t i = 0; i < count; ++i)
            operations.insert(rd_kafka_AclBinding_operation(acls[i]));
          return absl::OkStatus();
        });
    return !asked.ok() || is(operations);
  });
  if (!asked.ok() || seen) return asked;
  return absl::DeadlineExceededError("the broker doesn't judge by the changed ACLs");
}

}  // namespace

absl::StatusOr<std::unique_ptr<KafkaAccess>> KafkaAccess::Create(const std::string& brokers) {
  char text[256];
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "bootstrap.servers", brokers.c_str(), text, sizeof(text));
  rd_kafka_t* client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
  if (client == nullptr) return absl::InternalError(text);
  return std::unique_ptr<KafkaAccess>(new KafkaAccess(client));
}

KafkaAccess::~KafkaAccess() { rd_kafka_destroy(client_); }

absl::Status KafkaAccess::Grant(const std::string& principal, Resource resource,
                                const std::string& name, const std::vector<Operation>& operations) {
  std::vector<rd_kafka_AclBinding_t*> bindings;
  char text[256];
  for (Operation operation : operations) {
    bindings.push_back(rd_kafka_AclBinding_new(
        TypeOf(resource), NameOf(resource, name).c_str(), PatternOf(resource), principal.c_str(),
        "*", OperationOf(operation), RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, text, sizeof(text)));
  }
  absl::Status status = Ask(
      client_,
      [&](rd_kafka_queue_t* queue) {
        rd_kafka_CreateAcls(client_, bindings.data(), bindings.size(), nullptr, queue);
      },
      [](rd_kafka_event_t* event) {
        size_t count = 0;
        const rd_kafka_acl_result_t** results =
            rd_kafka_CreateAcls_result_acls(rd_kafka_event_CreateAcls_result(event), &count);
        for (size_t i = 0; i < count; ++i) {
          if (absl::Status status = StatusOf(rd_kafka_acl_result_error(results[i])); !status.ok())
            return status;
        }
        return absl::OkStatus();
      });
  rd_kafka_AclBinding_destroy_array(bindings.data(), bindings.size());
  if (!status.ok()) return status;
  return WaitForView(client_, FilterOf(principal, resource, name).get(), [&](const auto& view) {
    return std::all_of(operations.begin(), operations.end(),
                       [&](Operation operation) { return view.contains(OperationOf(operation)); });
  });
}

namespace {

absl::Status Delete(rd_kafka_t* client, FilterPtr filter) {
  rd_kafka_AclBindingFilter_t* filters[] = {filter.get()};
  SLUICE_RETURN_IF_ERROR(Ask(
      client,
      [&](rd_kafka_queue_t* queue) { rd_kafka_DeleteAcls(client, filters, 1, nullptr, queue); },
      [](rd_kafka_event_t*) { return absl::OkStatus(); }));
  return WaitForView(client, filter.get(), [](const auto& view) { return view.empty(); });
}

}  // namespace

absl::Status KafkaAccess::Revoke(const std::string& principal, Resource resource,
                                 const std::string& name) {
  return Delete(client_, FilterOf(principal, resource, name));
}

absl::Status KafkaAccess::Revoke(const std::string& principal, Resource resource,
                                 const std::string& name, Operation operation) {
  return Delete(client_, FilterOf(principal, resource, name, OperationOf(operation)));
}

absl::Status KafkaAccess::SetPassword(const std::string& user, const std::string& password) {
  static constexpr char kSalt[] = "a salt of the tests";
  rd_kafka_UserScramCredentialAlteration_t* change = rd_kafka_UserScramCredentialUpsertion_new(
      user.c_str(), RD_KAFKA_SCRAM_MECHANISM_SHA_512, kScramIterations,
      reinterpret_cast<const unsigned char*>(password.data()), password.size(),
      reinterpret_cast<const unsigned char*>(kSalt), sizeof(kSalt) - 1);
  absl::Status status = Ask(
      client_,
      [&](rd_kafka_queue_t* queue) {
        rd_kafka_AlterUserScramCredentials(client_, &change, 1, nullptr, queue);
      },
      [](rd_kafka_event_t* event) {
        size_t count = 0;
        const auto** answers = rd_kafka_AlterUserScramCredentials_result_responses(
            rd_kafka_event_AlterUserScramCredentials_result(event), &count);
        for (size_t i = 0; i < count; ++i) {
          absl::Status status =
              StatusOf(rd_kafka_AlterUserScramCredentials_result_response_error(answers[i]));
          if (!status.ok()) return status;
        }
        return absl::OkStatus();
      });
  rd_kafka_UserScramCredentialAlteration_destroy(change);
  return status;
}

}  // namespace sluice::test_support
