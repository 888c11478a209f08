// TextStream: writes the pieces of tokens to a file as they come, never half a character: what may
// be the beginning of one is held back until the next piece, or Finish.
//
// Used by one thread. The file is borrowed and flushed after every piece.
#ifndef HET_ENGINE_TEXT_STREAM_H_
#define HET_ENGINE_TEXT_STREAM_H_

#include <cstdio>
#include <string>
#include <string_view>

namespace hetllm {

class TextStream {
 public:
  explicit TextStream(std::FILE* file) : file_(file) {}
  void Add(std::string_view piece);
  // Writes what is held back, as it is.
  void Finish();
  // Of what was written since Finish; false when nothing was.
  bool at_line_start() const { return at_line_start_; }

 private:
  void Write(std::string_view text);

  std::FILE* const file_;
  std::string held_;
  bool at_line_start_ = false;
};

}  // namespace hetllm

#endif  // HET_ENGINE_TEXT_STREAM_H_
