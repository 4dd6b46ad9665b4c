#include "services/ctl/site.h"

#include <pwd.h>
#include <unistd.h>

#include <filesystem>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/config/source_map.h"
#include "common/config/yaml.h"
#include "services/brokers/connection.h"

namespace sluice::ctl {

std::vector<std::string> Site::clean() const {
  std::vector<std::string> topics;
  for (const config::v1::Stream& stream : config.pipeline().streams())
    topics.push_back(stream.topic());
  return topics;
}

kafka::ConnectionOptions ConnectionOf(const config::v1::Kafka& kafka) {
  kafka::ConnectionOptions connection = brokers::Connection(kafka, "sluicectl");
  // A command says by its own errors what failed; the client's remarks would stand in its output.
  connection.log = [](int, std::string_view, std::string_view) {};
  return connection;
}

absl::StatusOr<Site> LoadSite(const std::string& config_file) {
  Site site;
  SLUICE_RETURN_IF_ERROR(config::ParseYamlFile(config_file, site.config, &site.map));
  if (site.config.kafka().brokers().empty()) {
    return absl::InvalidArgumentError(
        base::StrCat(site.map.Where("kafka"), ": kafka.brokers: name at least one, host:port"));
  }
  brokers::ResolveFiles(*site.config.mutable_kafka(), config_file);
  if (!site.config.trail().empty())
    site.trail = (std::filesystem::path(config_file).parent_path() / site.config.trail()).string();
  site.connection = ConnectionOf(site.config.kafka());
  return site;
}

std::string Operator() {
  char host[256] = {};
  if (gethostname(host, sizeof(host) - 1) != 0) host[0] = '\0';
  passwd entry{};
  passwd* found = nullptr;
  char buffer[4096];
  uid_t user = getuid();
  bool named = getpwuid_r(user, &entry, buffer, sizeof(buffer), &found) == 0 && found != nullptr;
  return base::StrCat(named ? std::string(found->pw_name) : base::StrCat("uid ", user), "@", host);
}

}  // namespace sluice::ctl
