// Any bytes as the notes of a death: each note names offsets of one partition, and what is written
// of the notes reads as the same ones.
#include "services/processor/deaths.h"
#include "tests/fuzz/planted.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::vector<processor::DeathNote> notes = processor::ParseDeathNotes(text);
  for (const processor::DeathNote& note : notes) {
    fuzz::Require(
        !note.topic.empty() && note.partition >= 0 && note.first >= 0 && note.first <= note.last,
        "a note that names nothing");
  }
  fuzz::Require(processor::ParseDeathNotes(processor::DeathNotesText(notes)) == notes,
                "other notes when they are read back");
  fuzz::Planted(notes.size() == 3 && notes[1].first + 7 == notes[1].last);
  return 0;
}
