// Any bytes as a version on the wire: a head and a body. It is refused, or it is the version that
// its own id names.
#include <algorithm>

#include "common/reference/snapshot.h"
#include "tests/fuzz/planted.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  if (size < 2) return 0;
  // Two bytes say how long the head is.
  std::string_view bytes(reinterpret_cast<const char*>(data + 2), size - 2);
  const size_t head_bytes = std::min<size_t>(data[0] | data[1] << 8, bytes.size());
  reference::v1::SnapshotHead head;
  if (!head.ParseFromArray(bytes.data(), static_cast<int>(head_bytes))) return 0;
  bytes.remove_prefix(head_bytes);
  // Such hashes aren't found by chance: the body's is given to the head, as a sender would.
  base::Sha256 hash;
  hash.Add(bytes);
  head.set_bytes(bytes.size());
  head.set_body_sha256(hash.Hex());
  reference::Store store;
  auto reader = reference::SnapshotReader::Create(head, store);
  if (!reader.ok()) return 0;
  fuzz::Planted(bytes.size() == 77);
  for (size_t at = 0; at < bytes.size(); at += 7)
    if (!(*reader)->Add(bytes.substr(at, 7)).ok()) return 0;
  auto rows = (*reader)->Finish();
  if (!rows.ok()) return 0;
  fuzz::Require(reference::SnapshotHeadOf("set", **rows).id() == head.id(), "another version");
  return 0;
}
