#include "services/pseudonymiser/config.h"

#include <filesystem>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/config/source_map.h"
#include "common/config/yaml.h"
#include "services/brokers/connection.h"

namespace sluice::pseudonymiser {
namespace {

using base::StrCat;

// Fills defaults in, and collects what is out of its bounds.
class Numbers {
 public:
  Numbers(const config::SourceMap& map, config::Problems& problems)
      : map_(map), problems_(problems) {}
  int32_t Of(const std::string& path, int32_t given, int32_t fallback, int32_t min, int32_t max) {
    if (given == 0) return fallback;
    if (given < min || given > max) problems_.Add(map_, path, StrCat("must be ", min, " to ", max));
    return given;
  }

 private:
  const config::SourceMap& map_;
  config::Problems& problems_;
};

}  // namespace

absl::StatusOr<config::v1::PseudonymiserService> LoadConfig(const std::string& path,
                                                            const std::string& writer) {
  config::v1::PseudonymiserService made;
  config::SourceMap map;
  SLUICE_RETURN_IF_ERROR(config::ParseYamlFile(path, made, &map));
  config::Problems problems;
  Numbers numbers(map, problems);

  config::v1::PseudonymiserLimits& limits = *made.mutable_limits();
  limits.set_message_kib(numbers.Of("limits.message_kib", limits.message_kib(), 4'096, 64, 65'536));
  limits.set_values_per_call(
      numbers.Of("limits.values_per_call", limits.values_per_call(), 100'000, 1, 1'000'000));
  limits.set_calls(numbers.Of("limits.calls", limits.calls(), 32, 4, 1'000));
  config::v1::ReidentificationLimits& grants = *made.mutable_reidentification();
  grants.set_request_valid_s(numbers.Of("reidentification.request_valid_s",
                                        grants.request_valid_s(), 86'400, 1, 30 * 86'400));
  grants.set_grant_valid_s(
      numbers.Of("reidentification.grant_valid_s", grants.grant_valid_s(), 3'600, 1, 86'400));
  grants.set_values(numbers.Of("reidentification.values", grants.values(), 100, 1, 10'000));
  grants.set_requests(
      numbers.Of("reidentification.requests", grants.requests(), 1'000, 10, 10'000));
  made.set_look_interval_ms(
      numbers.Of("look_interval_ms", made.look_interval_ms(), 2'000, 10, 600'000));
  made.set_drain_timeout_ms(
      numbers.Of("drain_timeout_ms", made.drain_timeout_ms(), 5'000, 1, 600'000));
  config::v1::AuditTrail& audit = *made.mutable_audit();
  audit.set_tally_interval_s(
      numbers.Of("audit.tally_interval_s", audit.tally_interval_s(), 60, 1, 3'600));
  if (!writer.empty() && !audit.writer().empty()) {
    problems.Add(map, "audit.writer", "--instance names this replica too; drop one of them");
  } else if (writer.empty() && audit.writer().empty()) {
    problems.Add(map, "audit.writer", "name this replica, here or with --instance");
  }
  if (audit.writer().empty()) audit.set_writer(writer);
  if (audit.has_topic() && audit.topic().brokers().empty())
    problems.Add(map, "audit.topic.brokers", "name at least one, host:port");
  absl::Status secure = brokers::Connection(audit.topic(), "").security.Check();
  if (!secure.ok()) problems.Add(map, "audit.topic.security", base::View(secure.message()));
  SLUICE_RETURN_IF_ERROR(problems.ToStatus());

  config::v1::Tls& tls = *made.mutable_listen()->mutable_tls();
  for (std::string* file : {made.mutable_keyring(), made.mutable_key_encryption_key(),
                            made.mutable_policy(), audit.mutable_file(), tls.mutable_certificate(),
                            tls.mutable_private_key(), tls.mutable_client_ca()}) {
    *file = (std::filesystem::path(path).parent_path() / *file).string();
  }
  if (!made.state().empty())
    made.set_state((std::filesystem::path(path).parent_path() / made.state()).string());
  if (audit.has_topic()) brokers::ResolveFiles(*audit.mutable_topic(), path);
  return made;
}

}  // namespace sluice::pseudonymiser
