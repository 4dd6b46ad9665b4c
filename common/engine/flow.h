// What flows into what: for each leaf of a stream's output, every field of the event and every cell
// of a joined row that its value depends on. Computed from the compiled pipeline, so that it says
// what comes out, not what a configuration reads like.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "common/engine/pipeline.h"

namespace sluice::engine {

// Where a value comes from.
struct FlowSource {
  enum class Kind : uint8_t {
    kField,   // of the event: `node`
    kCell,    // of a joined row: `join` of Pipeline::joins(), `column` of its table
    kMap,     // of a treatment's own set (snap, area_of): `set` of Pipeline::tables()
    kRecord,  // where the raw record stood
  };
  Kind kind = Kind::kField;
  contract::NodeId node = contract::kNoNode;
  size_t join = 0;
  size_t column = 0;
  size_t set = 0;
  auto operator<=>(const FlowSource&) const = default;

  // officer.borough; unit.name of a joined row; set:wards; (record).
  std::string ToString(const Pipeline& pipeline) const;
};

// How a source reaches an output. The order is that of what it tells: a later one tells more.
enum class FlowHow : uint8_t {
  kChosenBy,  // it only decides which row, scope or number of days is used
  kThrough,   // through the leaf's own treatment
  kWhole,     // as it stands
};

struct Flow {
  FlowSource source;
  FlowHow how = FlowHow::kWhole;
  auto operator<=>(const Flow&) const = default;
};

// A leaf of what a stream's records carry.
struct OutputLeaf {
  // Of a field or a joined column, with the stream's names: subject.age_band, ward.name. (key),
  // (ce_id) and (ce_time) are the record's key and headers.
  std::string path;
  uint32_t output = 0;      // of StreamPlan::nodes; 0: a joined column, a key or a header
  std::string through;      // what is done, in words; empty: nothing
  std::vector<Flow> flows;  // ascending by source, each source once

  // nullptr: the source doesn't reach this leaf.
  const Flow* Find(const FlowSource& source) const;
};

// In the output's order; the record's key and headers last. Presence isn't part of it: that a field
// is there, and how many items a list has, shows wherever the field or the list is published in any
// form.
std::vector<OutputLeaf> OutputLeaves(const Pipeline& pipeline, const StreamPlan& stream);

}  // namespace sluice::engine
