#include "common/config/yaml_tree.h"

#include "gtest/gtest.h"

namespace sluice::config {
namespace {

TEST(ReadYamlTree, KeepsLinesAndQuotes) {
  Problems problems;
  YamlTree tree = ReadYamlTree("a: 'x'\nb:\n  - y\n  -\n", "f", problems);
  ASSERT_TRUE(problems.empty());
  const YamlNode& root = *tree.root;
  ASSERT_TRUE(root.IsMap());
  ASSERT_EQ(root.children.size(), 4u);
  EXPECT_EQ(root.children[2].line, 2);
  EXPECT_TRUE(root.children[1].node->quoted);
  EXPECT_FALSE(root.children[0].node->quoted);
  const YamlNode& list = *root.children[3].node;
  ASSERT_TRUE(list.IsList());
  EXPECT_EQ(list.children[0].node->text, "y");
  EXPECT_EQ(list.children[0].line, 3);
  EXPECT_TRUE(list.children[1].node->IsNull());
}

TEST(ReadYamlTree, AnAliasSharesTheNodeAndKeepsItsOwnLine) {
  Problems problems;
  YamlTree tree = ReadYamlTree("a: &x {k: v}\nb: 1\nc: *x\n", "f", problems);
  ASSERT_TRUE(problems.empty());
  EXPECT_EQ(tree.root->children[5].node, tree.root->children[1].node);
  EXPECT_EQ(tree.root->children[5].line, 3);
}

TEST(ReadYamlTree, AnEmptyFileHasNoRoot) {
  Problems problems;
  EXPECT_EQ(ReadYamlTree("# nothing\n", "f", problems).root, nullptr);
  EXPECT_TRUE(problems.empty());
}

TEST(ReadYamlTree, ARefusedFileHasNoRoot) {
  Problems problems;
  EXPECT_EQ(ReadYamlTree("a: 1\n---\nb: 1\n", "f", problems).root, nullptr);
  EXPECT_EQ(problems.size(), 1u);
}

}  // namespace
}  // namespace sluice::config
