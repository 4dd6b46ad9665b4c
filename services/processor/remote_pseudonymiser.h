// Pseudonyms made by the pseudonymiser's process: no key ever comes here.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "common/privacy/keyring.h"
#include "common/privacy/pseudonymiser.h"
#include "common/rpc/channel.h"
#include "sluice/pseudonymiser/v1/pseudonymiser.grpc.pb.h"

namespace sluice::processor {

// Told of every call, on the worker's thread; thread-safe.
class KeyServiceProbe {
 public:
  virtual ~KeyServiceProbe() = default;
  // `code` is gRPC's name of the call's end, or BAD_ANSWER; `values` were in the call.
  virtual void KeyServiceCall(std::string_view code, std::chrono::nanoseconds took,
                              size_t values) const = 0;
};

// The pseudonymiser's service as all workers of this process see it: the connection, and whether it
// answers. Thread-safe.
class KeyService {
 public:
  struct Options {
    rpc::ChannelOptions channel;
    // Of one call.
    std::chrono::milliseconds deadline{1000};
    size_t in_flight = 4;
    size_t values_per_call = 4000;
    // Calls are smaller than this, but for one that has a single value. The service takes 4 MiB.
    size_t bytes_per_call = 512 * 1024;
    // How often what failed for the moment is tried, the first time included; the pause between
    // doubles, and is shorter than that by chance, so that not all workers come at once.
    int attempts = 3;
    std::chrono::milliseconds backoff{20};
    std::function<void(std::chrono::milliseconds)> sleep = [](std::chrono::milliseconds time) {
      std::this_thread::sleep_for(time);
    };
  };
  // Doesn't wait for the connection. Error: kInvalidArgument names the option, under
  // `pseudonymiser.remote`.
  static absl::StatusOr<std::shared_ptr<KeyService>> Create(Options options);

  const Options& options() const { return options_; }
  // nullptr: nobody. The probe outlives the service.
  void Observe(const KeyServiceProbe* probe) { probe_ = probe; }

  // Why the last batch couldn't be had; nullopt: it could, or none was asked for.
  std::optional<std::string> away() const;
  // The newest epoch of a domain that was told of; 0: none was.
  uint32_t EpochOf(std::string_view domain) const;
  // The service's domains as far as it lets this caller see them. Waits for the answer, no longer
  // than a call's deadline; the service records each. kPermissionDenied: it doesn't let it.
  absl::StatusOr<std::vector<privacy::KeyringDomain>> ListDomains() const;

 private:
  friend class RemotePseudonymiser;
  using Stub = pseudonymiser::v1::Pseudonymiser::Stub;

  explicit KeyService(Options options) : options_(std::move(options)) {}
  // One for all, until it is given up.
  std::shared_ptr<Stub> stub() const;
  // A connection whose calls all run into their deadlines may lead nowhere, which TCP finds out in
  // a quarter of an hour: the next call takes a new one.
  void GiveUp(const std::shared_ptr<Stub>& stub);
  void Called(std::string_view code, std::chrono::nanoseconds took, size_t values) const;
  void Ended(std::string_view why);  // of a batch; empty: well
  void Learnt(std::string_view domain, uint32_t epoch);

  const Options options_;
  std::atomic<const KeyServiceProbe*> probe_ = nullptr;
  mutable base::Mutex mutex_;
  std::shared_ptr<Stub> stub_ ABSL_GUARDED_BY(mutex_);
  std::string away_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<std::string, uint32_t>> epochs_ ABSL_GUARDED_BY(mutex_);
};

// A batch becomes calls of bounded size, several at a time. It is answered whole or not at all,
// under one epoch per domain until NewBatch(). Whatever goes wrong, an outage as well as a refusal
// or an answer that doesn't fit its question, is kUnavailable: the caller waits and asks again.
class RemotePseudonymiser final : public privacy::Pseudonymiser {
 public:
  // `random`: for the pauses between attempts.
  RemotePseudonymiser(std::shared_ptr<KeyService> service, base::RandomSource& random);
  ~RemotePseudonymiser() override;

  // Asks for `name@2` only, kNotFound; else, and in an outage, it shows when values come.
  absl::StatusOr<uint16_t> Domain(std::string_view name) override;
  absl::Status Pseudonymise(const privacy::PseudonymBatch& batch,
                            privacy::PseudonymAnswer& answer) override;
  void NewBatch() override;

 private:
  struct DomainState {
    std::string name;
    std::string label;
    uint32_t pinned = 0;  // 0: the next answer tells
    uint32_t next = 0;    // from the next batch on
    // By form, its place in target_list; -1: not there yet.
    std::array<int, 3> targets = {-1, -1, -1};
  };
  struct TargetState {
    uint16_t domain;
    privacy::Form form;
  };
  struct Call;

  // Cuts the batch into calls_[0..call_count_). kInvalidArgument: it names what isn't there.
  absl::Status Cut(const privacy::PseudonymBatch& batch);
  absl::StatusOr<uint8_t> TargetIndex(uint16_t domain, privacy::Form form);
  void SetTargets(pseudonymiser::v1::PseudonymiseRequest& request) const;
  // Has what Cut() made answered.
  absl::Status Ask();
  // So that all calls can be made under the same.
  absl::Status AskForEpochs();
  // Has calls_[first..end) answered; the error is kUnavailable.
  absl::Status Run(size_t first, size_t end);
  // Starts what isn't done of them and waits for its end. The code of the first that failed.
  std::string_view Attempt(size_t first, size_t end, std::chrono::system_clock::time_point deadline,
                           bool& again);
  // Whether the answer fits the question and the pins; takes over what it tells of epochs.
  bool Accept(const Call& call);
  absl::Status Fill(const privacy::PseudonymBatch& batch, privacy::PseudonymAnswer& answer);
  std::chrono::milliseconds Pause(int attempt);
  Call& CallAt(size_t index);

  const std::shared_ptr<KeyService> service_;
  std::minstd_rand random_;
  grpc::CompletionQueue queue_;
  std::vector<DomainState> domains_;
  std::vector<TargetState> target_list_;
  bool answered_ = false;  // since the last NewBatch()
  bool stale_ = false;     // a pinned epoch isn't active any more
  int timeouts_ = 0;       // batches in a row without any answer in time
  size_t call_count_ = 0;
  std::vector<std::unique_ptr<Call>> calls_;  // reused
};

}  // namespace sluice::processor
