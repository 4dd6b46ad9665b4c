// The workload's people, as the engine hands them to whoever makes pseudonyms.
#pragma once

#include <array>
#include <cstdio>

#include "common/privacy/pseudonymiser.h"

namespace sluice::bench {

// The workload's four identifiers of one person, in canonical form.
inline void AddPerson(uint32_t person, uint16_t domain, privacy::PseudonymBatch& batch) {
  auto add = [&](contract::v1::IdentifierKind kind, const char* format, uint32_t number) {
    char text[24];
    int size = std::snprintf(text, sizeof(text), format, number);
    batch.Add(kind, std::string_view(text, static_cast<size_t>(size)), std::array{domain});
  };
  add(contract::v1::PERSON_NAME, "person %06u", person % 1'000'000);
  add(contract::v1::PHONE, "+4477009%05u", person % 100'000);
  add(contract::v1::PNC_ID, "1981/%07uA", person % 10'000'000);
  add(contract::v1::WARRANT_NUMBER, "%u", person % 1'000'000);
}

}  // namespace sluice::bench
