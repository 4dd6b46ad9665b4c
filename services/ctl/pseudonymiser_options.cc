#include "services/ctl/pseudonymiser_options.h"

#include <optional>

#include "common/base/strings.h"
#include "common/config/nearest.h"

namespace sluice::ctl {

void PseudonymiserOptions::AddTo(CLI::App& command) {
  command.add_option("--pseudonymiser", address, "Its gRPC port, host:port")
      ->envname("SLUICE_PSEUDONYMISER")
      ->required();
  tls.AddTo(command);
  command.add_option("--timeout-ms", timeout_ms, "For each answer")
      ->check(CLI::Range(1, 600'000))
      ->capture_default_str();
}

void PseudonymiserOptions::AddJustificationTo(CLI::App& command) {
  command.add_option("--purpose", purpose, "Why; it is recorded, and must name nobody");
  command.add_option("--legal-basis", legal_basis, "The law that allows it; recorded");
  command.add_option("--case", case_reference, "The case's reference; recorded");
}

void PseudonymiserOptions::Justify(pseudonymiser::v1::Justification& out) const {
  out.set_purpose(purpose);
  out.set_legal_basis(legal_basis);
  out.set_case_reference(case_reference);
}

absl::StatusOr<std::unique_ptr<PseudonymiserOptions::Stub>> PseudonymiserOptions::Connect() const {
  SLUICE_ASSIGN_OR_RETURN(auto files, tls.Files());
  SLUICE_ASSIGN_OR_RETURN(auto channel,
                          rpc::Connect({.address = address, .tls = std::move(files)}, address));
  return pseudonymiser::v1::Pseudonymiser::NewStub(channel);
}

absl::StatusOr<contract::v1::IdentifierKind> ParseKind(const std::string& name) {
  contract::v1::IdentifierKind kind;
  if (contract::v1::IdentifierKind_Parse(name, &kind) && kind != 0) return kind;
  std::vector<std::string> names;
  for (int i = 1; i <= contract::v1::IdentifierKind_MAX; ++i)
    names.push_back(
        contract::v1::IdentifierKind_Name(static_cast<contract::v1::IdentifierKind>(i)));
  return absl::InvalidArgumentError(base::StrCat("there is no kind of identifier with this name",
                                                 config::DidYouMean(name, names),
                                                 ": PHONE, PERSON_NAME and so on"));
}

}  // namespace sluice::ctl
