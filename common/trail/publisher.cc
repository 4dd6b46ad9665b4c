#include "common/trail/publisher.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::trail {
namespace {

constexpr size_t kReadBytes = 1024 * 1024;
constexpr std::chrono::milliseconds kLook{50};

}  // namespace

std::unique_ptr<Forwarder> Forwarder::Start(std::string path, std::string writer,
                                            Publisher& publisher,
                                            std::function<void(const absl::Status&)> failed,
                                            int retry_ms) {
  auto forwarder = std::unique_ptr<Forwarder>(
      new Forwarder(std::move(path), std::move(writer), publisher, std::move(failed), retry_ms));
  std::ifstream in(forwarder->path_ + ".published");
  uint64_t published = 0;
  if (in >> published) forwarder->published_ = published;
  // A new file under an old name begins anew.
  std::error_code missing;
  if (std::filesystem::file_size(forwarder->path_, missing) < published) forwarder->published_ = 0;
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

absl::StatusOr<bool> Forwarder::Step() {
  std::ifstream in(path_, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(published_.load()));
  std::string text(kReadBytes, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    lines.push_back(std::string_view(text).substr(begin, end - begin));
  if (lines.empty()) return false;
  SLUICE_RETURN_IF_ERROR(publisher_.Publish(writer_, lines));
  published_ += begin;
  std::string at = path_ + ".published";
  {
    std::ofstream out(at + ".new", std::ios::trunc);
    out << published_ << "\n";
  }
  std::error_code error;
  std::filesystem::rename(at + ".new", at, error);
  if (error)
    return absl::UnavailableError(base::StrCat(at, ": can't be written: ", error.message()));
  return true;
}

}  // namespace sluice::trail
