#include "common/privacy/aes_blocks.h"

namespace sluice::privacy {

absl::StatusOr<AesBlocks> AesBlocks::Create(std::span<const uint8_t> key, Direction direction) {
  const EVP_CIPHER* cipher = key.size() == 16   ? EVP_aes_128_ecb()
                             : key.size() == 24 ? EVP_aes_192_ecb()
                             : key.size() == 32 ? EVP_aes_256_ecb()
                                                : nullptr;
  if (cipher == nullptr) return absl::InvalidArgumentError("an AES key has 16, 24 or 32 bytes");
  AesBlocks blocks(EVP_CIPHER_CTX_new());
  if (EVP_CipherInit_ex(blocks.context_.get(), cipher, nullptr, key.data(), nullptr,
                        direction == Direction::kEncipher ? 1 : 0) != 1 ||
      EVP_CIPHER_CTX_set_padding(blocks.context_.get(), 0) != 1) {
    return absl::InternalError("OpenSSL: AES failed");
  }
  return blocks;
}

bool AesBlocks::Apply(uint8_t* blocks, size_t bytes) {
  int size = static_cast<int>(bytes), written = 0;
  return EVP_CipherUpdate(context_.get(), blocks, &written, blocks, size) == 1 && written == size;
}

}  // namespace sluice::privacy
