// What streams, requests and operators name a domain by.
#pragma once

#include <string_view>

namespace sluice::privacy {

// A domain, and which of its epochs: `people` in its newest, `people@2` in that one,
// `people@previous` in the one before its newest.
struct DomainName {
  std::string_view name;
  std::string_view epoch;  // empty: the newest, or an epoch that is none (`people@`)
  bool pinned = false;     // there is an `@`

  static DomainName Of(std::string_view text) {
    const size_t at = text.find('@');
    if (at == std::string_view::npos) return {text, "", false};
    return {text.substr(0, at), text.substr(at + 1), true};
  }
  bool previous() const { return pinned && epoch == "previous"; }
  // The epoch is given by its number, so that it stays the same when keys rotate.
  bool numbered() const { return pinned && !previous(); }
};

// Whether two names may be of one domain in one epoch, now or after a rotation, so that equal
// values get equal pseudonyms under both. Only two different numbers never are: `people@previous`
// is `people` until there is a second epoch, and `people@1` afterwards.
inline bool MayBeOne(const DomainName& one, const DomainName& other) {
  if (one.name != other.name) return false;
  return !one.numbered() || !other.numbered() || one.epoch == other.epoch;
}

}  // namespace sluice::privacy
