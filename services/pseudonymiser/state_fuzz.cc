// Any bytes as the service's state, as they are and as the content of a file that was sealed with
// the right key: it is read, or refused by its name, and what was read can be written and read
// back.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "common/base/clock.h"
#include "common/base/testing.h"
#include "common/privacy/aes_gcm.h"
#include "services/pseudonymiser/authority.h"
#include "tests/fuzz/planted.h"

namespace {

using namespace sluice;

struct Site {
  Site() {
    // In memory where there is such a folder: every input is a file.
    const char* memory = "/dev/shm";
    std::error_code none;
    folder = (std::filesystem::is_directory(memory, none)
                  ? std::string(memory)
                  : std::filesystem::temp_directory_path().string()) +
             "/sluice-state-XXXXXX";
    fuzz::Require(mkdtemp(folder.data()) != nullptr, "no folder for the state");
    path = folder + "/state";
    keyring = *privacy::Keyring::Create({{"a", "a"}}, random);
  }
  ~Site() { std::filesystem::remove_all(folder); }
  base::CountingRandom random;
  base::ManualClock clock;
  std::string folder, path;
  std::optional<privacy::Keyring> keyring;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Site site;
  constexpr std::string_view kHeader = "SLUICE-AUTHORITY 1\n";
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  std::string file(bytes);
  if (data[0] % 2 == 1) {
    constexpr base::SecretAccess kAccess{};
    const uint8_t nonce[privacy::kGcmNonceBytes] = {};
    file = std::string(kHeader) + std::string(sizeof(nonce), '\0');
    auto key = site.keyring->StateKey();
    fuzz::Require(
        privacy::AesGcm::Create(key->Reveal(kAccess))->Encrypt(nonce, kHeader, bytes, file).ok(),
        "not sealed");
  }
  std::ofstream(site.path, std::ios::binary | std::ios::trunc) << file;
  std::filesystem::permissions(
      site.path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  auto authority =
      pseudonymiser::Authority::Open(site.path, *site.keyring, site.clock, site.random);
  if (!authority.ok()) {
    fuzz::Require(authority.status().message().find(site.path) == 0, "an error without its file");
    return 0;
  }
  std::string seen, written;
  absl::Status look =
      (*authority)->See([&](const pseudonymiser::v1::AuthorityState& state, int64_t) {
        state.SerializeToString(&seen);
        return absl::OkStatus();
      });
  fuzz::Require(look.ok(), "a state that was opened isn't seen");
  absl::Status work = (*authority)->With([](pseudonymiser::v1::AuthorityState& state, int64_t) {
    fuzz::Planted(state.reidentifications_size() == 2);
    return absl::OkStatus();
  });
  fuzz::Require(work.ok() && pseudonymiser::Authority::Check(site.path, *site.keyring).ok(),
                "a state that was opened can't be written and read back");
  return 0;
}
