// The port through which events are joined: one immutable version of one reference set.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::enrichment {

using RowId = uint32_t;
inline constexpr RowId kNoRow = ~RowId{0};

// A snapshot. Immutable and thread-safe; all replicas that hold the same id hold the same content.
class Table {
 public:
  virtual ~Table() = default;

  // The reference set's name.
  virtual const std::string& set() const = 0;
  // The snapshot's id: a hash of its content, independent of the order of its rows. 32 hex digits.
  virtual const std::string& id() const = 0;
  // Every column but the key, in the source's order.
  virtual const std::vector<std::string>& columns() const = 0;
  virtual size_t size() const = 0;

  // The row of a key, compared byte by byte; kNoRow when there is none.
  virtual RowId Find(std::string_view key) const = 0;
  // The text of a row's column. Valid as long as the table.
  virtual std::string_view Cell(RowId row, size_t column) const = 0;
};

}  // namespace sluice::enrichment
