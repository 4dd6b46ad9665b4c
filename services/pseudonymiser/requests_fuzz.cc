// Any bytes as a request of each of the service's calls: the rules refuse it without repeating what
// it holds, or the values in it are treated, and what is undone gives them back.
#include <google/protobuf/util/message_differencer.h>

#include <set>

#include "common/base/testing.h"
#include "common/privacy/identifier.h"
#include "common/privacy/keyring.h"
#include "common/privacy/pseudonym.h"
#include "common/validation/request_rules.h"
#include "services/pseudonymiser/conversion.h"
#include "services/pseudonymiser/service.h"
#include "tests/fuzz/planted.h"

namespace {

using namespace sluice;
using contract::v1::IdentifierKind;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Every text of the message, of every depth.
void Texts(const Message& message, std::vector<std::string>& out) {
  std::vector<const FieldDescriptor*> fields;
  const auto& reflection = *message.GetReflection();
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
        out.push_back(field->is_repeated() ? reflection.GetRepeatedString(message, field, i)
                                           : reflection.GetString(message, field));
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        Texts(field->is_repeated() ? reflection.GetRepeatedMessage(message, field, i)
                                   : reflection.GetMessage(message, field),
              out);
      }
    }
  }
}

struct Keys {
  Keys() {
    base::CountingRandom random;
    keyring = *privacy::Keyring::Create({{"a", "a"}, {"b", "b"}}, random);
    rules = *validation::RequestRules::Compile(*pseudonymiser::Service::Descriptor());
  }
  const privacy::KeyringDomain& domain() const { return *keyring->Find("a"); }
  std::optional<privacy::Keyring> keyring;
  std::unique_ptr<const validation::RequestRules> rules;
};
const Keys& TheKeys() {
  static const Keys* const keys = new Keys;
  return *keys;
}

bool IsKind(int kind) { return kind != 0 && contract::v1::IdentifierKind_IsValid(kind); }

void Encrypt(IdentifierKind kind, const std::string& value) {
  constexpr base::SecretAccess kAccess{};
  const Keys& keys = TheKeys();
  std::string canonical, encrypted, text;
  privacy::AppendCanonical(kind, value, canonical);
  auto key = keys.keyring->EncryptionKey("a", 1);
  auto cipher = privacy::ValueCipher::Create(key->Reveal(kAccess), "a");
  fuzz::Require(cipher->Encrypt(kind, canonical, encrypted).ok(), "not encrypted");
  privacy::AppendEncrypted({"a", 1}, encrypted, text);
  fuzz::Require(text.size() <= pseudonymiser::EncryptedTextBytesMax(value), "a longer answer");
  pseudonymiser::Recovery recovery(*keys.keyring, keys.domain(), false);
  auto back = recovery.Decrypt(kind, text);
  fuzz::Require(back.ok() && *back == canonical, "another value when it is decrypted");
}

void Preserve(IdentifierKind kind, const std::string& value) {
  constexpr base::SecretAccess kAccess{};
  const Keys& keys = TheKeys();
  std::string canonical, made;
  privacy::AppendCanonical(kind, value, canonical);
  auto key = keys.keyring->FormatKey("a", 1);
  auto preserver = privacy::FormatPreserver::Create(key->Reveal(kAccess));
  const absl::Status status = preserver->Encrypt(kind, canonical, made);
  fuzz::Require(status.ok() || (absl::IsOutOfRange(status) && made.empty()), "not preserved");
  if (!status.ok()) return;
  pseudonymiser::Recovery recovery(*keys.keyring, keys.domain(), false);
  auto back = recovery.Invert(kind, 1, made);
  fuzz::Require(back.ok() && *back == canonical, "another value when it is inverted");
  fuzz::Planted(kind == contract::v1::NHS_NUMBER || kind == contract::v1::POSTCODE);
}

void Convert(std::string blocks) {
  if (blocks.size() % sizeof(privacy::PseudonymBlock) != 0) return;
  const std::string before = blocks;
  const privacy::Keyring& keyring = *TheKeys().keyring;
  auto unknown = pseudonymiser::ConvertBlocks(keyring, "a", 1, "b", 1, blocks);
  fuzz::Require(unknown.ok() && blocks.size() == before.size(), "not converted");
  auto again = pseudonymiser::ConvertBlocks(keyring, "b", 1, "a", 1, blocks);
  fuzz::Require(again.ok() && (!unknown->empty() || blocks == before), "other blocks come back");
}

// What the service does with a request that the rules let through.
void Treat(const Message& request) {
  namespace v1 = pseudonymiser::v1;
  pseudonymiser::Recovery recovery(*TheKeys().keyring, TheKeys().domain(), true);
  if (auto* encrypt = dynamic_cast<const v1::EncryptRequest*>(&request)) {
    if (!IsKind(encrypt->kind())) return;
    for (const std::string& value : encrypt->values()) Encrypt(encrypt->kind(), value);
  } else if (auto* decrypt = dynamic_cast<const v1::DecryptRequest*>(&request)) {
    if (!IsKind(decrypt->kind())) return;
    for (const std::string& text : decrypt->encrypted())
      fuzz::Require(recovery.Decrypt(decrypt->kind(), text).ok(), "decryption failed");
  } else if (auto* preserve = dynamic_cast<const v1::FormatPreserveRequest*>(&request)) {
    if (!IsKind(preserve->kind())) return;
    for (const std::string& value : preserve->values()) Preserve(preserve->kind(), value);
  } else if (auto* invert = dynamic_cast<const v1::InvertFormatPreservedRequest*>(&request)) {
    if (!IsKind(invert->kind())) return;
    for (const std::string& value : invert->values()) {
      auto inverted = recovery.Invert(invert->kind(), invert->epoch(), value);
      fuzz::Require(inverted.ok() || absl::IsNotFound(inverted.status()), "inversion failed");
    }
  } else if (auto* convert = dynamic_cast<const v1::ConvertRequest*>(&request)) {
    Convert(convert->blocks());
  } else if (auto* rotate = dynamic_cast<const v1::RotateRequest*>(&request)) {
    Convert(rotate->blocks());
  } else if (auto* redeem = dynamic_cast<const v1::RedeemReidentificationRequest*>(&request)) {
    for (const auto& item : redeem->items())
      if (IsKind(item.kind()))
        fuzz::Require(recovery.Decrypt(item.kind(), item.encrypted()).ok(), "redemption failed");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto& service = *pseudonymiser::Service::Descriptor();
  if (size == 0) return 0;
  const Descriptor& type = *service.method(data[0] % service.method_count())->input_type();
  std::unique_ptr<Message> request(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(&type)->New());
  if (!request->ParseFromArray(data + 1, static_cast<int>(size - 1))) return 0;
  const absl::Status status = TheKeys().rules->Check(*request);
  if (status.ok()) {
    Treat(*request);
    return 0;
  }
  fuzz::Require(absl::IsInvalidArgument(status), "another error than a bad request's");
  // The same text for a request of the same shape with other values.
  std::vector<std::string> texts;
  Texts(*request, texts);
  for (const std::string& text : texts) {
    // Shorter ones are found in any sentence, and a rule's own words in none of a caller's.
    if (text.size() < 12) continue;
    fuzz::Require(status.message().find(absl::string_view(text.data(), text.size())) ==
                      absl::string_view::npos,
                  "a refusal repeats a value");
  }
  return 0;
}
