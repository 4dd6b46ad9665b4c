// A set that is a query's rows: the only file that includes libpqxx is its source.
#pragma once

#include <memory>
#include <string>

#include "common/reference/source.h"

namespace sluice::reference {

// All rows of one version are read in one read-only transaction that sees one moment. Errors show
// no value: the server's own text only where it is about the statement.
class PostgresSource final : public Source {
 public:
  PostgresSource(const config::v1::Postgres& config,
                 std::shared_ptr<const enrichment::Schema> schema, Store store);
  ~PostgresSource() override;

  absl::StatusOr<std::string> Mark() override;
  absl::StatusOr<RowsPtr> Read() override;
  std::chrono::milliseconds look_interval() const override;

 private:
  struct Session;
  // Connects where there is no connection, and forgets it after an error.
  template <typename Work>
  auto With(Work work) -> decltype(work(std::declval<Session&>()));

  const config::v1::Postgres config_;
  const std::shared_ptr<const enrichment::Schema> schema_;
  const Store store_;
  std::unique_ptr<Session> session_;
};

}  // namespace sluice::reference
