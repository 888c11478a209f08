// hetctl completion: scripts for shells, made from the commands and options that there are.
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "tools/hetctl/command.h"

namespace het::hetctl {
namespace {

// A command, by its path of names ("slice create"), and what may come next.
struct Node {
  std::string path;
  std::vector<std::pair<std::string, std::string>> commands;  // name and description
  std::vector<std::pair<std::string, std::string>> options;
};

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

Node NodeOf(const CLI::App& app, const std::string& path) {
  Node node;
  node.path = path;
  const auto all = [](const CLI::App*) { return true; };
  for (const CLI::App* command : app.get_subcommands(all)) {
    if (!command->get_name().empty()) {
      node.commands.emplace_back(command->get_name(), FirstLine(command->get_description()));
    }
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      node.options.emplace_back("--" + name, FirstLine(option->get_description()));
    }
    for (const std::string& name : option->get_snames()) {
      node.options.emplace_back("-" + name, FirstLine(option->get_description()));
    }
  }
  return node;
}

void Collect(const CLI::App& app, const std::string& path, std::vector<Node>& nodes) {
  nodes.push_back(NodeOf(app, path));
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name().empty()) continue;
    Collect(*command, path.empty() ? command->get_name() : path + " " + command->get_name(), nodes);
  }
}

// Words that hetd knows are asked for when they are wanted.
constexpr char kBash[] = R"~(# bash completion for hetctl
_hetctl_words() {
  case "$1" in
@CASES@    *) ;;
  esac
}
_hetctl() {
  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" path="" word
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ "$word" == -- ]] && { COMPREPLY=($(compgen -c -- "$current")); return; }
    [[ " $(_hetctl_words "$path") " == *" $word "* && "$word" != -* ]] && path="${path:+$path }$word"
  done
  case "$previous" in
    --device) COMPREPLY=($(compgen -W "$(hetctl get devices -o name 2>/dev/null)" -- "$current")); return ;;
    --lease) COMPREPLY=($(compgen -W "$(hetctl get leases -o name 2>/dev/null)" -- "$current")); return ;;
    --file|--model|--socket) COMPREPLY=($(compgen -f -- "$current")); return ;;
    -o|--output)
      if [[ "$path" == report ]]; then COMPREPLY=($(compgen -W "table csv jsonl html" -- "$current"))
      else COMPREPLY=($(compgen -W "table wide json jsonl name" -- "$current")); fi
      return ;;
    --format) COMPREPLY=($(compgen -W "native focus-1.3" -- "$current")); return ;;
    --policy) COMPREPLY=($(compgen -W "guaranteed capped best_effort" -- "$current")); return ;;
    --priority) COMPREPLY=($(compgen -W "high normal batch" -- "$current")); return ;;
  esac
  local more=""
  if [[ "$current" != -* ]]; then
    case "$path" in
      get|watch) more="devices slices leases" ;;
      describe) more="device slice lease $(hetctl get devices -o name 2>/dev/null) $(hetctl get leases -o name 2>/dev/null)" ;;
      release|resize) more="$(hetctl get leases -o name 2>/dev/null)" ;;
      drain|undrain) more="$(hetctl get devices -o name 2>/dev/null)" ;;
      completion) more="bash zsh fish" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$(_hetctl_words "$path") $more" -- "$current"))
}
complete -F _hetctl hetctl
)~";

std::string Bash(const std::vector<Node>& nodes) {
  std::string cases;
  for (const Node& node : nodes) {
    std::vector<std::string> words;
    for (const auto& [name, description] : node.commands) words.push_back(name);
    for (const auto& [name, description] : node.options) words.push_back(name);
    absl::StrAppend(&cases, "    \"", node.path, "\") echo \"", absl::StrJoin(words, " "),
                    "\" ;;\n");
  }
  return absl::StrReplaceAll(kBash, {{"@CASES@", cases}});
}

// zsh runs bash's function: one truth.
std::string Zsh(const std::vector<Node>& nodes) {
  return absl::StrCat("#compdef hetctl\nautoload -U +X bashcompinit && bashcompinit\n",
                      Bash(nodes));
}

std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

std::string Fish(const std::vector<Node>& nodes) {
  std::string out = "# fish completion for hetctl\ncomplete -c hetctl -f\n";
  for (const Node& node : nodes) {
    std::string when = "__fish_use_subcommand";
    if (!node.path.empty()) {
      when = absl::StrCat(
          "__fish_seen_subcommand_from ",
          absl::StrReplaceAll(node.path, {{" ", "; and __fish_seen_subcommand_from "}}));
    }
    for (const auto& [name, description] : node.commands) {
      absl::StrAppend(&out, "complete -c hetctl -n ", Quoted(when), " -a ", Quoted(name), " -d ",
                      Quoted(description), "\n");
    }
    for (const auto& [name, description] : node.options) {
      const bool is_long = absl::StartsWith(name, "--");
      absl::StrAppend(&out, "complete -c hetctl",
                      node.path.empty() ? "" : absl::StrCat(" -n ", Quoted(when)),
                      is_long ? " -l " : " -s ", Quoted(name.substr(is_long ? 2 : 1)), " -d ",
                      Quoted(description), "\n");
    }
  }
  for (const char* verb : {"get", "watch"}) {
    absl::StrAppend(&out, "complete -c hetctl -n '__fish_seen_subcommand_from ", verb,
                    "' -a 'devices slices leases'\n");
  }
  absl::StrAppend(&out,
                  "complete -c hetctl -n '__fish_seen_subcommand_from release resize' -a "
                  "'(hetctl get leases -o name 2>/dev/null)'\n");
  return out;
}

}  // namespace

void RegisterCompletion(CLI::App& app, Globals& globals) {
  auto shell = std::make_shared<std::string>();
  CLI::App* completion =
      app.add_subcommand("completion", "Print a script that completes hetctl's words in a shell.");
  completion->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->callback([&app, &globals, shell] {
    globals.run = [&app, shell]() -> int {
      std::vector<Node> nodes;
      Collect(app, "", nodes);
      const std::string script = *shell == "fish"  ? Fish(nodes)
                                 : *shell == "zsh" ? Zsh(nodes)
                                                   : Bash(nodes);
      std::fputs(script.c_str(), stdout);
      return kExitOk;
    };
  });
}

}  // namespace het::hetctl
