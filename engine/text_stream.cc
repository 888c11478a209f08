#include "engine/text_stream.h"

#include "engine/unicode.h"

namespace hetllm {

void TextStream::Write(std::string_view text) {
  if (!text.empty()) {
    std::fwrite(text.data(), 1, text.size(), file_);
    std::fflush(file_);
    at_line_start_ = text.back() == '\n';
  }
}

void TextStream::Add(std::string_view piece) {
  held_ += piece;
  const size_t whole = WholeCharacters(held_);
  Write(std::string_view(held_).substr(0, whole));
  held_.erase(0, whole);
}

void TextStream::Finish() {
  Write(held_);
  held_.clear();
}

}  // namespace hetllm
