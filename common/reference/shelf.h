// Versions on disk: what outlives a process, and its sources.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/reference/source.h"
#include "google/protobuf/message.h"

namespace sluice::reference {

struct Kept {
  std::string id;
  int64_t kept_unix_ms = 0;
};

// A folder of its own: <set>/<id>.snapshot (or .mapped, where the rows are in a mapped file), and a
// state beside them. Each file is there whole or not at all, after a power cut too. Thread-safe, by
// the files' names.
class Shelf {
 public:
  // Makes the folder. kFailedPrecondition: another process has it.
  static absl::StatusOr<std::unique_ptr<Shelf>> Open(const std::string& folder);
  ~Shelf();
  Shelf(const Shelf&) = delete;
  Shelf& operator=(const Shelf&) = delete;

  const std::string& folder() const { return folder_; }

  // Nothing to do where it is there with the same schema. A Store's file becomes the shelf's.
  absl::Status Put(const std::string& set, const enrichment::Rows& rows);
  // kNotFound: it isn't kept. kDataLoss: the file is damaged.
  absl::StatusOr<RowsPtr> Get(const std::string& set, const std::string& id) const;
  // The newest first.
  std::vector<Kept> List(const std::string& set) const;
  // Of those that aren't `in_use`, the newest go on until `count` are kept.
  void Prune(const std::string& set, size_t count, const std::set<std::string>& in_use);

  absl::Status PutState(const google::protobuf::Message& state);
  // False: there is none.
  absl::StatusOr<bool> GetState(google::protobuf::Message& state) const;

 private:
  Shelf(std::string folder, int lock) : folder_(std::move(folder)), lock_(lock) {}
  std::string PathOf(const std::string& set, const std::string& id, std::string_view suffix) const;

  const std::string folder_;
  const int lock_;
};

}  // namespace sluice::reference
