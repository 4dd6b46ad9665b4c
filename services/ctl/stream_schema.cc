#include "services/ctl/stream_schema.h"

#include <algorithm>

#include "common/base/strings.h"
#include "services/ctl/json.h"

namespace sluice::ctl {
namespace {

using contract::Cardinality;
using contract::Type;
using engine::Op;
using engine::OutputNode;
using event::OutputField;

// A text with a form.
struct Form {
  std::string pattern;
  std::string sample;
  std::string about;
};

// `calendar` names the zone of the parts of times. Postcodes are also those that aren't of the
// usual form, such as GIR 0AA and overseas territories'.
Form FormOfPart(engine::Part part, std::string_view calendar) {
  auto of = [&](std::string_view what) { return base::StrCat(what, ", ", calendar, "."); };
  switch (part) {
    case engine::Part::kYear:
      return {"^[0-9]{4}$", "2026", of("A year")};
    case engine::Part::kMonth:
      return {"^[0-9]{4}-[0-9]{2}$", "2026-03", of("A month")};
    case engine::Part::kDay:
      return {"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "2026-03-04", of("A day")};
    case engine::Part::kHour:
      return {"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}$", "2026-03-04T05", of("An hour")};
    case engine::Part::kSector:
      return {"^([A-Z]{1,4}[0-9]{0,2}[A-Z]? [0-9]|BFPO)$", "SW1A 1", "A postcode's sector."};
    case engine::Part::kDistrict:
      return {"^[A-Z]{1,4}[0-9]{0,2}[A-Z]?$", "SW1A", "A postcode's district."};
    case engine::Part::kArea:
      return {"^[A-Z]{1,4}$", "SW", "A postcode's area."};
  }
  return {"", "", ""};
}

class Writer {
 public:
  Writer(const engine::Pipeline& pipeline, const engine::StreamPlan& stream)
      : pipeline_(pipeline), stream_(stream) {}

  std::string Schema() {
    json_.BeginObject();
    json_.Member("$schema", "https://json-schema.org/draft/2020-12/schema");
    json_.Member("title", base::StrCat(pipeline_.contract().name(), " for ", stream_.name));
    json_.Member("type", "object").Key("properties").BeginObject();
    ForEachChild(stream_.nodes[0], [&](const OutputNode& node) {
      json_.Key(node.field.name);
      Property(node);
    });
    for (const engine::StreamJoin& carried : stream_.joins) {
      const engine::JoinPlan& join = pipeline_.joins()[carried.join];
      json_.Key(join.field.name).BeginObject().Key("type").BeginArray();
      json_.Value("object");
      if (join.on_missing == config::v1::Enrichment::null) json_.Value("null");
      json_.EndArray();
      json_.Member("description", base::StrCat("The row of the reference set ", join.set, "."));
      json_.Key("properties").BeginObject();
      for (size_t index : carried.columns) {
        const OutputField& column = join.columns[index];
        json_.Key(column.name).BeginObject();
        DescribeType(column);
        json_.EndObject();
      }
      json_.EndObject().Member("additionalProperties", false).EndObject();
    }
    json_.EndObject().Member("additionalProperties", false).EndObject();
    return std::move(json_).Finish();
  }

  std::string Sample() {
    json_.BeginObject();
    ForEachChild(stream_.nodes[0], [&](const OutputNode& node) {
      json_.Key(node.field.name);
      SampleProperty(node);
    });
    for (const engine::StreamJoin& carried : stream_.joins) {
      const engine::JoinPlan& join = pipeline_.joins()[carried.join];
      json_.Key(join.field.name).BeginObject();
      for (size_t index : carried.columns) {
        json_.Key(join.columns[index].name);
        SampleOfField(join.columns[index]);
      }
      json_.EndObject();
    }
    json_.EndObject();
    return std::move(json_).Finish();
  }

 private:
  template <typename Visit>
  void ForEachChild(const OutputNode& node, Visit visit) {
    for (uint32_t i = node.first_child; i < node.first_child + node.child_count; ++i)
      visit(stream_.nodes[i]);
  }

  void Property(const OutputNode& node) {
    switch (node.field.cardinality) {
      case Cardinality::kRepeated:
        json_.BeginObject().Member("type", "array").Key("items");
        Item(node);
        json_.EndObject();
        return;
      case Cardinality::kMap:
        json_.BeginObject().Member("type", "object").Key("additionalProperties");
        in_map_ = stream_.nodes[node.first_child + 1].op != Op::kMessage;
        Item(stream_.nodes[node.first_child + 1]);
        in_map_ = false;
        json_.EndObject();
        return;
      case Cardinality::kSingular:
        Item(node);
    }
  }

  // One value of the field.
  void Item(const OutputNode& node) {
    json_.BeginObject();
    if (node.op == Op::kMessage) {
      json_.Member("type", "object").Key("properties").BeginObject();
      ForEachChild(node, [&](const OutputNode& child) {
        json_.Key(child.field.name);
        Property(child);
      });
      json_.EndObject().Member("additionalProperties", false).EndObject();
      return;
    }
    if (Form form = FormOf(node); !form.pattern.empty()) {
      // An item that was treated to nothing keeps its place as an empty text.
      const bool item = node.field.cardinality != Cardinality::kSingular || in_map_;
      if (item && node.field.type == Type::kString) form.pattern.insert(0, "^$|");
      json_.Member("type", "string").Member("pattern", form.pattern);
      json_.Member("description", form.about).EndObject();
      return;
    }
    if (node.op == Op::kConstant) {
      json_.Member("const", node.constant).EndObject();
      return;
    }
    DescribeType(node.field);
    json_.EndObject();
  }

  void DescribeType(const OutputField& field) {
    switch (field.type) {
      case Type::kBool:
        json_.Member("type", "boolean");
        break;
      case Type::kInt32:
      case Type::kUint32:
        json_.Member("type", "integer");
        break;
      case Type::kFloat:
      case Type::kDouble:
        json_.Key("anyOf").BeginArray().BeginObject().Member("type", "number").EndObject();
        json_.BeginObject().Key("enum").BeginArray().Value("NaN").Value("Infinity");
        json_.Value("-Infinity").EndArray().EndObject().EndArray();
        break;
      case Type::kEnum:
        // A number stands for a value that the contract doesn't name.
        json_.Key("anyOf").BeginArray().BeginObject().Key("enum").BeginArray();
        for (const contract::EnumValue& value : field.enum_values) json_.Value(value.name);
        json_.EndArray().EndObject().BeginObject().Member("type", "integer").EndObject();
        json_.EndArray();
        break;
      default:
        json_.Member("type", "string");
        if (field.type == Type::kBytes) json_.Member("contentEncoding", "base64");
    }
  }

  void SampleProperty(const OutputNode& node) {
    switch (node.field.cardinality) {
      case Cardinality::kRepeated:
        json_.BeginArray();
        SampleItem(node);
        json_.EndArray();
        return;
      case Cardinality::kMap:
        json_.BeginObject().Key(KeySample(stream_.nodes[node.first_child]));
        SampleItem(stream_.nodes[node.first_child + 1]);
        json_.EndObject();
        return;
      case Cardinality::kSingular:
        SampleItem(node);
    }
  }

  std::string KeySample(const OutputNode& node) {
    if (Form form = FormOf(node); !form.sample.empty()) return form.sample;
    if (node.field.type == Type::kBool) return "true";
    return node.field.type == Type::kString ? "key" : "1";
  }

  void SampleItem(const OutputNode& node) {
    if (node.op == Op::kMessage) {
      json_.BeginObject();
      ForEachChild(node, [&](const OutputNode& child) {
        json_.Key(child.field.name);
        SampleProperty(child);
      });
      json_.EndObject();
    } else if (Form form = FormOf(node); !form.sample.empty()) {
      json_.Value(form.sample);
    } else if (node.op == Op::kConstant) {
      json_.Value(node.constant);
    } else if (node.op == Op::kGridLatitude) {
      json_.Value(51.499581);
    } else if (node.op == Op::kGridLongitude) {
      json_.Value(-0.093902);
    } else {
      SampleOfField(node.field);
    }
  }

  void SampleOfField(const OutputField& field) {
    if (Form form = FormOfType(field.type); !form.sample.empty()) {
      json_.Value(form.sample);
    } else {
      SampleOfType(field);
    }
  }

  void SampleOfType(const OutputField& field) {
    switch (field.type) {
      case Type::kBool:
        json_.Value(true);
        return;
      case Type::kInt32:
      case Type::kUint32:
        json_.Value(1);
        return;
      case Type::kFloat:
      case Type::kDouble:
        json_.Value(1.5);
        return;
      case Type::kEnum:
        // The first is by protobuf's custom the unspecified one.
        json_.Value(field.enum_values[std::min<size_t>(1, field.enum_values.size() - 1)].name);
        return;
      case Type::kBytes:
        json_.Value("Ynl0ZXM=");
        return;
      default:
        json_.Value("text");
    }
  }

  // The form of what the treatment, or else the type, writes as text; empty: any.
  Form FormOf(const OutputNode& node) const {
    switch (node.op) {
      case Op::kPseudonymise: {
        std::string label;
        for (char c : pipeline_.domains()[stream_.domain]) {
          if (c >= 'a' && c <= 'z' && label.size() < 3) label += c;
        }
        return {"^[a-z]{1,8}[0-9]+-[a-z2-7]{26}$",
                base::StrCat(label.empty() ? "dom" : label, "1-syntheticsyntheticsyntheti"),
                "A pseudonym: the domain's label, its epoch, 26 characters. Equal means equal."};
      }
      case Op::kEncrypt:
        return {"^[a-z]{1,8}[0-9]+e-[a-z2-7]{26,}$", "dom1e-syntheticsyntheticsyntheti",
                "An encrypted identifier: the domain's label, its epoch, e, the text. Equal means "
                "equal; who may, asks it back."};
      case Op::kShiftDate:
        return {"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "2026-03-04",
                "A date, moved by as many days as all dates of the same person."};
      case Op::kAgeBand:
        return {"^[0-9]+(-[0-9]+|\\+)$", "18-24", "The band of an age at the event's time."};
      case Op::kDatePart:
      case Op::kTimePart:
      case Op::kPostcodePart:
        return FormOfPart(node.part, node.op == Op::kTimePart ? Calendar() : "as it was given");
      case Op::kConstant:
        return {"", "", ""};
      default:
        break;
    }
    return FormOfType(node.field.type);
  }

  std::string Calendar() const {
    const auto& zone = pipeline_.contract().civil_zone();
    return zone ? zone->name() : "UTC";
  }

  // The form that the type has as text; empty: none, or any.
  static Form FormOfType(Type type) {
    switch (type) {
      case Type::kInt64:
        return {"^-?[0-9]+$", "1", "A 64-bit integer, as text."};
      case Type::kUint64:
        return {"^[0-9]+$", "1", "A 64-bit integer, as text."};
      case Type::kTimestamp:
        return {"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{3,9})?Z$",
                "2026-03-04T05:06:07Z", "A time, UTC."};
      case Type::kDuration:
        return {"^-?[0-9]+(\\.[0-9]+)?s$", "1.500s", "A duration in seconds."};
      default:
        return {"", "", ""};
    }
  }

  const engine::Pipeline& pipeline_;
  const engine::StreamPlan& stream_;
  JsonText json_;
  bool in_map_ = false;  // the value at hand is that of a map's entry
};

}  // namespace

std::string JsonSchemaOf(const engine::Pipeline& pipeline, const engine::StreamPlan& stream) {
  return Writer(pipeline, stream).Schema();
}

std::string SampleOf(const engine::Pipeline& pipeline, const engine::StreamPlan& stream) {
  return Writer(pipeline, stream).Sample();
}

}  // namespace sluice::ctl
