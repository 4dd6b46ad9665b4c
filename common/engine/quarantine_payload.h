// What a quarantine record keeps of its raw record, and the proof of which record that was. Used by
// who writes quarantine and by who opens it.
#pragma once

#include <string>
#include <string_view>

#include "common/base/record.h"
#include "sluice/quarantine/v1/payload.pb.h"

namespace sluice::engine {

// Inbound headers with names that begin so are Sluice's own: never kept.
inline constexpr std::string_view kOwnHeaderPrefix = "sluice-";

// The raw record: key, value and headers but for Sluice's own.
quarantine::v1::Payload PayloadOf(const base::InputRecord& record);

// What stands in its place where there is no room for it.
quarantine::v1::Payload ReferenceTo(const quarantine::v1::Payload& payload,
                                    std::string_view topic_id);

// SHA-256 (FIPS 180-4) of key, value and headers, 32 bytes: each part with its length in front,
// null apart from empty. It is personal data: whoever has it can try what it might be of, so that
// it never leaves the sealed payload.
std::string DigestOf(const quarantine::v1::Payload& payload);

}  // namespace sluice::engine
