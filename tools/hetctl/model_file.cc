#include "tools/hetctl/model_file.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/json.h"
#include "base/status.h"

extern char** environ;

namespace het::hetctl {
namespace {

std::string FindEngine() {
  if (const char* named = std::getenv("HET_HETLLM")) return named;
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof(self));
  if (length > 0) {
    std::string beside(self, static_cast<size_t>(length));
    beside = beside.substr(0, beside.rfind('/')) + "/hetllm";
    if (access(beside.c_str(), X_OK) == 0) return beside;
  }
  return "hetllm";  // the PATH
}

struct Output {
  int exit_code = 0;
  std::string out;
  std::string err;
};

std::string ReadAll(int fd) {
  std::string text;
  char block[1 << 16];
  ssize_t got;
  while ((got = read(fd, block, sizeof(block))) > 0 || (got < 0 && errno == EINTR)) {
    if (got > 0) text.append(block, static_cast<size_t>(got));
  }
  return text;
}

// Runs a program to its end. Its standard error goes through a file, so that neither stream can
// block the other.
absl::StatusOr<Output> RunProgram(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) return ErrnoStatus(errno, "cannot make a pipe");
  FILE* errors = tmpfile();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  if (errors != nullptr) posix_spawn_file_actions_adddup2(&actions, fileno(errors), STDERR_FILENO);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  Output output;
  if (error == 0) {
    output.out = ReadAll(out[0]);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    output.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (errors != nullptr) {
      lseek(fileno(errors), 0, SEEK_SET);
      output.err = ReadAll(fileno(errors));
    }
  }
  close(out[0]);
  if (errors != nullptr) fclose(errors);
  if (error != 0) {
    return absl::NotFoundError(
        absl::StrCat("cannot run ", words[0],
                     ", which reads model files (is hetllm installed? HET_HETLLM names it)"));
  }
  return output;
}

}  // namespace

absl::StatusOr<protocol::ModelSpec> DescribeModel(const std::string& path, const ModelLoad& load) {
  HET_ASSIGN_OR_RETURN(const Output output,
                       RunProgram({FindEngine(), "info", "-m", path, "-o", "json"}));
  if (output.exit_code != 0) {
    std::string message(absl::StripAsciiWhitespace(output.err));
    if (message.empty()) message = absl::StrCat("hetllm info ended with ", output.exit_code);
    return output.exit_code == 4 ? absl::NotFoundError(message)
                                 : absl::InvalidArgumentError(message);
  }
  HET_ASSIGN_OR_RETURN(const Json info, ParseJson(output.out));
  protocol::ModelSpec model;
  HET_ASSIGN_OR_RETURN(model.name, JsonString(info, "name"));
  HET_ASSIGN_OR_RETURN(const uint64_t width, JsonUint(info, "embedding"));
  model.activation_bytes = width * 4 * load.rows;
  const auto layers = info.find("layers");
  if (layers == info.end() || !layers->is_array() || layers->empty()) {
    return absl::InternalError("hetllm info gave no layers");
  }
  for (const Json& entry : *layers) {
    protocol::ModelLayer layer;
    HET_ASSIGN_OR_RETURN(layer.weight_bytes, JsonUint(entry, "weight_bytes"));
    HET_ASSIGN_OR_RETURN(const uint64_t kv, JsonUint(entry, "kv_bytes_per_token"));
    HET_ASSIGN_OR_RETURN(const double flops, JsonNumber(entry, "flops_per_token"));
    layer.kv_bytes = kv * load.context * load.sequences;
    layer.flops = flops * static_cast<double>(load.rows);
    protocol::ModelLayer* last = model.layers.empty() ? nullptr : &model.layers.back();
    if (last && last->weight_bytes == layer.weight_bytes && last->kv_bytes == layer.kv_bytes &&
        last->flops == layer.flops) {
      ++last->count;
    } else {
      model.layers.push_back(layer);
    }
  }
  return model;
}

}  // namespace het::hetctl
