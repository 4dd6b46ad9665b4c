// The port to whoever holds the keys. Local or remote: the engine can't tell which.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sluice/contract/v1/options.pb.h"

namespace sluice::privacy {

using contract::v1::IdentifierKind;

// One block of a pseudonym: what its 26 characters stand for.
using PseudonymBlock = std::array<uint8_t, 16>;

// What is made of a value for a domain.
enum class Form : uint8_t {
  // 128 bits that only the keys' holder can tell the value from, by trying values.
  kBlock,
  // The value enciphered: who has the key gets it back. Tag and ciphertext of AES-SIV (see
  // value_cipher.h).
  kEncrypted,
  // Another value of the kind's own format, with a right check digit (see format_preserving.h).
  kFormatPreserved,
};

// Values to pseudonymise: one flat buffer, each value with its kind and the domains it is wanted
// in. Reused from chunk to chunk; allocates nothing in the steady state.
class PseudonymBatch {
 public:
  void Clear() {
    bytes_.clear();
    values_.clear();
    targets_.clear();
    texts_ = 0;
  }

  // `canonical` is the value in its kind's canonical form. Domains are indexes as Domains() gives
  // them. Returns the index of the first target; the others follow in the order of `domains`.
  template <typename DomainList>
  size_t Add(IdentifierKind kind, std::string_view canonical, const DomainList& domains) {
    bytes_.append(canonical);
    return AddTargets(kind, domains);
  }

  // The same in two steps: the caller appends the canonical value to bytes() first.
  template <typename DomainList>
  size_t AddTargets(IdentifierKind kind, const DomainList& domains) {
    EndValue(kind);
    size_t first = targets_.size();
    for (uint16_t domain : domains) AddTarget(domain, Form::kBlock);
    return first;
  }

  // The same in more steps: BeginScope() where the value has one, the canonical value into bytes(),
  // EndValue(), its targets.
  //
  // A value in a scope has a block that is unrelated to its block outside of it and to those in
  // other scopes, as if it were another value; blocks are all that can be made of it. Of the
  // scope's text up to 65,535 bytes count.
  void BeginScope(std::string_view scope) {
    scope = scope.substr(0, 65'535);
    bytes_.push_back(static_cast<char>(scope.size() >> 8));
    bytes_.push_back(static_cast<char>(scope.size()));
    bytes_.append(scope);
  }
  void EndValue(IdentifierKind kind, bool scoped = false) {
    values_.push_back({kind, static_cast<uint32_t>(bytes_.size()), scoped});
  }
  // Of the value ended last. Returns the target's index.
  size_t AddTarget(uint16_t domain, Form form) {
    targets_.push_back({static_cast<uint32_t>(values_.size() - 1), domain, form});
    texts_ += form != Form::kBlock;
    return targets_.size() - 1;
  }

  // Where the batch ends, so that what is added behind it can be taken back.
  struct Mark {
    size_t bytes = 0, values = 0, targets = 0, texts = 0;
  };
  Mark mark() const { return {bytes_.size(), values_.size(), targets_.size(), texts_}; }
  void TakeBack(const Mark& mark) {
    bytes_.resize(mark.bytes);
    values_.resize(mark.values);
    targets_.resize(mark.targets);
    texts_ = mark.texts;
  }
  // Bytes that it holds what it has in.
  size_t used_bytes() const {
    return bytes_.size() + values_.size() * sizeof(Value) + targets_.size() * sizeof(Target);
  }
  // Clear() that also gives the memory back where it is more than `keep_bytes`.
  void Trim(size_t keep_bytes) {
    Clear();
    if (bytes_.capacity() + values_.capacity() * sizeof(Value) +
            targets_.capacity() * sizeof(Target) <=
        keep_bytes)
      return;
    *this = PseudonymBatch();
  }

  struct Value {
    IdentifierKind kind;
    uint32_t end;  // in bytes(); a value begins where the one before ends
    bool scoped;   // its bytes begin with the scope's length in two bytes, big end first, and it
  };
  struct Target {
    uint32_t value;
    uint16_t domain;
    Form form;
  };

  std::string& bytes() { return bytes_; }
  const std::string& bytes() const { return bytes_; }
  const std::vector<Value>& values() const { return values_; }
  const std::vector<Target>& targets() const { return targets_; }
  // Some target wants another form than a block.
  bool has_texts() const { return texts_ != 0; }

 private:
  std::string bytes_;
  std::vector<Value> values_;
  std::vector<Target> targets_;
  size_t texts_ = 0;
};

// The key epoch that a domain's pseudonyms in one answer were made under.
struct DomainEpoch {
  std::string label;
  uint32_t epoch = 0;
};

struct PseudonymAnswer {
  // One for each target of the batch, in its order; meaningless where the form isn't kBlock.
  std::vector<PseudonymBlock> blocks;
  // What targets of the other forms get, one after the other, and where each target's part ends; a
  // target of the form kBlock has none. `text_ends` is empty where the batch has no texts. A
  // format-preserved text is empty where the value has no format to be preserved: it isn't its
  // kind's, or its check digit is wrong.
  std::string texts;
  std::vector<uint32_t> text_ends;
  // By domain index; the prefix of a pseudonym's text is its label and epoch.
  std::vector<DomainEpoch> domains;

  std::string_view text(size_t target) const {
    size_t begin = target == 0 ? 0 : text_ends[target - 1];
    return std::string_view(texts).substr(begin, text_ends[target] - begin);
  }
  // After an error: nobody is to publish what is half made.
  void Clear() {
    blocks.clear();
    texts.clear();
    text_ends.clear();
  }
};

// One worker's door to the keys. Not thread-safe: each worker has its own.
class Pseudonymiser {
 public:
  virtual ~Pseudonymiser() = default;

  // The index by which batches name this domain. `name@2` is the domain in its epoch 2, and
  // `name@previous` in the epoch before its newest one; until there is one, its newest. kNotFound
  // when there is no such domain, or the epoch isn't active: another one is never taken instead.
  virtual absl::StatusOr<uint16_t> Domain(std::string_view name) = 0;

  // Fills `answer` for the whole batch or returns an error: kUnavailable when trying again later
  // can help. All answers between two calls of NewBatch() are made under one epoch per domain.
  virtual absl::Status Pseudonymise(const PseudonymBatch& batch, PseudonymAnswer& answer) = 0;

  // What was answered until here is complete: what follows may be made under newer epochs.
  virtual void NewBatch() {}
};

}  // namespace sluice::privacy
