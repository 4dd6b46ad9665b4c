// Sets' configurations and sources for tests, from texts.
#pragma once

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

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

// By renaming, as a site's tool does: nobody reads half a file.
inline void WriteText(const std::string& path, const std::string& text) {
  std::ofstream(path + ".new") << text;
  std::filesystem::rename(path + ".new", path);
}

}  // namespace sluice::reference
