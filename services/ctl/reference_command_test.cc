// `sluicectl reference` against a service.
#include "services/ctl/reference_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/strings.h"
#include "common/reference/testing.h"
#include "services/ctl/testing.h"
#include "services/reference/server.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace sluice::ctl {
namespace {

using namespace std::chrono_literals;
using reference::WriteText;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ReferenceCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteText(path("units.csv"), "unit,name\nA,One\nB,Two\n");
    WriteText(path("reference.yaml"),
              "folder: kept\ntrail: trail\nlook_interval_ms: 10\nsets:\n"
              "  - {name: units, csv: units.csv, key: unit, not_personal: [name]}\n");
    auto settings = reference::LoadSettings(path("reference.yaml"));
    ASSERT_TRUE(settings.ok()) << settings.status();
    auto server = reference::Server::Create(*std::move(settings));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ASSERT_EQ(server_->Start(), absl::OkStatus());
    address_ = base::StrCat("127.0.0.1:", server_->grpc_port());
    ASSERT_TRUE(test_support::WaitUntil(20s, [&] {
      return RunCtl({"reference", "status", address_}).code == 0;
    }));
  }
  std::string path(const std::string& name) const { return folder_->path() + "/" + name; }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("ctl-reference");
  std::unique_ptr<reference::Server> server_;
  std::string address_;
};

TEST_F(ReferenceCommand, ListsLooksUpLoadsRollsBackAndReleases) {
  EXPECT_THAT(RunCtl({"reference", "list", address_}).out,
              AllOf(HasSubstr("units"), HasSubstr("active")));
  EXPECT_THAT(RunCtl({"reference", "lookup", address_, "units", "B"}).out, HasSubstr("name: Two"));
  EXPECT_EQ(RunCtl({"reference", "lookup", address_, "units", "Z"}).code, 1);
  WriteText(path("units.csv"), "unit,name\nA,One\n");
  Ended refused = RunCtl({"reference", "load", address_, "units"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("are missing"));
  EXPECT_EQ(RunCtl({"reference", "status", address_}).code, 1);
  EXPECT_THAT(RunCtl({"reference", "status", address_}).out, HasSubstr("shrink_percent_max"));
  EXPECT_EQ(
      RunCtl({"reference", "load", address_, "units", "--accept-change", "--reason", "merged"})
          .code,
      0);
  EXPECT_EQ(RunCtl({"reference", "lookup", address_, "units", "B"}).code, 1);
  EXPECT_EQ(RunCtl({"reference", "rollback", address_, "units", "--reason", "a mistake"}).code, 0);
  EXPECT_EQ(RunCtl({"reference", "lookup", address_, "units", "B"}).code, 0);
  EXPECT_THAT(RunCtl({"reference", "status", address_}).out, HasSubstr("held"));
  EXPECT_EQ(RunCtl({"reference", "activate", address_, "units", "--reason", "x"}).code, 2);
  EXPECT_EQ(RunCtl({"reference", "activate", address_, "units", "--release", "--reason", "x"}).code,
            0);
}

TEST_F(ReferenceCommand, SaysWhatIsDifferentAndWhyARowAnswers) {
  EXPECT_EQ(RunCtl({"reference", "diff", address_, "units"}).code, 2) << "none was active before";
  WriteText(path("units.csv"), "unit,name\nA,Uno\nB,Two\nC,Three\n");
  ASSERT_TRUE(test_support::WaitUntil(20s, [&] {
    return RunCtl({"reference", "lookup", address_, "units", "C"}).code == 0;
  }));
  Ended diff = RunCtl({"reference", "diff", address_, "units"});
  EXPECT_EQ(diff.code, 0) << diff.err;
  EXPECT_THAT(diff.out,
              AllOf(HasSubstr("(2 rows) to "),
                    HasSubstr("added: 1\ngone: 0\nchanged: 1\n"
                              "  name: 1\n"),
                    HasSubstr("(no keys are shown: a column of the key may be personal")));
  EXPECT_THAT(RunCtl({"reference", "diff", address_, "units", "--output", "json"}).out,
              AllOf(HasSubstr("\"changed_by_column\""), HasSubstr("\"added_keys\"")));
  EXPECT_THAT(RunCtl({"reference", "lookup", address_, "units", "A"}).out,
              AllOf(HasSubstr("name: Uno\n"), HasSubstr(": it has this key)")));
  EXPECT_THAT(RunCtl({"reference", "lookup", address_, "units", "Z"}).out,
              HasSubstr(": no row has this key)"));
  // What was refused stays to be seen, with its time, also once another version was taken.
  WriteText(path("units.csv"), "unit,name\nA,One\nA,Two\n");
  ASSERT_TRUE(test_support::WaitUntil(20s, [&] {
    return RunCtl({"reference", "status", address_}).code == 1;
  }));
  WriteText(path("units.csv"), "unit,name\nA,One\nB,Two\nC,Three\n");
  ASSERT_TRUE(test_support::WaitUntil(20s, [&] {
    return RunCtl({"reference", "status", address_}).code == 0;
  }));
  EXPECT_THAT(RunCtl({"reference", "status", address_}).out,
              AllOf(HasSubstr("CONFIRMED S"), HasSubstr("and taken since: "),
                    HasSubstr("this key stands in")));
}

TEST_F(ReferenceCommand, AServiceThatIsNotThereAndAMissingReasonAreSaidToBe) {
  EXPECT_EQ(RunCtl({"reference", "rollback", address_, "units"}).code, 2);
  server_.reset();
  EXPECT_EQ(RunCtl({"reference", "list", address_}).code, 3);
}

}  // namespace
}  // namespace sluice::ctl
