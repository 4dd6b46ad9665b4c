#include "common/reference/lmdb_table.h"

#include <lmdb.h>

#include <algorithm>
#include <bit>
#include <filesystem>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/reference/lmdb_format.h"

namespace sluice::reference {

using enrichment::HashKey;
using enrichment::Interval;
using enrichment::KeyEncoder;
using enrichment::kNoRow;
using enrichment::Question;
using enrichment::RowId;
using enrichment::Schema;

using lmdb::Load;

LmdbTable::~LmdbTable() {
  if (transaction_ != nullptr) mdb_txn_abort(transaction_);
  if (environment_ != nullptr) mdb_env_close(environment_);
}

absl::StatusOr<std::shared_ptr<const LmdbTable>> LmdbTable::Open(
    std::string_view set, const std::string& file, std::shared_ptr<const Schema> schema) {
  auto table = std::shared_ptr<LmdbTable>(new LmdbTable(set, file, std::move(schema)));
  SLUICE_RETURN_IF_ERROR(table->Map());
  return table;
}

absl::StatusOr<std::shared_ptr<const LmdbTable>> LmdbTable::Open(std::string_view set,
                                                                 const std::string& file) {
  return Open(set, file, nullptr);
}

absl::Status LmdbTable::CheckSchema(std::string_view identity, const std::string& definition) {
  if (schema_ == nullptr) {
    v1::Schema schema;
    if (!schema.ParseFromString(definition))
      return absl::DataLossError(base::StrCat(file_, ": is damaged; remove it"));
    SLUICE_ASSIGN_OR_RETURN(schema_, Schema::Create(schema));
  }
  if (identity == schema_->identity()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      base::StrCat(file_, ": has rows of another schema; build it anew"));
}

absl::Status LmdbTable::Map() {
  auto check = [&](int code) {
    if (code == 0) return absl::OkStatus();
    std::string text = base::StrCat(file_, ": ", mdb_strerror(code));
    return code == ENOENT ? absl::NotFoundError(text) : absl::FailedPreconditionError(text);
  };
  SLUICE_RETURN_IF_ERROR(check(mdb_env_create(&environment_)));
  SLUICE_RETURN_IF_ERROR(check(mdb_env_set_maxdbs(environment_, 2)));
  // Nobody writes: no lock file. Look-ups are scattered: no reading ahead.
  SLUICE_RETURN_IF_ERROR(check(mdb_env_open(
      environment_, file_.c_str(), MDB_RDONLY | MDB_NOLOCK | MDB_NOSUBDIR | MDB_NORDAHEAD, 0)));
  // What the disk has lost would end the process when it is touched.
  MDB_envinfo info;
  MDB_stat pages;
  SLUICE_RETURN_IF_ERROR(check(mdb_env_info(environment_, &info)));
  SLUICE_RETURN_IF_ERROR(check(mdb_env_stat(environment_, &pages)));
  std::error_code error;
  if (std::filesystem::file_size(file_, error) < (info.me_last_pgno + 1) * pages.ms_psize)
    return absl::DataLossError(base::StrCat(file_, ": is cut short; remove it"));
  SLUICE_RETURN_IF_ERROR(check(mdb_txn_begin(environment_, nullptr, MDB_RDONLY, &transaction_)));
  MDB_dbi about, rows;
  SLUICE_RETURN_IF_ERROR(check(mdb_dbi_open(transaction_, lmdb::kAbout, 0, &about)));
  SLUICE_RETURN_IF_ERROR(check(mdb_dbi_open(transaction_, lmdb::kRows, 0, &rows)));
  auto text_of = [&](std::string_view name) {
    MDB_val key{name.size(), const_cast<char*>(name.data())}, value;
    if (mdb_get(transaction_, about, &key, &value) != 0) return std::string();
    return std::string(static_cast<const char*>(value.mv_data), value.mv_size);
  };
  if (text_of(lmdb::kFormatName) != lmdb::kFormat)
    return absl::FailedPreconditionError(
        base::StrCat(file_, ": was written by another version; build it anew"));
  SLUICE_RETURN_IF_ERROR(CheckSchema(text_of(lmdb::kSchemaName), text_of(lmdb::kDefinitionName)));
  id_ = text_of(lmdb::kIdName);
  size_ = std::stoull(text_of(lmdb::kSizeName));

  MDB_cursor* cursor = nullptr;
  SLUICE_RETURN_IF_ERROR(check(mdb_cursor_open(transaction_, rows, &cursor)));
  MDB_val key, value;
  int code = 0;
  while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
    buckets_.push_back({__builtin_bswap64(Load<uint64_t>(static_cast<const char*>(key.mv_data))),
                        static_cast<const char*>(value.mv_data)});
  }
  mdb_cursor_close(cursor);
  if (code != MDB_NOTFOUND) return check(code);
  if (buckets_.empty()) return absl::FailedPreconditionError(file_ + ": has no rows");

  size_t slots = std::bit_ceil(buckets_.size());
  shift_ = 64 - std::countr_zero(slots);
  size_t bucket = 0;
  for (size_t slot = 0; slot < slots; ++slot) {
    // The first bucket whose last hash isn't below the slot's first.
    uint64_t begin = slots == 1 ? 0 : static_cast<uint64_t>(slot) << shift_;
    while (bucket < buckets_.size() && buckets_[bucket].last_hash < begin) ++bucket;
    first_.push_back(static_cast<uint32_t>(bucket));
  }
  return absl::OkStatus();
}

class LmdbTable::BucketCursor final : public enrichment::Rows::Cursor {
 public:
  explicit BucketCursor(const LmdbTable& table) : table_(table) {}
  bool Next() override {
    if (row_ == count_ && !NextBucket()) return false;
    const char* hashes = bucket_ + 8;
    hash = Load<uint64_t>(hashes + 8 * row_);
    const char* at = bucket_ + Load<uint32_t>(hashes + 8 * count_ + 4 * row_);
    if (table_.schema_->has_interval()) {
      interval = {Load<int64_t>(at), Load<int64_t>(at + 8)};
      at += 16;
    }
    key = {at + 2, Load<uint16_t>(at)};
    at += 2 + key.size();
    bytes = {at, enrichment::SizeOfRow(at, table_.schema_->columns().size())};
    ++row_;
    return true;
  }

 private:
  bool NextBucket() {
    if (next_ == table_.buckets_.size()) return false;
    bucket_ = table_.buckets_[next_++].bytes;
    count_ = Load<uint64_t>(bucket_);
    row_ = 0;
    return true;
  }

  const LmdbTable& table_;
  size_t next_ = 0;
  const char* bucket_ = nullptr;
  uint64_t row_ = 0, count_ = 0;
};

std::unique_ptr<enrichment::Rows::Cursor> LmdbTable::Walk() const {
  return std::make_unique<BucketCursor>(*this);
}

RowId LmdbTable::Find(const Question& question) const {
  KeyEncoder encoder;
  std::string_view key;
  if (!schema_->key().empty()) {
    auto encoded = encoder.Encode(*schema_, question.key);
    if (!encoded) return kNoRow;
    key = *encoded;
  }
  const uint64_t hash = HashKey(key);
  size_t bucket = first_[first_.size() == 1 ? 0 : hash >> shift_];
  while (bucket < buckets_.size() && buckets_[bucket].last_hash < hash) ++bucket;
  if (bucket == buckets_.size()) return kNoRow;

  const char* bytes = buckets_[bucket].bytes;
  const auto count = static_cast<int64_t>(Load<uint64_t>(bytes));
  const char* hashes = bytes + 8;
  auto hash_of = [&](int64_t i) { return Load<uint64_t>(hashes + 8 * i); };
  // Hashes are spread evenly: one is about where its share of the bucket's span says.
  const uint64_t low = hash_of(0), span = buckets_[bucket].last_hash - low;
  if (hash < low) return kNoRow;
  int64_t at = 0;
  if (span > 0)
    at = static_cast<int64_t>(static_cast<double>(hash - low) / static_cast<double>(span) *
                              static_cast<double>(count - 1));
  at = std::min(at, count - 1);
  while (at > 0 && hash_of(at - 1) >= hash) --at;
  while (at < count && hash_of(at) < hash) ++at;

  const char* begins = hashes + 8 * count;
  RowId found = kNoRow;
  for (; at < count && hash_of(at) == hash; ++at) {
    const char* row = bytes + Load<uint32_t>(begins + 4 * at);
    Interval valid;
    if (schema_->has_interval()) {
      valid = {Load<int64_t>(row), Load<int64_t>(row + 8)};
      row += 16;
    }
    const auto size = Load<uint16_t>(row);
    if (std::string_view(row + 2, size) != key) continue;
    if (schema_->has_interval() && (question.at < valid.low || question.at >= valid.high)) continue;
    found = static_cast<RowId>(bucket) << 32 | static_cast<RowId>(row + 2 + size - bytes);
    break;
  }
  return found;
}

}  // namespace sluice::reference
