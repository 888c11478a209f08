// Command: how hetctl's subcommands are put together. Each file of commands registers its own on
// the CLI11 application and stores, in Globals::run, what the chosen one does; it returns the exit
// code.
#ifndef HET_TOOLS_HETCTL_COMMAND_H_
#define HET_TOOLS_HETCTL_COMMAND_H_

#include <functional>
#include <string>

#include "CLI/CLI.hpp"
#include "tools/hetctl/output.h"

namespace het::hetctl {

struct Globals {
  std::string socket;              // --socket; empty: HET_SOCKET, then the runtime directory
  Format format = Format::kTable;  // -o
  bool headers = true;             // --no-headers
  double timeout_s = 10;           // --timeout, of one call to hetd
  std::function<int()> run;        // the chosen command
};

void RegisterGet(CLI::App& app, Globals& globals);       // get, describe
void RegisterLease(CLI::App& app, Globals& globals);     // acquire, release, resize, drain
void RegisterRun(CLI::App& app, Globals& globals);       // run
void RegisterSlice(CLI::App& app, Globals& globals);     // slice create, delete
void RegisterTop(CLI::App& app, Globals& globals);       // top
void RegisterPlan(CLI::App& app, Globals& globals);      // plan
void RegisterSimulate(CLI::App& app, Globals& globals);  // simulate
void RegisterDoctor(CLI::App& app, Globals& globals);    // doctor, version

}  // namespace het::hetctl

#endif  // HET_TOOLS_HETCTL_COMMAND_H_
