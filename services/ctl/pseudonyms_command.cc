#include "services/ctl/pseudonyms_command.h"

#include <cstring>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/pseudonym.h"
#include "services/ctl/conversion.h"
#include "services/ctl/pseudonymiser_options.h"

namespace sluice::ctl {
namespace {

using base::StrCat;
using Stub = PseudonymiserOptions::Stub;
namespace v1 = pseudonymiser::v1;

constexpr size_t kBlockBytes = sizeof(privacy::PseudonymBlock);

struct Options {
  PseudonymiserOptions service;
  std::string domain, to;
  std::string input = "-";
  size_t batch = 10'000;
};

// What the service makes of the blocks of one epoch.
struct Made {
  std::string blocks;
  privacy::DomainEpoch as;
};

// Converts texts chunk by chunk: all pseudonyms of one domain, wherever they stand.
class Converter {
 public:
  // A call for the blocks of one epoch.
  using Ask = absl::FunctionRef<absl::StatusOr<Made>(uint32_t epoch, const std::string& blocks)>;
  // `newest`: what is left as it is, because it is converted already; 0: nothing.
  Converter(std::string label, uint32_t newest, size_t batch, Ask ask)
      : label_(std::move(label)), newest_(newest), batch_(batch), ask_(ask) {}

  absl::Status Add(std::string_view line, std::ostream& out) {
    size_t at = 0;
    while (auto found = privacy::FindPseudonym(line, label_, at)) {
      pending_.append(line.substr(at, found->begin - at));
      at = found->end;
      const auto& parsed = found->parsed;
      if (newest_ != 0 && parsed.epoch == newest_) {
        ++counts_.already;
        pending_.append(line.substr(found->begin, found->end - found->begin));
        continue;
      }
      std::string& blocks = blocks_[parsed.epoch];
      places_.push_back({pending_.size(), parsed.epoch, blocks.size(),
                         std::string(line.substr(found->begin, found->end - found->begin))});
      blocks.append(reinterpret_cast<const char*>(parsed.block.data()), kBlockBytes);
    }
    pending_.append(line.substr(at));
    if (places_.size() >= batch_ || pending_.size() >= kPendingBytesMax) return Flush(out);
    return absl::OkStatus();
  }

  absl::Status Flush(std::ostream& out) {
    std::map<uint32_t, std::optional<Made>> made;
    for (const auto& [epoch, blocks] : blocks_) {
      auto answer = ask_(epoch, blocks);
      // The epoch isn't active, or never was: its pseudonyms stay.
      if (absl::IsFailedPrecondition(answer.status()) || absl::IsNotFound(answer.status())) {
        made[epoch] = std::nullopt;
        continue;
      }
      if (!answer.ok()) return answer.status();
      if (answer->blocks.size() != blocks.size())
        return absl::InternalError("the pseudonymiser answered with another number of pseudonyms");
      made[epoch] = *std::move(answer);
    }
    std::string text;
    size_t at = 0;
    for (const Place& place : places_) {
      text.append(pending_, at, place.at - at);
      at = place.at;
      const std::optional<Made>& now = made[place.epoch];
      if (!now) {
        ++counts_.untouched;
        text.append(place.old);
        continue;
      }
      privacy::PseudonymBlock block;
      std::memcpy(block.data(), now->blocks.data() + place.block, kBlockBytes);
      privacy::AppendPseudonym(now->as, block, text);
      ++counts_.converted;
    }
    text.append(pending_, at);
    out << text;
    pending_.clear();
    places_.clear();
    blocks_.clear();
    return out ? absl::OkStatus() : absl::InternalError("the result can't be written");
  }

  const privacy::Rotation::Counts& counts() const { return counts_; }

 private:
  static constexpr size_t kPendingBytesMax = 8 * 1024 * 1024;
  struct Place {
    size_t at;  // in pending_
    uint32_t epoch;
    size_t block;  // in the epoch's blocks
    std::string old;
  };

  const std::string label_;
  const uint32_t newest_;
  const size_t batch_;
  const Ask ask_;
  std::string pending_;  // the text without the pseudonyms at places_
  std::vector<Place> places_;
  std::map<uint32_t, std::string> blocks_;
  privacy::Rotation::Counts counts_;
};

absl::StatusOr<ExitCode> Run(const Options& options, Converter& converter, Output& output) {
  SLUICE_RETURN_IF_ERROR(ForEachLine(options.input, output, [&](const std::string& line) {
    return converter.Add(line, output.out());
  }));
  SLUICE_RETURN_IF_ERROR(converter.Flush(output.out()));
  return ReportConversion(converter.counts(), output);
}

absl::StatusOr<ExitCode> Rotate(const Options& options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(auto stub, options.service.Connect());
  auto ask = [&](uint32_t epoch, const std::string& blocks) -> absl::StatusOr<Made> {
    v1::RotateRequest request;
    request.set_domain(options.domain);
    request.set_from_epoch(epoch);
    request.set_blocks(blocks);
    options.service.Justify(*request.mutable_justification());
    v1::RotateResponse response;
    SLUICE_RETURN_IF_ERROR(options.service.Call(*stub, &Stub::Rotate, request, response));
    return Made{std::move(*response.mutable_blocks()), {response.label(), response.epoch()}};
  };
  // What the domain's pseudonyms look like.
  SLUICE_ASSIGN_OR_RETURN(Made now, ask(0, ""));
  Converter converter(now.as.label, now.as.epoch, options.batch, ask);
  return Run(options, converter, output);
}

absl::StatusOr<ExitCode> Convert(const Options& options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(auto stub, options.service.Connect());
  std::string label;
  auto ask = [&](uint32_t epoch, const std::string& blocks) -> absl::StatusOr<Made> {
    v1::ConvertRequest request;
    request.set_from_domain(options.domain);
    request.set_from_epoch(epoch);
    request.set_to_domain(options.to);
    request.set_blocks(blocks);
    options.service.Justify(*request.mutable_justification());
    v1::ConvertResponse response;
    SLUICE_RETURN_IF_ERROR(options.service.Call(*stub, &Stub::Convert, request, response));
    label = response.from_label();
    return Made{std::move(*response.mutable_blocks()), {response.label(), response.epoch()}};
  };
  SLUICE_RETURN_IF_ERROR(ask(0, "").status());
  Converter converter(label, 0, options.batch, ask);
  return Run(options, converter, output);
}

}  // namespace

void AddPseudonymsCommands(Program& program) {
  auto options = std::make_shared<Options>();
  CLI::App& group = program.Group(
      "pseudonyms", "Have the pseudonymiser convert stored pseudonyms, without the identifiers");
  using Work = absl::StatusOr<ExitCode> (*)(const Options&, Output&);
  auto add = [&](Program::About about, Work work) -> CLI::App& {
    CLI::App& command = program.Add(group, std::move(about), [options, work](Output& output) {
      return work(*options, output);
    });
    options->service.AddTo(command);
    options->service.AddJustificationTo(command);
    command.add_option("file", options->input, "JSON lines, CSV or any text; - for standard input");
    command
        .add_option("--batch", options->batch,
                    "Pseudonyms a call; no more than the caller's values_per_s in the policy")
        ->check(CLI::Range(1, 100'000))
        ->capture_default_str();
    return command;
  };
  const std::string at =
      " --pseudonymiser pseudonymiser:7071 --tls-certificate me.crt"
      " --tls-private-key me.key --tls-authority ca.crt";
  CLI::App& rotate =
      add({.name = "rotate",
           .summary = "Convert a domain's old pseudonyms in a text to its newest epoch",
           .examples = {{"pseudonyms rotate --domain intelligence old.jsonl" + at + " > new.jsonl",
                         "Exit code 1: some were of an epoch that isn't active"}}},
          Rotate);
  rotate.add_option("--domain", options->domain, "The domain's name")->required();
  CLI::App& convert =
      add({.name = "convert",
           .summary = "Convert a domain's pseudonyms in a text to another domain's",
           .examples = {{"pseudonyms convert --from intelligence --to research in.csv" + at +
                             " > out.csv",
                         "Who has both can join two audiences: the policy must allow it"}}},
          Convert);
  convert.add_option("--from", options->domain, "The domain that made them")->required();
  convert.add_option("--to", options->to, "The domain that they become pseudonyms of")->required();
}

}  // namespace sluice::ctl
