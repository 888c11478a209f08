#include "engine/text_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "engine/error.h"

namespace hetllm {

std::string ReadTextFile(const std::string& path) {
  std::FILE* file = path == "-" ? stdin : std::fopen(path.c_str(), "rb");
  if (file == nullptr) {
    throw Error(Cat("cannot open '", path, "': ", std::strerror(errno)),
                errno == ENOENT ? Exit::kNotFound : Exit::kError);
  }
  std::string text;
  char piece[1 << 16];
  size_t size;
  while ((size = std::fread(piece, 1, sizeof(piece), file)) > 0) {
    text.append(piece, size);
  }
  const bool failed = std::ferror(file) != 0;
  if (file != stdin) {
    std::fclose(file);
  }
  if (failed) {
    throw Error(Cat("cannot read '", path, "': ", std::strerror(errno)));
  }
  return text;
}

}  // namespace hetllm
