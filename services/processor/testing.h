// For tests: a pseudonymiser's service that does what it is told, also what it must not.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "common/base/strings.h"
#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/rpc/server.h"
#include "sluice/pseudonymiser/v1/pseudonymiser.grpc.pb.h"

namespace sluice::processor {

// Answers from a keyring. Thread-safe.
class FakeKeyService final : public pseudonymiser::v1::Pseudonymiser::Service {
 public:
  using Request = pseudonymiser::v1::PseudonymiseRequest;
  using Response = pseudonymiser::v1::PseudonymiseResponse;

  void Use(const privacy::Keyring& keyring) {
    std::unique_lock lock(mutex_);
    keys_ = *privacy::LocalPseudonymiser::Create(keyring);
  }
  // Before a request is served: an error is the answer.
  void Before(std::function<grpc::Status(const Request&)> hook) {
    std::unique_lock lock(mutex_);
    before_ = std::move(hook);
  }
  // What becomes of a right answer.
  void Spoil(std::function<void(Response&)> hook) {
    std::unique_lock lock(mutex_);
    spoil_ = std::move(hook);
  }
  // No call is answered until Release(), or until it is given up.
  void Hold() { held_ = true; }
  void Release() { held_ = false; }

  int calls() const { return calls_; }
  int under_way_most() const { return most_; }
  size_t values_most() const {
    std::unique_lock lock(mutex_);
    return values_most_;
  }
  size_t connections() const {
    std::unique_lock lock(mutex_);
    return peers_.size();
  }

  grpc::Status Pseudonymise(grpc::ServerContext* context, const Request* request,
                            Response* response) override {
    ++calls_;
    const int under_way = ++under_way_;
    for (int most = most_; most < under_way && !most_.compare_exchange_weak(most, under_way);) {
    }
    while (held_ && !context->IsCancelled()) std::this_thread::yield();
    std::unique_lock lock(mutex_);
    peers_.insert(context->peer());
    values_most_ = std::max<size_t>(values_most_, static_cast<size_t>(request->ends_size()));
    grpc::Status status = before_ ? before_(*request) : grpc::Status::OK;
    if (status.ok()) status = Answer(*request, *response);
    if (status.ok() && spoil_) spoil_(*response);
    --under_way_;
    return status;
  }

 private:
  grpc::Status Answer(const Request& request, Response& response) {
    std::vector<uint16_t> domains;
    std::vector<privacy::Form> forms;
    std::vector<uint16_t> current;
    for (const auto& target : request.target_list()) {
      auto now = keys_->Domain(target.domain());
      if (!now.ok()) return {grpc::NOT_FOUND, "no such domain"};
      auto domain = now;
      if (target.epoch() != 0) {
        std::string name = target.domain().substr(0, target.domain().find('@'));
        domain = keys_->Domain(base::StrCat(name, "@", target.epoch()));
        if (!domain.ok()) return {grpc::FAILED_PRECONDITION, "not active any more"};
      }
      domains.push_back(*domain);
      current.push_back(*now);
      forms.push_back(static_cast<privacy::Form>(target.form()));
    }
    size_t target = 0;
    privacy::PseudonymBatch batch;  // a value ends where the bytes do
    for (int i = 0; i < request.ends_size(); ++i) {
      const auto kind = static_cast<uint8_t>(request.kinds()[static_cast<size_t>(i)]);
      batch.bytes().resize(request.ends(i));
      batch.EndValue(static_cast<privacy::IdentifierKind>(kind & 127), (kind & 128) != 0);
      size_t count = request.target_counts().empty()
                         ? 1
                         : static_cast<uint8_t>(request.target_counts()[static_cast<size_t>(i)]);
      for (; count > 0; --count, ++target) {
        const auto at = static_cast<uint8_t>(request.targets()[target]);
        batch.AddTarget(domains[at], forms[at]);
      }
    }
    batch.bytes() = request.values();
    privacy::PseudonymAnswer answer;
    if (absl::Status made = keys_->Pseudonymise(batch, answer); !made.ok())
      return {grpc::INVALID_ARGUMENT, "can't be made"};
    for (size_t i = 0; i < batch.targets().size(); ++i) {
      privacy::PseudonymBlock block = answer.blocks[i];
      if (batch.targets()[i].form != privacy::Form::kBlock) block = {};
      response.mutable_blocks()->append(reinterpret_cast<const char*>(block.data()), block.size());
    }
    response.set_texts(answer.texts);
    for (uint32_t end : answer.text_ends) response.add_text_ends(end);
    for (size_t i = 0; i < domains.size(); ++i) {
      auto& epoch = *response.add_target_epochs();
      epoch.set_label(answer.domains[domains[i]].label);
      epoch.set_epoch(answer.domains[domains[i]].epoch);
      epoch.set_current_epoch(answer.domains[current[i]].epoch);
    }
    return grpc::Status::OK;
  }

  mutable std::mutex mutex_;
  std::unique_ptr<privacy::LocalPseudonymiser> keys_;
  std::function<grpc::Status(const Request&)> before_;
  std::function<void(Response&)> spoil_;
  std::set<std::string> peers_;
  std::atomic<bool> held_ = false;
  std::atomic<int> calls_ = 0, under_way_ = 0, most_ = 0;
  size_t values_most_ = 0;
};

}  // namespace sluice::processor
