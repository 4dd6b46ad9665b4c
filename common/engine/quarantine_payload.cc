#include "common/engine/quarantine_payload.h"

#include "absl/strings/escaping.h"
#include "common/base/sha256.h"

namespace sluice::engine {
namespace {

void AddOptional(base::Sha256& hash, bool present, std::string_view part) {
  hash.Add(present ? std::string_view("\1", 1) : std::string_view("\0", 1));
  if (present) hash.AddPart(part);
}

}  // namespace

quarantine::v1::Payload PayloadOf(const base::InputRecord& record) {
  quarantine::v1::Payload payload;
  if (record.key) payload.set_key(record.key->data(), record.key->size());
  if (record.value) payload.set_value(record.value->data(), record.value->size());
  for (const base::Header& header : record.headers) {
    if (header.name.starts_with(kOwnHeaderPrefix)) continue;
    quarantine::v1::Header& kept = *payload.add_headers();
    kept.set_name(header.name.data(), header.name.size());
    if (header.value.data() != nullptr) kept.set_value(header.value.data(), header.value.size());
  }
  return payload;
}

quarantine::v1::Payload ReferenceTo(const quarantine::v1::Payload& payload,
                                    std::string_view topic_id) {
  quarantine::v1::Payload out;
  quarantine::v1::Reference& reference = *out.mutable_reference();
  reference.set_digest(DigestOf(payload));
  reference.set_topic_id(topic_id.data(), topic_id.size());
  return out;
}

std::string DigestOf(const quarantine::v1::Payload& payload) {
  base::Sha256 hash;
  hash.AddPart("sluice/quarantine/payload/1");
  AddOptional(hash, payload.has_key(), payload.key());
  AddOptional(hash, payload.has_value(), payload.value());
  for (const quarantine::v1::Header& header : payload.headers()) {
    hash.AddPart(header.name());
    AddOptional(hash, header.has_value(), header.value());
  }
  return absl::HexStringToBytes(hash.Hex());
}

}  // namespace sluice::engine
