// Strict JSON (RFC 8259), read value by value, with the line of whatever is wrong.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/arena.h"
#include "common/base/status.h"

namespace sluice::enrichment {

// A place in a text. Copying it remembers the place. The text must be valid UTF-8 and outlive it.
//
// Errors are `line N: ...`. Refused: an object with one name twice or with more than kNamesMax,
// nesting deeper than kDepthMax.
class JsonText {
 public:
  static constexpr int kDepthMax = 64;
  static constexpr size_t kNamesMax = 1000;

  explicit JsonText(std::string_view text, int first_line = 1) : text_(text), line_(first_line) {}

  int line() const { return line_; }
  absl::Status Error(std::string_view what) const;

  // The first character of the next value or bracket; 0 at the end.
  char Peek();

  // What stands for one value: null, true or false, a number as it is written, or a string's
  // content (in the arena where it has escapes, else in the text).
  struct Scalar {
    bool null = false;
    bool quoted = false;
    std::string_view text;
  };
  absl::StatusOr<Scalar> ReadScalar(base::Arena& arena);
  absl::StatusOr<std::string_view> ReadString(base::Arena& arena);
  absl::StatusOr<double> ReadNumber();
  absl::Status Skip();

  // `member(name)` reads the member's value. The name is valid until the next one.
  template <typename Member>
  absl::Status ReadObject(base::Arena& arena, Member member) {
    SLUICE_RETURN_IF_ERROR(Open('{', "an object"));
    std::vector<std::string_view> names;
    for (bool first = true;; first = false) {
      SLUICE_ASSIGN_OR_RETURN(bool more, Next('}', first));
      if (!more) return absl::OkStatus();
      SLUICE_ASSIGN_OR_RETURN(std::string_view name, ReadString(arena));
      for (std::string_view other : names) {
        if (other == name) return Error("an object has one name twice");
      }
      if (names.size() == kNamesMax) return Error("an object has too many names");
      names.push_back(name);
      SLUICE_RETURN_IF_ERROR(Expect(':'));
      SLUICE_RETURN_IF_ERROR(member(name));
    }
  }

  // `item()` reads one item.
  template <typename Item>
  absl::Status ReadArray(Item item) {
    SLUICE_RETURN_IF_ERROR(Open('[', "a list"));
    for (bool first = true;; first = false) {
      SLUICE_ASSIGN_OR_RETURN(bool more, Next(']', first));
      if (!more) return absl::OkStatus();
      SLUICE_RETURN_IF_ERROR(item());
    }
  }

  // Only white space may be left.
  absl::Status End();

 private:
  absl::Status Open(char bracket, std::string_view what);
  // Whether there is another member or item; closes the bracket when there isn't.
  absl::StatusOr<bool> Next(char close, bool first);
  absl::Status Expect(char c);
  absl::StatusOr<std::string_view> NumberText();
  absl::Status Unescape(base::Arena& arena, size_t begin, std::string_view& out);
  absl::StatusOr<uint32_t> Hex4(size_t& at) const;

  std::string_view text_;
  size_t at_ = 0;
  int line_;
  int depth_ = 0;
};

}  // namespace sluice::enrichment
