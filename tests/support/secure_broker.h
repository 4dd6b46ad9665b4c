// A Kafka that wants TLS and knows whom it lets do what, for tests of what connects to it.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/status.h"
#include "tests/support/certificates.h"
#include "tests/support/kafka_access.h"
#include "tests/support/kafka_broker.h"

namespace sluice::test_support {

// Its bootstrap() lets in alice, whose password is `wonderland`, and its mutual_tls() whoever shows
// a certificate of the authority "clients"; either may do what access() grants.
class SecureBroker {
 public:
  // Returns when it serves.
  static absl::StatusOr<std::unique_ptr<SecureBroker>> Start() {
    auto made = std::unique_ptr<SecureBroker>(new SecureBroker);
    auto server = made->certificates_.Issue("brokers", "broker", "DNS:localhost,IP:127.0.0.1");
    auto client = made->certificates_.Issue("clients", "mallory", "DNS:mallory");
    made->clients_authority_ = client.authority;
    SLUICE_ASSIGN_OR_RETURN(made->broker_,
                            KafkaBroker::Create({.security = KafkaBroker::Options::Security{
                                                     server.certificate,
                                                     server.private_key,
                                                     client.authority,
                                                     {{"alice", "wonderland"}}}}));
    SLUICE_RETURN_IF_ERROR(made->broker_->Start());
    SLUICE_ASSIGN_OR_RETURN(made->access_, KafkaAccess::Create(made->broker_->direct()));
    return made;
  }

  KafkaBroker& broker() { return *broker_; }
  KafkaAccess& access() { return *access_; }
  Certificates& certificates() { return certificates_; }
  // PEM files: of the brokers' authority, which clients are to believe, and of the clients'.
  std::string authority() const { return certificates_.folder() + "/brokers.crt"; }
  const std::string& clients_authority() const { return clients_authority_; }

 private:
  SecureBroker() = default;

  Certificates certificates_;
  std::string clients_authority_;
  std::unique_ptr<KafkaBroker> broker_;
  std::unique_ptr<KafkaAccess> access_;
};

}  // namespace sluice::test_support
