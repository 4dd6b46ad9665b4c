#include "common/rpc/tls_pair.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace sluice::rpc {
namespace {

constexpr size_t kFileBytesMax = 1024 * 1024;

absl::StatusOr<std::string> ReadWhole(const std::string& path) {
  auto error = [&](std::string_view what) {
    return absl::FailedPreconditionError(base::StrCat(path, ": ", what));
  };
  // Without a wait for a pipe's other end.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return error("can't be opened");
  std::string text(kFileBytesMax + 1, '\0');
  size_t have = 0;
  ssize_t got = 0;
  while (have < text.size() && (got = read(file, text.data() + have, text.size() - have)) > 0)
    have += static_cast<size_t>(got);
  close(file);
  if (got < 0) return error("can't be read");
  if (have > kFileBytesMax) return error("is larger than 1 MiB");
  text.resize(have);
  size_t begins = 0, ends = 0;
  for (size_t at = 0; (at = text.find("-----BEGIN ", at)) != std::string::npos; ++at) ++begins;
  for (size_t at = 0; (at = text.find("-----END ", at)) != std::string::npos; ++at) ++ends;
  if (begins == 0 || begins != ends) return error("is half written");
  return text;
}

// Replaces what `file` is, at once for whoever opens it next.
bool Replace(int& file, const std::string& text, int64_t times) {
  const int made = memfd_create("sluice-tls", MFD_CLOEXEC);
  if (made < 0) return false;
  size_t put = 0;
  while (put < text.size()) {
    const ssize_t wrote = write(made, text.data() + put, text.size() - put);
    if (wrote <= 0) break;
    put += static_cast<size_t>(wrote);
  }
  // gRPC tells by the seconds of this time whether a file was replaced between two reads.
  const timespec when[2] = {{times, 0}, {times, 0}};
  bool done = put == text.size() && fchmod(made, 0600) == 0 && futimens(made, when) == 0;
  if (file < 0 && done) {
    file = made;
    return true;
  }
  done = done && dup3(made, file, O_CLOEXEC) >= 0;
  close(made);
  return done;
}

}  // namespace

// All of them, and the thread that looks at them.
class TlsWatch {
 public:
  // Never destroyed: credentials live as long as gRPC's threads.
  static TlsWatch& Instance() {
    static auto* watch = new TlsWatch();
    return *watch;
  }

  const TlsPair& Of(const TlsFiles& files) {
    base::MutexLock lock(mutex_);
    auto& pair = pairs_[{files.certificate, files.private_key, files.authority, files.refresh_s}];
    if (pair.pair == nullptr) {
      pair.pair.reset(new TlsPair(files));
      pair.next = std::chrono::steady_clock::now() + std::chrono::seconds(pair.pair->wait_s());
      changed_.notify_one();
    }
    return *pair.pair;
  }

  std::vector<std::pair<std::string, bool>> Refused() {
    base::MutexLock lock(mutex_);
    std::vector<std::pair<std::string, bool>> refused;
    for (const auto& [key, pair] : pairs_)
      refused.emplace_back(std::get<0>(key), !pair.pair->refused().ok());
    return refused;
  }

 private:
  struct Entry {
    std::unique_ptr<TlsPair> pair;
    std::chrono::steady_clock::time_point next;
  };

  TlsWatch() {
    std::thread([this] { Run(); }).detach();
  }

  void Run() {
    while (true) {
      std::vector<TlsPair*> due;
      {
        base::MutexLock lock(mutex_);
        auto now = std::chrono::steady_clock::now();
        auto next = now + std::chrono::hours(1);
        for (const auto& [key, pair] : pairs_) next = std::min(next, pair.next);
        const size_t known = pairs_.size();
        if (next > now) {
          lock.WaitFor(changed_, next - now, [this, known]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
            return pairs_.size() != known;
          });
        }
        now = std::chrono::steady_clock::now();
        for (auto& [key, pair] : pairs_)
          if (pair.next <= now) due.push_back(pair.pair.get());
      }
      // They are never removed.
      for (TlsPair* pair : due) pair->Look();
      base::MutexLock lock(mutex_);
      for (auto& [key, pair] : pairs_) {
        if (std::find(due.begin(), due.end(), pair.pair.get()) == due.end()) continue;
        pair.next = std::chrono::steady_clock::now() + std::chrono::seconds(pair.pair->wait_s());
      }
    }
  }

  base::Mutex mutex_;
  std::condition_variable changed_;
  std::map<std::tuple<std::string, std::string, std::string, int>, Entry> pairs_
      ABSL_GUARDED_BY(mutex_);
};

TlsPair::TlsPair(TlsFiles files) : files_(std::move(files)) {
  Replace(pair_file_, "", 1);
  Replace(authority_file_, "", 1);
  times_ = 1;
  Look();
}

const TlsPair& TlsPair::Of(const TlsFiles& files) { return TlsWatch::Instance().Of(files); }

TlsPair::Watched TlsPair::watched() const {
  base::MutexLock lock(mutex_);
  if (!copied_) return {files_.private_key, files_.certificate, files_.authority, files_.refresh_s};
  const std::string pair = base::StrCat("/proc/self/fd/", pair_file_);
  return {pair, pair, base::StrCat("/proc/self/fd/", authority_file_), 1};
}

absl::Status TlsPair::refused() const {
  base::MutexLock lock(mutex_);
  return refused_;
}

int TlsPair::wait_s() const { return refused().ok() ? std::max(files_.refresh_s, 1) : 1; }

absl::StatusOr<TlsPair::Content> TlsPair::Read() const {
  SLUICE_RETURN_IF_ERROR(CheckTlsFiles(files_, "tls"));
  SLUICE_ASSIGN_OR_RETURN(std::string key, ReadWhole(files_.private_key));
  SLUICE_ASSIGN_OR_RETURN(std::string certificate, ReadWhole(files_.certificate));
  SLUICE_ASSIGN_OR_RETURN(std::string authority, ReadWhole(files_.authority));
  Content content{base::StrCat(key, "\n", certificate), std::move(authority)};
  // What was read is what belongs together: none was replaced meanwhile.
  SLUICE_RETURN_IF_ERROR(CheckTlsPair(key, certificate, "tls"));
  return content;
}

void TlsPair::Look() {
  auto read = Read();
  absl::Status status = read.status();
  if (read.ok()) {
    bool taken = true;
    if (read->pair != content_.pair) taken = Replace(pair_file_, read->pair, times_ + 1);
    if (read->authority != content_.authority)
      taken = Replace(authority_file_, read->authority, times_ + 1) && taken;
    ++times_;
    if (taken) {
      content_ = *std::move(read);
    } else {
      status = absl::ResourceExhaustedError("no memory, or no file descriptor, for the copies");
    }
  }
  bool changed = false;
  {
    base::MutexLock lock(mutex_);
    copied_ = copied_ || status.ok();
    changed = refused_.message() != status.message();
    refused_ = status;
  }
  if (!changed) return;
  if (status.ok()) {
    Log(telemetry::Severity::kInfo, "tls_files_taken",
        {{"certificate", telemetry::SafeText(files_.certificate)}});
  } else {
    Log(telemetry::Severity::kWarning, "tls_files_refused",
        {{"certificate", telemetry::SafeText(files_.certificate)},
         {"status", telemetry::SafeText(status)}});
  }
}

void AddTlsMetrics(telemetry::Registry& registry) {
  auto refused = registry.GaugeFamily(
      {"sluice_tls_files_refused",
       "1: the certificate, its key and the authority aren't whole or don't belong together; the "
       "ones of before serve on.",
       {"certificate"}});
  registry.OnCollect([refused] {
    for (const auto& [certificate, is] : TlsWatch::Instance().Refused())
      refused.With({certificate}).Set(is ? 1 : 0);
  });
}

}  // namespace sluice::rpc
