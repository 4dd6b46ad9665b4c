// Files into a raw topic on a real Kafka: every row once, and the sums agree.
#include <filesystem>
#include <set>

#include "services/ctl/pipeline_test.h"

namespace sluice::ctl {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ImportKafkaTest : public PipelineTest {
 protected:
  std::string File(const std::string& name, const std::string& text) {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }
  static int64_t Member(const std::string& json, const std::string& name) {
    size_t at = json.find("\"" + name + "\": ");
    return at == std::string::npos ? -1 : std::atoll(json.c_str() + at + name.size() + 4);
  }
  std::set<std::string> Origins() {
    std::set<std::string> origins;
    for (const Seen& seen : ReadAll(site_.raw())) origins.insert(seen.headers.at("sluice-import"));
    return origins;
  }
};

TEST_F(ImportKafkaTest, RowsOfAMessyFileAreSentOrRefusedWithTheirReason) {
  MakeTopics();
  std::string file =
      File("messy.csv",
           "\xEF\xBB\xBFid,code,subject.name\r\n1,a,\"Canary, A\"\n2\n\"3\",b,\"two\r\n"
           "lines\"\r\n4,\"x\"y,c\n\n5,c,\n");
  Ended ended = Ctl({"import", file, "--key", "id", "--name", "code=kind"});
  EXPECT_EQ(ended.code, 1) << ended.err;
  EXPECT_THAT(ended.out, AllOf(HasSubstr("1 refused: 1 cells where the header has 3"),
                               HasSubstr("1 refused: text behind a closing quote")));
  std::vector<Seen> sent = ReadAll(site_.raw());
  std::sort(sent.begin(), sent.end(), [](const Seen& a, const Seen& b) { return a.key < b.key; });
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[0].value, R"({"id":"1","kind":"a","subject":{"name":"Canary, A"}})");
  EXPECT_EQ(sent[1].value, R"({"id":"3","kind":"b","subject":{"name":"two\nlines"}})");
  EXPECT_EQ(sent[2].value, R"({"id":"5","kind":"c"})");
  std::string manifest = test_support::ReadFile(file + ".manifest.json");
  EXPECT_EQ(Member(manifest, "rows_read"), 5);
  EXPECT_EQ(Member(manifest, "rows_sent"), 3);
  EXPECT_EQ(Member(manifest, "rows_refused"), 2);
  EXPECT_THAT(manifest, AllOf(HasSubstr("\"complete\": true"), HasSubstr("\"line\": 3"),
                              ::testing::Not(HasSubstr("Canary"))));
}

TEST_F(ImportKafkaTest, KilledInTheMiddleItGoesOnAndSendsNoRowTwice) {
  MakeTopics();
  std::string text = "id,code\n";
  for (int i = 1; i <= 3000; ++i) text += i % 100 == 0 ? "broken\n" : base::StrCat(i, ",c\n");
  std::string file = File("long.csv", text);
  std::vector<std::string> arguments = {"import", file,       "--transaction-rows",
                                        "200",    "--output", "json"};
  for (const char* failpoint : {"during_commit:4", "after_produce:2", "during_commit:1"})
    EXPECT_EQ(RunCtlUntil(failpoint, arguments).signal, SIGKILL) << failpoint;
  std::string manifest = test_support::ReadFile(file + ".manifest.json");
  EXPECT_THAT(manifest, HasSubstr("\"complete\": false"));
  Ended rest = Ctl(arguments);
  EXPECT_EQ(rest.code, 1) << rest.err;
  EXPECT_EQ(Member(rest.out, "read"), 3000);
  EXPECT_EQ(Member(rest.out, "sent"), 2970);
  EXPECT_EQ(Member(rest.out, "refused"), 30);
  EXPECT_GT(Member(rest.out, "read_before"), 0);
  EXPECT_EQ(ReadAll(site_.raw()).size(), 2970u);
  EXPECT_EQ(Origins().size(), 2970u);

  fs::remove(file + ".manifest.json");
  Ended again = Ctl(arguments);
  EXPECT_EQ(Member(again.out, "read_before"), 3000) << "what was imported whole isn't sent again";
  EXPECT_EQ(Member(again.out, "sent"), 2970);
  EXPECT_EQ(ReadAll(site_.raw()).size(), 2970u);
}

TEST_F(ImportKafkaTest, IdsAreMadeFromFileAndRowAndJsonLinesGoAsTheyAre) {
  MakeTopics(1);
  std::string file = File("a.csv", "code\nx\ny\n");
  EXPECT_EQ(Ctl({"import", file, "--id-field", "id"}).code, 0);
  std::vector<Seen> sent = ReadAll(site_.raw());
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_THAT(
      sent[0].value,
      ::testing::ContainsRegex(
          "^.\"id\":\"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\","
          "\"code\":\"x\".$"));
  EXPECT_NE(sent[0].value.substr(0, 45), sent[1].value.substr(0, 45));
  std::string lines = File("b.jsonl", "{\"id\":\"7\"}\r\nnot json\n{\"id\": \"8\"}\n");
  EXPECT_EQ(Ctl({"import", lines}).code, 1);
  sent = ReadAll(site_.raw());
  ASSERT_EQ(sent.size(), 4u);
  EXPECT_EQ(sent[3].value, "{\"id\": \"8\"}");
}

TEST_F(ImportKafkaTest, MistakesAreNamedBeforeAnythingIsSent) {
  std::string file = File("a.csv", "code\nx\n");
  EXPECT_EQ(Ctl({"import", file, "--check"}).code, 0) << "no Kafka is needed, nor a topic";
  Ended ended = Ctl({"import", file});
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("sluicectl topics apply"));
  EXPECT_THAT(Ctl({"import", path("none.csv")}).err, HasSubstr("none.csv: cannot be read"));
  EXPECT_THAT(Ctl({"import", File("x.dat", "")}).err, HasSubstr("--format"));
  EXPECT_THAT(Ctl({"import", file, "--name", "code"}).err, HasSubstr("Column=name"));
  EXPECT_THAT(Ctl({"import", file, "--key", "kode", "--check"}).err, HasSubstr("'kode'"));
}

TEST_F(ImportKafkaTest, AChangedFileOfWhichRowsWereSentIsRefused) {
  MakeTopics(1);
  std::string text = "code\n";
  for (int i = 0; i < 40; ++i) text += "x\n";
  std::string file = File("grows.csv", text);
  std::vector<std::string> arguments = {"import", file, "--id-field", "id", "--transaction-rows",
                                        "10"};
  EXPECT_EQ(RunCtlUntil("during_commit:2", arguments).signal, SIGKILL);
  File("grows.csv", text + "y\n");
  Ended ended = Ctl(arguments);
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, AllOf(HasSubstr("its content has changed since"),
                               HasSubstr("the first " + std::to_string(text.size()) + " bytes"),
                               HasSubstr("--again")));
  File("grows.csv", text);
  EXPECT_EQ(Ctl(arguments).code, 0) << "as the text says, the old import is completed";
  EXPECT_EQ(ReadAll(site_.raw()).size(), 40u);
  arguments.back() = "20";
  EXPECT_EQ(Ctl(arguments).code, 0) << "how many rows a transaction has changes no record";
  arguments.push_back("--name");
  arguments.push_back("code=kind");
  EXPECT_THAT(Ctl(arguments).err, HasSubstr("which had other options"));
  arguments.push_back("--again");
  EXPECT_EQ(Ctl(arguments).code, 0);
  EXPECT_EQ(ReadAll(site_.raw()).size(), 80u);
}

TEST_F(ImportKafkaTest, APipeIsRefusedAtOnceBecauseItCanBeReadOnlyOnce) {
  std::string pipe = path("pipe.csv");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  for (const char* check : {"--manifest", "--check"}) {
    std::vector<std::string> arguments = {"import", pipe, check};
    if (arguments.back() == "--manifest") arguments.push_back(path("manifest"));
    Ended ended = Ctl(arguments);
    EXPECT_EQ(ended.code, 2);
    EXPECT_THAT(ended.err, HasSubstr("is not a regular file"));
  }
}

TEST_F(ImportKafkaTest, RealExtractsAreReadWhole) {
  fs::path data = fs::path(std::getenv("SLUICE_SOURCE_DIR")) / "../shared/data";
  if (!fs::exists(data)) GTEST_SKIP() << "../shared/data beside the repository isn't there";
  MakeTopics();
  // Rows as their publisher counts them: no cell of these holds a line's end.
  uint64_t rows = 0;
  std::vector<std::string> arguments = {"import", "--output", "json"};
  for (const char* folder : {"force-stop-search", "city-of-london-street"}) {
    for (const auto& entry : fs::directory_iterator(data / folder)) {
      std::string copy = path(entry.path().filename().string());
      fs::copy_file(entry.path(), copy);
      std::ifstream file(copy);
      std::string line;
      std::getline(file, line);
      while (std::getline(file, line)) rows += !line.empty();
      arguments.push_back(copy);
    }
  }
  ASSERT_EQ(arguments.size(), 8u);
  Ended ended = Ctl(arguments);
  ASSERT_LE(ended.code, 1) << ended.err;
  uint64_t read = 0, sent = 0, refused = 0;
  for (size_t i = 3; i < arguments.size(); ++i) {
    std::string manifest = test_support::ReadFile(arguments[i] + ".manifest.json");
    EXPECT_THAT(manifest, HasSubstr("\"complete\": true"));
    EXPECT_EQ(Member(manifest, "rows_read"),
              Member(manifest, "rows_sent") + Member(manifest, "rows_refused"));
    read += static_cast<uint64_t>(Member(manifest, "rows_read"));
    sent += static_cast<uint64_t>(Member(manifest, "rows_sent"));
    refused += static_cast<uint64_t>(Member(manifest, "rows_refused"));
    size_t reasons = 0;
    for (size_t at = manifest.find("\"why\""); at != std::string::npos;
         at = manifest.find("\"why\"", at + 1)) {
      ++reasons;
    }
    EXPECT_EQ(reasons, static_cast<size_t>(Member(manifest, "rows_refused")))
        << "every refusal has its reason";
  }
  EXPECT_EQ(read, rows);
  EXPECT_EQ(read, sent + refused);
  EXPECT_EQ(ReadAll(site_.raw()).size(), sent);
  std::cout << "read " << read << " = sent " << sent << " + refused " << refused << "\n";
}

}  // namespace
}  // namespace sluice::ctl
