// How libFuzzer changes an input, where it is a text of parts: beside its own ways, a part (a line,
// a cell, an object, a message) is repeated with a letter changed, so that lists grow and keys
// differ.
#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t size_max);

namespace {

// The end of the part that begins at `at`: behind the bracket that closes it, or behind the line.
size_t EndOfPart(const std::string& text, size_t at) {
  const char open = text[at];
  const char close = open == '{' ? '}' : open == '[' ? ']' : open == '(' ? ')' : '\0';
  size_t depth = 0;
  for (size_t i = at; i < text.size(); ++i) {
    if (close == '\0' && (text[i] == '\n' || (open != '\n' && text[i] == ','))) return i + 1;
    if (text[i] == open) ++depth;
    if (close != '\0' && text[i] == close && --depth == 0) return i + 1;
  }
  return text.size();
}

void ChangeOneLetter(std::string& part, std::minstd_rand& random) {
  for (int tries = 0; tries < 8 && !part.empty(); ++tries) {
    char& c = part[random() % part.size()];
    const auto byte = static_cast<unsigned char>(c);
    if (std::isdigit(byte)) {
      c = static_cast<char>('0' + random() % 10);
    } else if (std::islower(byte)) {
      c = static_cast<char>('a' + random() % 26);
    } else if (std::isupper(byte)) {
      c = static_cast<char>('A' + random() % 26);
    } else {
      continue;
    }
    return;
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t size_max,
                                          unsigned seed) {
  std::minstd_rand random(seed);
  if (size < 4 || random() % 4 != 0) return LLVMFuzzerMutate(data, size, size_max);
  std::string text(reinterpret_cast<const char*>(data), size);
  size_t begin = random() % size;
  // Mostly where a part begins.
  for (int tries = 0; tries < 4 && std::strchr("{[(\n", text[begin]) == nullptr; ++tries)
    begin = random() % size;
  const bool line = random() % 2 == 0;
  if (line) begin = begin == 0 ? 0 : text.rfind('\n', begin - 1) + 1;
  const size_t end = line ? std::min(text.find('\n', begin), size - 1) + 1 : EndOfPart(text, begin);
  std::string part = text.substr(begin, end - begin);
  ChangeOneLetter(part, random);
  const char* const separators[] = {"", "", ",", "\n", " "};
  text.insert(end, separators[random() % 5] + part);
  size = std::min(text.size(), size_max);
  std::memcpy(data, text.data(), size);
  return size;
}
