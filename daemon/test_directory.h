// TestDirectory: a folder of its own for one test, removed with everything in it.
#ifndef HET_DAEMON_TEST_DIRECTORY_H_
#define HET_DAEMON_TEST_DIRECTORY_H_

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace het::daemon {

class TestDirectory {
 public:
  TestDirectory() {
    char pattern[] = "/tmp/het-test-XXXXXX";
    path_ = mkdtemp(pattern);
  }
  TestDirectory(const TestDirectory&) = delete;
  ~TestDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  std::string Write(const std::string& name, const std::string& text, bool executable = false) {
    const std::string file = path_ + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    std::ofstream(file) << text;
    if (executable) std::filesystem::permissions(file, std::filesystem::perms(0755));
    return file;
  }

 private:
  std::string path_;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_TEST_DIRECTORY_H_
