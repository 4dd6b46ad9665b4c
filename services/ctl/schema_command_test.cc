// What subscribers are told, against what the engine writes.
#include "services/ctl/schema_command.h"

#include <gmock/gmock.h>
#include <google/protobuf/compiler/importer.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/base/strings.h"
#include "services/ctl/testing.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace sluice::ctl {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kTreatments = "treatments";

// Pipeline and stream, whose schema is asked for.
class Schema : public ::testing::TestWithParam<std::pair<const char*, const char*>> {
 protected:
  std::vector<std::string> Call(const std::string& command) {
    return {
        command,
        Pipeline(),
        "--contracts",
        root_ + "/proto",
        "--reference",
        "boroughs=" + root_ + "/deploy/config/boroughs.csv:code:not_personal=name,command_unit"};
  }
  std::string Events() const {
    return GetParam().first == kTreatments ? "stops" : GetParam().first;
  }
  // `treatments` is the stops' with treatments that no shipped pipeline uses.
  std::string Pipeline() {
    std::string path = base::StrCat(root_, "/deploy/config/", Events(), "-pipeline.yaml");
    if (GetParam().first != kTreatments) return path;
    std::ifstream in(path);
    std::string text(std::istreambuf_iterator<char>(in), {});
    for (const auto& [from, to] :
         {std::pair("PHONE: pseudonymise", "PHONE: encrypt"),
          std::pair("PNC_ID: pseudonymise", "PNC_ID: format_preserve"),
          std::pair("DATE_OF_BIRTH: {generalise: {age_bands: [18, 25, 35, 50]}, as: age_band}",
                    "DATE_OF_BIRTH: {shift: {person: name}}")}) {
      size_t at = text.find(from);
      EXPECT_NE(at, std::string::npos) << from;
      if (at != std::string::npos) text.replace(at, std::string_view(from).size(), to);
    }
    return Write("pipeline.yaml", text);
  }
  std::string As(const std::string& form) {
    std::vector<std::string> call = Call("schema");
    call.insert(call.end(), {GetParam().second, "--as", form});
    Ended ended = RunCtl(std::move(call));
    EXPECT_EQ(ended.code, 0) << ended.err;
    return ended.out;
  }
  std::string Write(const std::string& name, const std::string& text) {
    std::string path = folder_->path() + "/" + name;
    std::ofstream(path) << text;
    return path;
  }

  std::string root_ = std::getenv("SLUICE_SOURCE_DIR");
  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("ctl-schema");
};

TEST_P(Schema, TheSampleAndEveryRealRecordValidate) {
  std::string schema = Write("schema.json", As("json-schema"));
  std::string sample = Write("sample.json", As("sample"));
  std::vector<std::string> call = Call("run");
  std::string out = folder_->path() + "/out";
  call.insert(call.end(), {"--throwaway-keys", "--out", out, "--in",
                           base::StrCat(root_, "/tests/golden/", Events(), ".jsonl")});
  ASSERT_EQ(RunCtl(std::move(call)).code, 0);
  // Debian's own validator judges; what is spoilt must not pass it.
  std::string script = Write("check.py", R"(
import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
sample = json.load(open(sys.argv[2]))
validator.validate(sample)
assert set(sample) == set(schema["properties"]), "the sample lacks fields"
records = [json.loads(line) for line in open(sys.argv[3])]
assert records
for record in records:
    validator.validate(record)
for spoil in ({"no_such_field": 1}, {next(iter(sample)): {"x": 1}}):
    assert not validator.is_valid({**sample, **spoil}), spoil
print("valid")
)");
  auto process =
      test_support::ChildProcess::Start({{"/usr/bin/python3", script, schema, sample,
                                          base::StrCat(out, "/", GetParam().second, ".jsonl")},
                                         {},
                                         folder_->path() + "/log",
                                         ""});
  ASSERT_TRUE(process.ok()) << process.status();
  ASSERT_TRUE((*process)->Wait(std::chrono::seconds(60)).ok());
  EXPECT_EQ((*process)->Output(), "valid\n");
}

TEST_P(Schema, TheSampleIsAMessageOfTheProto) {
  Write("stream.proto", As("proto"));
  google::protobuf::compiler::DiskSourceTree files;
  files.MapPath("", folder_->path());
  google::protobuf::compiler::Importer importer(&files, nullptr);
  // What the schema imports is in this program.
  for (const auto* known : {google::protobuf::Timestamp::descriptor()->file(),
                            google::protobuf::Duration::descriptor()->file()}) {
    std::filesystem::create_directories(folder_->path() + "/google/protobuf");
    Write(known->name(), known->DebugString());
  }
  const auto* file = importer.Import("stream.proto");
  ASSERT_NE(file, nullptr);
  google::protobuf::DynamicMessageFactory factory(importer.pool());
  std::unique_ptr<google::protobuf::Message> message(
      factory.GetPrototype(file->message_type(0))->New());
  auto status = google::protobuf::util::JsonStringToMessage(As("sample"), message.get());
  EXPECT_TRUE(status.ok()) << status.message().ToString();
}

INSTANTIATE_TEST_SUITE_P(
    Shipped, Schema,
    ::testing::Values(std::pair("stops", "intelligence"), std::pair("stops", "public"),
                      std::pair("incidents", "intelligence"), std::pair("incidents", "partners"),
                      std::pair("treatments", "intelligence"), std::pair("custody", "intelligence"),
                      std::pair("custody", "public")),
    [](const auto& info) { return base::StrCat(info.param.first, "_", info.param.second); });

TEST(SchemaCommand, AnUnknownStreamIsCorrected) {
  std::string root = std::getenv("SLUICE_SOURCE_DIR");
  Ended ended = RunCtl({"schema", root + "/deploy/config/custody-pipeline.yaml", "publik",
                        "--contracts", root + "/proto"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("did you mean `public`?"));
}

}  // namespace
}  // namespace sluice::ctl
