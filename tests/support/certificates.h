// Authorities and what they signed, for tests of TLS.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "tests/support/temp_dir.h"

namespace sluice::test_support {

// PEM files.
struct CertificateFiles {
  std::string certificate;
  std::string private_key;
  std::string authority;
};

// In a folder of its own, which goes with it. Certificates are valid for an hour where nothing else
// is said.
class Certificates {
 public:
  Certificates() = default;
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;
  ~Certificates() {
    for (auto& [name, authority] : authorities_) {
      X509_free(authority.certificate);
      EVP_PKEY_free(authority.key);
    }
  }

  const std::string& folder() const { return folder_->path(); }

  // Replaces what was issued for this name. `names` is OpenSSL's form of a subjectAltName. An
  // authority is made when it is first named.
  // `valid_s` below 0: it has expired.
  CertificateFiles Issue(const std::string& authority, const std::string& name,
                         const std::string& names, long valid_s = 3600) {
    Pair& issuer = authorities_[authority];
    if (issuer.certificate == nullptr) issuer = Make(authority, "", nullptr, 3600);
    Pair pair = Make(name, names, &issuer, valid_s);
    std::string stem = folder() + "/" + name;
    CertificateFiles files{stem + ".crt", stem + ".key", folder() + "/" + authority + ".crt"};
    WriteCertificate(files.certificate, pair.certificate);
    WriteCertificate(files.authority, issuer.certificate);
    BIO* bio = BIO_new_file(files.private_key.c_str(), "w");
    PEM_write_bio_PrivateKey(bio, pair.key, nullptr, nullptr, 0, nullptr, nullptr);
    BIO_free(bio);
    X509_free(pair.certificate);
    EVP_PKEY_free(pair.key);
    return files;
  }

 private:
  struct Pair {
    X509* certificate = nullptr;
    EVP_PKEY* key = nullptr;
  };

  static Pair Make(const std::string& name, const std::string& names, Pair* issuer, long valid_s) {
    static int serial = 0;
    Pair pair{X509_new(), EVP_EC_gen("P-256")};
    X509_set_version(pair.certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(pair.certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(pair.certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(pair.certificate), valid_s);
    X509_set_pubkey(pair.certificate, pair.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(pair.certificate), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    const Pair& by = issuer == nullptr ? pair : *issuer;
    X509_set_issuer_name(pair.certificate, X509_get_subject_name(by.certificate));
    if (issuer == nullptr) Extend(pair.certificate, NID_basic_constraints, "critical,CA:TRUE");
    if (!names.empty()) Extend(pair.certificate, NID_subject_alt_name, names);
    X509_sign(pair.certificate, by.key, EVP_sha256());
    return pair;
  }

  static void Extend(X509* certificate, int nid, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }

  // By renaming, as a site's tool does: nobody reads half a file.
  static void WriteCertificate(const std::string& path, X509* certificate) {
    std::string temporary = path + ".new";
    BIO* bio = BIO_new_file(temporary.c_str(), "w");
    PEM_write_bio_X509(bio, certificate);
    BIO_free(bio);
    std::filesystem::rename(temporary, path);
  }

  const std::unique_ptr<TempDir> folder_ = *TempDir::Create("certificates");
  std::map<std::string, Pair> authorities_;
};

}  // namespace sluice::test_support
