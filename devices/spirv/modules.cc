#include "devices/spirv/modules.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "base/uuid.h"
#include "devices/kernels/prelude.h"

extern char** environ;

namespace het::spirv {
namespace {

constexpr uint32_t kMagic = 0x07230203;
constexpr size_t kHeaderWords = 5;
constexpr uint32_t kOpSourceExtension = 4, kOpExtension = 10, kOpExtInstImport = 11,
                   kOpMemoryModel = 14, kOpEntryPoint = 15, kOpExecutionMode = 16,
                   kOpCapability = 17, kOpExecutionModeId = 331;
constexpr char kKeyMark[] = "het-source:";
constexpr char kOptionsMark[] = "// options: ";

struct Tools {
  std::string clang, translator;
};

std::optional<std::string> OnPath(const std::string& name) {
  const char* path = std::getenv("PATH");
  for (absl::string_view folder : absl::StrSplit(path == nullptr ? "" : path, ':')) {
    std::string full = absl::StrCat(folder, "/", name);
    if (access(full.c_str(), X_OK) == 0) return full;
  }
  return std::nullopt;
}

// The two must be of one LLVM version: bitcode goes from one to the other.
absl::StatusOr<Tools> FindTools() {
  for (const char* suffix : {"-19", "-18", "-17", "-16", "-15", "-14", ""}) {
    const auto clang = OnPath(absl::StrCat("clang", suffix));
    const auto translator = OnPath(absl::StrCat("llvm-spirv", suffix));
    if (clang && translator) return Tools{*clang, *translator};
  }
  return absl::UnavailableError(
      "SPIR-V is made by clang and llvm-spirv of one version, and they are not installed "
      "(Debian: clang-15 llvm-spirv-15)");
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    const char* root = std::getenv("TMPDIR");
    path_ = absl::StrCat(root == nullptr || *root == '\0' ? "/tmp" : root, "/het-spirv-XXXXXX");
    if (mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Runs a tool, with what it says in `log`. False: it failed.
absl::StatusOr<bool> Run(std::vector<std::string> arguments, const std::string& log) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  pid_t child = -1;
  const int error = posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return ErrnoStatus(error, absl::StrCat("cannot run ", arguments[0]));
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return ErrnoStatus(errno, absl::StrCat("cannot wait for ", arguments[0]));
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::vector<uint32_t> WordsOf(absl::string_view module) {
  std::vector<uint32_t> words(module.size() / sizeof(uint32_t));
  if (!words.empty()) memcpy(words.data(), module.data(), words.size() * sizeof(uint32_t));
  return words;
}

struct Instruction {
  uint32_t opcode = 0;
  size_t at = 0, words = 0;
};

// Calls `each` for every instruction until it gives false. InvalidArgument for what is no SPIR-V.
template <typename Each>
absl::Status Walk(const std::vector<uint32_t>& words, Each each) {
  if (words.size() < kHeaderWords || words[0] != kMagic) {
    return absl::InvalidArgumentError("this is no SPIR-V module");
  }
  for (size_t at = kHeaderWords; at < words.size();) {
    const size_t length = words[at] >> 16;
    if (length == 0 || at + length > words.size()) {
      return absl::InvalidArgumentError("a SPIR-V module that is cut off");
    }
    if (!each(Instruction{words[at] & 0xffff, at, length})) break;
    at += length;
  }
  return absl::OkStatus();
}

std::string TextAt(const std::vector<uint32_t>& words, size_t at, size_t end) {
  const char* begin = reinterpret_cast<const char*>(words.data() + at);
  return std::string(begin, strnlen(begin, (end - at) * sizeof(uint32_t)));
}

bool StandsBeforeDebug(uint32_t opcode) {
  for (const uint32_t known : {kOpCapability, kOpExtension, kOpExtInstImport, kOpMemoryModel,
                               kOpEntryPoint, kOpExecutionMode, kOpExecutionModeId}) {
    if (opcode == known) return true;
  }
  return false;
}

// The module with its key inside.
absl::StatusOr<std::string> Marked(absl::string_view module, const std::string& key) {
  std::vector<uint32_t> words = WordsOf(module);
  size_t place = words.size();
  HET_RETURN_IF_ERROR(Walk(words, [&](const Instruction& one) {
    if (StandsBeforeDebug(one.opcode)) return true;
    place = one.at;
    return false;
  }));
  const std::string text = absl::StrCat(kKeyMark, key);
  std::vector<uint32_t> mark(1 + text.size() / sizeof(uint32_t) + 1, 0);
  mark[0] = static_cast<uint32_t>(mark.size()) << 16 | kOpSourceExtension;
  memcpy(mark.data() + 1, text.data(), text.size());
  words.insert(words.begin() + static_cast<ptrdiff_t>(place), mark.begin(), mark.end());
  return std::string(reinterpret_cast<const char*>(words.data()), words.size() * sizeof(uint32_t));
}

std::string BesideThisCode() {
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&BesideThisCode), &self) == 0 || self.dli_fname == nullptr) {
    return "";
  }
  std::error_code error;
  auto path = std::filesystem::canonical(self.dli_fname, error);
  // The program itself may be known by the name it was started with.
  if (error) path = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return "";
  // Programs stand one folder below the prefix, a library may stand two below it
  // (lib/<architecture>).
  const auto above = path.parent_path().parent_path();
  const auto near = above / "lib" / "het" / "spirv",
             far = above.parent_path() / "lib" / "het" / "spirv";
  return (std::filesystem::exists(near, error) || !std::filesystem::exists(far, error) ? near : far)
      .string();
}

std::string CacheFolder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/') {
    return absl::StrCat(cache, "/het/spirv");
  }
  const char* home = std::getenv("HOME");
  return home == nullptr || *home != '/' ? "" : absl::StrCat(home, "/.cache/het/spirv");
}

std::string Without(absl::string_view text, absl::string_view folder) {
  return absl::StrReplaceAll(text, {{absl::StrCat(folder, "/"), ""}});
}

}  // namespace

std::string KeyOf(absl::string_view text, absl::string_view options) {
  const std::string name =
      UuidFromName(absl::StrCat("spirv/", OpenClPrelude(), "\n", options, "\n", text));
  return absl::StrReplaceAll(name, {{"-", ""}});
}

std::vector<std::string> Folders() {
  std::vector<std::string> folders;
  if (const char* chosen = std::getenv("HET_SPIRV_DIR"); chosen != nullptr && *chosen != '\0') {
    folders.emplace_back(chosen);
  }
  folders.push_back(BesideThisCode());
  folders.push_back(CacheFolder());
  return folders;
}

absl::StatusOr<std::string> Compile(absl::string_view text, absl::string_view options) {
  HET_ASSIGN_OR_RETURN(const Tools tools, FindTools());
  const TemporaryFolder folder;
  if (folder.path().empty()) return absl::UnavailableError("cannot make a folder in /tmp");
  const std::string source = folder.path() + "/program.cl", bitcode = folder.path() + "/program.bc",
                    module = folder.path() + "/program.spv", log = folder.path() + "/log";
  HET_RETURN_IF_ERROR(WriteFileAtomically(source, absl::StrCat(OpenClPrelude(), text)));
  // Unoptimised: llvm-spirv 15 makes invalid modules of what the loop passes leave, and the
  // driver's compiler optimises anyway.
  std::vector<std::string> clang = {tools.clang,
                                    "-x",
                                    "cl",
                                    "-cl-std=CL1.2",
                                    "-target",
                                    "spir64-unknown-unknown",
                                    "-Xclang",
                                    "-finclude-default-header",
                                    "-O0",
                                    "-Xclang",
                                    "-disable-O0-optnone",
                                    "-emit-llvm",
                                    "-c",
                                    source,
                                    "-o",
                                    bitcode};
  for (absl::string_view option : absl::StrSplit(options, ' ', absl::SkipEmpty())) {
    clang.insert(clang.end() - 3, std::string(option));
  }
  HET_ASSIGN_OR_RETURN(const bool compiled, Run(std::move(clang), log));
  const std::string said = ReadFile(log).value_or("");
  if (!compiled) return absl::InvalidArgumentError(Without(said, folder.path()));
  HET_ASSIGN_OR_RETURN(
      const bool translated,
      Run({tools.translator, "--spirv-max-version=1.2", bitcode, "-o", module}, log));
  if (!translated) {
    return absl::InvalidArgumentError(
        absl::StrCat("llvm-spirv cannot express it: ", ReadFile(log).value_or("")));
  }
  HET_ASSIGN_OR_RETURN(const std::string raw, ReadFile(module));
  return Marked(raw, KeyOf(text, options));
}

absl::Status Store(const std::string& folder, absl::string_view text, absl::string_view options,
                   absl::string_view module) {
  HET_RETURN_IF_ERROR(MakeDirectories(folder));
  const std::string path = absl::StrCat(folder, "/", KeyOf(text, options));
  HET_RETURN_IF_ERROR(
      WriteFileAtomically(path + ".cl", absl::StrCat(kOptionsMark, options, "\n", text)));
  return WriteFileAtomically(path + ".spv", module);
}

absl::StatusOr<std::string> ModuleFor(absl::string_view text, absl::string_view options) {
  const std::string key = KeyOf(text, options);
  const std::vector<std::string> folders = Folders();
  for (const std::string& folder : folders) {
    if (folder.empty()) continue;
    auto module = ReadFile(absl::StrCat(folder, "/", key, ".spv"));
    if (module.ok() && EntryPoints(*module).ok()) return module;
  }
  auto made = Compile(text, options);
  if (absl::IsUnavailable(made.status())) {
    return absl::UnavailableError(
        absl::StrCat("there is no SPIR-V module ", key, " in ", absl::StrJoin(folders, ", "),
                     ", and it cannot be made: ", made.status().message()));
  }
  HET_RETURN_IF_ERROR(made.status());
  if (!folders.back().empty()) {
    const absl::Status kept = Store(folders.back(), text, options, *made);
    if (!kept.ok()) Log().info("a SPIR-V module is not kept: {}", kept.ToString());
  }
  return made;
}

absl::StatusOr<std::vector<std::string>> EntryPoints(absl::string_view module) {
  const std::vector<uint32_t> words = WordsOf(module);
  std::vector<std::string> names;
  HET_RETURN_IF_ERROR(Walk(words, [&](const Instruction& one) {
    // Execution model, function, then the name.
    if (one.opcode == kOpEntryPoint && one.words > 3) {
      names.push_back(TextAt(words, one.at + 3, one.at + one.words));
    }
    return true;
  }));
  return names;
}

absl::StatusOr<Source> SourceOf(absl::string_view module) {
  const std::vector<uint32_t> words = WordsOf(module);
  std::string key;
  HET_RETURN_IF_ERROR(Walk(words, [&](const Instruction& one) {
    if (one.opcode != kOpSourceExtension) return true;
    const std::string text = TextAt(words, one.at + 1, one.at + one.words);
    if (!absl::StartsWith(text, kKeyMark)) return true;
    key = text.substr(sizeof(kKeyMark) - 1);
    return false;
  }));
  if (key.empty()) return absl::NotFoundError("the SPIR-V module has no key of het's");
  for (const std::string& folder : Folders()) {
    if (folder.empty()) continue;
    auto file = ReadFile(absl::StrCat(folder, "/", key, ".cl"));
    if (!file.ok() || !absl::StartsWith(*file, kOptionsMark)) continue;
    const size_t line = file->find('\n');
    if (line == std::string::npos) continue;
    const size_t begin = sizeof(kOptionsMark) - 1;
    Source source{file->substr(line + 1), file->substr(begin, line - begin)};
    if (KeyOf(source.text, source.options) == key) return source;
  }
  return absl::NotFoundError(absl::StrCat("no text ", key, ".cl for the SPIR-V module in ",
                                          absl::StrJoin(Folders(), ", ")));
}

}  // namespace het::spirv
