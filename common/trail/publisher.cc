#include "common/trail/publisher.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/telemetry/json.h"

namespace sluice::trail {
namespace {

constexpr size_t kReadBytes = 1024 * 1024;
constexpr std::chrono::milliseconds kLook{50};
constexpr size_t kHashDigits = 64;

// The hash that a line ends with.
std::string_view HashOf(std::string_view line) {
  const size_t end = kHashDigits + 2;  // `"}` behind it
  return line.size() < end ? "" : line.substr(line.size() - end, kHashDigits);
}

// How such a line ends.
std::string HashEnd(std::string_view hash) { return base::StrCat(hash, "\"}\n"); }

}  // namespace

std::unique_ptr<Forwarder> Forwarder::Start(std::string path, std::string writer,
                                            Publisher& publisher,
                                            std::function<void(const absl::Status&)> failed,
                                            int retry_ms) {
  auto forwarder = std::unique_ptr<Forwarder>(
      new Forwarder(std::move(path), std::move(writer), publisher, std::move(failed), retry_ms));
  forwarder->Resume();
  forwarder->thread_ = std::thread([self = forwarder.get()] { self->Run(); });
  return forwarder;
}

Forwarder::~Forwarder() {
  stop_ = true;
  thread_.join();
}

void Forwarder::Run() {
  for (bool last = false; !last;) {
    last = stop_;
    auto moved = Step();
    if (!moved.ok()) failed_(moved.status());
    if (moved.ok() && *moved) {
      last = false;
      continue;
    }
    auto wait = moved.ok() ? kLook : std::chrono::milliseconds(retry_ms_);
    for (auto slept = kLook * 0; slept < wait && !stop_; slept += kLook)
      std::this_thread::sleep_for(kLook);
  }
}

void Forwarder::Resume() {
  std::ifstream in(path_ + ".published");
  uint64_t published = 0;
  std::string hash;
  if (!(in >> published) || published == 0) return;
  in >> hash;  // none: written before there was one
  // The end of the line before, where the file is the one that was followed.
  const std::string end = hash.empty() ? "\n" : HashEnd(hash);
  std::string found(end.size(), '\0');
  std::ifstream file(path_, std::ios::binary);
  if (published < end.size() || !file.seekg(static_cast<std::streamoff>(published - end.size())) ||
      !file.read(found.data(), static_cast<std::streamsize>(found.size())) || found != end)
    return;
  published_ = published;
}

absl::Status Forwarder::PublishSingly(std::span<const std::string_view> lines) {
  for (std::string_view line : lines) {
    absl::Status taken = publisher_.Publish(writer_, {&line, 1});
    if (absl::IsInvalidArgument(taken)) {
      std::string standing = "{\"writer\":";
      telemetry::AppendJsonText(standing, writer_);
      base::StrAppend(standing, ",\"left_out_bytes\":", line.size() + 1, ",\"hash\":\"",
                      HashOf(line), "\"}");
      const std::string_view one = standing;
      taken = publisher_.Publish(writer_, {&one, 1});
      if (taken.ok()) ++left_out_;
    }
    SLUICE_RETURN_IF_ERROR(taken);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Forwarder::Step() {
  std::ifstream in(path_, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(published_.load()));
  std::string text;
  // As much as holds a line's end: one that is longer than a read is read on.
  while (text.find('\n') == std::string::npos) {
    const size_t before = text.size();
    text.resize(before + kReadBytes);
    in.read(text.data() + before, kReadBytes);
    const auto got = static_cast<size_t>(std::max<std::streamsize>(in.gcount(), 0));
    text.resize(before + got);
    if (got < kReadBytes) break;
  }
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    lines.push_back(std::string_view(text).substr(begin, end - begin));
  if (lines.empty()) return false;
  absl::Status taken = publisher_.Publish(writer_, lines);
  if (absl::IsInvalidArgument(taken)) taken = PublishSingly(lines);
  SLUICE_RETURN_IF_ERROR(taken);
  published_ += begin;
  std::string at = path_ + ".published";
  bool written = false;
  {
    std::ofstream out(at + ".new", std::ios::trunc);
    out << published_ << " " << HashOf(lines.back()) << "\n";
    written = static_cast<bool>(out.flush());
  }
  std::error_code error;
  if (written) std::filesystem::rename(at + ".new", at, error);
  // The lines are there all the same, and would be published again after a restart.
  if (!written || error) return absl::UnavailableError(base::StrCat(at, ": can't be written"));
  return true;
}

}  // namespace sluice::trail
