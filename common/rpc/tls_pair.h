// Certificate, key and authority as they were whole last.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/rpc/tls.h"
#include "common/telemetry/metrics.h"

namespace sluice::rpc {

// Looks at the files every refresh_s seconds, and copies them into memory when they are whole and
// belong together: gRPC reads the copies only. While they aren't, as between the renewal of a key
// and of its certificate, or for as long as half a file lies there, the copies of before serve on;
// that is logged (`tls_files_refused`), and the files are looked at every second. There is one of
// these for each set of files, for the life of the process. Thread-safe.
class TlsPair {
 public:
  // Files for gRPC to watch. Of the copies, which only this process can open, key and certificate
  // are one file, which is replaced as a whole: nobody reads a key of one and a certificate of
  // another.
  struct Watched {
    std::string private_key, certificate, authority;
    int refresh_s = 1;
  };
  static const TlsPair& Of(const TlsFiles& files);

  // The copies; the files themselves until there are any, such as where the files weren't whole yet
  // or memory is short: gRPC ends the program over an empty one.
  Watched watched() const;
  // Why the files as they are now aren't taken; OK: they are.
  absl::Status refused() const;

  // Looks now.
  void Look();

 private:
  friend class TlsWatch;
  struct Content {
    std::string pair, authority;
  };
  explicit TlsPair(TlsFiles files);
  absl::StatusOr<Content> Read() const;
  int wait_s() const;

  const TlsFiles files_;
  int pair_file_ = -1, authority_file_ = -1;
  int64_t times_ = 0;  // only by Look()
  Content content_;    // likewise
  mutable base::Mutex mutex_;
  absl::Status refused_ ABSL_GUARDED_BY(mutex_);
  bool copied_ ABSL_GUARDED_BY(mutex_) = false;
};

// sluice_tls_files_refused{certificate}: 1 where what serves is older than the files.
void AddTlsMetrics(telemetry::Registry& registry);

}  // namespace sluice::rpc
