#include "common/rpc/tls.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/rpc/tls_pair.h"

namespace sluice::rpc {
namespace {

template <typename T, void (*free)(T*)>
struct Deleter {
  void operator()(T* object) const { free(object); }
};
using Certificate = std::unique_ptr<X509, Deleter<X509, X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};

absl::Status Wrong(std::string_view option, std::string_view key, const std::string& file,
                   std::string_view what) {
  ERR_clear_error();
  return absl::InvalidArgumentError(base::StrCat(option, '.', key, ": ", file, ": ", what));
}

// OpenSSL would ask the terminal for the password of an encrypted key.
int NoPassword(char*, int, int, void*) { return -1; }

absl::StatusOr<std::unique_ptr<BIO, BioDeleter>> Open(std::string_view option, std::string_view key,
                                                      const std::string& file) {
  if (file.empty()) return Wrong(option, key, "(empty)", "name a PEM file");
  std::unique_ptr<BIO, BioDeleter> bio(BIO_new_file(file.c_str(), "r"));
  if (bio == nullptr)
    return Wrong(option, key, file, "can't be read: does it exist, and may this user read it?");
  return bio;
}

absl::StatusOr<Certificate> ReadCertificate(std::string_view option, std::string_view key,
                                            const std::string& file) {
  SLUICE_ASSIGN_OR_RETURN(auto bio, Open(option, key, file));
  Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, NoPassword, nullptr));
  if (certificate == nullptr) return Wrong(option, key, file, "holds no PEM certificate");
  return certificate;
}

std::shared_ptr<grpc::experimental::FileWatcherCertificateProvider> Watch(const TlsFiles& files) {
  const TlsPair::Watched watched = TlsPair::Of(files).watched();
  return std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      watched.private_key, watched.certificate, watched.authority,
      static_cast<unsigned>(watched.refresh_s));
}

std::vector<std::string> Values(const grpc::AuthContext& context, const char* property) {
  std::vector<std::string> values;
  for (const grpc::string_ref& value : context.FindPropertyValues(property)) {
    values.emplace_back(value.data(), value.size());
  }
  return values;
}

}  // namespace

absl::Status CheckTlsFiles(const TlsFiles& files, std::string_view option) {
  if (files.refresh_s < 1) {
    return absl::InvalidArgumentError(base::StrCat(option, ".refresh_s: must be at least 1"));
  }
  SLUICE_ASSIGN_OR_RETURN(Certificate certificate,
                          ReadCertificate(option, "certificate", files.certificate));
  SLUICE_ASSIGN_OR_RETURN(auto key_bio, Open(option, "private_key", files.private_key));
  Key key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, NoPassword, nullptr));
  if (key == nullptr) {
    return Wrong(option, "private_key", files.private_key, "holds no unencrypted PEM private key");
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return Wrong(option, "private_key", files.private_key,
                 base::StrCat("isn't the key of the certificate in ", files.certificate));
  }
  return ReadCertificate(option, "client_ca", files.authority).status();
}

absl::Status CheckTlsPair(const std::string& private_key, const std::string& certificate,
                          std::string_view option) {
  std::unique_ptr<BIO, BioDeleter> key_bio(
      BIO_new_mem_buf(private_key.data(), static_cast<int>(private_key.size())));
  std::unique_ptr<BIO, BioDeleter> certificate_bio(
      BIO_new_mem_buf(certificate.data(), static_cast<int>(certificate.size())));
  Key key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, NoPassword, nullptr));
  Certificate first(PEM_read_bio_X509(certificate_bio.get(), nullptr, NoPassword, nullptr));
  const bool match =
      key != nullptr && first != nullptr && X509_check_private_key(first.get(), key.get()) == 1;
  ERR_clear_error();
  if (match) return absl::OkStatus();
  return absl::InvalidArgumentError(
      base::StrCat(option, ": the private key isn't the certificate's"));
}

std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const TlsFiles& files) {
  grpc::experimental::TlsServerCredentialsOptions options(Watch(files));
  options.watch_identity_key_cert_pairs();
  options.watch_root_certs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> MakeChannelCredentials(const TlsFiles& files) {
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(Watch(files));
  options.watch_identity_key_cert_pairs();
  options.watch_root_certs();
  return grpc::experimental::TlsCredentials(options);
}

std::string Peer::Name() const {
  if (!authenticated) return "";
  if (!spiffe_id.empty()) return spiffe_id;
  if (!dns_names.empty()) return dns_names[0];
  if (!uris.empty()) return uris[0];
  return common_name;
}

std::string Peer::AlternativeName() const {
  if (!authenticated) return "";
  if (!spiffe_id.empty()) return spiffe_id;
  return dns_names.empty() ? "" : dns_names[0];
}

Peer PeerOf(const grpc::AuthContext& context) {
  Peer peer;
  if (!context.IsPeerAuthenticated()) return peer;
  peer.authenticated = true;
  peer.uris = Values(context, GRPC_PEER_URI_PROPERTY_NAME);
  peer.dns_names = Values(context, GRPC_PEER_DNS_PROPERTY_NAME);
  if (auto ids = Values(context, GRPC_PEER_SPIFFE_ID_PROPERTY_NAME); ids.size() == 1) {
    peer.spiffe_id = ids[0];
  }
  if (auto names = Values(context, GRPC_X509_CN_PROPERTY_NAME); !names.empty()) {
    peer.common_name = names[0];
  }
  return peer;
}

}  // namespace sluice::rpc
