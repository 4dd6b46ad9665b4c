#include "benchmarks/workload.h"

#include <cstdio>

namespace sluice::bench {

const std::string_view kWorkloadContract = R"(syntax = "proto3";
package bench;
import "buf/validate/validate.proto";
import "google/protobuf/timestamp.proto";
import "sluice/contract/v1/options.proto";
message StopSearch {
  option (sluice.contract.v1.event) = {id: "event_id" time: "occurred_at" raw_key: RAW_KEY_NOT_PERSONAL};
  option (sluice.contract.v1.not_personal) = {fields: [
    "type", "involved_person", "legislation", "object_of_search", "outcome", "outcome_linked_to_object", "strip_searched"
  ]};
  string event_id = 1 [(buf.validate.field).string.min_len = 1];
  string type = 2 [(buf.validate.field).string = {in: ["Person search", "Vehicle search", "Person and Vehicle search"]}];
  google.protobuf.Timestamp occurred_at = 3 [(buf.validate.field).required = true];
  bool involved_person = 4;
  Officer officer = 5;
  Person subject = 6;
  Location location = 7;
  string legislation = 8;
  string object_of_search = 9;
  string outcome = 10;
  bool outcome_linked_to_object = 11;
  bool strip_searched = 12;
  string narrative = 13 [(sluice.contract.v1.field).free_text = true];
}
message Officer {
  option (sluice.contract.v1.not_personal) = {fields: ["borough"]};
  string warrant_no = 1 [(sluice.contract.v1.field).identifier = WARRANT_NUMBER];
  string borough = 2;
}
message Person {
  // Kept: a workload is about the work, not about an audience.
  option (sluice.contract.v1.not_personal) = {fields: ["gender", "self_defined_ethnicity", "officer_defined_ethnicity"]};
  string name = 1 [(sluice.contract.v1.field).identifier = PERSON_NAME];
  string date_of_birth = 2 [(sluice.contract.v1.field).quasi = DATE_OF_BIRTH];
  string gender = 3;
  string self_defined_ethnicity = 4;
  string officer_defined_ethnicity = 5;
  string phone = 6 [(sluice.contract.v1.field).identifier = PHONE];
  string pnc_id = 7 [(sluice.contract.v1.field).identifier = PNC_ID];
}
message Location {
  option (sluice.contract.v1.not_personal) = {fields: ["latitude", "longitude", "street"]};
  double latitude = 1 [(buf.validate.field).double = {gte: 51.2 lte: 51.8}];
  double longitude = 2 [(buf.validate.field).double = {gte: -0.6 lte: 0.4}];
  string postcode = 3 [(sluice.contract.v1.field).identifier = POSTCODE];
  string street = 4;
}
)";

const std::string_view kWorkloadPipeline = R"(contract: bench.StopSearch
input: {topic: bench.raw}
quarantine: {topic: bench.quarantine, public_key: quarantine.pub}
enrich:
  - {set: boroughs, key: officer.borough, into: borough}
streams:
  - name: clean
    topic: bench.clean
    domain: bench
    internal: true
    key: raw
    treat:
      PERSON_NAME: pseudonymise
      PHONE: pseudonymise
      PNC_ID: pseudonymise
      WARRANT_NUMBER: pseudonymise
      DATE_OF_BIRTH: {generalise: {age_bands: [18, 25, 35, 50]}, as: age_band}
      POSTCODE: {generalise: district}
      FREE_TEXT: drop
)";

std::string Workload::Next() {
  uint64_t number = count_++;
  uint32_t person = Below(500'000);
  int broken = number % 100 == 99 ? static_cast<int>(number / 100 % 6) : -1;
  uint32_t borough = number % 100 == 49 ? 99 : 1 + Below(33);
  char text[1024];
  int size = std::snprintf(
      text, sizeof(text),
      R"({"event_id":"%016llx","type":"%s","occurred_at":"2026-%02u-%02uT%02u:%02u:00%s","involved_person":true,)"
      R"("officer":{"warrant_no":"%06u","borough":"E09%06u"},)"
      R"("subject":{"name":"Person %06u","date_of_birth":"%u-%02u-%s","gender":"Male","self_defined_ethnicity":"W1",)"
      R"("officer_defined_ethnicity":"White","phone":"+4477009%05u","pnc_id":"%02u/%07uA"},)"
      R"("location":{"latitude":%.6f,"longitude":%.6f,"postcode":"SW1A 1AA","street":"On or near High Street"},)"
      R"json("legislation":"Misuse of Drugs Act 1971 (section 23)","object_of_search":"Controlled drugs",)json"
      R"("outcome":"A no further action disposal","outcome_linked_to_object":false,"strip_searched":false,)"
      R"("narrative":"Stopped on %02u after matching description circulated by control room, ref %07u."})",
      static_cast<unsigned long long>(random_()), broken == 0 ? "Kerbside chat" : "Person search",
      1 + Below(12), 1 + Below(28), Below(24), Below(60), broken == 3 ? "" : "+00:00",
      Below(1'000'000), borough, person, 1950 + person % 60, 1 + person % 12,
      broken == 4 ? "xx" : "12", person % 100'000, 50 + person % 50, person,
      broken == 1 ? 55.0 : 51.3 + Below(400'000) / 1e6,
      broken == 2 ? 5.0 : -0.5 + Below(800'000) / 1e6, Below(28), Below(10'000'000));
  return std::string(text, static_cast<size_t>(broken == 5 ? size / 2 : size));
}

}  // namespace sluice::bench
