// Files' texts as rows of a schema. The same rows give the same set, whatever the format.
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/base/arena.h"
#include "common/enrichment/row_set.h"

namespace sluice::enrichment {

// Which of a schema's columns the rows of a source have had, over all its texts. A JSON object
// may leave a member out; where all of them do, the member has another name at the source.
class ColumnsSeen {
 public:
  explicit ColumnsSeen(const Schema& schema) : schema_(schema), seen_(schema.columns().size()) {}
  void Add(size_t column) { seen_[column] = true; }
  // After the last text, if there was a row. The error names the column.
  absl::Status Check(std::string_view source) const;

 private:
  const Schema& schema_;
  std::vector<bool> seen_;
};

// All of them: `source` names the text in errors, which are `source: line N: column 'x': ...` and
// never show a value (but the key of an area or a place). Columns of the text that the schema
// doesn't name are left out; one that it names and the text lacks is an error, unless it
// `may_be_missing`. An empty text is no value. A byte order mark in front is skipped. The text may
// be a mapped file's: memory is one row's, beside what the sink keeps.

// A header line and its rows (RFC 4180).
absl::Status ReadCsv(std::string_view text, std::string_view source, RowSink& sink);

// One object a line; empty lines are skipped. Part: of several texts, and the caller checks `seen`.
absl::Status ReadJsonLines(std::string_view text, std::string_view source, RowSink& sink);
absl::Status ReadJsonLinesPart(std::string_view text, std::string_view source, RowSink& sink,
                               ColumnsSeen& seen);

// A FeatureCollection (RFC 7946): each feature is a row; its properties are columns, its geometry
// the area (Polygon, MultiPolygon) or the point (Point) where the schema has one, its own id the
// column whose source is `id`, where no feature has a property of that name.
absl::Status ReadGeoJson(std::string_view text, std::string_view source, RowSink& sink);
absl::Status ReadGeoJsonPart(std::string_view text, std::string_view source, RowSink& sink,
                             ColumnsSeen& seen);

// One cell's text as a value of the column. Texts are views of `text`, or in the arena. The error
// says what is wrong with it, without the column's name.
absl::StatusOr<event::Value> ParseCell(const Column& column, std::string_view text,
                                       base::Arena& arena);

}  // namespace sluice::enrichment
