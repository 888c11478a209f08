// hetctl: inspects and steers hetd.
#include <cstdio>
#include <map>
#include <string>

#include "tools/hetctl/command.h"

namespace {

bool IsCommand(const CLI::App& app, const std::string& name) {
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->check_name(name)) return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace het::hetctl;
  CLI::App app{"Inspects and steers het, the machine made of this node's devices.", "hetctl"};
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(
      "Exit codes: 0 ok, 1 error, 2 usage, 4 not found, 69 no daemon, 75 no capacity, 77 denied.");

  Globals globals;
  const std::map<std::string, Format> formats = {{"table", Format::kTable},
                                                 {"wide", Format::kWide},
                                                 {"json", Format::kJson},
                                                 {"jsonl", Format::kJsonLines},
                                                 {"name", Format::kName}};
  app.add_option("-o,--output", globals.format, "table, wide, json, jsonl or name")
      ->transform(CLI::CheckedTransformer(formats).description(""));
  app.add_flag_callback(
      "--no-headers", [&globals] { globals.headers = false; },
      "leave the heading line of tables out");
  app.add_option("--socket", globals.socket,
                 "hetd's socket (default: $HET_SOCKET, then the runtime directory)");
  app.add_option("--timeout", globals.timeout_s, "seconds to wait for hetd's answer")
      ->check(CLI::PositiveNumber);

  RegisterGet(app, globals);
  RegisterLease(app, globals);
  RegisterRun(app, globals);
  RegisterSlice(app, globals);
  RegisterTop(app, globals);
  RegisterPlan(app, globals);
  RegisterSimulate(app, globals);
  RegisterDoctor(app, globals);

  if (argc > 1 && argv[1][0] != '-' && !IsCommand(app, argv[1])) {
    std::fprintf(stderr, "hetctl: no command \"%s\"; hetctl --help lists them\n", argv[1]);
    return kExitUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  return globals.run ? globals.run() : kExitUsage;
}
