#include "common/reference/lmdb_builder.h"

#include <fcntl.h>
#include <lmdb.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <tuple>

#include "common/base/status.h"
#include "common/base/stoppable_sort.h"
#include "common/base/strings.h"
#include "common/reference/lmdb_format.h"

namespace sluice::reference {

using enrichment::AppendRow;
using enrichment::HashKey;
using enrichment::Interval;
using enrichment::Schema;
using enrichment::SnapshotId;
namespace {

using lmdb::Load;

constexpr size_t kPartitions = 256;  // by a hash's upper eight bits
constexpr size_t kBufferBytes = 32 * 1024;
// What is written between two commits, and held in memory until then.
constexpr size_t kCommitBytes = 32 * 1024 * 1024;

// A row in its partition, in front of its key and cells.
struct RowHead {
  uint64_t hash;
  Interval interval;
  uint32_t source;
  int32_t number;
  uint32_t key_bytes;
  uint32_t cell_bytes;
};

struct Row {
  RowHead head;
  std::string_view key, cells;
};

template <typename T>
void Append(const T& value, std::string& out) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

absl::Status DiskError(const std::string& file) {
  return absl::ResourceExhaustedError(
      base::StrCat(file, ": can't be written: ", std::strerror(errno), "; is the disk full?"));
}

}  // namespace

// Takes rows in their order and fills the file with buckets.
class LmdbBuilder::Writer {
 public:
  Writer(std::string file, const Schema& schema, uint64_t bytes)
      : file_(std::move(file)), schema_(schema), room_(bytes + bytes / 2 + kCommitBytes * 4) {}
  ~Writer() {
    if (transaction_ != nullptr) mdb_txn_abort(transaction_);
    if (environment_ != nullptr) mdb_env_close(environment_);
  }

  absl::Status Open() {
    SLUICE_RETURN_IF_ERROR(Check(mdb_env_create(&environment_)));
    SLUICE_RETURN_IF_ERROR(Check(mdb_env_set_maxdbs(environment_, 2)));
    SLUICE_RETURN_IF_ERROR(Check(mdb_env_set_mapsize(environment_, room_ & ~uint64_t{4095})));
    // The file is nobody's until it is whole: what a crash leaves is written over.
    return Check(
        mdb_env_open(environment_, file_.c_str(), MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600));
  }

  absl::Status Add(const Row& row) {
    const size_t bytes = 12 + 16 + 2 + row.key.size() + row.cells.size();
    // Rows of one hash stay together.
    if (!hashes_.empty() && row.head.hash != hashes_.back() &&
        8 + hashes_.size() * 12 + body_.size() + bytes > lmdb::kBucketBytes)
      SLUICE_RETURN_IF_ERROR(EndBucket());
    hashes_.push_back(row.head.hash);
    begins_.push_back(static_cast<uint32_t>(body_.size()));
    if (schema_.has_interval()) {
      Append(row.head.interval.low, body_);
      Append(row.head.interval.high, body_);
    }
    Append(static_cast<uint16_t>(row.key.size()), body_);
    body_ += row.key;
    body_ += row.cells;
    return absl::OkStatus();
  }

  absl::Status Finish(const std::string& id, size_t rows) {
    if (!hashes_.empty()) SLUICE_RETURN_IF_ERROR(EndBucket());
    SLUICE_RETURN_IF_ERROR(Begin());
    for (auto [name, text] : {std::pair(lmdb::kFormatName, std::string(lmdb::kFormat)),
                              {lmdb::kIdName, id},
                              {lmdb::kSizeName, base::StrCat(rows)},
                              {lmdb::kSchemaName, schema_.identity()},
                              {lmdb::kDefinitionName, schema_.definition().SerializeAsString()}}) {
      MDB_val key{name.size(), const_cast<char*>(name.data())};
      MDB_val value{text.size(), text.data()};
      SLUICE_RETURN_IF_ERROR(Check(mdb_put(transaction_, about_, &key, &value, 0)));
    }
    SLUICE_RETURN_IF_ERROR(Commit());
    return Check(mdb_env_sync(environment_, 1));
  }

 private:
  absl::Status Check(int code) const {
    if (code == 0) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        base::StrCat(file_, ": can't be written: ", mdb_strerror(code), "; is the disk full?"));
  }

  absl::Status Begin() {
    if (transaction_ != nullptr) return absl::OkStatus();
    SLUICE_RETURN_IF_ERROR(Check(mdb_txn_begin(environment_, nullptr, 0, &transaction_)));
    SLUICE_RETURN_IF_ERROR(Check(mdb_dbi_open(transaction_, lmdb::kAbout, MDB_CREATE, &about_)));
    return Check(mdb_dbi_open(transaction_, lmdb::kRows, MDB_CREATE, &buckets_));
  }

  absl::Status Commit() {
    uncommitted_bytes_ = 0;
    return Check(mdb_txn_commit(std::exchange(transaction_, nullptr)));
  }

  absl::Status EndBucket() {
    const size_t head = 8 + hashes_.size() * 12;
    if (head + body_.size() > UINT32_MAX / 2) {
      return absl::ResourceExhaustedError(
          base::StrCat(file_, ": one key has more than 2 GiB of rows"));
    }
    SLUICE_RETURN_IF_ERROR(Begin());
    uint64_t last = __builtin_bswap64(hashes_.back());
    MDB_val key{sizeof(last), &last};
    MDB_val value{head + body_.size(), nullptr};
    SLUICE_RETURN_IF_ERROR(
        Check(mdb_put(transaction_, buckets_, &key, &value, MDB_APPEND | MDB_RESERVE)));
    char* at = static_cast<char*>(value.mv_data);
    const uint64_t count = hashes_.size();
    std::memcpy(at, &count, 8);
    std::memcpy(at + 8, hashes_.data(), 8 * count);
    for (uint32_t& begin : begins_) begin += static_cast<uint32_t>(head);
    std::memcpy(at + 8 + 8 * count, begins_.data(), 4 * count);
    std::memcpy(at + head, body_.data(), body_.size());
    uncommitted_bytes_ += value.mv_size;
    hashes_.clear();
    begins_.clear();
    body_.clear();
    return uncommitted_bytes_ < kCommitBytes ? absl::OkStatus() : Commit();
  }

  const std::string file_;
  const Schema& schema_;
  const uint64_t room_;
  MDB_env* environment_ = nullptr;
  MDB_txn* transaction_ = nullptr;
  MDB_dbi about_ = 0, buckets_ = 0;
  size_t uncommitted_bytes_ = 0;
  std::vector<uint64_t> hashes_;
  std::vector<uint32_t> begins_;
  std::string body_;
};

LmdbBuilder::LmdbBuilder(std::string file, std::shared_ptr<const Schema> schema)
    : file_(std::move(file)), schema_(std::move(schema)), partitions_(kPartitions) {}

LmdbBuilder::~LmdbBuilder() {
  for (const Partition& partition : partitions_)
    if (partition.file >= 0) close(partition.file);
}

absl::StatusOr<std::unique_ptr<LmdbBuilder>> LmdbBuilder::Create(
    std::string file, std::shared_ptr<const Schema> schema) {
  if (schema->kind() == v1::Schema::area || schema->kind() == v1::Schema::nearest) {
    return absl::InvalidArgumentError(base::StrCat(file, ": sets of the kind ",
                                                   v1::Schema::Kind_Name(schema->kind()),
                                                   " are held in memory only"));
  }
  auto builder = std::unique_ptr<LmdbBuilder>(new LmdbBuilder(std::move(file), std::move(schema)));
  for (Partition& partition : builder->partitions_) {
    std::string name = builder->file_ + ".part-XXXXXX";
    partition.file = mkostemp(name.data(), O_CLOEXEC);
    if (partition.file < 0) return DiskError(name);
    unlink(name.c_str());
  }
  return builder;
}

absl::Status LmdbBuilder::Add(std::span<const event::Value> row,
                              const enrichment::RowPlace& place) {
  auto error = [&](std::string_view what) {
    return enrichment::RowError(*schema_, row, place, what);
  };
  if (base::StopScope::stop_requested()) return absl::CancelledError("interrupted");
  if (absl::Status kept = schema_->Check(row); !kept.ok()) return error(base::View(kept.message()));
  RowHead head{};
  if (schema_->has_interval()) {
    absl::StatusOr<Interval> interval = schema_->IntervalOf(row);
    if (!interval.ok()) return error(base::View(interval.status().message()));
    if (!interval->Holds()) {
      ++never_hold_;
      return absl::OkStatus();
    }
    head.interval = *interval;
  }
  std::string_view key;
  if (!schema_->key().empty()) {
    auto encoded = encoder_.EncodeRow(*schema_, row);
    if (!encoded) return error("the key is empty or too long");
    key = *encoded;
  }
  bytes_.clear();
  AppendRow(row, bytes_);
  head.hash = HashKey(key);
  head.source = sources_.Add(place);
  head.number = place.number;
  head.key_bytes = static_cast<uint32_t>(key.size());
  head.cell_bytes = static_cast<uint32_t>(bytes_.size());
  Partition& partition = partitions_[head.hash >> 56];
  Append(head, partition.buffer);
  partition.buffer += key;
  partition.buffer += bytes_;
  ++rows_;
  return partition.buffer.size() < kBufferBytes ? absl::OkStatus() : Flush(partition);
}

absl::Status LmdbBuilder::Flush(Partition& partition) {
  std::string_view left = partition.buffer;
  while (!left.empty()) {
    ssize_t written = write(partition.file, left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return DiskError(file_);
    left.remove_prefix(static_cast<size_t>(written));
  }
  partition.bytes += partition.buffer.size();
  partition.buffer.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::string> LmdbBuilder::Finish() {
  if (rows_ == 0) return enrichment::NoRowsError(never_hold_);
  uint64_t bytes = 0;
  for (Partition& partition : partitions_) {
    SLUICE_RETURN_IF_ERROR(Flush(partition));
    bytes += partition.bytes;
  }
  const std::string unfinished = file_ + ".unfinished";
  unlink(unfinished.c_str());
  auto write = [&]() -> absl::StatusOr<std::string> {
    Writer writer(unfinished, *schema_, bytes);
    SLUICE_RETURN_IF_ERROR(writer.Open());
    SnapshotId id(*schema_);
    std::string content;
    std::vector<Row> rows;
    auto place = [&](const Row& row) { return sources_.Place(row.head.source, row.head.number); };
    for (Partition& partition : partitions_) {
      content.resize(partition.bytes);
      for (size_t done = 0; done < content.size();) {
        ssize_t got = pread(partition.file, content.data() + done, content.size() - done,
                            static_cast<off_t>(done));
        if (got <= 0) return DiskError(file_);
        done += static_cast<size_t>(got);
      }
      close(std::exchange(partition.file, -1));
      rows.clear();
      for (const char* at = content.data(); at < content.data() + content.size();) {
        Row row{Load<RowHead>(at), {}, {}};
        at += sizeof(RowHead);
        row.key = {at, row.head.key_bytes};
        row.cells = {at + row.head.key_bytes, row.head.cell_bytes};
        at += row.head.key_bytes + row.head.cell_bytes;
        rows.push_back(row);
      }
      // By place where all else is equal, so that errors name the later row.
      auto order = [](const Row& row) {
        return std::tie(row.head.hash, row.key, row.head.interval.low, row.head.interval.high,
                        row.head.source, row.head.number);
      };
      auto less = [&](const Row& a, const Row& b) { return order(a) < order(b); };
      if (!base::SortUnlessStopped(rows.begin(), rows.end(), less))
        return absl::CancelledError("interrupted");
      for (size_t i = 0; i < rows.size(); ++i) {
        if (base::StopScope::stop_requested()) return absl::CancelledError("interrupted");
        const Row& row = rows[i];
        if (i > 0 && row.key == rows[i - 1].key &&
            !(schema_->has_interval() && row.head.interval.low >= rows[i - 1].head.interval.high)) {
          std::vector<event::Value> cells(schema_->columns().size());
          enrichment::ReadRow(row.cells, cells);
          return enrichment::SameKeyError(*schema_, cells, place(row), place(rows[i - 1]));
        }
        id.Add(row.cells);
        SLUICE_RETURN_IF_ERROR(writer.Add(row));
      }
    }
    std::string finished = id.Finish();
    SLUICE_RETURN_IF_ERROR(writer.Finish(finished, rows_));
    return finished;
  };
  absl::StatusOr<std::string> id = write();
  if (id.ok() && std::rename(unfinished.c_str(), file_.c_str()) != 0) id = DiskError(file_);
  if (!id.ok()) unlink(unfinished.c_str());
  return id;
}

}  // namespace sluice::reference
