// What a stream's subscribers get, as a protobuf schema: it follows from contract and treatments.
#pragma once

#include <google/protobuf/descriptor.pb.h>

#include <string>

#include "absl/status/statusor.h"
#include "common/engine/pipeline.h"

namespace sluice::engine {

// The file with the message that a stream's records are: in binary where its format is protobuf, in
// protobuf's JSON mapping with the fields' own names where it is json. It imports only
// google/protobuf/{timestamp,duration}.proto. Packages are the contract's with the stream's name
// behind it, since two streams of one contract have different schemas.
google::protobuf::FileDescriptorProto OutputSchema(const Pipeline& pipeline,
                                                   const StreamPlan& stream);

// Whether the schema is valid protobuf; kInvalidArgument names the fields whose names or types
// protobuf can't have.
absl::Status CheckOutputSchema(const Pipeline& pipeline, const StreamPlan& stream);

// The same as a .proto file's text. kInternal: the schema isn't valid, which is a defect of ours.
absl::StatusOr<std::string> OutputSchemaText(const Pipeline& pipeline, const StreamPlan& stream);

}  // namespace sluice::engine
