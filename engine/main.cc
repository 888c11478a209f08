// hetllm: runs GGUF models across the slices of a mixed node.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <functional>

#include "engine/commands.h"
#include "engine/error.h"
#include "engine/interrupt.h"
#include "engine/mapped_file.h"
#include "het/het.hpp"

namespace hetllm {
namespace {

int Fail(const char* message, Exit exit) {
  std::fflush(stdout);
  std::fprintf(stderr, "hetllm: %s\n", message);
  return static_cast<int>(exit);
}

int Main(int argc, char** argv) {
  CLI::App app("Runs GGUF models across the devices of a mixed node", "hetllm");
  app.require_subcommand(1);
  Run run;
  AddGenerate(app, run);
  AddChat(app, run);
  AddBench(app, run);
  AddPerplexity(app, run);
  AddLogits(app, run);
  AddTokenize(app, run);
  AddDetokenize(app, run);
  AddInfo(app, run);
  AddSynth(app, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);  // prints help or what is wrong
    return code == 0 ? 0 : static_cast<int>(Exit::kUsage);
  }
  CatchInterrupts();
  ExplainBusErrors();
  try {
    run();
  } catch (const Error& error) {
    return Fail(error.what(), error.exit());
  } catch (const het::api::Error& error) {
    // Only opening a session means the daemon by "unavailable" (setup.cc says so with its own exit
    // code).
    return Fail(error.what(),
                error.code() == HET_UNAVAILABLE ? Exit::kError : ExitOf(error.code()));
  } catch (const std::bad_alloc&) {
    return Fail("out of memory", Exit::kNoCapacity);
  } catch (const std::exception& error) {
    return Fail(error.what(), Exit::kError);
  }
  if (std::fflush(stdout) != 0) {
    return Fail("cannot write to standard output", Exit::kError);
  }
  return 0;
}

}  // namespace
}  // namespace hetllm

int main(int argc, char** argv) { return hetllm::Main(argc, argv); }
