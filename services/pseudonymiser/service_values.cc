// The calls that treat pseudonyms and values for people.
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/identifier.h"
#include "common/privacy/pseudonym.h"
#include "services/pseudonymiser/conversion.h"
#include "services/pseudonymiser/service.h"

namespace sluice::pseudonymiser {
namespace {

using config::v1::Permission;

constexpr size_t kBlockBytes = sizeof(privacy::PseudonymBlock);
constexpr base::SecretAccess kAccess{};

absl::Status CheckKind(int kind) {
  if (kind != 0 && contract::v1::IdentifierKind_IsValid(kind)) return absl::OkStatus();
  return absl::InvalidArgumentError("kind: name a kind of identifier");
}

std::string Canonical(contract::v1::IdentifierKind kind, std::string_view value) {
  std::string canonical;
  privacy::AppendCanonical(kind, value, canonical);
  return canonical;
}

}  // namespace

absl::Status Service::AdmitBlocks(Visit& visit, const std::string& blocks) const {
  if (blocks.size() % kBlockBytes != 0)
    return absl::InvalidArgumentError("blocks: have 16 bytes each");
  // Each may be told to be unknown, in five bytes.
  SLUICE_RETURN_IF_ERROR(CheckAnswer(blocks.size() + blocks.size() / kBlockBytes * 5 + 1'000));
  SLUICE_RETURN_IF_ERROR(Admit(visit, blocks.size() / kBlockBytes));
  for (size_t at = 0; at < blocks.size(); at += kBlockBytes)
    Watch(visit, 0, std::string_view(blocks).substr(at, kBlockBytes));
  return absl::OkStatus();
}

grpc::Status Service::Rotate(grpc::ServerContext* context, const v1::RotateRequest* request,
                             v1::RotateResponse* response) {
  return Serve(*context, "Rotate", *request, trail::Operation::kAlteration, [&](Visit& visit) {
    SLUICE_RETURN_IF_ERROR(Allow(visit, Permission::rotate, request->domain()));
    auto keys = keys_.current();
    SLUICE_ASSIGN_OR_RETURN(const auto* domain, FindDomain(visit, *keys, request->domain()));
    SLUICE_RETURN_IF_ERROR(Justify(visit, request->justification(), false));
    SLUICE_RETURN_IF_ERROR(AdmitBlocks(visit, request->blocks()));
    SLUICE_ASSIGN_OR_RETURN(uint32_t from, UsableEpoch(*domain, request->from_epoch(), false));
    SLUICE_ASSIGN_OR_RETURN(uint32_t to, UsableEpoch(*domain, request->to_epoch(), false));
    // Backwards it would make what nobody publishes any more.
    if (from > to) return absl::InvalidArgumentError("to_epoch: must not be older than from_epoch");
    std::string blocks = request->blocks();
    SLUICE_ASSIGN_OR_RETURN(
        std::vector<uint32_t> unknown,
        ConvertBlocks(keys->keyring(), domain->name, from, domain->name, to, blocks));
    visit.entry.subject = base::StrCat("epoch ", from, " to ", to, ", checks ",
                                       domain->Find(from)->check, " to ", domain->Find(to)->check);
    SLUICE_RETURN_IF_ERROR(Record(visit, blocks.size() / kBlockBytes - unknown.size()));
    response->mutable_unknown()->Add(unknown.begin(), unknown.end());
    response->set_checked(keys->keyring().check_bytes() > 0);
    response->set_blocks(std::move(blocks));
    response->set_label(domain->label);
    response->set_epoch(to);
    return absl::OkStatus();
  });
}

grpc::Status Service::Convert(grpc::ServerContext* context, const v1::ConvertRequest* request,
                              v1::ConvertResponse* response) {
  return Serve(*context, "Convert", *request, trail::Operation::kCombination, [&](Visit& visit) {
    SLUICE_RETURN_IF_ERROR(AllowConversion(visit, request->from_domain(), request->to_domain()));
    auto keys = keys_.current();
    SLUICE_ASSIGN_OR_RETURN(const auto* from, FindDomain(visit, *keys, request->from_domain()));
    SLUICE_ASSIGN_OR_RETURN(const auto* to, FindDomain(visit, *keys, request->to_domain()));
    SLUICE_RETURN_IF_ERROR(Justify(visit, request->justification(), false));
    SLUICE_RETURN_IF_ERROR(AdmitBlocks(visit, request->blocks()));
    SLUICE_ASSIGN_OR_RETURN(uint32_t from_epoch, UsableEpoch(*from, request->from_epoch(), false));
    SLUICE_ASSIGN_OR_RETURN(uint32_t to_epoch, UsableEpoch(*to, request->to_epoch(), false));
    std::string blocks = request->blocks();
    SLUICE_ASSIGN_OR_RETURN(
        std::vector<uint32_t> unknown,
        ConvertBlocks(keys->keyring(), from->name, from_epoch, to->name, to_epoch, blocks));
    visit.entry.recipients = {visit.caller};
    visit.entry.subject =
        base::StrCat("epoch ", from_epoch, " to ", to_epoch, ", checks ",
                     from->Find(from_epoch)->check, " to ", to->Find(to_epoch)->check);
    SLUICE_RETURN_IF_ERROR(Record(visit, blocks.size() / kBlockBytes - unknown.size()));
    response->mutable_unknown()->Add(unknown.begin(), unknown.end());
    response->set_checked(keys->keyring().check_bytes() > 0);
    response->set_blocks(std::move(blocks));
    response->set_label(to->label);
    response->set_epoch(to_epoch);
    response->set_from_label(from->label);
    response->set_from_newest_epoch(from->newest());
    return absl::OkStatus();
  });
}

template <typename Request, typename Values>
absl::StatusOr<const privacy::KeyringDomain*> Service::AdmitValues(Visit& visit, Call call,
                                                                   const Keys& keys,
                                                                   const Request& request,
                                                                   const Values& values,
                                                                   bool justified) const {
  SLUICE_RETURN_IF_ERROR(Allow(visit, call, request.domain()));
  SLUICE_ASSIGN_OR_RETURN(const auto* domain, FindDomain(visit, keys, request.domain()));
  SLUICE_RETURN_IF_ERROR(CheckKind(request.kind()));
  SLUICE_RETURN_IF_ERROR(Justify(visit, request.justification(), justified));
  uint64_t bytes = 0;
  for (const std::string& value : values) bytes += EncryptedTextBytesMax(value);
  SLUICE_RETURN_IF_ERROR(CheckAnswer(bytes));
  SLUICE_RETURN_IF_ERROR(Admit(visit, static_cast<uint64_t>(values.size())));
  return domain;
}

grpc::Status Service::Encrypt(grpc::ServerContext* context, const v1::EncryptRequest* request,
                              v1::EncryptResponse* response) {
  return Serve(*context, "Encrypt", *request, trail::Operation::kAlteration, [&](Visit& visit) {
    auto keys = keys_.current();
    SLUICE_ASSIGN_OR_RETURN(const auto* domain,
                            AdmitValues(visit, Permission::encrypt, *keys, *request,
                                        request->values(), /*justified=*/false));
    const uint32_t epoch = domain->newest();
    SLUICE_ASSIGN_OR_RETURN(base::SecretBytes key,
                            keys->keyring().EncryptionKey(domain->name, epoch));
    SLUICE_ASSIGN_OR_RETURN(auto cipher,
                            privacy::ValueCipher::Create(key.Reveal(kAccess), domain->name));
    v1::EncryptResponse made;
    for (const std::string& value : request->values()) {
      std::string canonical = Canonical(request->kind(), value), encrypted;
      Watch(visit, request->kind(), canonical);
      SLUICE_RETURN_IF_ERROR(cipher.Encrypt(request->kind(), canonical, encrypted));
      privacy::AppendEncrypted({domain->label, epoch}, encrypted, *made.add_encrypted());
    }
    SLUICE_RETURN_IF_ERROR(Record(visit, static_cast<uint64_t>(request->values_size())));
    response->Swap(&made);
    return absl::OkStatus();
  });
}

grpc::Status Service::Decrypt(grpc::ServerContext* context, const v1::DecryptRequest* request,
                              v1::DecryptResponse* response) {
  return Serve(*context, "Decrypt", *request, trail::Operation::kDisclosure, [&](Visit& visit) {
    auto keys = keys_.current();
    SLUICE_ASSIGN_OR_RETURN(const auto* domain,
                            AdmitValues(visit, Permission::decrypt, *keys, *request,
                                        request->encrypted(), /*justified=*/true));
    Recovery recovery(keys->keyring(), *domain, /*retired_too=*/false);
    v1::DecryptResponse made;
    for (const std::string& text : request->encrypted()) {
      Watch(visit, request->kind(), text);
      SLUICE_ASSIGN_OR_RETURN(std::string value, recovery.Decrypt(request->kind(), text));
      visit.misses += value.empty();
      made.add_values()->set_value(std::move(value));
    }
    visit.entry.recipients = {visit.caller};
    SLUICE_RETURN_IF_ERROR(
        Record(visit, static_cast<uint64_t>(request->encrypted_size()) - visit.misses));
    response->Swap(&made);
    return absl::OkStatus();
  });
}

grpc::Status Service::FormatPreserve(grpc::ServerContext* context,
                                     const v1::FormatPreserveRequest* request,
                                     v1::FormatPreserveResponse* response) {
  return Serve(
      *context, "FormatPreserve", *request, trail::Operation::kAlteration, [&](Visit& visit) {
        auto keys = keys_.current();
        SLUICE_ASSIGN_OR_RETURN(const auto* domain,
                                AdmitValues(visit, Permission::format_preserve, *keys, *request,
                                            request->values(), /*justified=*/false));
        const uint32_t epoch = domain->newest();
        SLUICE_ASSIGN_OR_RETURN(base::SecretBytes key,
                                keys->keyring().FormatKey(domain->name, epoch));
        SLUICE_ASSIGN_OR_RETURN(auto preserver,
                                privacy::FormatPreserver::Create(key.Reveal(kAccess)));
        v1::FormatPreserveResponse made;
        for (const std::string& value : request->values()) {
          std::string canonical = Canonical(request->kind(), value);
          Watch(visit, request->kind(), canonical);
          absl::Status status = preserver.Encrypt(request->kind(), canonical, *made.add_values());
          if (!status.ok() && !absl::IsOutOfRange(status)) return status;
        }
        made.set_epoch(epoch);
        SLUICE_RETURN_IF_ERROR(Record(visit, static_cast<uint64_t>(request->values_size())));
        response->Swap(&made);
        return absl::OkStatus();
      });
}

grpc::Status Service::InvertFormatPreserved(grpc::ServerContext* context,
                                            const v1::InvertFormatPreservedRequest* request,
                                            v1::InvertFormatPreservedResponse* response) {
  return Serve(
      *context, "InvertFormatPreserved", *request, trail::Operation::kDisclosure,
      [&](Visit& visit) {
        auto keys = keys_.current();
        SLUICE_ASSIGN_OR_RETURN(const auto* domain,
                                AdmitValues(visit, Permission::invert_format_preserved, *keys,
                                            *request, request->values(), /*justified=*/true));
        Recovery recovery(keys->keyring(), *domain, /*retired_too=*/false);
        v1::InvertFormatPreservedResponse made;
        for (const std::string& text : request->values()) {
          std::string canonical = Canonical(request->kind(), text);
          Watch(visit, request->kind(), canonical);
          SLUICE_ASSIGN_OR_RETURN(std::string value,
                                  recovery.Invert(request->kind(), request->epoch(), canonical));
          visit.misses += value.empty();
          made.add_values()->set_value(std::move(value));
        }
        visit.entry.recipients = {visit.caller};
        SLUICE_RETURN_IF_ERROR(
            Record(visit, static_cast<uint64_t>(request->values_size()) - visit.misses));
        response->Swap(&made);
        return absl::OkStatus();
      });
}

}  // namespace sluice::pseudonymiser
