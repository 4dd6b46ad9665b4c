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
  // Names under which the copies can be opened, by this process only. Key and certificate are in
  // one file, which is replaced as a whole: nobody reads a key of one and a certificate of another.
  struct Copies {
    std::string pair;
    std::string authority;
  };
  // Where the files aren't whole yet, the copies are empty until they are.
  static const TlsPair& Of(const TlsFiles& files);

  const Copies& copies() const { return copies_; }
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
  Copies copies_;
  int64_t times_ = 0;  // only by Look()
  Content content_;    // likewise
  mutable base::Mutex mutex_;
  absl::Status refused_ ABSL_GUARDED_BY(mutex_);
};

// sluice_tls_files_refused{certificate}: 1 where what serves is older than the files.
void AddTlsMetrics(telemetry::Registry& registry);

}  // namespace sluice::rpc
