// Who the brokers are and who we are to them: TLS and SASL from files, which are read again when
// they change.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::kafka {

// Paths of PEM files, but for the password's. Names of brokers are always checked.
struct Security {
  bool tls = false;
  std::string ca;           // empty: the system's authorities
  std::string certificate;  // ours, for mutual TLS; with private_key
  std::string private_key;
  std::string private_key_password;  // a file, where the key is encrypted
  std::string mechanism;             // of SASL; empty: none
  std::string username;
  std::string password;  // a file

  // What is wrong whatever the files hold.
  absl::Status Check() const;
  bool empty() const { return !tls && mechanism.empty(); }
  // What is read: to be looked at for changes.
  std::vector<std::string> Files() const;
};

// librdkafka's properties, with the secrets that the files hold. kInvalidArgument names the key of
// `kafka.security` and what to do, never a value.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> SecuritySettings(
    const Security& security);

// What a file holds, without its last line ends; `key` is what an error calls it.
absl::StatusOr<std::string> ReadSecret(std::string_view key, const std::string& path);

// Sees that files have changed, by what they hold: a renewed Secret may keep size and time. Not
// thread-safe.
class FileWatch {
 public:
  // What they hold now is what is in use.
  explicit FileWatch(std::vector<std::string> files);

  // True once what they hold differs from what is in use and has stood still for `settle`: a pair
  // of files is written one after the other. Cheap: reads no more often than every half `settle`.
  bool Changed();
  bool empty() const { return files_.empty(); }
  // What was last seen is in use.
  void Take() { used_ = seen_; }
  // What was last seen can't be used: it isn't told again.
  void Refuse() { refused_ = seen_; }

 private:
  std::string Look() const;

  static constexpr std::chrono::milliseconds kSettle{1000};
  const std::vector<std::string> files_;
  std::string used_, seen_, refused_;  // hashes
  std::chrono::steady_clock::time_point seen_at_{}, next_look_{};
};

}  // namespace sluice::kafka
