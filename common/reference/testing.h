// Sets' configurations and sources for tests, from texts.
#pragma once

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>

#include "common/reference/snapshot.h"
#include "common/reference/source.h"

namespace sluice::reference {

// In protobuf's text format.
inline config::v1::ReferenceSet SetFromText(std::string_view text) {
  config::v1::ReferenceSet set;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(std::string(text), &set)) << text;
  return set;
}

inline std::unique_ptr<Source> SourceFromText(std::string_view text,
                                              kafka::ConnectionOptions kafka = {}) {
  auto source = MakeSource(SetFromText(text), {[](const std::string& path) { return path; },
                                               std::move(kafka), std::chrono::milliseconds(0)});
  EXPECT_TRUE(source.ok()) << source.status();
  return *std::move(source);
}

// A snapshot in one piece.
struct Snapshot {
  v1::SnapshotHead head;
  std::string body;
};
inline Snapshot WriteSnapshot(std::string_view set, const enrichment::Rows& rows,
                              const enrichment::Rows* base = nullptr) {
  Snapshot snapshot{SnapshotHeadOf(set, rows, base), ""};
  EXPECT_EQ(WriteBody(rows, base, {},
                      [&](std::string_view part) {
                        snapshot.body += part;
                        return absl::OkStatus();
                      }),
            absl::OkStatus());
  return snapshot;
}
inline absl::StatusOr<RowsPtr> ReadSnapshot(const Snapshot& snapshot,
                                            const enrichment::Rows* base = nullptr,
                                            const Store& store = {}) {
  auto reader = SnapshotReader::Create(snapshot.head, store, base);
  if (!reader.ok()) return reader.status();
  absl::Status added = (*reader)->Add(snapshot.body);
  if (!added.ok()) return added;
  return (*reader)->Finish();
}

// The names of what is in a folder; none where there is no folder.
inline std::set<std::string> FilesIn(const std::string& folder) {
  std::set<std::string> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    files.insert(entry.path().filename().string());
  return files;
}

// By renaming, as a site's tool does: nobody reads half a file.
inline void WriteText(const std::string& path, const std::string& text) {
  std::ofstream(path + ".new") << text;
  std::filesystem::rename(path + ".new", path);
}

}  // namespace sluice::reference
