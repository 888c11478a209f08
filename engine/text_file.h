// A whole text file in memory. Thread-safe. Errors (not there, not readable) are thrown as Error.
#ifndef HET_ENGINE_TEXT_FILE_H_
#define HET_ENGINE_TEXT_FILE_H_

#include <string>

namespace hetllm {

// "-" is standard input.
std::string ReadTextFile(const std::string& path);

}  // namespace hetllm

#endif  // HET_ENGINE_TEXT_FILE_H_
