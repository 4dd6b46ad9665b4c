#include "services/ctl/keyring_command.h"

#include <unistd.h>

#include <functional>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/epoch_record.h"
#include "common/privacy/keyring.h"
#include "common/privacy/rotation.h"
#include "services/ctl/acts.h"
#include "services/ctl/conversion.h"
#include "services/ctl/json.h"
#include "services/ctl/time_option.h"

namespace sluice::ctl {
namespace {

using base::StrCat;
using privacy::Keyring;

struct Options {
  std::string keyring, key;
  std::string trail, reason;
  std::string domain, label;
  uint32_t epoch = 0;
  std::string copy, copy_key;
  bool keep = false;
  bool nothing_since = false;
  bool confirmed = false;
  std::string input = "-";
};

std::string_view StateName(privacy::EpochState state) {
  constexpr std::string_view kNames[] = {"active", "retired", "destroyed"};
  return kNames[static_cast<size_t>(state)];
}

// Empty where the keyring doesn't say.
std::string Begun(const privacy::KeyringEpoch& epoch) {
  return epoch.begun_unix_ms == 0 ? "" : TimeText(epoch.begun_unix_ms);
}

// The trail that the option names, if any: what can't be written there isn't done. Returns
// `outcome`, which is a refusal's reason where it isn't OK.
absl::Status Record(const Options& options, trail::Operation operation, std::string action,
                    const absl::Status& outcome, std::string subject, uint64_t count = 0) {
  if (options.trail.empty()) return outcome;
  trail::Entry entry{.operation = operation,
                     .action = std::move(action),
                     .justification = options.reason,
                     .count = count,
                     .subject = std::move(subject)};
  if (!options.domain.empty()) entry.domains = {options.domain};
  if (!outcome.ok()) {
    entry.outcome = trail::Outcome::kRefused;
    entry.reason = base::View(outcome.message());
  }
  SLUICE_RETURN_IF_ERROR(RecordAct(options.trail, std::move(entry)).status());
  return outcome;
}

// What an act that was recorded came to: the trail says that it was done, and must also say that it
// wasn't.
absl::Status RecordFailure(const Options& options, trail::Operation operation, std::string action,
                           const absl::Status& outcome, std::string subject) {
  if (outcome.ok()) return outcome;
  return Record(options, operation, std::move(action), outcome, std::move(subject));
}

// Its number, and what tells it from another one with that number.
std::string EpochText(const Keyring& keyring, std::string_view domain, uint32_t epoch) {
  const privacy::KeyringDomain* found = keyring.Find(domain);
  const privacy::KeyringEpoch* at = found == nullptr ? nullptr : found->Find(epoch);
  if (at == nullptr || at->check.empty()) return StrCat("epoch ", epoch);
  return StrCat("epoch ", epoch, ", check ", at->check);
}

absl::StatusOr<ExitCode> List(const Options& options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(Keyring keyring, Keyring::Load(options.keyring, options.key));
  SLUICE_ASSIGN_OR_RETURN(std::string fingerprint, keyring.Fingerprint());
  if (output.json()) {
    JsonText json;
    json.BeginObject().Member("generation", keyring.generation());
    json.Member("fingerprint", fingerprint).Member("checked", keyring.check_bytes() > 0);
    json.Key("domains").BeginArray();
    for (const privacy::KeyringDomain& domain : keyring.domains()) {
      json.BeginObject().Member("name", domain.name).Member("label", domain.label);
      json.Key("epochs").BeginArray();
      for (const privacy::KeyringEpoch& epoch : domain.epochs) {
        json.BeginObject().Member("number", epoch.number);
        json.Member("state", StateName(epoch.state));
        json.Member("begun", Begun(epoch)).Member("check", epoch.check).EndObject();
      }
      json.EndArray().EndObject();
    }
    json.EndArray().EndObject();
    output.out() << std::move(json).Finish();
    return ExitCode::kOk;
  }
  Table table({"DOMAIN", "LABEL", "EPOCH", "STATE", "BEGUN", "CHECK"});
  for (const privacy::KeyringDomain& domain : keyring.domains()) {
    for (const privacy::KeyringEpoch& epoch : domain.epochs) {
      table.Add({domain.name, domain.label, StrCat(epoch.number),
                 epoch.number == domain.newest() ? "newest" : std::string(StateName(epoch.state)),
                 Begun(epoch), epoch.check});
    }
  }
  table.Print(output);
  output.err() << "Keyring " << fingerprint << ".\n";
  return ExitCode::kOk;
}

// Tries the change first, so that a refusal is on the trail as such; records it; then saves it.
absl::Status Change(const Options& options, trail::Operation operation, std::string action,
                    const std::function<absl::StatusOr<std::string>(Keyring&)>& change) {
  base::SystemRandom random;
  SLUICE_ASSIGN_OR_RETURN(Keyring keyring, Keyring::Load(options.keyring, options.key));
  absl::StatusOr<std::string> subject = change(keyring);
  SLUICE_RETURN_IF_ERROR(
      Record(options, operation, action, subject.status(), subject.ok() ? *subject : ""));
  return RecordFailure(options, operation, action,
                       keyring.Save(options.keyring, options.key, random), *subject);
}

absl::StatusOr<ExitCode> AddDomain(const Options& options, Output&) {
  base::SystemRandom random;
  SLUICE_RETURN_IF_ERROR(Change(options, trail::Operation::kAlteration, "CreateDomain",
                                [&](Keyring& keyring) -> absl::StatusOr<std::string> {
                                  SLUICE_RETURN_IF_ERROR(
                                      keyring.AddDomain(options.domain, options.label, random,
                                                        base::SystemClock().UnixMillis()));
                                  return EpochText(keyring, options.domain, 1);
                                }));
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Rotate(const Options& options, Output& output) {
  base::SystemRandom random;
  uint32_t made = 0;
  SLUICE_RETURN_IF_ERROR(
      Change(options, trail::Operation::kAlteration, "RotateDomain",
             [&](Keyring& keyring) -> absl::StatusOr<std::string> {
               SLUICE_ASSIGN_OR_RETURN(
                   made, keyring.Rotate(options.domain, random, base::SystemClock().UnixMillis()));
               return EpochText(keyring, options.domain, made);
             }));
  if (output.json()) {
    JsonText json;
    json.BeginObject().Member("domain", options.domain).Member("epoch", made).EndObject();
    output.out() << std::move(json).Finish();
  } else {
    output.out() << "Domain '" << options.domain << "' makes its pseudonyms in epoch " << made
                 << " from now on.\n";
  }
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Retire(const Options& options, Output&) {
  SLUICE_RETURN_IF_ERROR(Change(options, trail::Operation::kAlteration, "RetireEpoch",
                                [&](Keyring& keyring) -> absl::StatusOr<std::string> {
                                  SLUICE_RETURN_IF_ERROR(
                                      keyring.Retire(options.domain, options.epoch));
                                  return EpochText(keyring, options.domain, options.epoch);
                                }));
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Destroy(const Options& options, Output& output) {
  if (!options.confirmed) {
    return absl::InvalidArgumentError(
        "nobody can undo this: its pseudonyms can't be tied to anything any more; say --yes");
  }
  SLUICE_RETURN_IF_ERROR(Change(options, trail::Operation::kErasure, "DestroyEpoch",
                                [&](Keyring& keyring) -> absl::StatusOr<std::string> {
                                  SLUICE_RETURN_IF_ERROR(
                                      keyring.Destroy(options.domain, options.epoch));
                                  return EpochText(keyring, options.domain, options.epoch);
                                }));
  output.err()
      << "The keyring no longer holds the epoch's secret. Its older copies and backups do: "
         "destroy them too.\n";
  return ExitCode::kOk;
}

absl::Status CheckNew(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat(path, ": exists already; nothing was overwritten"));
}

// What one key wraps, only it unwraps.
absl::Status CheckOtherKey(const std::string& key, const std::string& other) {
  base::SystemRandom random;
  SLUICE_ASSIGN_OR_RETURN(auto one, privacy::FileKeyEncryption::Load(key, random));
  SLUICE_ASSIGN_OR_RETURN(auto two, privacy::FileKeyEncryption::Load(other, random));
  SLUICE_ASSIGN_OR_RETURN(std::string wrapped, one.Wrap("", base::SecretBytes("x")));
  if (!two.Unwrap("", wrapped).ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat(other,
             ": is the keyring's own key: whoever loses it, or has it stolen, loses both. "
             "Make another with `sluicectl keys encryption-key --to FILE`"));
}

// What can be known before it is done, such as that the files are there, is found before it is
// recorded.
absl::StatusOr<ExitCode> Backup(const Options& options, Output&) {
  base::SystemRandom random;
  auto check = [&]() -> absl::StatusOr<Keyring> {
    SLUICE_ASSIGN_OR_RETURN(Keyring keyring, Keyring::Load(options.keyring, options.key));
    SLUICE_RETURN_IF_ERROR(CheckOtherKey(options.key, options.copy_key));
    SLUICE_RETURN_IF_ERROR(CheckNew(options.copy));
    return keyring;
  };
  auto copy = [&](Keyring& keyring) -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(auto key, privacy::FileKeyEncryption::Load(options.copy_key, random));
    SLUICE_RETURN_IF_ERROR(keyring.SaveCopy(options.copy, key, random));
    // A backup that can't be read is found now, and not when it is needed.
    SLUICE_ASSIGN_OR_RETURN(Keyring read, Keyring::Load(options.copy, key));
    return read.SameRoot(keyring)
               ? absl::OkStatus()
               : absl::DataLossError(StrCat(options.copy, ": isn't what was written"));
  };
  constexpr trail::Operation kOperation = trail::Operation::kDisclosure;
  absl::StatusOr<Keyring> keyring = check();
  SLUICE_RETURN_IF_ERROR(
      Record(options, kOperation, "BackupKeyring", keyring.status(), options.copy));
  SLUICE_RETURN_IF_ERROR(
      RecordFailure(options, kOperation, "BackupKeyring", copy(*keyring), options.copy));
  return ExitCode::kOk;
}

// Whether what is there is the backup's keyring, perhaps with later epochs.
absl::Status CheckKept(const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(Keyring kept, Keyring::Load(options.keyring, options.key));
  SLUICE_ASSIGN_OR_RETURN(Keyring backup, Keyring::Load(options.copy, options.copy_key));
  if (kept.SameRoot(backup)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat(options.keyring, ": holds other keys than ", options.copy, "; nothing was changed"));
}

absl::StatusOr<ExitCode> Restore(const Options& options, Output& output) {
  if (options.keep && access(options.keyring.c_str(), F_OK) == 0) {
    SLUICE_RETURN_IF_ERROR(CheckKept(options));
    output.err() << options.keyring << ": is there, and stays as it is.\n";
    return ExitCode::kOk;
  }
  base::SystemRandom random;
  bool known = false;
  auto prepare = [&]() -> absl::StatusOr<Keyring> {
    SLUICE_RETURN_IF_ERROR(CheckNew(options.keyring));
    SLUICE_ASSIGN_OR_RETURN(Keyring keyring, Keyring::Load(options.copy, options.copy_key));
    // What the lost keyring had, if it is still written beside it.
    auto record =
        privacy::EpochRecord::Load(privacy::EpochRecord::PathOf(options.keyring), keyring);
    if (!record.ok() && !absl::IsNotFound(record.status())) return record.status();
    known = record.ok() && keyring.KnownTo(&*record);
    if (known || !options.nothing_since)
      SLUICE_RETURN_IF_ERROR(keyring.Restored(record.ok() ? &*record : nullptr, random));
    return keyring;
  };
  constexpr trail::Operation kOperation = trail::Operation::kAlteration;
  absl::StatusOr<Keyring> keyring = prepare();
  SLUICE_RETURN_IF_ERROR(
      Record(options, kOperation, "RestoreKeyring", keyring.status(), options.copy));
  SLUICE_RETURN_IF_ERROR(RecordFailure(options, kOperation, "RestoreKeyring",
                                       keyring->Save(options.keyring, options.key, random),
                                       options.copy));
  for (const privacy::KeyringDomain& domain : keyring->domains()) {
    if (domain.next_epoch_min <= domain.newest() + 1) continue;
    output.err() << "Domain '" << domain.name << "' goes on with epoch " << domain.next_epoch_min
                 << " at its next rotation: "
                 << (known ? "the numbers before it were used"
                           : "the numbers before it may have been used since the backup")
                 << ", and none is used twice.\n";
  }
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Convert(const Options& options, Output& output) {
  privacy::Rotation::Counts counts;
  std::string converted;
  constexpr trail::Operation kOperation = trail::Operation::kAlteration;
  auto prepare = [&]() -> absl::StatusOr<privacy::Rotation> {
    SLUICE_ASSIGN_OR_RETURN(Keyring keyring, Keyring::Load(options.keyring, options.key));
    return privacy::Rotation::Create(keyring, options.domain);
  };
  absl::StatusOr<privacy::Rotation> rotation = prepare();
  // Before the first pseudonym leaves; how many they were is written behind the last.
  SLUICE_RETURN_IF_ERROR(
      Record(options, kOperation, "BeginConvertPseudonyms", rotation.status(), options.input));
  absl::Status done =
      ForEachLine(options.input, output, [&](const std::string& line) -> absl::Status {
        converted.clear();
        SLUICE_RETURN_IF_ERROR(rotation->Convert(line, converted, counts));
        output.out() << converted;
        return output.out() ? absl::OkStatus() : absl::InternalError("the result can't be written");
      });
  SLUICE_RETURN_IF_ERROR(
      Record(options, kOperation, "ConvertPseudonyms", done, options.input, counts.converted));
  return ReportConversion(counts, output);
}

}  // namespace

void AddKeyringCommands(Program& program) {
  auto options = std::make_shared<Options>();
  CLI::App& keys = program.Group("keys", "Make keys, and rotate, retire and destroy them");
  using Run = absl::StatusOr<ExitCode> (*)(const Options&, Output&);
  auto add = [&](const Program::About& about, Run run) -> CLI::App& {
    CLI::App& command =
        program.Add(keys, about, [options, run](Output& output) { return run(*options, output); });
    command.add_option("--keyring", options->keyring, "The keyring's file")->required();
    command
        .add_option("--key-encryption-key", options->key, "The file of the key that encrypts it")
        ->required();
    return command;
  };
  auto recorded = [&](CLI::App& command) {
    command.add_option("--trail", options->trail,
                       "The audit trail's file; what can't be recorded there isn't done");
    command.add_option("--reason", options->reason, "Why, for the trail");
  };
  auto of_domain = [&](CLI::App& command) {
    command.add_option("--domain", options->domain, "The domain's name")->required();
  };
  const std::string files = " --keyring keyring --key-encryption-key kek";

  add({.name = "list",
       .summary = "Show a keyring's domains and epochs",
       .examples = {{"keys list" + files, "Which epochs are active, retired, destroyed"}}},
      List);
  CLI::App& added = add({.name = "add",
                         .summary = "Add a domain to a keyring",
                         .examples = {{"keys add" + files + " --domain research --label res",
                                       "Its pseudonyms begin with res1-"}}},
                        AddDomain);
  of_domain(added);
  added.add_option("--label", options->label, "How its pseudonyms begin: 1 to 8 letters")
      ->required();
  CLI::App& rotate =
      add({.name = "rotate",
           .summary = "Begin a new epoch of a domain",
           .examples = {{"keys rotate" + files + " --domain intelligence",
                         "See docs/guides/rotate-keys.md for the steps before and after it"}}},
          Rotate);
  of_domain(rotate);
  CLI::App& retire = add({.name = "retire",
                          .summary = "Take an old epoch out of use; its keys are kept",
                          .examples = {{"keys retire" + files + " --domain intelligence --epoch 1",
                                        "Once nobody holds unconverted pseudonyms of it"}}},
                         Retire);
  CLI::App& destroy =
      add({.name = "destroy",
           .summary = "Destroy a retired epoch's keys for good",
           .examples = {{"keys destroy" + files + " --domain intelligence --epoch 1 --yes",
                         "Its pseudonyms can't be tied to anything any more"}}},
          Destroy);
  destroy.add_flag("--yes", options->confirmed, "I know that nobody can undo this");
  for (CLI::App* command : {&retire, &destroy}) {
    of_domain(*command);
    command->add_option("--epoch", options->epoch, "The epoch's number")->required();
  }
  CLI::App& backup =
      add({.name = "backup",
           .summary = "Copy a keyring to a new file under another key, and read it back",
           .examples = {{"keys backup" + files + " --to keyring.backup --to-key backup-kek",
                         "Keep file and key in two places"}}},
          Backup);
  backup.add_option("--to", options->copy, "The copy's file; must not exist")->required();
  backup.add_option("--to-key", options->copy_key, "The file of the copy's key")->required();
  CLI::App& restore =
      add({.name = "restore",
           .summary = "Make a keyring from its backup; overwrites nothing",
           .examples = {{"keys restore" + files + " --from keyring.backup --from-key backup-kek",
                         "Move a damaged keyring away first"}}},
          Restore);
  restore.add_option("--from", options->copy, "The backup's file")->required();
  restore.add_option("--from-key", options->copy_key, "The file of the backup's key")->required();
  restore.add_flag("--nothing-since", options->nothing_since,
                   "No epoch was begun since the backup: the next rotation takes the next number");
  restore.add_flag(
      "--keep", options->keep,
      "Where the backup's keyring is there already, leave it as it is: for what runs at "
      "every start");
  CLI::App& convert =
      add({.name = "convert",
           .summary = "Convert a domain's old pseudonyms in a text to its newest epoch",
           .examples = {{"keys convert" + files + " --domain intelligence old.jsonl > new.jsonl",
                         "JSON lines, CSV or any text; exit code 1: some epoch isn't active"}}},
          Convert);
  of_domain(convert);
  convert.add_option("file", options->input, "The text; - for standard input");
  for (CLI::App* command : {&added, &rotate, &retire, &destroy, &backup, &restore, &convert})
    recorded(*command);
}

}  // namespace sluice::ctl
