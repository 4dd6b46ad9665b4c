// The worst events and files that anybody could think of, for each stage: what a byte costs may not
// depend on how many there are, and no event within the default limits may take a second.
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <functional>
#include <sstream>

#include "absl/strings/str_join.h"
#include "benchmarks/bench.h"
#include "benchmarks/process_usage.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/contract/loader.h"
#include "common/engine/engine.h"
#include "common/enrichment/row_reader.h"
#include "common/enrichment/row_set.h"
#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"
#include "services/ctl/rows.h"

namespace sluice::bench {
namespace {

using base::StrAppend;
using base::StrCat;
using contract::v1::IdentifierKind;

// Some 64 KiB to 1 MiB, below event_bytes_max with what stands around them.
constexpr size_t kSizes[] = {60'000, 250'000, 1'000'000};
constexpr double kRatioMax = 2;
constexpr double kSecondsMax = 1;
// A short time is as much the clock's and the cache's as the work's.
constexpr double kRatioSecondsMin = 0.004;

std::vector<IdentifierKind> Kinds() {
  std::vector<IdentifierKind> kinds;
  for (int kind = 1; kind <= contract::v1::IdentifierKind_MAX; ++kind) {
    if (kind != contract::v1::EVENT_ID && kind != contract::v1::SOURCE_POSITION &&
        contract::v1::IdentifierKind_IsValid(kind))
      kinds.push_back(static_cast<IdentifierKind>(kind));
  }
  return kinds;
}

std::string FieldOf(IdentifierKind kind) {
  std::string name = contract::v1::IdentifierKind_Name(kind);
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return name;
}

std::string ContractText() {
  std::string text = R"(syntax = "proto3";
package hostile;
import "buf/validate/validate.proto";
import "google/protobuf/timestamp.proto";
import "sluice/contract/v1/options.proto";
message E {
  option (sluice.contract.v1.event) = {id: "event_id" time: "at"};
  option (sluice.contract.v1.not_personal) = {fields: ["by_id.key"]};
  string event_id = 1;
  google.protobuf.Timestamp at = 2;
  string narrative = 3 [(sluice.contract.v1.field).free_text = true];
  repeated Person people = 4;
  map<int32, Person> by_id = 5;
  repeated Person more_people = 6;
)";
  for (IdentifierKind kind : Kinds()) {
    StrAppend(text, "  string ", FieldOf(kind), " = ", 100 + static_cast<int>(kind),
              " [(sluice.contract.v1.field).identifier = ", contract::v1::IdentifierKind_Name(kind),
              "];\n");
  }
  return text + R"(}
message Person {
  string name = 1 [(sluice.contract.v1.field).identifier = PERSON_NAME, (buf.validate.field).string.max_len = 200];
  string code = 2 [(sluice.contract.v1.field).identifier = FREE_IDENTIFIER,
                   (buf.validate.field).string.pattern = "^([a-z]*)*[0-9]?$"];
}
)";
}

std::string PipelineText() {
  std::string text = R"(
contract: "hostile.E"
input { topic: "raw" }
quarantine { topic: "quarantine" public_key: "key.pem" }
)";
  for (const char* stream : {"inside", "outside"}) {
    bool internal = std::string_view(stream) == "inside";
    StrAppend(text, "streams { name: '", stream, "' topic: '", stream, "' domain: '", stream, "' ",
              internal ? "internal: true" : "", " purpose: 'x' ");
    for (IdentifierKind kind : Kinds()) {
      StrAppend(text, "treat { key: '", contract::v1::IdentifierKind_Name(kind),
                "' value { pseudonymise {} } }\n");
    }
    StrAppend(text,
              internal ? "treat { key: 'FREE_TEXT' value { scrub {} } }"
                       : "treat { key: 'FREE_TEXT' value { drop {} } } treat { key: "
                         "'OCCURRED_AT' value { drop {} } }",
              "}\n");
  }
  return text;
}

// `piece` again and again, `bytes` long.
std::string Filled(std::string_view piece, size_t bytes) {
  std::string text;
  while (text.size() + piece.size() <= bytes) text += piece;
  return text;
}

// `piece` with its number in place of each #.
std::string Numbered(std::string_view piece, size_t bytes) {
  std::string text, number;
  for (size_t i = 0; text.size() + piece.size() + 8 < bytes; ++i) {
    number = StrCat(i);
    for (char c : piece) c == '#' ? text += number : text += c;
  }
  return text;
}

std::string WithoutLast(std::string text) {
  if (!text.empty()) text.pop_back();
  return text;
}

std::string Event(std::string_view members) {
  return StrCat(R"({"event_id":"e","at":"2026-03-04T05:06:07Z",)", members, "}");
}

struct Case {
  std::string name;
  // An event of about so many bytes.
  std::function<std::string(size_t)> make;
};

std::vector<Case> EventCases() {
  std::vector<Case> cases;
  auto add = [&cases](std::string name, std::function<std::string(size_t)> make) {
    cases.push_back({std::move(name), std::move(make)});
  };
  auto text_case = [&](const std::string& name, const std::string& field, const std::string& begin,
                       const std::string& piece) {
    add(name, [=](size_t bytes) {
      return Event(StrCat("\"", field, "\":\"", begin, Filled(piece, bytes), "\""));
    });
  };
  // Two runs of combining marks of different classes, which the canonical order turns round.
  add("marks_of_two_classes", [](size_t bytes) {
    return Event(StrCat("\"person_name\":\"a", Filled("\xCC\x81", bytes / 2),
                        Filled("\xCC\xA7", bytes / 2), "\""));
  });
  add("marks_in_text", [](size_t bytes) {
    return Event(StrCat("\"narrative\":\"a", Filled("\xCC\x81\xCC\xA7", bytes), "\""));
  });
  text_case("longest_canonical_form", "person_name", "", "\xEF\xB7\xBA");
  text_case("words", "narrative", "", "aa ");
  text_case("capitals", "narrative", "", "Aa Ba ");
  text_case("phones", "narrative", "", "07700 900123, ");
  text_case("digits", "narrative", "", "7");
  text_case("spaced_digits", "narrative", "", "7 ");
  text_case("dates", "narrative", "", "1981-3-1 ");
  text_case("mail", "narrative", "", "a@b.example ");
  text_case("at_signs", "narrative", "", "a@");
  text_case("dots", "narrative", "", "a.");
  text_case("percent", "narrative", "https://a.example/", "%41");
  text_case("slashes", "narrative", "", "1/");
  text_case("quotes", "narrative", "", "o'");
  text_case("hyphens", "narrative", "", "a-");
  text_case("escapes", "narrative", "", "\\u0041\\n");
  text_case("wide_letters", "narrative", "", "\xF0\x9F\x98\x80");
  text_case("pattern", "free_identifier", "", "a");
  // Words of the text by parts of the event's names.
  add("words_by_names", [](size_t bytes) {
    return Event(StrCat("\"person_name\":\"", Numbered("n# ", bytes / 2), "\",\"narrative\":\"",
                        Numbered("n# ", bytes / 2), "\""));
  });
  add("people_by_words", [](size_t bytes) {
    return Event(
        StrCat("\"people\":[",
               WithoutLast(Numbered("{\"name\":\"n#\"},", std::min<size_t>(bytes / 2, 180'000))),
               "],\"narrative\":\"", Filled("n17 walks ", bytes / 2), "\""));
  });
  add("identifiers", [](size_t bytes) {
    const size_t each = std::min<size_t>(bytes / 2, 240'000);
    return Event(StrCat("\"people\":[",
                        WithoutLast(Numbered("{\"name\":\"n#\",\"code\":\"a\"},", each)),
                        "],\"more_people\":[",
                        WithoutLast(Numbered("{\"name\":\"n#\",\"code\":\"a\"},", each)), "]"));
  });
  add("violations", [](size_t bytes) {
    return Event(StrCat(
        "\"people\":[",
        WithoutLast(Filled("{\"name\":1,\"code\":2},", std::min<size_t>(bytes, 190'000))), "]"));
  });
  add("broken_values", [](size_t bytes) {
    return Event(StrCat("\"people\":[",
                        WithoutLast(Filled("{\"code\":\"0x\"},", std::min<size_t>(bytes, 130'000))),
                        "]"));
  });
  add("members", [](size_t bytes) { return Event(WithoutLast(Numbered("\"m#\":0,", bytes))); });
  add("members_alike", [](size_t bytes) {
    const std::string start(500, 'k');
    return Event(WithoutLast(Numbered(StrCat("\"", start, "#\":0,"), bytes)));
  });
  add("map", [](size_t bytes) {
    return Event(StrCat(
        "\"by_id\":{",
        WithoutLast(Numbered("\"#\":{\"code\":\"\"},", std::min<size_t>(bytes, 200'000))), "}"));
  });
  add("nesting", [](size_t bytes) {
    std::string deep = std::string(28, '[') + std::string(28, ']') + ",";
    return Event(StrCat("\"x\":[", WithoutLast(Filled(deep, bytes)), "]"));
  });
  add("objects", [](size_t bytes) {
    return Event(StrCat("\"x\":[", WithoutLast(Filled("{},", bytes)), "]"));
  });
  add("wide_numbers", [](size_t bytes) {
    return Event(StrCat("\"x\":[", WithoutLast(Filled("100000000000000000000,", bytes)), "]"));
  });
  add("long_numbers", [](size_t bytes) { return Event(StrCat("\"x\":1", Filled("0", bytes))); });
  // A value of each kind of identifier, of what its form is made of and of what it isn't.
  for (IdentifierKind kind : Kinds()) {
    const std::string field = FieldOf(kind);
    for (auto [what, piece] :
         std::initializer_list<std::pair<const char*, const char*>>{{"digits", "7"},
                                                                    {"letters", "a"},
                                                                    {"words", "a1 "},
                                                                    {"marks", "a\xCC\x81\xCC\xA7"},
                                                                    {"dots", "a@b."}})
      text_case(StrCat(field, "_", what), field, "", piece);
  }
  return cases;
}

std::vector<Case> RowCases() {
  std::vector<Case> cases;
  cases.push_back({"columns", [](size_t bytes) {
                     std::string header = WithoutLast(Numbered("c#,", bytes / 2));
                     auto columns =
                         static_cast<size_t>(std::count(header.begin(), header.end(), ','));
                     return StrCat(header, "\n", std::string(columns, ','), "\n");
                   }});
  cases.push_back({"nested_columns", [](size_t bytes) {
                     return StrCat(WithoutLast(Numbered("a.b.c.d.e.f.c#,", bytes)), "\n");
                   }});
  cases.push_back({"quoted_lines", [](size_t bytes) {
                     return StrCat("a\n\"", Filled(StrCat(std::string(5'300, 'x'), "\n"), bytes),
                                   "\"\n");
                   }});
  cases.push_back({"open_quotes", [](size_t bytes) {
                     return StrCat("a\n",
                                   Filled(StrCat("\"", std::string(5'300, 'x'), "\"\"\n"), bytes));
                   }});
  cases.push_back({"cells", [](size_t bytes) { return StrCat("a\n", Filled(",", bytes), "\n"); }});
  return cases;
}

// Rows that a reference set's source may have, by its format.
using ReadText = absl::Status (*)(std::string_view, std::string_view, enrichment::RowSink&);
std::vector<std::pair<Case, ReadText>> SetCases() {
  std::vector<std::pair<Case, ReadText>> cases;
  auto add = [&cases](ReadText read, std::string name, std::function<std::string(size_t)> make) {
    cases.push_back({{std::move(name), std::move(make)}, read});
  };
  add(enrichment::ReadCsv, "csv_columns", [](size_t bytes) {
    const std::string header = WithoutLast(Numbered("c#,", bytes / 2));
    return StrCat(
        "id,", header, "\n",
        std::string(static_cast<size_t>(std::count(header.begin(), header.end(), ',')) + 1, ','),
        "\n");
  });
  add(enrichment::ReadCsv, "csv_cells",
      [](size_t bytes) { return StrCat("id\n", Filled(",", bytes), "\n"); });
  add(enrichment::ReadCsv, "csv_quotes",
      [](size_t bytes) { return StrCat("id\n\"", Filled("\"\"", bytes), "\"\n"); });
  add(enrichment::ReadCsv, "csv_rows",
      [](size_t bytes) { return StrCat("id\n", Numbered("k#\n", bytes)); });
  add(enrichment::ReadJsonLines, "json_members",
      [](size_t bytes) { return StrCat("{", WithoutLast(Numbered("\"m#\":0,", bytes)), "}\n"); });
  add(enrichment::ReadJsonLines, "json_rows",
      [](size_t bytes) { return Numbered("{\"id\":\"k#\"}\n", bytes); });
  auto area = [](std::string coordinates) {
    return StrCat(R"({"type":"FeatureCollection","features":[{"type":"Feature","properties":)",
                  R"({"id":"a"},"geometry":{"type":"Polygon","coordinates":)",
                  std::move(coordinates), "}}]}");
  };
  add(enrichment::ReadGeoJson, "geojson_points", [area](size_t bytes) {
    return area(StrCat("[[", Filled("[0,50],[1,51],", bytes), "[0,50]]]"));
  });
  add(enrichment::ReadGeoJson, "geojson_rings", [area](size_t bytes) {
    return area(StrCat("[", WithoutLast(Filled("[[0,50],[1,50],[1,51],[0,50]],", bytes)), "]"));
  });
  add(enrichment::ReadGeoJson, "geojson_features", [](size_t bytes) {
    return StrCat(R"({"type":"FeatureCollection","features":[)",
                  WithoutLast(Numbered(R"({"type":"Feature","properties":{"id":"k#"},"geometry":)"
                                       R"({"type":"Polygon","coordinates":[[[0,50],[1,50],[1,51],)"
                                       R"([0,50]]]}},)",
                                       bytes)),
                  "]}");
  });
  return cases;
}

// Bytes of protobuf's wire format: what the reader skips, and what it keeps many of.
std::vector<Case> ProtobufCases() {
  std::vector<Case> cases;
  auto add = [&cases](std::string name, std::string piece) {
    cases.push_back({std::move(name), [piece](size_t bytes) { return Filled(piece, bytes); }});
  };
  add("unknown_fields", "\xF8\x7F\x01");
  add("unknown_texts", "\xFA\x7F\x02xy");
  // A group within a group, and both closed.
  add("unknown_groups", "\xFB\x7F\xFB\x7F\xFC\x7F\xFC\x7F");
  add("empty_people", std::string("\x22\x00", 2));
  add("people", "\x22\x05\x0A\x03n n");
  add("map_entries", std::string("\x2A\x06\x08\x07\x12\x02\x0A\x00", 8));
  add("event_id_again", "\x0A\x03xyz");
  return cases;
}

class Nothing final : public engine::OutcomeSink {
  absl::Status Clean(const engine::InputRecord&, const engine::CleanRecord&) override {
    return absl::OkStatus();
  }
  absl::Status Quarantined(const engine::InputRecord&, const engine::QuarantineRecord&) override {
    return absl::OkStatus();
  }
  void Suppressed(const engine::InputRecord&) override {}
};

// Measures `work` at every size; names what is too slow in `failed`.
absl::Status Measure(const std::string& name, const Case& hostile,
                     const std::function<absl::Status(const std::string&)>& work, Report& report,
                     std::vector<std::string>& failed) {
  double first = 0, first_seconds = 0, last = 0, last_seconds = 0;
  for (size_t size : kSizes) {
    const std::string input = hostile.make(size);
    double best = 1e9;
    for (int pass = 0; pass < 3 && (pass == 0 || best < 0.3); ++pass) {
      const double start = ThreadCpuSeconds();
      SLUICE_RETURN_IF_ERROR(work(input));
      best = std::min(best, ThreadCpuSeconds() - start);
    }
    last_seconds = best;
    last = best / static_cast<double>(input.size()) * 1e9;
    if (first == 0) {
      first = last;
      first_seconds = best;
    }
    // What takes that long at this size needs no larger one.
    if (best > kSecondsMax) break;
  }
  report.Add(StrCat("hostile.", name, ".ns_per_byte"), last, "ns");
  report.Add(StrCat("hostile.", name, ".ms"), last_seconds * 1e3, "ms");
  if (last_seconds > kSecondsMax) failed.push_back(StrCat(name, " takes more than a second"));
  // From the time that the smaller one must have taken at least, so that a tick of the clock is no
  // finding.
  const double base = std::max(first, first * kRatioSecondsMin / std::max(first_seconds, 1e-9) *
                                          (first_seconds < kRatioSecondsMin ? 0.25 : 0));
  if (last > kRatioMax * base)
    failed.push_back(
        StrCat(name, " costs ", last / first, " times as much a byte when it is long"));
  return absl::OkStatus();
}

}  // namespace

absl::Status RunHostile(const Options&, Report& report) {
  SLUICE_ASSIGN_OR_RETURN(auto contracts,
                          contract::Contracts::LoadText({{"hostile.proto", ContractText()}}));
  engine::Pipeline::Options options;
  SLUICE_ASSIGN_OR_RETURN(options.contract, contracts->Compile("hostile.E"));
  if (!google::protobuf::TextFormat::ParseFromString(PipelineText(), &options.config))
    return absl::InternalError("the pipeline can't be read");
  base::SystemRandom random;
  SLUICE_ASSIGN_OR_RETURN(auto keyring,
                          privacy::Keyring::Create({{"inside", "in"}, {"outside", "out"}}, random));
  SLUICE_ASSIGN_OR_RETURN(auto pseudonymiser, privacy::LocalPseudonymiser::Create(keyring));
  SLUICE_ASSIGN_OR_RETURN(auto keys, privacy::NewSealingKeys(random));
  SLUICE_ASSIGN_OR_RETURN(auto sealer, privacy::Sealer::Create(keys.public_pem, random));
  Nothing sink;
  std::vector<std::string> failed;
  auto measure_events = [&](std::string_view stage, const std::vector<Case>& cases,
                            const std::string& first) -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(auto pipeline, engine::Pipeline::Compile(options));
    SLUICE_ASSIGN_OR_RETURN(auto engine, engine::Engine::Create(pipeline, *pseudonymiser, *sealer));
    auto event = [&](const std::string& text) {
      base::InputRecord record;
      record.topic = "raw";
      record.value = text;
      return engine->Process({&record, 1}, sink);
    };
    SLUICE_RETURN_IF_ERROR(event(first));
    for (const Case& hostile : cases)
      SLUICE_RETURN_IF_ERROR(
          Measure(StrCat(stage, ".", hostile.name), hostile, event, report, failed));
    return absl::OkStatus();
  };
  SLUICE_RETURN_IF_ERROR(measure_events("event", EventCases(), Event("\"x\":1")));
  options.config.mutable_input()->set_format(config::v1::protobuf);
  SLUICE_RETURN_IF_ERROR(measure_events("protobuf", ProtobufCases(), "\x0A\x01x"));
  auto rows = [](const std::string& text) {
    std::istringstream in(text);
    auto reader = ctl::RowReader::Create(in, {});
    if (!reader.ok()) return absl::OkStatus();
    ctl::Row row;
    while ((*reader)->Next(row)) {
    }
    return absl::OkStatus();
  };
  for (const Case& hostile : RowCases())
    SLUICE_RETURN_IF_ERROR(Measure(StrCat("rows.", hostile.name), hostile, rows, report, failed));
  for (const auto& [hostile, read] : SetCases()) {
    reference::v1::Schema definition;
    definition.add_columns()->set_name("id");
    definition.add_key()->set_column("id");
    if (read == enrichment::ReadGeoJson) {
      definition.set_kind(reference::v1::Schema::area);
      definition.add_columns()->set_name("shape");
      definition.mutable_columns(1)->set_type(reference::v1::Column::area);
    }
    SLUICE_ASSIGN_OR_RETURN(auto schema, enrichment::Schema::Create(definition));
    // What it is refused for isn't of interest here.
    auto load = [&, read = read](const std::string& text) {
      enrichment::RowSet::Builder builder(schema);
      if (read(text, "rows", builder).ok()) builder.Finish().IgnoreError();
      return absl::OkStatus();
    };
    SLUICE_RETURN_IF_ERROR(Measure(StrCat("set.", hostile.name), hostile, load, report, failed));
  }
  report.Add("hostile.failed", static_cast<double>(failed.size()), "inputs");
  if (failed.empty()) return absl::OkStatus();
  return absl::InternalError(absl::StrJoin(failed, "\n"));
}

}  // namespace sluice::bench
