#include "common/contract/loader.h"

#include <google/protobuf/compiler/importer.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/descriptor_database.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "buf/validate/validate.pb.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/contract/plan_compiler.h"

namespace sluice::contract {
namespace {

namespace pb = google::protobuf;

// Files by the name that imports know them by, held in memory.
class TextTree : public pb::compiler::SourceTree {
 public:
  pb::io::ZeroCopyInputStream* Open(const std::string& name) override {
    auto found = files_.find(name);
    if (found == files_.end()) return nullptr;
    return new pb::io::ArrayInputStream(found->second.data(),
                                        static_cast<int>(found->second.size()));
  }
  std::string GetLastErrorMessage() override { return "there is no such file"; }

  std::map<std::string, std::string> files_;
};

class Problems : public pb::compiler::MultiFileErrorCollector {
 public:
  void AddError(const std::string& file, int line, int, const std::string& message) override {
    std::string where = line < 0 ? file : base::StrCat(file, ":", line + 1);
    lines_.push_back(base::StrCat(where, ": ", message));
  }
  absl::Status ToStatus() const { return absl::InvalidArgumentError(absl::StrJoin(lines_, "\n")); }
  bool empty() const { return lines_.empty(); }

 private:
  std::vector<std::string> lines_;
};

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path) {
  constexpr size_t kBytesMax = 16 * 1024 * 1024;
  return base::ReadFile(path.string(), kBytesMax);
}

// protobuf's parser calls itself for each level of braces, brackets and parentheses: a text with
// very many would overflow the stack. 0: there are no more than kNestingMax; else the line where
// there are.
int LineOfTooDeepNesting(std::string_view text) {
  constexpr int kNestingMax = 100;
  int line = 1, depth = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '\n') {
      ++line;
    } else if (c == '"' || c == '\'') {
      // A string ends on its line.
      for (++at; at < text.size() && text[at] != c && text[at] != '\n'; ++at)
        if (text[at] == '\\') ++at;
      if (at < text.size() && text[at] == '\n') ++line;
    } else if (c == '/' && at + 1 < text.size() && text[at + 1] == '/') {
      at = std::min(text.find('\n', at), text.size()) - 1;
    } else if (c == '/' && at + 1 < text.size() && text[at + 1] == '*') {
      const size_t end = std::min(text.find("*/", at + 2), text.size());
      line += static_cast<int>(std::count(text.begin() + static_cast<std::ptrdiff_t>(at),
                                          text.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
      at = end + 1;
    } else if (c == '{' || c == '(' || c == '[' || c == '<') {
      if (++depth > kNestingMax) return line;
    } else if (c == '}' || c == ')' || c == ']' || c == '>') {
      --depth;
    }
  }
  return 0;
}

// The options' descriptors must be linked in, whatever else is.
void LinkOptions() {
  buf::validate::FieldRules::descriptor();
  v1::FieldOptions::descriptor();
}

}  // namespace

struct Contracts::State {
  TextTree tree;
  Problems problems;
  std::set<std::string> files;
  pb::SimpleDescriptorDatabase sets;
  std::unique_ptr<pb::compiler::SourceTreeDescriptorDatabase> sources;
  std::unique_ptr<pb::DescriptorPoolDatabase> built_in;
  std::unique_ptr<pb::MergedDescriptorDatabase> database;
  std::unique_ptr<pb::DescriptorPool> pool;
};

Contracts::Contracts(std::shared_ptr<State> state) : state_(std::move(state)) {}
Contracts::~Contracts() = default;

absl::StatusOr<std::unique_ptr<Contracts>> Contracts::Load(const std::vector<std::string>& paths) {
  auto state = std::make_shared<State>();
  for (const std::string& path : paths) {
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
      SLUICE_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path));
      pb::FileDescriptorSet set;
      if (!set.ParseFromString(bytes)) {
        return absl::InvalidArgumentError(
            base::StrCat(path, ": neither a folder of .proto files nor a FileDescriptorSet"));
      }
      for (const pb::FileDescriptorProto& file : set.file()) {
        if (pb::DescriptorPool::generated_pool()->FindFileByName(file.name()) != nullptr) continue;
        state->files.insert(file.name());
        state->sets.Add(file);
      }
      continue;
    }
    std::filesystem::recursive_directory_iterator walk(path, error), end;
    for (; !error && walk != end; walk.increment(error)) {
      if (!walk->is_regular_file() || walk->path().extension() != ".proto") continue;
      std::string name = std::filesystem::relative(walk->path(), path).generic_string();
      SLUICE_ASSIGN_OR_RETURN(std::string text, ReadFile(walk->path()));
      state->files.insert(name);
      if (!state->tree.files_.emplace(name, std::move(text)).second) {
        return absl::InvalidArgumentError(
            base::StrCat(walk->path().string(), ": another folder has '", name, "' too"));
      }
    }
    if (error) return absl::NotFoundError(base::StrCat(path, ": ", error.message()));
  }
  return Finish(std::move(state));
}

absl::StatusOr<std::unique_ptr<Contracts>> Contracts::LoadText(
    const std::vector<std::pair<std::string, std::string>>& files) {
  auto state = std::make_shared<State>();
  for (const auto& [name, text] : files) {
    state->files.insert(name);
    state->tree.files_[name] = text;
  }
  return Finish(std::move(state));
}

absl::StatusOr<std::unique_ptr<Contracts>> Contracts::Finish(std::shared_ptr<State> state) {
  LinkOptions();
  for (const auto& [name, text] : state->tree.files_) {
    if (int line = LineOfTooDeepNesting(text); line > 0)
      state->problems.AddError(name, line - 1, 0, "is nested deeper than 100 levels");
  }
  if (!state->problems.empty()) return state->problems.ToStatus();
  state->sources = std::make_unique<pb::compiler::SourceTreeDescriptorDatabase>(&state->tree);
  state->sources->RecordErrorsTo(&state->problems);
  state->built_in =
      std::make_unique<pb::DescriptorPoolDatabase>(*pb::DescriptorPool::generated_pool());
  // What this program brings comes first: a contract can't replace the options it is read by.
  state->database =
      std::make_unique<pb::MergedDescriptorDatabase>(std::vector<pb::DescriptorDatabase*>{
          state->built_in.get(), &state->sets, state->sources.get()});
  state->pool = std::make_unique<pb::DescriptorPool>(state->database.get(),
                                                     state->sources->GetValidationErrorCollector());
  state->pool->EnforceWeakDependencies(true);
  if (state->files.empty()) {
    return absl::InvalidArgumentError(
        "no contracts: `contracts` names no folder with .proto files");
  }
  for (const std::string& file : state->files) {
    if (state->pool->FindFileByName(file) == nullptr && state->problems.empty()) {
      state->problems.AddError(file, -1, 0, "can't be loaded");
    }
  }
  if (!state->problems.empty()) return state->problems.ToStatus();
  return std::unique_ptr<Contracts>(new Contracts(std::move(state)));
}

std::vector<std::string> Contracts::EventNames() const {
  std::vector<std::string> names;
  for (const std::string& file_name : state_->files) {
    const pb::FileDescriptor* file = state_->pool->FindFileByName(file_name);
    for (int i = 0; i < file->message_type_count(); ++i) {
      if (file->message_type(i)->options().HasExtension(v1::event)) {
        names.push_back(file->message_type(i)->full_name());
      }
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::shared_ptr<const Plan>> Contracts::Compile(std::string_view message) const {
  const pb::Descriptor* descriptor = state_->pool->FindMessageTypeByName(std::string(message));
  if (descriptor == nullptr) {
    return absl::NotFoundError(base::StrCat("there is no message '", message, "'; the events are: ",
                                            absl::StrJoin(EventNames(), ", ")));
  }
  return PlanCompiler(*descriptor, state_).Compile();
}

}  // namespace sluice::contract
