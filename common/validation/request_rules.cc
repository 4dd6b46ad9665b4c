#include "common/validation/request_rules.h"

#include <utility>

#include "buf/validate/validate.pb.h"
#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::validation {
namespace {

using base::StrAppend;
using base::StrCat;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// The names of the fields that are set in a message of rules.
std::vector<std::string> SetRules(const Message& rules) {
  std::vector<const FieldDescriptor*> fields;
  rules.GetReflection()->ListFields(rules, &fields);
  std::vector<std::string> names;
  for (const FieldDescriptor* field : fields) names.push_back(field->name());
  return names;
}

std::string At(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : StrCat(path, ".", name);
}

}  // namespace

struct RequestRules::Compiler {
  RequestRules& rules;
  const std::set<std::string> elsewhere;
  std::string problems;

  void Problem(const FieldDescriptor& field, std::string_view what) {
    StrAppend(problems, problems.empty() ? "" : "; ", field.full_name(), ": ", what);
  }

  void Unknown(const FieldDescriptor& field, std::string_view rule) {
    Problem(field, StrCat("the rule ", rule, " isn't known for requests"));
  }

  void AddValue(const FieldDescriptor& field, const buf::validate::FieldRules& given, Bounds& to) {
    for (const std::string& kind : SetRules(given)) {
      if (kind == "string") {
        const auto& text = given.string();
        for (const std::string& rule : SetRules(text)) {
          if (rule == "max_bytes" || rule == "max_len") {
            to.bytes_max = rule == "max_bytes" ? text.max_bytes() : text.max_len();
            to.bounded = true;
          } else if (rule == "min_len") {
            to.bytes_min = text.min_len();
          } else if (rule == "pattern") {
            to.pattern = std::make_shared<const RE2>(text.pattern(), RE2::Quiet);
            if (!to.pattern->ok()) Problem(field, "its pattern isn't one");
          } else {
            Unknown(field, "string." + rule);
          }
        }
      } else if (kind == "bytes") {
        for (const std::string& rule : SetRules(given.bytes())) {
          if (rule != "max_len") Unknown(field, "bytes." + rule);
          to.bytes_max = given.bytes().max_len();
          to.bounded = true;
        }
      } else if (kind == "enum") {
        for (const std::string& rule : SetRules(given.enum_())) {
          if (rule == "defined_only") {
            to.defined_only = given.enum_().defined_only();
          } else if (rule == "not_in" && given.enum_().not_in_size() == 1 &&
                     given.enum_().not_in(0) == 0) {
            to.not_zero = true;
          } else {
            Unknown(field, "enum." + rule);
          }
        }
      } else if (kind != "repeated" && kind != "map") {
        Unknown(field, kind);
      }
    }
    const bool text = field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
    if (text && !to.bounded)
      Problem(field, "has no upper bound: string.max_bytes or bytes.max_len");
  }

  void AddField(const FieldDescriptor& field, std::vector<Field>& to) {
    const auto& given = field.options().GetExtension(buf::validate::field);
    Field made{.field = &field, .message = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE};
    if (field.is_map()) {
      for (const std::string& rule : SetRules(given.map())) {
        if (rule != "max_pairs" && rule != "keys" && rule != "values")
          Unknown(field, "map." + rule);
      }
      if (given.map().has_max_pairs()) {
        made.items_max = given.map().max_pairs();
      } else {
        Problem(field, "has no upper bound: map.max_pairs");
      }
      // An entry is a message of two fields, whose own rules the option holds.
      AddEntry(field, given.map());
    } else if (field.is_repeated()) {
      for (const std::string& rule : SetRules(given.repeated())) {
        if (rule == "max_items") {
          made.items_max = given.repeated().max_items();
        } else if (rule == "min_items") {
          made.items_min = given.repeated().min_items();
        } else if (rule == "unique" && field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
          made.unique = given.repeated().unique();
        } else if (rule != "items") {
          Unknown(field, "repeated." + rule);
        }
      }
      if (!given.repeated().has_max_items())
        Problem(field, "has no upper bound: repeated.max_items");
      AddValue(field, given.repeated().items(), made.value);
    } else {
      AddValue(field, given, made.value);
    }
    if (made.message) AddMessage(*field.message_type());
    const bool listed = made.items_min > 0 || made.items_max != ~uint64_t{0} || made.unique;
    if (made.message || listed || made.value.any()) to.push_back(std::move(made));
  }

  void AddEntry(const FieldDescriptor& field, const buf::validate::MapRules& given) {
    auto [at, added] = rules.messages_.try_emplace(field.message_type());
    if (!added) return;
    const Descriptor& entry = *field.message_type();
    for (const auto& [part, of] : {std::pair(entry.FindFieldByNumber(1), &given.keys()),
                                   std::pair(entry.FindFieldByNumber(2), &given.values())}) {
      Field made{.field = part, .message = part->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE};
      AddValue(*part, *of, made.value);
      if (made.message) AddMessage(*part->message_type());
      if (made.message || made.value.any()) at->second.push_back(std::move(made));
    }
  }

  void AddMessage(const Descriptor& message) {
    auto [at, added] = rules.messages_.try_emplace(&message);
    if (!added || elsewhere.contains(message.full_name())) return;
    std::vector<Field> fields;
    for (int i = 0; i < message.field_count(); ++i) AddField(*message.field(i), fields);
    rules.messages_[&message] = std::move(fields);
  }
};

absl::StatusOr<std::unique_ptr<const RequestRules>> RequestRules::Compile(
    const google::protobuf::ServiceDescriptor& service, std::set<std::string> elsewhere) {
  auto rules = std::make_unique<RequestRules>();
  Compiler compiler{*rules, std::move(elsewhere), {}};
  for (int i = 0; i < service.method_count(); ++i)
    compiler.AddMessage(*service.method(i)->input_type());
  if (!compiler.problems.empty()) return absl::FailedPreconditionError(compiler.problems);
  return std::unique_ptr<const RequestRules>(std::move(rules));
}

absl::Status RequestRules::CheckText(const Bounds& bounds, const std::string& text,
                                     const std::string& path) {
  if (text.size() > bounds.bytes_max) {
    return absl::InvalidArgumentError(StrCat(path, ": has more than ", bounds.bytes_max, " bytes"));
  }
  if (text.size() < bounds.bytes_min)
    return absl::InvalidArgumentError(StrCat(path, ": must not be empty"));
  if (bounds.pattern != nullptr && !RE2::FullMatch(text, *bounds.pattern)) {
    return absl::InvalidArgumentError(StrCat(path, ": must match ", bounds.pattern->pattern()));
  }
  return absl::OkStatus();
}

absl::Status RequestRules::CheckEnum(const Bounds& bounds, const FieldDescriptor& field, int number,
                                     const std::string& path) {
  const bool defined = field.enum_type()->FindValueByNumber(number) != nullptr;
  if ((bounds.defined_only && !defined) || (bounds.not_zero && number == 0)) {
    return absl::InvalidArgumentError(
        StrCat(path, ": isn't one of ", field.enum_type()->full_name()));
  }
  return absl::OkStatus();
}

absl::Status RequestRules::CheckMessage(const Message& message, const std::string& path) const {
  auto known = messages_.find(message.GetDescriptor());
  if (known == messages_.end()) return absl::InternalError("a request that has no rules");
  const Reflection& reflection = *message.GetReflection();
  std::string scratch;
  for (const Field& rule : known->second) {
    const FieldDescriptor& field = *rule.field;
    const bool text = field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
    const bool number = field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM;
    if (!field.is_repeated()) {
      if (rule.message) {
        if (reflection.HasField(message, &field)) {
          SLUICE_RETURN_IF_ERROR(
              CheckMessage(reflection.GetMessage(message, &field), At(path, field.name())));
        }
        continue;
      }
      // A member of a oneof that isn't the one is absent.
      if (field.has_presence() && !reflection.HasField(message, &field)) continue;
      if (text) {
        SLUICE_RETURN_IF_ERROR(CheckText(rule.value,
                                         reflection.GetStringReference(message, &field, &scratch),
                                         At(path, field.name())));
      } else if (number) {
        SLUICE_RETURN_IF_ERROR(CheckEnum(
            rule.value, field, reflection.GetEnumValue(message, &field), At(path, field.name())));
      }
      continue;
    }
    const int size = reflection.FieldSize(message, &field);
    if (static_cast<uint64_t>(size) > rule.items_max) {
      return absl::InvalidArgumentError(
          StrCat(At(path, field.name()), ": has more than ", rule.items_max, " items"));
    }
    if (static_cast<uint64_t>(size) < rule.items_min) {
      return absl::InvalidArgumentError(
          StrCat(At(path, field.name()), ": must have at least ", rule.items_min));
    }
    if (!rule.message && !rule.unique && !rule.value.any()) continue;
    std::set<int> seen;
    for (int i = 0; i < size; ++i) {
      auto at = [&] { return StrCat(At(path, field.name()), "[", i, "]"); };
      if (rule.message) {
        SLUICE_RETURN_IF_ERROR(
            CheckMessage(reflection.GetRepeatedMessage(message, &field, i), at()));
      } else if (text) {
        const std::string& one =
            reflection.GetRepeatedStringReference(message, &field, i, &scratch);
        // The path is made where it is needed: there may be many.
        if (one.size() <= rule.value.bytes_max && one.size() >= rule.value.bytes_min &&
            rule.value.pattern == nullptr)
          continue;
        SLUICE_RETURN_IF_ERROR(CheckText(rule.value, one, at()));
      } else if (number) {
        const int value = reflection.GetRepeatedEnumValue(message, &field, i);
        SLUICE_RETURN_IF_ERROR(CheckEnum(rule.value, field, value, at()));
        if (rule.unique && !seen.insert(value).second)
          return absl::InvalidArgumentError(StrCat(at(), ": is there twice"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status RequestRules::Check(const Message& request) const { return CheckMessage(request, ""); }

}  // namespace sluice::validation
