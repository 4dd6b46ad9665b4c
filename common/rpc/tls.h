// Who may talk to whom: mutual TLS from files.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace sluice::rpc {

// PEM files. They are read again every refresh_s seconds, so that a certificate can be renewed
// without a restart; a half-written pair is not taken, and the one of before serves on (see
// tls_pair.h).
struct TlsFiles {
  // This side's certificate, with the chain up to the authority.
  std::string certificate;
  std::string private_key;
  // The authority that the other side's certificate must be signed by.
  std::string authority;
  int refresh_s = 60;
};

// Reads the files once, so that a wrong one is an error at the start and not a failed handshake
// later. `option` is what the errors call the options' parent. Error: kInvalidArgument names option
// and file.
absl::Status CheckTlsFiles(const TlsFiles& files, std::string_view option);

// Whether a private key is that of the first certificate, both PEM. kInvalidArgument.
absl::Status CheckTlsPair(const std::string& private_key, const std::string& certificate,
                          std::string_view option);

// A client must show a certificate signed by the authority.
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const TlsFiles& files);
// The server's certificate must be signed by the authority and carry the name that was connected
// to.
std::shared_ptr<grpc::ChannelCredentials> MakeChannelCredentials(const TlsFiles& files);

// Who is at the other end, by its certificate.
struct Peer {
  // Without TLS everything below is empty.
  bool authenticated = false;
  // URI of the form spiffe://..., see SPIFFE's X509-SVID; empty if there isn't exactly one.
  std::string spiffe_id;
  std::vector<std::string> uris;
  std::vector<std::string> dns_names;
  std::string common_name;

  // What authorisation and audit go by: the SPIFFE id, else the first DNS name, else the first URI,
  // else the common name; "" if unauthenticated.
  std::string Name() const;
  // The same by names that authorities check, for who decides by them alone: the SPIFFE id, else
  // the first DNS name; "" if there is neither.
  std::string AlternativeName() const;
};

Peer PeerOf(const grpc::AuthContext& context);

}  // namespace sluice::rpc
