// A stream's records for those who subscribe to it: JSON Schema, and a record that nobody's data
// made.
#pragma once

#include <string>

#include "common/engine/pipeline.h"

namespace sluice::ctl {

// JSON Schema (2020-12) of a stream's records as JSON. What a treatment leaves has the pattern of
// what it writes: a pseudonym, a month, the band of an age.
std::string JsonSchemaOf(const engine::Pipeline& pipeline, const engine::StreamPlan& stream);

// A record with every field, that validates against the schema.
std::string SampleOf(const engine::Pipeline& pipeline, const engine::StreamPlan& stream);

}  // namespace sluice::ctl
