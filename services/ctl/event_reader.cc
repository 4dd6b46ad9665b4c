#include "services/ctl/event_reader.h"

#include <cstring>

#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::ctl {
namespace {

constexpr size_t kReadBytes = 1024 * 1024;

absl::Status TooLong(const std::string& name, uint64_t line) {
  return absl::InvalidArgumentError(base::StrCat(name, ":", line, ": is longer than ",
                                                 EventReader::kLineBytesMax,
                                                 " bytes: is it one event a line?"));
}

// Lines of a stream, a block at a time. The views are valid until the next Fill.
class Lines {
 public:
  Lines(std::istream& in, std::string name) : in_(in), name_(std::move(name)) {}

  // The next line without its end; false: that was all, or Fill is needed, as `more` says.
  bool Take(std::string_view& line) {
    const char* begin = buffer_.data() + at_;
    size_t left = size_ - at_;
    const void* end = left == 0 ? nullptr : std::memchr(begin, '\n', left);
    if (end == nullptr) {
      if (!ended_ || left == 0) return false;
      line = {begin, left};
      at_ = size_;
    } else {
      line = {begin, static_cast<size_t>(static_cast<const char*>(end) - begin)};
      at_ += line.size() + 1;
    }
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++line_;
    return true;
  }

  bool exhausted() const { return ended_ && at_ == size_; }

  // Reads on behind what hasn't been taken.
  absl::Status Fill() {
    if (at_ > 0) {
      std::memmove(buffer_.data(), buffer_.data() + at_, size_ - at_);
      size_ -= at_;
      at_ = 0;
    }
    if (size_ > EventReader::kLineBytesMax) return TooLong(name_, line_ + 1);
    if (buffer_.size() < size_ + kReadBytes) buffer_.resize(size_ + kReadBytes);
    in_.read(buffer_.data() + size_, kReadBytes);
    auto got = static_cast<size_t>(in_.gcount());
    size_ += got;
    bytes_ += got;
    if (in_.bad()) return absl::InternalError(name_ + ": can't be read any further");
    ended_ = in_.eof();
    return absl::OkStatus();
  }

  uint64_t line() const { return line_; }  // of the last taken
  uint64_t bytes() const { return bytes_; }
  const std::string& name() const { return name_; }

 private:
  std::istream& in_;
  const std::string name_;
  std::string buffer_;
  size_t at_ = 0, size_ = 0;
  uint64_t line_ = 0, bytes_ = 0;
  bool ended_ = false;
};

class JsonLinesReader final : public EventReader {
 public:
  JsonLinesReader(std::istream& in, std::string name) : lines_(in, std::move(name)) {}

  absl::Status Next(EventChunk& chunk) override {
    chunk.events.clear();
    chunk.lines.clear();
    chunk.refused.clear();
    // A block's lines first: filling moves them.
    while (chunk.events.empty() && !lines_.exhausted()) {
      std::string_view line;
      while (chunk.events.size() < kChunkEvents && lines_.Take(line)) {
        if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
        chunk.events.push_back(line);
        chunk.lines.push_back(lines_.line());
      }
      if (chunk.events.empty() && !lines_.exhausted()) SLUICE_RETURN_IF_ERROR(lines_.Fill());
    }
    chunk.bytes = lines_.bytes();
    return absl::OkStatus();
  }

 private:
  Lines lines_;
};

class CsvReader final : public EventReader {
 public:
  explicit CsvReader(std::unique_ptr<RowReader> rows) : rows_(std::move(rows)) {}

  absl::Status Next(EventChunk& chunk) override {
    chunk = {};
    size_t count = 0;
    while (count < kChunkEvents && rows_->Next(chunk_[count])) {
      const Row& row = chunk_[count];
      if (!row.refusal.empty()) {
        chunk.refused.push_back({row.line, row.refusal});
        // Nothing but refusals must not grow without end.
        if (chunk.refused.size() == kChunkEvents) break;
        continue;
      }
      chunk.lines.push_back(row.line);
      ++count;
    }
    for (size_t i = 0; i < count; ++i) chunk.events.push_back(chunk_[i].json);
    return rows_->status();
  }

 private:
  const std::unique_ptr<RowReader> rows_;
  std::vector<Row> chunk_ = std::vector<Row>(kChunkEvents);
};

}  // namespace

std::unique_ptr<EventReader> EventReader::JsonLines(std::istream& in, std::string name) {
  return std::make_unique<JsonLinesReader>(in, std::move(name));
}

absl::StatusOr<std::unique_ptr<EventReader>> EventReader::Csv(std::istream& in,
                                                              const std::string& name,
                                                              RowOptions rows) {
  auto reader = RowReader::Create(in, std::move(rows));
  if (!reader.ok()) {
    return absl::Status(reader.status().code(),
                        base::StrCat(name, ": ", base::View(reader.status().message())));
  }
  return std::make_unique<CsvReader>(*std::move(reader));
}

}  // namespace sluice::ctl
