// Any bytes as a keyring's file: it is refused, with the file's name.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "common/base/strings.h"
#include "common/base/testing.h"
#include "common/privacy/keyring.h"
#include "tests/fuzz/planted.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  static const int memory = [] {
    int made = memfd_create("keyring", 0);
    fuzz::Require(fchmod(made, 0600) == 0, "the file's mode");
    return made;
  }();
  static const std::string path = base::StrCat("/proc/self/fd/", memory);
  static const std::string key = [] {
    std::string name = base::StrCat("/tmp/keyring-fuzz-", getpid());
    base::CountingRandom random;
    unlink(name.c_str());
    fuzz::Require(privacy::Keyring::CreateKeyFile(name, random).ok(), "no key file");
    std::atexit([] { unlink(base::StrCat("/tmp/keyring-fuzz-", getpid()).c_str()); });
    return name;
  }();
  fuzz::Require(
      ftruncate(memory, 0) == 0 && pwrite(memory, data, size, 0) == static_cast<ssize_t>(size),
      "the file cannot be written");
  auto loaded = privacy::Keyring::Load(path, key);
  fuzz::Require(!loaded.ok(), "a keyring that nobody made was loaded");
  fuzz::Require(loaded.status().message().find("/proc/self/fd/") != absl::string_view::npos,
                "an error without the file's name");
  fuzz::Planted(
      size > 40 && data[size - 1] == 'p' &&
      std::string_view(reinterpret_cast<const char*>(data), size).starts_with("SLUICE-KEYRING"));
  return 0;
}
