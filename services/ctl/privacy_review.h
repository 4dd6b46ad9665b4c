// What a privacy engineer would say of a pipeline that compiles: what each audience gets of each
// field, whether an identifier reaches one as it stands, and what to think about again.
#pragma once

#include <string>
#include <vector>

#include "common/engine/pipeline.h"

namespace sluice::ctl {

// A field, and what each stream does with it, stream by stream, in words.
struct MatrixRow {
  std::string path;
  std::string classification;  // empty: not personal
  std::vector<std::string> treatments;
};

// Something to think about. Streams accept warnings by name, with a reason (`accept`).
struct Warning {
  std::string name;         // such as kept:ETHNICITY
  std::string stream;       // empty: of the whole pipeline
  std::string config_path;  // where it is decided, such as pipeline.streams[0].treat[PHONE]
  std::string text;         // what, and what could be done
};

struct Accepted {
  std::string name;
  std::string stream;
  std::string reason;
};

struct Review {
  std::vector<std::string> streams;
  std::vector<MatrixRow> matrix;  // every field that isn't a message, every joined row
  // Identifiers of the contract × streams, by what is done with them. The proof holds when none is
  // kept: then each was dropped, replaced or reduced by a decision that the configuration states. A
  // mask that shows as much as finds the person counts as kept.
  size_t identifiers = 0;
  size_t kept = 0;
  // Texts that a stream gets: scrubbed as far as that goes, or less. No proof covers them.
  struct Text {
    std::string stream;
    std::string path;
    std::string treatment;  // scrub: pseudonyms, keep ...
  };
  std::vector<Text> texts;
  // What reaches each leaf of each output: a field, a joined cell, a treatment's set, or where the
  // record stood.
  struct Reach {
    std::string stream;
    std::string output;
    std::string from;
    std::string how;  // whole, chosen by, or the treatment in words
  };
  std::vector<Reach> reaches;
  // What is worth knowing and no mistake, such as a reference set's column that nobody gets.
  std::vector<std::string> notes;
  std::vector<Warning> warnings;
  std::vector<Accepted> accepted;

  bool proven() const { return kept == 0; }
};

Review ReviewPipeline(const engine::Pipeline& pipeline);

// Every flow that grew: what `pipeline` hides less well than `before` did, or can't be compared.
// One warning each, which nobody accepts in a file. Streams are compared by name, fields and joined
// columns by path.
std::vector<Warning> CompareStrength(const engine::Pipeline& before,
                                     const engine::Pipeline& pipeline);

}  // namespace sluice::ctl
