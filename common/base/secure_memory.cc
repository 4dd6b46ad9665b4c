#include "common/base/secure_memory.h"

#include <linux/capability.h>
#include <openssl/crypto.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bit>

#include "common/base/strings.h"

namespace sluice::base {
namespace {

constexpr size_t kSmallestBytes = 32;

// Whether the limit on locked memory doesn't bind this process.
bool MayLockAll() {
  rlimit limit{};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY) return true;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  return syscall(SYS_capget, &header, data) == 0 && (data[0].effective >> CAP_IPC_LOCK & 1) != 0;
}

}  // namespace

void ForbidCoreDumps() {
  rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0);
}

absl::Status LockMemory(size_t heap_bytes) {
  std::string missing;
  if (CRYPTO_secure_malloc_initialized() == 0) {
    int made = CRYPTO_secure_malloc_init(std::bit_ceil(heap_bytes), kSmallestBytes);
    if (made == 0) missing = "the heap for keys can't be made";
    if (made == 2) missing = "the heap for keys can't be locked";
  }
  // Under a limit, later allocations would fail in mid-work. Pages are locked as they are touched:
  // thread stacks that nobody uses don't count.
  if (!MayLockAll() || mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
    StrAppend(missing, missing.empty() ? "" : "; ", "the rest of the memory can't be locked");
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat(
      "keys may be swapped out: ", missing,
      "; raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=) to unlimited, or give CAP_IPC_LOCK"));
}

}  // namespace sluice::base
