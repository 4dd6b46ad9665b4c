#include "common/reference/source.h"

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/reference/file_source.h"
#include "common/reference/postgres_source.h"
#include "common/reference/topic_source.h"

namespace sluice::reference {

using config::v1::ReferenceSet;

namespace {

// It is part of file names, of a header and of metrics.
bool IsName(std::string_view name) {
  if (name.empty() || name.size() > 100 || name[0] == '.') return false;
  for (char c : name) {
    if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '_' &&
        c != '-' && c != '.')
      return false;
  }
  return true;
}

bool IsInterval(int32_t value, int32_t low) {
  return value == 0 || (value >= low && value <= 86'400'000);
}

}  // namespace

std::string SourceFile(const ReferenceSet& set) {
  switch (set.source_case()) {
    case ReferenceSet::kCsv:
      return set.csv();
    case ReferenceSet::kJsonLines:
      return set.json_lines();
    case ReferenceSet::kGeojson:
      return set.geojson();
    default:
      return "";
  }
}

std::string SourceName(const ReferenceSet& set) {
  if (set.has_postgres()) return "postgres";
  if (set.has_topic()) return base::StrCat("topic ", set.topic().name());
  return SourceFile(set);
}

void CheckSet(const ReferenceSet& set,
              const std::function<void(std::string_view, std::string_view)>& problem) {
  if (!set.name().empty() && !IsName(set.name()))
    problem("name", "must be letters, digits, `_`, `-` and `.`, no more than 100");
  if (set.source_case() == ReferenceSet::SOURCE_NOT_SET)
    problem("", "name a source: csv, json_lines, geojson, postgres or topic");
  if (set.has_schema() == !set.key().empty()) {
    problem(set.has_schema() ? "key" : "",
            set.has_schema() ? "the schema has a key of its own: keep one of them"
                             : "give schema, or key where the source is a CSV file of texts");
  } else if (!set.has_schema() && set.source_case() != ReferenceSet::kCsv &&
             set.source_case() != ReferenceSet::SOURCE_NOT_SET) {
    problem("key", "only a CSV source has its columns' names in it: give schema");
  }
  if (set.has_schema() && !set.not_personal().empty())
    problem("not_personal", "goes with key: in a schema, each column says what it is");
  if (set.store() == ReferenceSet::mapped) {
    if (set.has_topic()) problem("store", "a topic's rows are held in memory: leave store out");
    if (set.schema().kind() == v1::Schema::area || set.schema().kind() == v1::Schema::nearest) {
      problem("store", base::StrCat("sets of the kind ", v1::Schema::Kind_Name(set.schema().kind()),
                                    " are held in memory: leave store out"));
    }
  }
  if (set.rows_min() < 0) problem("rows_min", "can't be negative");
  if (set.shrink_percent_max() < 0 || set.shrink_percent_max() > 100)
    problem("shrink_percent_max", "must be 0 to 100");
  if (set.full_read_interval_ms() != 0 &&
      (set.full_read_interval_ms() < 1'000 || set.full_read_interval_ms() > 86'400'000))
    problem("full_read_interval_ms", "must be 1,000 to 86,400,000");
  if (set.change_percent_max() < 0 || set.change_percent_max() > 100)
    problem("change_percent_max", "must be 0 to 100");
  if (set.has_postgres()) {
    const config::v1::Postgres& postgres = set.postgres();
    if (postgres.connection().find("password") != std::string::npos ||
        postgres.connection().find("://") != std::string::npos) {
      problem("postgres.connection",
              "write keyword=value pairs, and name a file with the password: passfile=...");
    }
    if (!IsInterval(postgres.look_interval_ms(), 100))
      problem("postgres.look_interval_ms", "must be 100 to 86,400,000");
    if (!IsInterval(postgres.statement_timeout_ms(), 1))
      problem("postgres.statement_timeout_ms", "must be 1 to 86,400,000");
  }
  if (set.has_topic() && !IsInterval(set.topic().look_interval_ms(), 100))
    problem("topic.look_interval_ms", "must be 100 to 86,400,000");
  if (set.rises().empty() || !set.has_schema()) {
    if (!set.rises().empty()) problem("rises", "the column's type must be known: give schema");
    return;
  }
  for (const v1::Column& column : set.schema().columns()) {
    if (column.name() != set.rises()) continue;
    if (column.type() != v1::Column::integer && column.type() != v1::Column::date &&
        column.type() != v1::Column::time)
      problem("rises", "the column must be of the type integer, date or time");
    return;
  }
  problem("rises", "the schema has no such column");
}

absl::StatusOr<std::unique_ptr<Source>> MakeSource(const ReferenceSet& set,
                                                   const SourceOptions& options) {
  std::shared_ptr<const enrichment::Schema> schema;
  if (set.has_schema()) {
    auto created = enrichment::Schema::Create(set.schema());
    if (!created.ok()) {
      return absl::InvalidArgumentError(
          base::StrCat("schema: ", base::View(created.status().message())));
    }
    schema = *std::move(created);
  }
  Store store =
      set.store() == ReferenceSet::mapped ? Store::Mapped(set.name(), options.folder) : Store();
  store.EndWith(options.interrupt);
  if (set.has_postgres()) {
    return std::make_unique<PostgresSource>(set.postgres(), schema, std::move(store),
                                            options.interrupt);
  }
  if (set.has_topic()) {
    return std::make_unique<TopicSource>(set.topic(), schema, options.kafka, std::move(store),
                                         options.interrupt);
  }
  FileSource::Options file;
  file.path = options.resolve(SourceFile(set));
  file.name = SourceFile(set);
  file.key = set.key();
  file.not_personal.assign(set.not_personal().begin(), set.not_personal().end());
  file.schema = schema;
  file.store = std::move(store);
  file.look_interval = options.look_interval;
  file.format = set.source_case() == ReferenceSet::kCsv         ? FileFormat::kCsv
                : set.source_case() == ReferenceSet::kJsonLines ? FileFormat::kJsonLines
                                                                : FileFormat::kGeoJson;
  return std::make_unique<FileSource>(std::move(file));
}

}  // namespace sluice::reference
