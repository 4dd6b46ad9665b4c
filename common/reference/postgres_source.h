// A set that is a query's rows.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/reference/postgres_session.h"
#include "common/reference/source.h"

namespace sluice::reference {

// All rows of one version are read in one read-only transaction that sees one moment; a table that
// is replaced or rewritten while it is read makes the read fail, not the rows wrong. Only the
// columns that the schema names leave the server. Errors show no value: the server's own text only
// where it is about the statement.
class PostgresSource final : public Source {
 public:
  PostgresSource(const config::v1::Postgres& config,
                 std::shared_ptr<const enrichment::Schema> schema, Store store,
                 std::shared_ptr<const Interrupt> interrupt);

  // Of the query `changes`.
  absl::StatusOr<std::string> Mark() override;
  absl::StatusOr<RowsPtr> Read() override;
  std::chrono::milliseconds look_interval() const override;

 private:
  // What a column of the schema is in the query's rows.
  struct Place {
    std::string name;  // empty: the query lacks it
    uint32_t type = 0;
  };
  // Connects where there is no connection, begins a transaction, and forgets the connection after
  // an error.
  template <typename Work>
  auto With(Work work) -> decltype(work(std::declval<PostgresSession&>()));
  absl::StatusOr<std::vector<Place>> Places(PostgresSession& session) const;
  absl::Status CheckTypes(PostgresSession& session, const std::vector<Place>& places) const;
  absl::StatusOr<RowsPtr> ReadRows(PostgresSession& session);

  const config::v1::Postgres config_;
  const std::shared_ptr<const enrichment::Schema> schema_;
  const Store store_;
  const std::shared_ptr<const Interrupt> interrupt_;
  std::unique_ptr<PostgresSession> session_;
};

}  // namespace sluice::reference
