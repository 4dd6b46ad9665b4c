// Files and PostgreSQL; services/reference/matrix_kafka_test.cc has topics.
#include "services/reference/matrix_test.h"

#include <filesystem>

#include "common/reference/postgres_session.h"
#include "tests/support/postgres_server.h"

namespace sluice::reference {
namespace {

class FileHolder : public MatrixSource {
 public:
  FileHolder(std::string_view kind, std::string_view name)
      : kind_(kind), path_(base::StrCat(folder_->path(), "/", name)) {}
  std::string Config() const override { return base::StrCat(kind_, ": '", path_, "'"); }
  void Put(const MatrixData& data) override { WriteText(path_, Text(data)); }
  void Recreate(const MatrixData& data) override {
    std::filesystem::remove(path_);
    Put(data);
  }
  bool PutHalf(const MatrixData& data) override {
    std::string text = Text(data);
    WriteText(path_, text.substr(0, text.size() - 12));
    return true;
  }
  bool TakeAway() override {
    std::filesystem::rename(path_, path_ + ".away");
    return true;
  }
  void BringBack() override { std::filesystem::rename(path_ + ".away", path_); }
  virtual std::string Text(const MatrixData& data) const = 0;

 private:
  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("matrix-file");
  const std::string kind_, path_;
};

class CsvHolder final : public FileHolder {
 public:
  CsvHolder() : FileHolder("csv", "s.csv") {}
  std::string Text(const MatrixData& data) const override { return data.Csv(); }
};

class JsonLinesHolder final : public FileHolder {
 public:
  JsonLinesHolder() : FileHolder("json_lines", "s.jsonl") {}
  std::string Text(const MatrixData& data) const override {
    std::string text;
    for (const auto& row : data.rows) base::StrAppend(text, data.Json(row), "\n");
    return text;
  }
};

class GeoJsonHolder final : public FileHolder {
 public:
  GeoJsonHolder() : FileHolder("geojson", "s.geojson") {}
  std::string Text(const MatrixData& data) const override {
    std::string text = R"({"type":"FeatureCollection","features":[)";
    for (const auto& row : data.rows)
      base::StrAppend(text, &row == &data.rows[0] ? "" : ",",
                      R"({"type":"Feature","geometry":null,"properties":)", data.Json(row), "}");
    return text + "]}";
  }
};

class PostgresHolder final : public MatrixSource {
 public:
  PostgresHolder() {
    auto server = test_support::PostgresServer::Create();
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    EXPECT_EQ(server_->Start(), absl::OkStatus());
  }
  std::string Config() const override {
    return base::StrCat("postgres {connection: '", server_->connection(),
                        "' query: 'select s.*, more.* from s cross join more' "
                        "statement_timeout_ms: 200}");
  }
  void Put(const MatrixData& data) override {
    std::string sql = base::StrCat("DROP TABLE IF EXISTS s, more; CREATE TABLE more (",
                                   data.label_twice ? "label text DEFAULT 'again'" : "",
                                   "); INSERT INTO more DEFAULT VALUES; "
                                   "CREATE TABLE s (");
    for (const std::string& column : data.columns)
      base::StrAppend(sql, &column == &data.columns[0] ? "" : ", ", column, " text");
    sql += ")";
    for (const auto& row : data.rows) {
      sql += &row == &data.rows[0] ? "; INSERT INTO s VALUES (" : ", (";
      for (const std::string& cell : row)
        base::StrAppend(sql, &cell == &row[0] ? "'" : ", '", cell, "'");
      sql += ")";
    }
    ASSERT_EQ(server_->Execute(sql), absl::OkStatus());
  }
  void Recreate(const MatrixData& data) override { Put(data); }
  // What isn't committed isn't there, and it takes the read no time to know.
  bool PutHalf(const MatrixData&) override { return false; }
  bool TakeAway() override {
    server_->Kill();
    return true;
  }
  void BringBack() override { ASSERT_EQ(server_->Start(), absl::OkStatus()); }
  bool SlowDown() override {
    locker_ = *PostgresSession::Connect({.connection = server_->connection()});
    EXPECT_EQ(locker_->Execute("BEGIN"), absl::OkStatus());
    EXPECT_EQ(locker_->Execute("LOCK TABLE s IN ACCESS EXCLUSIVE MODE"), absl::OkStatus());
    return true;
  }
  void SpeedUp() override {
    EXPECT_EQ(locker_->Execute("ROLLBACK"), absl::OkStatus());
    locker_.reset();
  }
  bool Freeze() override {
    server_->Freeze();
    return true;
  }
  void Thaw() override { server_->Thaw(); }

 private:
  std::unique_ptr<test_support::PostgresServer> server_;
  std::unique_ptr<PostgresSession> locker_;
};

TEST(ChangeMatrix, OfCsvFiles) {
  CsvHolder source;
  CheckMatrix(source);
}

TEST(ChangeMatrix, OfJsonLines) {
  JsonLinesHolder source;
  CheckMatrix(source);
}

TEST(ChangeMatrix, OfGeoJson) {
  GeoJsonHolder source;
  CheckMatrix(source);
}

TEST(ChangeMatrix, OfPostgres) {
  PostgresHolder source;
  CheckMatrix(source);
}

}  // namespace
}  // namespace sluice::reference
