#include "services/ctl/conversion.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <optional>

#include "common/base/file.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/pseudonym.h"

namespace sluice::ctl {
namespace {

constexpr size_t kBlockBytes = sizeof(privacy::PseudonymBlock);

}  // namespace

using base::StrCat;

absl::Status ForEachLine(const std::string& file, Output& output,
                         absl::FunctionRef<absl::Status(const std::string& line)> work) {
  std::ifstream opened;
  if (file != "-") {
    SLUICE_RETURN_IF_ERROR(base::CheckReadable(file));
    opened.open(file, std::ios::binary);
    if (!opened.is_open()) return absl::NotFoundError(StrCat(file, ": cannot be read"));
  }
  std::istream& in = file == "-" ? output.in() : opened;
  for (std::string line; std::getline(in, line);) {
    if (!in.eof()) line.push_back('\n');
    SLUICE_RETURN_IF_ERROR(work(line));
  }
  if (in.bad()) return absl::UnavailableError(StrCat(file, ": can't be read to its end"));
  return absl::OkStatus();
}

ExitCode ReportConversion(const privacy::Rotation::Counts& counts, Output& output) {
  output.err() << counts.converted << " pseudonyms converted, " << counts.already
               << " of the newest epoch already, " << counts.untouched - counts.foreign
               << " of an epoch that isn't active: left as they are.\n";
  if (counts.foreign > 0) {
    output.err() << counts.foreign
                 << " bear an active epoch's number and weren't made by it: left as they are. They "
                    "were made with another keyring, or with an epoch whose keyring was lost.\n";
  }
  return counts.untouched == 0 ? ExitCode::kOk : ExitCode::kFound;
}

void PseudonymConverter::Add(std::string_view text) {
  size_t at = 0;
  while (auto found = privacy::FindPseudonym(text, label_, at)) {
    pending_.append(text.substr(at, found->begin - at));
    at = found->end;
    const auto& parsed = found->parsed;
    std::string_view old = text.substr(found->begin, found->end - found->begin);
    std::string& blocks = blocks_[parsed.epoch];
    places_.push_back(
        {ends_.size(), pending_.size(), parsed.epoch, blocks.size(), std::string(old)});
    blocks.append(reinterpret_cast<const char*>(parsed.block.data()), kBlockBytes);
  }
  pending_.append(text.substr(at));
  ends_.push_back(pending_.size());
}

void PseudonymConverter::Clear() {
  pending_.clear();
  ends_.clear();
  places_.clear();
  blocks_.clear();
  added_ = {};
}

absl::StatusOr<std::vector<std::string>> PseudonymConverter::Take() {
  std::map<uint32_t, std::optional<Made>> made;
  for (const auto& [epoch, blocks] : blocks_) {
    auto answer = ask_(epoch, blocks);
    if (absl::IsFailedPrecondition(answer.status()) || absl::IsNotFound(answer.status())) {
      made[epoch] = std::nullopt;
      continue;
    }
    if (answer.ok() && answer->blocks.size() != blocks.size()) {
      answer = absl::InternalError("the pseudonymiser answered with another number of pseudonyms");
    }
    if (!answer.ok()) {
      Clear();
      return answer.status();
    }
    made[epoch] = *std::move(answer);
  }
  std::vector<std::string> texts(ends_.size());
  size_t at = 0, place = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    std::string& text = texts[i];
    for (; place < places_.size() && places_[place].text == i; ++place) {
      const Place& here = places_[place];
      text.append(pending_, at, here.at - at);
      at = here.at;
      const std::optional<Made>& now = made[here.epoch];
      if (!now) {
        ++added_.untouched;
        text.append(here.old);
        continue;
      }
      if (std::binary_search(now->unknown.begin(), now->unknown.end(), here.block / kBlockBytes)) {
        ++added_.foreign;
        ++added_.untouched;
        text.append(here.old);
        continue;
      }
      if (here.epoch == newest_) {
        ++added_.already;
        text.append(here.old);
        continue;
      }
      privacy::PseudonymBlock block;
      std::memcpy(block.data(), now->blocks.data() + here.block, kBlockBytes);
      privacy::AppendPseudonym(now->as, block, text);
      ++added_.converted;
    }
    text.append(pending_, at, ends_[i] - at);
    at = ends_[i];
  }
  counts_.converted += added_.converted;
  counts_.already += added_.already;
  counts_.untouched += added_.untouched;
  counts_.foreign += added_.foreign;
  Clear();
  return texts;
}

}  // namespace sluice::ctl
