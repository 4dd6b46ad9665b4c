#include "common/config/yaml_tree.h"

#include <algorithm>
#include <map>
#include <sstream>

#include "absl/strings/ascii.h"
#include "common/base/strings.h"
#include "common/base/utf8.h"
#include "common/config/yaml.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/parser.h"

namespace sluice::config {
namespace {

// yaml-cpp passes malformed UTF-8 through, and takes the control character 4 for the end of the
// file.
void CheckCharacters(std::string_view text, std::string_view file_name, Problems& problems) {
  for (int line = 1; !text.empty(); ++line) {
    std::string_view rest = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), rest.size() + 1));
    if (!base::IsUtf8(rest)) {
      return problems.Add(file_name, line, "", "isn't UTF-8: save the file as UTF-8");
    }
    for (char c : rest) {
      if (absl::ascii_iscntrl(c) && c != '\r' && c != '\t') {
        return problems.Add(file_name, line, "", "holds a control character: remove it");
      }
    }
  }
}

// What is YAML but isn't taken. An exception because yaml-cpp's parser has no other way to be
// stopped.
class Refusal : public YAML::ParserException {
 public:
  using YAML::ParserException::ParserException;
};

class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(YamlTree& tree) : tree_(tree) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      throw Refusal(mark, "a second document, or text outside the first, starts here: remove it");
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Attach(New(YamlNode::Kind::kNull, mark, "", anchor), mark);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode* node = New(YamlNode::Kind::kScalar, mark, tag, anchor);
    node->quoted = tag == "!";
    node->text = value;
    Attach(node, mark);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    YamlNode* node = anchors_.at(anchor);
    if (std::find(open_.begin(), open_.end(), node) != open_.end()) {
      throw Refusal(mark, "an alias can't stand inside what it names: write the value out");
    }
    Attach(node, mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(New(YamlNode::Kind::kList, mark, tag, anchor), mark);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(New(YamlNode::Kind::kMap, mark, tag, anchor), mark);
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  YamlNode* New(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag,
                YAML::anchor_t anchor) {
    if (tree_.nodes.size() >= kYamlNodesMax) {
      throw Refusal(mark, base::StrCat("the file has more than ", kYamlNodesMax,
                                       " values up to here: make it smaller"));
    }
    YamlNode& node = tree_.nodes.emplace_back(YamlNode{kind, mark.line + 1});
    // yaml-cpp's own: "?" for what is plain, "!" for what is quoted, "" for an empty value.
    node.tagged = !tag.empty() && tag != "?" && tag != "!";
    if (anchor != 0) anchors_[anchor] = &node;
    return &node;
  }

  void Attach(const YamlNode* node, const YAML::Mark& mark) {
    if (open_.empty()) {
      tree_.root = node;
    } else {
      open_.back()->children.push_back({node, mark.line + 1});
    }
  }

  void Open(YamlNode* node, const YAML::Mark& mark) {
    if (open_.size() >= kYamlDepthMax) {
      throw Refusal(mark, base::StrCat("is nested deeper than ", kYamlDepthMax, " levels"));
    }
    Attach(node, mark);
    open_.push_back(node);
  }

  YamlTree& tree_;
  int documents_ = 0;
  std::vector<YamlNode*> open_;
  std::map<YAML::anchor_t, YamlNode*> anchors_;
};

}  // namespace

YamlTree ReadYamlTree(std::string_view text, std::string_view file_name, Problems& problems) {
  YamlTree tree;
  if (text.size() > kYamlBytesMax) {
    problems.Add(file_name, 1, "",
                 base::StrCat("the file is larger than ", kYamlBytesMax, " bytes"));
    return tree;
  }
  size_t before = problems.size();
  CheckCharacters(text, file_name, problems);
  if (problems.size() > before) return tree;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    Builder builder(tree);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Refusal& e) {
    tree.root = nullptr;
    problems.Add(file_name, std::max(e.mark.line, 0) + 1, "", e.msg);
  } catch (const YAML::Exception& e) {
    tree.root = nullptr;
    problems.Add(file_name, std::max(e.mark.line, 0) + 1, "", base::StrCat("isn't YAML: ", e.msg));
  }
  return tree;
}

}  // namespace sluice::config
