#include "services/ctl/test_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "services/ctl/testing.h"
#include "tests/support/temp_dir.h"

namespace sluice::ctl {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class TestCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(examples_ + "/valid");
    fs::create_directories(examples_ + "/invalid");
    Write("../../visit.proto", R"(syntax = "proto3";
package example.v1;
import "buf/validate/validate.proto";
import "google/protobuf/timestamp.proto";
import "sluice/contract/v1/options.proto";
message Visit {
  option (sluice.contract.v1.event) = {id: "id" time: "at"};
  string id = 1 [(buf.validate.field).string.uuid = true];
  google.protobuf.Timestamp at = 2 [(buf.validate.field).required = true];
  repeated Visitor visitors = 3 [(buf.validate.field).repeated.max_items = 2];
}
message Visitor {
  string phone = 1 [(sluice.contract.v1.field) = {identifier: PHONE check: true}];
}
)");
    Write("valid/one.json", kValid);
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(examples_ + "/" + name) << text;
  }
  Ended Test(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"test", folder_->path()});
    return RunCtl(std::move(more));
  }

  static constexpr const char* kValid =
      R"({"id":"6f9619ff-8b86-4011-b42d-00cf4fc964ff","at":"2026-03-04T05:06:07Z"})";
  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("ctl-test");
  std::string examples_ = folder_->path() + "/examples/Visit";
};

TEST_F(TestCommand, ExamplesThatBehaveAreCountedAndUnbrokenRulesNamed) {
  Write("invalid/phone.json",
        R"({"id":"6f9619ff-8b86-4011-b42d-00cf4fc964ff","at":"2026-03-04T05:06:07Z",)"
        R"("visitors":[{},{"phone":"12"}]})");
  Write("invalid/phone.expect", "visitors[1].phone sluice.identifier  # too short\n");
  Ended ended = Test();
  EXPECT_EQ(ended.code, 0) << ended.out << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("example.v1.Visit: 2 examples, 0 not as expected"));
  EXPECT_THAT(ended.out, HasSubstr("no example breaks at required"));
  EXPECT_THAT(ended.out, HasSubstr("no example breaks id string.uuid"));
  EXPECT_THAT(ended.out, HasSubstr("no example breaks visitors repeated.max_items"));
  EXPECT_THAT(ended.out, Not(HasSubstr("no example breaks visitors[].phone")));
  EXPECT_EQ(Test({"--strict"}).code, 1);
}

TEST_F(TestCommand, AnExampleThatBreaksOtherRulesThanExpectedIsWrong) {
  Write("invalid/id.json", R"({"id":"x","at":"2026-03-04T05:06:07Z"})");
  Write("invalid/id.expect", "at required\n");
  Write("valid/two.json", R"({"id":"x"})");
  Ended ended = Test();
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.out, HasSubstr("2 not as expected"));
  EXPECT_THAT(ended.out,
              HasSubstr("id.json\n    breaks id string.uuid\n    doesn't break at required"));
  EXPECT_THAT(ended.out, HasSubstr("two.json\n    breaks at required\n    breaks id string.uuid"));
}

TEST_F(TestCommand, AnInvalidExampleSaysWhatItBreaks) {
  Write("invalid/id.json", R"({"id":"x","at":"2026-03-04T05:06:07Z"})");
  Ended ended = Test();
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("id.expect: is missing"));
  EXPECT_EQ(Test({"--update"}).code, 0);
  EXPECT_EQ(Test().code, 0);
  // A valid event among the invalid ones breaks nothing, and that is no expectation.
  Write("invalid/none.json", kValid);
  Write("invalid/none.expect", "");
  EXPECT_EQ(Test().code, 2);
}

TEST(ShippedContracts, HaveExamplesThatBehave) {
  Ended ended = RunCtl({"test", std::string(std::getenv("SLUICE_SOURCE_DIR")) + "/proto"});
  EXPECT_EQ(ended.code, 0) << ended.out << ended.err;
  EXPECT_THAT(ended.out, Not(HasSubstr(": 0 examples")));
}

}  // namespace
}  // namespace sluice::ctl
