// One act or refusal that somebody may have to answer for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::trail {

// Those that DPA 2018 s.62 wants logged.
enum class Operation {
  kCollection,
  kAlteration,
  kConsultation,
  kDisclosure,
  kCombination,
  kErasure
};
std::string_view OperationName(Operation operation);

enum class Outcome { kDone, kRefused };

// Never holds a personal value or a pseudonym.
struct Entry {
  std::string who;
  Operation operation = Operation::kConsultation;
  std::string action;  // the method, such as RotateDomain
  Outcome outcome = Outcome::kDone;
  std::string reason;  // of a refusal
  std::string purpose;
  std::string justification;
  std::string case_reference;
  std::vector<std::string> domains;
  std::vector<std::string> recipients;
  uint64_t count = 0;  // values concerned
  // Ids of what was acted on, such as an epoch or a request.
  std::string subject;
};

}  // namespace sluice::trail
