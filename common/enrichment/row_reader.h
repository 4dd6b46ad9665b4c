// Files' texts as rows of a schema. The same rows give the same set, whatever the format.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "common/base/arena.h"
#include "common/enrichment/row_set.h"

namespace sluice::enrichment {

// All of them: `source` names the text in errors, which are `source: line N: column 'x': ...` and
// never show a value. Columns of the text that the schema doesn't name are left out; one that it
// names and the text lacks is an error (in JSON, where it's required). An empty text is no value.
// The text may be a mapped file's: memory is one row's, beside what the sink keeps.

// A header line and its rows (RFC 4180).
absl::Status ReadCsv(std::string_view text, std::string_view source, RowSink& sink);

// One object a line; empty lines are skipped.
absl::Status ReadJsonLines(std::string_view text, std::string_view source, RowSink& sink);

// A FeatureCollection (RFC 7946): each feature is a row; its properties are columns, its geometry
// the area (Polygon, MultiPolygon) or the point (Point) where the schema has one.
absl::Status ReadGeoJson(std::string_view text, std::string_view source, RowSink& sink);

// One cell's text as a value of the column. Texts are views of `text`, or in the arena. The error
// says what is wrong with it, without the column's name.
absl::StatusOr<event::Value> ParseCell(const Column& column, std::string_view text,
                                       base::Arena& arena);

}  // namespace sluice::enrichment
