#include "common/validation/request_rules.h"

#include <gmock/gmock.h>
#include <google/protobuf/compiler/parser.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "buf/validate/validate.pb.h"
#include "common/base/strings.h"

namespace sluice::validation {
namespace {

using ::testing::HasSubstr;

// A service that is written as text, with one method that takes `Ask`.
class RequestRulesTest : public ::testing::Test {
 protected:
  RequestRulesTest() {
    google::protobuf::FileDescriptorProto rules;
    for (const auto* file : {google::protobuf::FileDescriptorProto::descriptor()->file(),
                             google::protobuf::DescriptorPool::generated_pool()->FindFileByName(
                                 "google/protobuf/duration.proto"),
                             google::protobuf::DescriptorPool::generated_pool()->FindFileByName(
                                 "google/protobuf/timestamp.proto"),
                             buf::validate::FieldRules::descriptor()->file()}) {
      rules.Clear();
      file->CopyTo(&rules);
      EXPECT_NE(pool_.BuildFile(rules), nullptr);
    }
  }

  absl::Status Compile(const std::string& messages, std::set<std::string> elsewhere = {}) {
    const std::string text = base::StrCat(
        "syntax = \"proto3\"; package t; import \"buf/validate/validate.proto\";\n"
        "enum Kind { NONE = 0; NAME = 1; PHONE = 2; }\n",
        messages, "\nservice S", ++files_, " { rpc Call(Ask) returns (Ask); }");
    google::protobuf::io::ArrayInputStream in(text.data(), static_cast<int>(text.size()));
    google::protobuf::io::Tokenizer tokenizer(&in, nullptr);
    google::protobuf::compiler::Parser parser;
    google::protobuf::FileDescriptorProto file;
    EXPECT_TRUE(parser.Parse(&tokenizer, &file)) << text;
    file.set_name("t.proto");
    const auto* built = pool_.BuildFile(file);
    EXPECT_NE(built, nullptr) << text;
    ask_ = built->FindMessageTypeByName("Ask");
    auto made = RequestRules::Compile(*built->service(0), std::move(elsewhere));
    if (!made.ok()) return made.status();
    rules_ = *std::move(made);
    return absl::OkStatus();
  }
  std::string Check(const std::string& text) {
    std::unique_ptr<google::protobuf::Message> message(factory_.GetPrototype(ask_)->New());
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, message.get())) << text;
    return std::string(rules_->Check(*message).message());
  }

  google::protobuf::DescriptorPool pool_;
  google::protobuf::DynamicMessageFactory factory_;
  const google::protobuf::Descriptor* ask_ = nullptr;
  std::unique_ptr<const RequestRules> rules_;
  int files_ = 0;
};

TEST_F(RequestRulesTest, NamesTheFieldAndTheBoundAndNeverAValue) {
  ASSERT_EQ(Compile(R"(
message Ask {
  string name = 1 [(buf.validate.field).string.max_bytes = 4];
  bytes block = 2 [(buf.validate.field).bytes.max_len = 2];
  repeated uint32 ends = 3 [(buf.validate.field).repeated.max_items = 2];
  repeated string texts = 4 [(buf.validate.field).repeated = {max_items: 2, items: {string: {max_bytes: 3}}}];
  repeated Kind kinds = 5 [(buf.validate.field).repeated = {max_items: 3, unique: true, items: {enum: {defined_only: true, not_in: [0]}}}];
  Deep deep = 6;
  repeated Deep list = 7 [(buf.validate.field).repeated.max_items = 2];
  oneof one { string left = 8 [(buf.validate.field).string.max_bytes = 1]; }
  map<string, string> map = 9 [(buf.validate.field).map = {max_pairs: 1, keys: {string: {max_bytes: 2}}, values: {string: {max_bytes: 2}}}];
}
message Deep { string id = 1 [(buf.validate.field).string = {max_bytes: 3, pattern: "[a-z]*"}]; Deep deep = 2; }
)"),
            absl::OkStatus());
  EXPECT_EQ(Check(""), "");
  EXPECT_EQ(Check("name: 'four' block: 'ab' ends: [1, 2] texts: ['abc', ''] kinds: [1, 2]"), "");
  EXPECT_EQ(Check("name: 'secret'"), "name: has more than 4 bytes");
  EXPECT_EQ(Check("block: 'abc'"), "block: has more than 2 bytes");
  EXPECT_EQ(Check("ends: [1, 2, 3]"), "ends: has more than 2 items");
  EXPECT_EQ(Check("texts: ['a', 'secret']"), "texts[1]: has more than 3 bytes");
  EXPECT_EQ(Check("kinds: [1, 1]"), "kinds[1]: is there twice");
  EXPECT_EQ(Check("kinds: [NONE]"), "kinds[0]: isn't one of t.Kind");
  EXPECT_EQ(Check("deep: {deep: {id: 'secret'}}"), "deep.deep.id: has more than 3 bytes");
  EXPECT_EQ(Check("list: [{}, {id: 'A'}]"), "list[1].id: must match [a-z]*");
  EXPECT_EQ(Check("left: 'ab'"), "left: has more than 1 bytes");
  EXPECT_EQ(Check("map: {key: 'a' value: 'secret'}"), "map[0].value: has more than 2 bytes");
}

TEST_F(RequestRulesTest, AFieldWithoutABoundOrWithARuleThatIsntKnownIsAnError) {
  absl::Status status = Compile(R"(
message Ask {
  string name = 1;
  repeated uint32 ends = 2;
  repeated string texts = 3 [(buf.validate.field).repeated.max_items = 2];
  Deep deep = 4;
  string mail = 5 [(buf.validate.field).string = {max_bytes: 3, email: true}];
  int32 count = 6 [(buf.validate.field).int32.gt = 3];
}
message Deep { bytes raw = 1; }
)");
  for (const char* what : {"t.Ask.name: has no upper bound", "t.Ask.ends: has no upper bound",
                           "t.Ask.texts: has no upper bound", "t.Deep.raw: has no upper bound",
                           "string.email isn't known", "int32 isn't known"})
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
}

TEST_F(RequestRulesTest, WhatIsBoundedElsewhereIsNamed) {
  const std::string text = "message Ask { Deep deep = 1; } message Deep { bytes raw = 1; }";
  EXPECT_EQ(Compile(text, {"t.Deep"}), absl::OkStatus());
  EXPECT_EQ(Check("deep: {raw: 'abc'}"), "");
}

}  // namespace
}  // namespace sluice::validation
