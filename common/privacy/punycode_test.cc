#include "common/privacy/punycode.h"

#include <gtest/gtest.h>

namespace sluice::privacy {
namespace {

std::string ALabel(std::string_view label) {
  std::string out = "x.";
  if (!AppendALabel(label, out)) {
    EXPECT_EQ(out, "x.");
    return "";
  }
  return out.substr(2);
}

// Names that registries publish in both forms; the last three are RFC 3492's own samples (7.1 B, L
// and S without what no host name may have).
TEST(ALabel, AreWhatRegistriesPublish) {
  EXPECT_EQ(ALabel("b\u00FCcher"), "xn--bcher-kva");
  EXPECT_EQ(ALabel("m\u00FCnchen"), "xn--mnchen-3ya");
  EXPECT_EQ(ALabel("stra\u00DFe"), "xn--strae-oqa");
  EXPECT_EQ(ALabel("\u043F\u0440\u0438\u043C\u0435\u0440"), "xn--e1afmkfd");
  EXPECT_EQ(ALabel("\u4F8B\u5B50"), "xn--fsqu00a");
  EXPECT_EQ(ALabel("\u4ED6\u4EEC\u4E3A\u4EC0\u4E48\u4E0D\u8BF4\u4E2D\u6587"),
            "xn--ihqwcrb4cv8a8dqg056pqjye");
  EXPECT_EQ(ALabel("3\u5E74b\u7D44\u91D1\u516B\u5148\u751F"), "xn--3b-ww4c5e180e575a65lsy2b");
}

TEST(ALabel, RefusesWhatNoNameMayHave) {
  EXPECT_EQ(ALabel("\u2665"), "");
  EXPECT_EQ(ALabel("b\u00FCcher.example"), "");
  EXPECT_EQ(ALabel("b\u00FC cher"), "");
  EXPECT_EQ(ALabel("\xFF"), "");
  std::string longest;
  for (int i = 0; i < 64; ++i) longest += "\u00FC";
  EXPECT_EQ(ALabel(longest), "");
}

}  // namespace
}  // namespace sluice::privacy
