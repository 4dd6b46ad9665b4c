#include "common/privacy/aes_siv.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "common/base/status.h"

namespace sluice::privacy {
namespace {

using Block = std::array<uint8_t, kAesBlockBytes>;

absl::Status Failed() { return absl::InternalError("OpenSSL: AES-SIV failed"); }

// Multiplication by x in GF(2^128), in constant time.
Block Doubled(const Block& block) {
  Block out;
  for (size_t i = 0; i + 1 < block.size(); ++i)
    out[i] = static_cast<uint8_t>(block[i] << 1 | block[i + 1] >> 7);
  out.back() = static_cast<uint8_t>(block.back() << 1 ^ ((0 - (block[0] >> 7)) & 0x87));
  return out;
}

void Xor(uint8_t* into, const uint8_t* from, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) into[i] ^= from[i];
}

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

absl::StatusOr<AesSiv> AesSiv::Create(std::span<const uint8_t> key) {
  size_t half = key.size() / 2;
  if (key.size() % 2 != 0) return absl::InvalidArgumentError("an AES-SIV key has two halves");
  SLUICE_ASSIGN_OR_RETURN(AesBlocks mac, AesBlocks::Create(key.first(half)));
  SLUICE_ASSIGN_OR_RETURN(AesBlocks counter, AesBlocks::Create(key.last(half)));
  AesSiv siv(std::move(mac), std::move(counter));
  Block zero{};
  if (!siv.mac_.Apply(zero.data(), zero.size())) return Failed();
  siv.last_whole_ = Doubled(zero);
  siv.last_cut_ = Doubled(siv.last_whole_);
  if (!siv.Cmac(Block{}, siv.none_)) return Failed();
  return siv;
}

bool AesSiv::Cmac(std::span<const uint8_t> message, Block& tag) {
  tag.fill(0);
  for (; message.size() > kAesBlockBytes; message = message.subspan(kAesBlockBytes)) {
    Xor(tag.data(), message.data(), kAesBlockBytes);
    if (!mac_.Apply(tag.data(), tag.size())) return false;
  }
  Xor(tag.data(), message.data(), message.size());
  bool whole = message.size() == kAesBlockBytes;
  if (!whole) tag[message.size()] ^= 0x80;
  Xor(tag.data(), whole ? last_whole_.data() : last_cut_.data(), kAesBlockBytes);
  return mac_.Apply(tag.data(), tag.size());
}

absl::StatusOr<AesSiv::Associated> AesSiv::Associate(
    std::initializer_list<std::string_view> strings) {
  Associated state = none_;
  for (std::string_view string : strings) {
    Block tag;
    if (!Cmac(Bytes(string), tag)) return Failed();
    state = Doubled(state);
    Xor(state.data(), tag.data(), tag.size());
  }
  return state;
}

bool AesSiv::Tag(const Associated& associated, std::string_view plaintext, Block& tag) {
  if (plaintext.size() < kAesBlockBytes) {
    Block padded = Doubled(associated);
    Xor(padded.data(), Bytes(plaintext).data(), plaintext.size());
    padded[plaintext.size()] ^= 0x80;
    return Cmac(padded, tag);
  }
  scratch_.assign(plaintext);
  Xor(reinterpret_cast<uint8_t*>(scratch_.data()) + scratch_.size() - kAesBlockBytes,
      associated.data(), kAesBlockBytes);
  bool made = Cmac(Bytes(scratch_), tag);
  OPENSSL_cleanse(scratch_.data(), scratch_.size());
  return made;
}

bool AesSiv::Count(Block tag, char* text, size_t bytes) {
  tag[8] &= 0x7F;
  tag[12] &= 0x7F;
  for (size_t at = 0; at < bytes; at += kAesBlockBytes) {
    Block key_stream = tag;
    if (!counter_.Apply(key_stream.data(), key_stream.size())) return false;
    Xor(reinterpret_cast<uint8_t*>(text) + at, key_stream.data(),
        std::min(kAesBlockBytes, bytes - at));
    for (size_t i = tag.size(); i-- > 0 && ++tag[i] == 0;) {
    }
  }
  return true;
}

absl::Status AesSiv::Encrypt(const Associated& associated, std::string_view plaintext,
                             std::string& out) {
  Block tag;
  if (!Tag(associated, plaintext, tag)) return Failed();
  const size_t begin = out.size();
  out.append(reinterpret_cast<const char*>(tag.data()), tag.size());
  out.append(plaintext);
  if (!Count(tag, out.data() + begin + tag.size(), plaintext.size())) {
    out.resize(begin);
    return Failed();
  }
  return absl::OkStatus();
}

absl::Status AesSiv::Decrypt(const Associated& associated, std::string_view sealed,
                             std::string& out) {
  if (sealed.size() < kSivTagBytes) return absl::DataLossError("too short to have been encrypted");
  Block tag, expected;
  std::memcpy(tag.data(), sealed.data(), tag.size());
  const size_t begin = out.size(), bytes = sealed.size() - kSivTagBytes;
  out.append(sealed.substr(kSivTagBytes));
  absl::Cleanup forget = [&] {
    OPENSSL_cleanse(out.data() + begin, bytes);
    out.resize(begin);
  };
  if (!Count(tag, out.data() + begin, bytes) ||
      !Tag(associated, std::string_view(out).substr(begin), expected)) {
    return Failed();
  }
  if (CRYPTO_memcmp(tag.data(), expected.data(), tag.size()) != 0) {
    return absl::DataLossError(
        "can't be decrypted: it was changed, or encrypted under another key or as another kind");
  }
  std::move(forget).Cancel();
  return absl::OkStatus();
}

}  // namespace sluice::privacy
