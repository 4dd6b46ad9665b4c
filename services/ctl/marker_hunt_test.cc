// No value of an event, of a reference set or of a file's header comes out of a command in any
// message: everything is full of markers and broken in every way, and afterwards each marker is
// looked for, whole and by half, as it stands and as encodings write it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/escaping.h"
#include "common/base/strings.h"
#include "services/ctl/testing.h"
#include "tests/support/markers.h"
#include "tests/support/temp_dir.h"

namespace sluice::ctl {
namespace {

namespace fs = std::filesystem;

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

class MarkerHunt : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::copy(root_ + "/tests/lint/contracts", path_ + "/contracts");
    for (const char* file : {"processor.yaml", "stations.csv"})
      fs::copy(root_ + "/tests/lint/" + file, path_ + "/" + file);
    ASSERT_EQ(RunCtl({"keys", "init", "--keyring", path_ + "/keyring", "--key-encryption-key",
                      path_ + "/kek", "--domain", "analysis=ana", "--domain", "public=pub"})
                  .code,
              0);
    ASSERT_EQ(RunCtl({"keys", "quarantine", "--private", path_ + "/quarantine.key", "--public",
                      path_ + "/quarantine.pub"})
                  .code,
              0);
  }

  std::string Marker() { return markers_.Letters(); }
  std::string DigitMarker() { return markers_.Digits(); }

  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(path_ + "/" + name, std::ios::binary) << text;
    return path_ + "/" + name;
  }

  // Runs the command, and keeps all that it says and writes for the hunt, but the clean streams.
  void Run(std::vector<std::string> call, const std::string& piped = "") {
    Ended ended = RunCtl(call, piped);
    base::StrAppend(said_, ended.out, "\n", ended.err, "\n");
    ++runs_;
    if (!fs::exists(path_ + "/out")) return;
    for (const auto& file : fs::directory_iterator(path_ + "/out")) {
      std::string name = file.path().filename().string();
      if (name.starts_with("analysis") || name.starts_with("public")) continue;
      base::StrAppend(said_, name, "\n", ReadFile(file.path()), "\n");
    }
    fs::remove_all(path_ + "/out");
  }
  void RunEvents(const std::string& name, const std::string& text) {
    Run({"run", path_ + "/processor.yaml", "--in", Write(name, text), "--out", path_ + "/out"});
  }

  void Hunt() {
    EXPECT_GT(runs_, 0);
    EXPECT_EQ(markers_.FindIn(said_), "");
  }

  // An event that would be clean, with a marker wherever one fits, its members in `more`.
  std::string Event(const std::string& more = "") {
    return base::StrCat(R"({"visit_id":"6f9619ff-8b86-4011-b42d-00cf4fc964ff",)",
                        R"("arrived_at":"2026-03-04T05:06:07Z","station":"AB","minutes":5,)",
                        R"("visitor":{"name":")", Marker(), R"(","phone":"07700 900123",)",
                        R"("ethnicity":")", Marker(), R"("},"reason":")", Marker(), R"(",")",
                        Marker(), R"(":")", Marker(), R"(","labels":{")", Marker(), R"(":")",
                        Marker(), "\"}", more, "}");
  }

  std::string root_ = std::getenv("SLUICE_SOURCE_DIR");
  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("marker-hunt");
  std::string path_ = folder_->path();
  test_support::Markers markers_{20260304};
  std::string said_;
  int runs_ = 0;
};

TEST_F(MarkerHunt, EventsBrokenInEveryWayStayUnsaid) {
  std::string lines;
  std::vector<std::string> broken;
  auto add = [&](const std::string& event) {
    broken.push_back(event);
    base::StrAppend(lines, event, "\n");
  };
  const std::string whole = Event();
  for (size_t cut = 1; cut < whole.size(); cut += 7) add(whole.substr(0, cut));
  for (size_t at = 0; at < whole.size(); at += 5) {
    std::string changed = whole;
    changed[at] = changed[at] == '"' ? '\'' : '"';
    add(changed);
  }
  for (const char* member : {"visit_id", "arrived_at", "left_at", "station", "minutes", "refused",
                             "kind", "visitor", "place", "labels", "reason"}) {
    add(base::StrCat("{\"", member, "\":\"", Marker(), "\"}"));
    add(base::StrCat("{\"", member, "\":{\"", Marker(), "\":\"", Marker(), "\"}}"));
    add(base::StrCat("{\"", member, "\":[\"", Marker(), "\"]}"));
    add(base::StrCat("{\"", member, "\":", DigitMarker(), "}"));
    add(base::StrCat("{\"", member, "\":1", DigitMarker(), DigitMarker(), "}"));
    add(base::StrCat("{\"", member, "\":0.", DigitMarker(), "e", DigitMarker(), "}"));
    std::string once = Marker();
    add(base::StrCat("{\"", member, "\":\"", once, "\",\"", member, "\":\"", once, "\"}"));
  }
  for (const char* member : {"phone", "date_of_birth", "postcode", "gender"}) {
    add(base::StrCat("{\"visitor\":{\"", member, "\":\"", Marker(), "\"}}"));
    add(base::StrCat("{\"visitor\":{\"", member, "\":", DigitMarker(), "}}"));
  }
  std::string once = Marker();
  add(Event(base::StrCat(",\"", once, "\":1,\"", once, "\":2")));
  add(Event(base::StrCat(",\"labels\":{\"", once, "\":\"a\",\"", once, "\":\"b\"}")));
  std::string deep = Marker();
  for (int i = 0; i < 60; ++i)
    deep = base::StrCat("{\"", Marker(), "\":", i == 0 ? "1" : deep, "}");
  add(deep);
  add(Event(base::StrCat(",\"reason\":\"", Marker(), "\xFF\"")));
  add(Event(base::StrCat(",\"reason\":\"", Marker(), "\\ud800\"")));
  add(Marker());
  add(base::StrCat("\"", Marker(), "\""));
  add(base::StrCat("[\"", Marker(), "\"]"));
  RunEvents("in.jsonl", lines);
  for (size_t i = 0; i < broken.size(); i += 3)
    Run({"explain", path_ + "/processor.yaml", Write("event.json", broken[i])});
  EXPECT_GT(markers_.size(), 200u);
  Hunt();
}

TEST_F(MarkerHunt, FilesOfEventsBrokenInEveryWayStayUnsaid) {
  auto row = [&] { return base::StrCat(Marker(), ",", Marker(), ",", DigitMarker(), "\n"); };
  RunEvents("a.csv", row() + row() + row());  // without a header line
  RunEvents("b.csv", base::StrCat("visit_id,arrived_at,visitor.name\n", row(), row()));
  RunEvents("c.csv",
            base::StrCat("visit_id,arrived_at,visitor.name\n", Marker(), ",", Marker(), "\n"));
  RunEvents("d.csv", base::StrCat("visit_id,arrived_at,visitor.name\n", "\"", row()));
  RunEvents("e.csv", base::StrCat("visit_id,arrived_at,visitor.name\n", Marker(), "\"", row()));
  RunEvents("f.csv", base::StrCat("visit_id,arrived_at,visitor.name\n", Marker(), "\xFF", row()));
  std::string twice = Marker();
  RunEvents("g.csv", base::StrCat(twice, ",", twice, "\n", row()));
  RunEvents("h.csv", base::StrCat(twice, ",", twice, ".", Marker(), "\n", row()));
  RunEvents("i.csv", base::StrCat(twice, ",,", Marker(), "\n", row()));
  RunEvents("j.csv", base::StrCat("\"", Marker(), "\n", Marker(), "\",b\n", row()));
  RunEvents("k.csv", base::StrCat(Marker(), ";", Marker(), "\n", row()));
  RunEvents("l.jsonl", base::StrCat("[", Event(), ",", Event(), "]\n"));
  EXPECT_GT(markers_.size(), 50u);
  Hunt();
}

TEST_F(MarkerHunt, ReferenceSetsBrokenInEveryWayStayUnsaid) {
  auto check = [&](const std::string& csv) {
    Write("stations.csv", csv);
    Run({"lint", path_ + "/processor.yaml"});
    Run({"lint", "--output", "json", path_ + "/processor.yaml"});
    Run({"schema", path_ + "/processor.yaml", "public"});
    Run({"run", path_ + "/processor.yaml", "--in", Write("in.jsonl", Event() + "\n"), "--out",
         path_ + "/out"});
  };
  auto row = [&] { return base::StrCat(Marker(), ",", Marker(), ",", DigitMarker(), "\n"); };
  check(row() + row());  // without a header line
  check(base::StrCat("code,title,region\n", row(), row(), Marker(), "\n"));
  std::string twice = Marker();
  check(base::StrCat("code,title,region\n", twice, ",", row().substr(0, 33), "\n", twice, ",",
                     row().substr(0, 33), "\n"));
  check(base::StrCat(twice, ",", twice, ",code,title,region\n", row()));
  check(base::StrCat("code,title,", Marker(), "\n", row()));
  check(base::StrCat("code,title,region,\n", row()));
  check(base::StrCat("code,title,region\n\"", row()));
  check(base::StrCat("code,title,region\n", Marker(), "\"", row()));
  check(base::StrCat("code,title,region\n", Marker(), "\xFF", row()));
  check(base::StrCat("\xEF\xBB\xBF", row()));
  check(base::StrCat("code;title;region\n", row()));
  EXPECT_GT(markers_.size(), 50u);
  Hunt();
}

// The hunt itself finds what is there.
TEST(Markers, AreFoundInEveryEncodingAndByHalf) {
  test_support::Markers markers(7);
  const std::string marker = markers.Letters(), digits = markers.Digits();
  EXPECT_EQ(markers.FindIn("nothing of them, 0123456789abcdef"), "");
  EXPECT_EQ(markers.FindIn(marker.substr(0, 7)), "");
  auto found = [&](const std::string& text) { return markers.FindIn("xx" + text + "xx"); };
  for (const std::string& piece : {marker, marker.substr(0, 8), marker.substr(8), digits}) {
    EXPECT_NE(found(piece), "");
    std::string upper = piece, percent, utf16, base64, escaped;
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    EXPECT_NE(found(upper), "");
    EXPECT_NE(found(absl::BytesToHexString(piece)), "");
    for (char c : piece) {
      base::StrAppend(percent, "%", absl::BytesToHexString(std::string(1, c)));
      base::StrAppend(escaped, "\\u00", absl::BytesToHexString(std::string(1, c)));
      utf16 += c;
      utf16 += '\0';
    }
    EXPECT_NE(found(percent), "");
    EXPECT_NE(found(escaped), "");
    EXPECT_NE(found(utf16), "");
    for (const char* before : {"", "a", "ab"}) {
      absl::Base64Escape(before + piece + "end", &base64);
      EXPECT_NE(found(base64), "") << before;
    }
  }
}

}  // namespace
}  // namespace sluice::ctl
