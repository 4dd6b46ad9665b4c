#include "common/config/yaml.h"

#include <algorithm>
#include <cerrno>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "common/base/strings.h"
#include "common/config/nearest.h"
#include "common/config/yaml_tree.h"
#include "google/protobuf/descriptor.h"
#include "sluice/config/v1/options.pb.h"

namespace sluice::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::OneofDescriptor;
using google::protobuf::Reflection;

std::string Child(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : base::StrCat(path, ".", name);
}

std::vector<std::string> FieldNames(const Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  return names;
}

// A member that says all by being chosen, or that says so of itself.
bool HasShortForm(const FieldDescriptor& field) {
  return field.message_type() != nullptr &&
         (field.message_type()->field_count() == 0 || field.options().GetExtension(v1::short_form));
}

// Members of the message's only oneof that have a short form, by which the message may be written.
std::vector<std::string> ShortNames(const Descriptor& type) {
  std::vector<std::string> names;
  if (type.real_oneof_decl_count() != 1) return names;
  const OneofDescriptor* oneof = type.oneof_decl(0);
  for (int i = 0; i < oneof->field_count(); ++i) {
    const FieldDescriptor* field = oneof->field(i);
    if (HasShortForm(*field)) names.push_back(field->name());
  }
  return names;
}

// The field of a message that has only one, and that a list; else nullptr.
const FieldDescriptor* OnlyList(const Descriptor& type) {
  if (type.field_count() != 1 || !type.field(0)->is_repeated() || type.field(0)->is_map())
    return nullptr;
  return type.field(0);
}

// Decimal, without what readers of YAML disagree on: octal by a leading zero, underscores, spaces.
bool IsWhole(std::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return false;
  return text.find_first_not_of("0123456789") == std::string_view::npos;
}

bool IsDecimal(std::string_view text) {
  return text.find_first_not_of("0123456789+-.eE") == std::string_view::npos &&
         text.find_first_of("0123456789") != std::string_view::npos;
}

class Reader {
 public:
  Reader(SourceMap& map, Problems& problems) : map_(map), problems_(problems) {}

  void ReadRoot(const YamlNode& node, Message& out) {
    map_.Add("", node.line);
    if (node.IsMap()) {
      ReadMessage(node, "", 1, out);
    } else if (node.IsNull()) {
      CheckRequired(out, "", {});
    } else {
      Wrong("", "must be a mapping of keys to values");
    }
  }

 private:
  // Keys of one mapping that were read, with their lines.
  using Seen = std::map<std::string, int>;

  void Wrong(const std::string& path, std::string_view what) { problems_.Add(map_, path, what); }

  // Whether `node` may be read at all; false with the reason reported.
  bool Enter(const YamlNode& node, const std::string& path, int depth) {
    if (exhausted_) return false;
    if (++nodes_ > kYamlNodesMax) {
      exhausted_ = true;
      Wrong(path, base::StrCat("the file has more than ", kYamlNodesMax,
                               " values up to here (an alias counts each time): make it smaller"));
      return false;
    }
    if (depth > kYamlDepthMax) {
      Wrong(path, base::StrCat("is nested deeper than ", kYamlDepthMax, " levels"));
      return false;
    }
    if (node.tagged) {
      Wrong(path, "has a YAML tag (!...): remove it, the type follows from the key");
      return false;
    }
    return true;
  }

  // The text of a mapping's key, reported and nullptr if it is no text or there already.
  const std::string* ReadKey(const YamlNode::Child& key, const std::string& path, Seen& seen) {
    if (!key.node->IsScalar()) {
      problems_.Add(map_.file_name(), key.line, path, "a key must be a text: quote it");
      return nullptr;
    }
    const std::string& name = key.node->text;
    auto [it, added] = seen.try_emplace(name, key.line);
    if (!added) {
      problems_.Add(map_.file_name(), key.line, path,
                    base::StrCat("key `", name, "` is already given on line ", it->second,
                                 ": keep one of them"));
      return nullptr;
    }
    return &name;
  }

  void ReadMessage(const YamlNode& node, const std::string& path, int depth, Message& out) {
    if (!Enter(node, path, depth)) return;
    const Descriptor& type = *out.GetDescriptor();
    Seen seen;
    if (node.IsMap()) {
      ReadMapping(node, path, depth, out, seen);
    } else if (const FieldDescriptor* list = OnlyList(type); list != nullptr && node.IsList()) {
      seen.emplace(list->name(), node.line);
      map_.Add(Child(path, list->name()), map_.Line(path));
      ReadList(node, *list, Child(path, list->name()), depth, out);
    } else if (node.IsScalar() && !ShortNames(type).empty()) {
      if (!ReadShort(node, path, out)) return;
      seen.emplace(node.text, node.line);
    } else if (!(node.IsNull() && type.field_count() == 0)) {
      return WrongShape(node, path, type);
    }
    CheckRequired(out, path, seen);
  }

  void WrongShape(const YamlNode& node, const std::string& path, const Descriptor& type) {
    std::vector<std::string> short_names = ShortNames(type);
    if (node.IsNull()) return Wrong(path, "has no value: give one, or leave the key out");
    if (type.field_count() == 0) return Wrong(path, "has no content: write {}");
    if (OnlyList(type) != nullptr) return Wrong(path, "must be a list, such as [a, b]");
    if (!short_names.empty()) {
      return Wrong(path, base::StrCat("must be one of ", absl::StrJoin(short_names, ", "),
                                      ", or a mapping with the keys ",
                                      absl::StrJoin(FieldNames(type), ", ")));
    }
    Wrong(path,
          base::StrCat("must be a mapping with the keys ", absl::StrJoin(FieldNames(type), ", ")));
  }

  void ReadMapping(const YamlNode& node, const std::string& path, int depth, Message& out,
                   Seen& seen) {
    const Descriptor& type = *out.GetDescriptor();
    std::map<const OneofDescriptor*, std::string> chosen;
    for (size_t i = 0; i + 1 < node.children.size(); i += 2) {
      const YamlNode::Child& child_key = node.children[i];
      const YamlNode& value = *node.children[i + 1].node;
      const std::string* key = ReadKey(child_key, path, seen);
      if (key == nullptr) continue;
      std::string child = Child(path, *key);
      const FieldDescriptor* field = type.FindFieldByName(*key);
      if (field == nullptr) {
        problems_.Add(map_.file_name(), child_key.line, child, UnknownKey(*key, type));
        continue;
      }
      map_.Add(child, child_key.line);
      if (const OneofDescriptor* oneof = field->real_containing_oneof(); oneof != nullptr) {
        auto [it, added] = chosen.try_emplace(oneof, *key);
        if (!added) {
          Wrong(child, base::StrCat("excludes `", it->second, "` on line ", seen[it->second],
                                    ": keep one of them"));
          continue;
        }
      }
      ReadField(value, *field, child, depth + 1, out);
    }
  }

  static std::string UnknownKey(const std::string& key, const Descriptor& type) {
    if (key == "<<")
      return "merge keys (<<) aren't supported: repeat the keys, or use an alias for a value";
    if (type.field_count() == 0) return "takes no keys: write {}";
    std::vector<std::string> names = FieldNames(type);
    std::string guess = DidYouMean(key, names);
    if (!guess.empty()) return base::StrCat("unknown key", guess);
    return base::StrCat("unknown key; the keys here are ", absl::StrJoin(names, ", "));
  }

  // `PHONE: pseudonymise`. False with the reason reported.
  bool ReadShort(const YamlNode& node, const std::string& path, Message& out) {
    const std::string& name = node.text;
    const FieldDescriptor* field = out.GetDescriptor()->FindFieldByName(name);
    if (field != nullptr && field->real_containing_oneof() != nullptr && HasShortForm(*field)) {
      out.GetReflection()->MutableMessage(&out, field);
      map_.Add(Child(path, name), map_.Line(path));
      return true;
    }
    std::vector<std::string> names = ShortNames(*out.GetDescriptor());
    if (field != nullptr) {
      Wrong(path, base::StrCat("`", name, "` needs a value: write {", name, ": ...}"));
      return false;
    }
    std::string guess = DidYouMean(name, names);
    Wrong(path, base::StrCat(
                    "unknown value `", name, "`",
                    guess.empty() ? base::StrCat("; one of ", absl::StrJoin(names, ", ")) : guess));
    return false;
  }

  void CheckRequired(const Message& out, const std::string& path, const Seen& seen) {
    const Descriptor& type = *out.GetDescriptor();
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor* field = type.field(i);
      if (!field->options().GetExtension(v1::required)) continue;
      if (!seen.contains(field->name())) {
        Wrong(Child(path, field->name()), "is required: add this key");
      }
    }
  }

  void ReadField(const YamlNode& node, const FieldDescriptor& field, const std::string& path,
                 int depth, Message& out) {
    if (field.is_map()) {
      if (Enter(node, path, depth)) ReadMap(node, field, path, depth, out);
    } else if (field.is_repeated()) {
      if (Enter(node, path, depth)) ReadList(node, field, path, depth, out);
    } else {
      ReadValue(node, field, path, depth, out);
    }
  }

  void ReadMap(const YamlNode& node, const FieldDescriptor& field, const std::string& path,
               int depth, Message& out) {
    if (!node.IsMap()) {
      return Wrong(path, node.IsNull() ? "has no value: give one, or leave the key out"
                                       : "must be a mapping of keys to values");
    }
    Seen seen;
    for (size_t i = 0; i + 1 < node.children.size(); i += 2) {
      const YamlNode::Child& child_key = node.children[i];
      const YamlNode& value = *node.children[i + 1].node;
      const std::string* key = ReadKey(child_key, path, seen);
      if (key == nullptr) continue;
      std::string child = base::StrCat(path, "[", *key, "]");
      map_.Add(child, child_key.line);
      Message* entry = out.GetReflection()->AddMessage(&out, &field);
      ReadValue(*child_key.node, *field.message_type()->map_key(), child, depth + 1, *entry);
      ReadValue(value, *field.message_type()->map_value(), child, depth + 1, *entry);
    }
  }

  void ReadList(const YamlNode& node, const FieldDescriptor& field, const std::string& path,
                int depth, Message& out) {
    if (!node.IsList()) {
      return Wrong(path, node.IsNull() ? "has no value: give a list, or leave the key out"
                                       : "must be a list: write [a, b], or one `- a` a line");
    }
    int index = 0;
    for (const YamlNode::Child& item : node.children) {
      std::string child = base::StrCat(path, "[", index++, "]");
      map_.Add(child, item.line);
      ReadValue(*item.node, field, child, depth + 1, out);
      if (exhausted_) return;
    }
  }

  // One value: sets `field`, or adds to it where it is repeated.
  void ReadValue(const YamlNode& node, const FieldDescriptor& field, const std::string& path,
                 int depth, Message& out) {
    const Reflection* reflection = out.GetReflection();
    if (field.message_type() != nullptr) {
      Message* child = field.is_repeated() ? reflection->AddMessage(&out, &field)
                                           : reflection->MutableMessage(&out, &field);
      return ReadMessage(node, path, depth, *child);
    }
    if (!Enter(node, path, depth)) return;
    if (node.IsMap() || node.IsList()) {
      return Wrong(path, base::StrCat("must be ", Expected(field), ", not a ",
                                      node.IsMap() ? "mapping" : "list"));
    }
    if (field.enum_type() != nullptr) return ReadEnum(node, field, path, out);
    if (node.IsNull()) {
      return Wrong(
          path,
          base::StrCat("has no value: give ", Expected(field), ", or leave the key out",
                       IsText(field) ? " (quote \"null\" or \"~\" where that text is meant)" : ""));
    }
    ReadScalar(node.text, node.quoted, field, path, out);
  }

  static bool IsText(const FieldDescriptor& field) {
    return field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
  }

  static std::string Expected(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return Whole<int32_t>();
      case FieldDescriptor::CPPTYPE_INT64:
        return Whole<int64_t>();
      case FieldDescriptor::CPPTYPE_UINT32:
        return Whole<uint32_t>();
      case FieldDescriptor::CPPTYPE_UINT64:
        return Whole<uint64_t>();
      case FieldDescriptor::CPPTYPE_FLOAT:
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return "a number";
      case FieldDescriptor::CPPTYPE_BOOL:
        return "true or false";
      case FieldDescriptor::CPPTYPE_ENUM:
        return base::StrCat("one of ", absl::StrJoin(ValueNames(*field.enum_type()), ", "));
      default:
        return "a text";
    }
  }

  template <typename T>
  static std::string Whole() {
    return base::StrCat("a whole number from ", std::numeric_limits<T>::min(), " to ",
                        std::numeric_limits<T>::max());
  }

  static std::vector<std::string> ValueNames(const EnumDescriptor& type) {
    std::vector<std::string> names;
    for (int i = 0; i < type.value_count(); ++i) names.push_back(type.value(i)->name());
    return names;
  }

  void ReadEnum(const YamlNode& node, const FieldDescriptor& field, const std::string& path,
                Message& out) {
    // YAML reads a plain `null` as no value; a value of that name is meant where there is one.
    std::string name = node.IsNull() ? "null" : node.text;
    const EnumValueDescriptor* value = field.enum_type()->FindValueByName(name);
    if (value == nullptr) {
      std::string guess = DidYouMean(name, ValueNames(*field.enum_type()));
      return Wrong(path, node.IsNull()
                             ? base::StrCat("has no value: give ", Expected(field))
                             : base::StrCat("unknown value `", name, "`",
                                            guess.empty() ? "; " + Expected(field) : guess));
    }
    if (field.is_repeated()) {
      out.GetReflection()->AddEnum(&out, &field, value);
    } else {
      out.GetReflection()->SetEnum(&out, &field, value);
    }
  }

  // Error texts don't repeat the value: a text in a number's place may be a secret in the wrong
  // line.
  void ReadScalar(const std::string& text, bool quoted, const FieldDescriptor& field,
                  const std::string& path, Message& out) {
    const Reflection* r = out.GetReflection();
    const bool add = field.is_repeated();
    if (quoted && !IsText(field)) {
      return Wrong(path,
                   base::StrCat("must be ", Expected(field), ", not a text: leave out the quotes"));
    }
    bool valid = false;
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32: {
        int32_t value;
        valid = IsWhole(text) && absl::SimpleAtoi(text, &value);
        if (valid) add ? r->AddInt32(&out, &field, value) : r->SetInt32(&out, &field, value);
        break;
      }
      case FieldDescriptor::CPPTYPE_INT64: {
        int64_t value;
        valid = IsWhole(text) && absl::SimpleAtoi(text, &value);
        if (valid) add ? r->AddInt64(&out, &field, value) : r->SetInt64(&out, &field, value);
        break;
      }
      case FieldDescriptor::CPPTYPE_UINT32: {
        uint32_t value;
        valid = IsWhole(text) && absl::SimpleAtoi(text, &value);
        if (valid) add ? r->AddUInt32(&out, &field, value) : r->SetUInt32(&out, &field, value);
        break;
      }
      case FieldDescriptor::CPPTYPE_UINT64: {
        uint64_t value;
        valid = IsWhole(text) && absl::SimpleAtoi(text, &value);
        if (valid) add ? r->AddUInt64(&out, &field, value) : r->SetUInt64(&out, &field, value);
        break;
      }
      case FieldDescriptor::CPPTYPE_DOUBLE: {
        double value;
        valid = IsDecimal(text) && absl::SimpleAtod(text, &value) && std::isfinite(value);
        if (valid) add ? r->AddDouble(&out, &field, value) : r->SetDouble(&out, &field, value);
        break;
      }
      case FieldDescriptor::CPPTYPE_FLOAT: {
        double value;
        valid = IsDecimal(text) && absl::SimpleAtod(text, &value) && std::abs(value) <= FLT_MAX;
        float narrow = valid ? static_cast<float>(value) : 0;
        if (valid) add ? r->AddFloat(&out, &field, narrow) : r->SetFloat(&out, &field, narrow);
        break;
      }
      case FieldDescriptor::CPPTYPE_BOOL: {
        bool value = text == "true";
        valid = value || text == "false";
        if (valid) add ? r->AddBool(&out, &field, value) : r->SetBool(&out, &field, value);
        break;
      }
      default:
        // Paths and names end at a NUL wherever they meet C.
        if (text.find('\0') != std::string::npos)
          return Wrong(path, "holds a NUL character: remove it");
        if (text.empty() && field.options().GetExtension(v1::required)) {
          return Wrong(path, "is required: the text must not be empty");
        }
        valid = true;
        add ? r->AddString(&out, &field, text) : r->SetString(&out, &field, text);
    }
    if (!valid) Wrong(path, base::StrCat("must be ", Expected(field)));
  }

  SourceMap& map_;
  Problems& problems_;
  int nodes_ = 0;
  bool exhausted_ = false;
};

}  // namespace

absl::Status ParseYaml(std::string_view yaml_text, std::string_view file_name, Message& out,
                       SourceMap* map) {
  out.Clear();
  SourceMap local;
  SourceMap& lines = map != nullptr ? *map : local;
  lines = SourceMap(file_name);
  Problems problems;
  YamlTree tree = ReadYamlTree(yaml_text, file_name, problems);
  if (!problems.empty()) return problems.ToStatus();
  const YamlNode nothing{YamlNode::Kind::kNull, 1};
  Reader(lines, problems).ReadRoot(tree.root != nullptr ? *tree.root : nothing, out);
  return problems.ToStatus();
}

absl::Status ParseYamlFile(const std::string& path, Message& out, SourceMap* map) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  // One byte over the bound is enough to know that the file is too large.
  std::string text(kYamlBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad()) {
    int error = errno;
    std::string what = base::StrCat(path, ": can't read the configuration: ", std::strerror(error));
    return error == ENOENT ? absl::NotFoundError(what) : absl::UnavailableError(what);
  }
  text.resize(static_cast<size_t>(file.gcount()));
  return ParseYaml(text, path, out, map);
}

}  // namespace sluice::config
