// Sets for tests, from texts.
#pragma once

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/enrichment/row_reader.h"
#include "common/enrichment/table.h"

namespace sluice::enrichment {

// Of a schema in protobuf's text format.
inline absl::StatusOr<std::shared_ptr<const Schema>> SchemaFromText(std::string_view text) {
  reference::v1::Schema schema;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(std::string(text), &schema)) << text;
  return Schema::Create(schema);
}

using ReadText = absl::Status (*)(std::string_view, std::string_view, RowSink&);

inline absl::StatusOr<std::shared_ptr<const RowSet>> RowsFromText(std::string_view schema_text,
                                                                  std::string_view rows,
                                                                  ReadText read = ReadCsv) {
  auto schema = SchemaFromText(schema_text);
  if (!schema.ok()) return schema.status();
  RowSet::Builder builder(*std::move(schema));
  if (absl::Status status = read(rows, "rows", builder); !status.ok()) return status;
  return builder.Finish();
}

// A table of a test's own, which must be right.
inline std::shared_ptr<const Table> TableFromText(std::string_view set, std::string_view schema,
                                                  std::string_view rows, ReadText read = ReadCsv,
                                                  std::shared_ptr<const Table> within = nullptr) {
  auto loaded = RowsFromText(schema, rows, read);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  auto table = MakeTable(set, *std::move(loaded), std::move(within));
  EXPECT_TRUE(table.ok()) << table.status();
  return *table;
}

}  // namespace sluice::enrichment
