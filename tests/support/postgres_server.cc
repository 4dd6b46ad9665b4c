#include "tests/support/postgres_server.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <pqxx/pqxx>
#include <vector>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "tests/support/free_port.h"
#include "tests/support/wait_until.h"

namespace sluice::test_support {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// PostgreSQL refuses to run as root; its package brings the account.
constexpr const char* kAccount = "postgres";

std::vector<std::string> AsServer(std::vector<std::string> command) {
  if (geteuid() != 0) return command;
  std::vector<std::string> prefixed = {"setpriv",
                                       base::StrCat("--reuid=", kAccount),
                                       base::StrCat("--regid=", kAccount),
                                       "--clear-groups",
                                       "--pdeathsig",
                                       "KILL"};
  prefixed.insert(prefixed.end(), command.begin(), command.end());
  return prefixed;
}

absl::StatusOr<std::string> FindBinaries() {
  std::error_code error;
  std::string newest;
  for (fs::directory_iterator at("/usr/lib/postgresql", error), end; !error && at != end;
       at.increment(error)) {
    std::string folder = at->path().string() + "/bin";
    if (fs::exists(folder + "/initdb", error) && folder > newest) newest = folder;
  }
  if (newest.empty())
    return absl::FailedPreconditionError("PostgreSQL isn't installed: run `./run setup`");
  return newest;
}

// The server's backends are sessions of their own: no signal to its group reaches them.
std::vector<pid_t> Backends(pid_t server) {
  std::ifstream children(base::StrCat("/proc/", server, "/task/", server, "/children"));
  return {std::istream_iterator<pid_t>(children), {}};
}

// Nothing of a process that has ended holds memory, whether it was waited for or not.
bool HasEnded(pid_t pid) {
  std::string stat = ReadFile(base::StrCat("/proc/", pid, "/stat"));
  return stat.empty() || stat.substr(stat.rfind(')') + 2, 1) == "Z";
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresServer>> PostgresServer::Create() {
  SLUICE_ASSIGN_OR_RETURN(std::string binaries, FindBinaries());
  SLUICE_ASSIGN_OR_RETURN(auto folder, TempDir::Create("pg"));
  SLUICE_ASSIGN_OR_RETURN(int port, FreePort());
  if (const passwd* account = getpwnam(kAccount);
      geteuid() == 0 && account != nullptr &&
      chown(folder->path().c_str(), account->pw_uid, account->pw_gid) != 0)
    return absl::FailedPreconditionError("the server's folder can't be given to its account");
  auto server = std::unique_ptr<PostgresServer>(
      new PostgresServer(std::move(binaries), std::move(folder), port));
  const std::string& path = server->folder_->path();
  SLUICE_ASSIGN_OR_RETURN(
      auto made, ChildProcess::Start(
                     {AsServer({server->binaries_ + "/initdb", "-D", path + "/data", "-U", "sluice",
                                "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"}),
                      {},
                      path + "/initdb.log",
                      ""}));
  SLUICE_ASSIGN_OR_RETURN(Exit ended, made->Wait(60s));
  if (ended != Exit{}) {
    return absl::InternalError(
        base::StrCat("initdb: ", ended.ToString(), "\n", Tail(ReadFile(path + "/initdb.log"), 20)));
  }
  return server;
}

PostgresServer::~PostgresServer() { Kill(); }

absl::Status PostgresServer::Start() {
  const std::string& path = folder_->path();
  // What a killed server leaves behind keeps the next one from starting only if its pid lives on.
  SLUICE_ASSIGN_OR_RETURN(
      process_, ChildProcess::Start({AsServer({binaries_ + "/postgres", "-D", path + "/data", "-p",
                                               std::to_string(port_), "-h", "127.0.0.1", "-k", path,
                                               "-c", "fsync=off"}),
                                     {},
                                     path + "/server.log",
                                     ""}));
  bool answers = WaitUntil(60s, [&] { return Execute("SELECT 1").ok() || !process_->running(); });
  if (answers && process_->running()) return absl::OkStatus();
  return absl::InternalError(
      base::StrCat("PostgreSQL: doesn't serve\n", Tail(ReadFile(path + "/server.log"), 20)));
}

std::vector<pid_t> PostgresServer::Signal(int signal) {
  if (process_ == nullptr) return {};
  // Stopped, it starts no more of them.
  kill(process_->pid(), SIGSTOP);
  std::vector<pid_t> backends = Backends(process_->pid());
  for (pid_t backend : backends) kill(backend, signal);
  kill(process_->pid(), signal);
  return backends;
}

void PostgresServer::Kill() {
  std::vector<pid_t> backends = Signal(SIGKILL);
  if (process_ != nullptr) process_->Kill();
  process_.reset();
  // The next server refuses to start while one of them holds the shared memory.
  WaitUntil(10s, [&] { return std::all_of(backends.begin(), backends.end(), HasEnded); });
}

void PostgresServer::Freeze() { Signal(SIGSTOP); }
void PostgresServer::Thaw() { Signal(SIGCONT); }

std::string PostgresServer::connection() const {
  return base::StrCat("host=127.0.0.1 port=", port_, " user=sluice dbname=postgres");
}

absl::Status PostgresServer::Execute(const std::string& sql) {
  try {
    pqxx::connection connection(this->connection());
    pqxx::work work(connection);
    work.exec(sql);
    work.commit();
    return absl::OkStatus();
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
}

}  // namespace sluice::test_support
