// What the builder and the table of an LMDB file agree on.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace sluice::reference::lmdb {

// A file of another format isn't opened: it is built anew from its source.
inline constexpr std::string_view kFormat = "sluice-rows-2";

// Databases of the file. `about` has the names below; `rows` has the buckets, each under its last
// hash, big-endian.
inline constexpr const char* kAbout = "about";
inline constexpr const char* kRows = "rows";
inline constexpr std::string_view kFormatName = "format", kIdName = "id", kSizeName = "size",
                                  kSchemaName = "schema", kDefinitionName = "definition";

// A bucket: the number of its rows (8 bytes), their hashes (8 each, ascending), where each begins
// (4 each), the rows. A row: its interval where the schema has one (16 bytes), its key's length (2
// bytes), its key, its cells as AppendRow has them. Numbers are little-endian. Rows of one hash are
// in one bucket.
inline constexpr size_t kBucketBytes = 65'536 - 16;  // sixteen pages, less what LMDB needs itself

template <typename T>
T Load(const char* at) {
  T number;
  std::memcpy(&number, at, sizeof(number));
  return number;
}

}  // namespace sluice::reference::lmdb
