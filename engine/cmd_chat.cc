#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "engine/chat_template.h"
#include "engine/commands.h"
#include "engine/error.h"
#include "engine/generator.h"
#include "engine/interrupt.h"
#include "engine/setup.h"
#include "engine/text_stream.h"

namespace hetllm {
namespace {

constexpr uint32_t kDefaultContext = 4096;
constexpr uint32_t kDefaultAnswer = 512;

struct Options {
  RunOptions run;
  SamplerOptions sampling = {.temperature = 0.8, .top_k = 40, .top_p = 0.95, .min_p = 0.05};
  std::string system;
  std::string family;
  uint32_t max_new = 0;  // 0: as much as a context of ordinary size has room for
};

// Lines of standard input; an interrupt ends the wait for one.
class Lines {
 public:
  // Nothing at the end of the input.
  std::optional<std::string> Next() {
    for (;;) {
      if (const size_t end = held_.find('\n'); end != std::string::npos) {
        std::string line = held_.substr(0, end);
        held_.erase(0, end + 1);
        return line;
      }
      if (ended_) {
        return held_.empty() ? std::nullopt : std::optional(std::exchange(held_, {}));
      }
      ThrowIfInterrupted();
      pollfd input{STDIN_FILENO, POLLIN, 0};
      if (poll(&input, 1, 100) <= 0) {
        continue;
      }
      char piece[4096];
      const ssize_t size = read(STDIN_FILENO, piece, sizeof(piece));
      if (size < 0 && errno != EINTR && errno != EAGAIN) {
        throw Error(Cat("cannot read standard input: ", std::strerror(errno)));
      }
      ThrowIfInterrupted();  // the terminal may go with the signal: that is no end of the text
      ended_ = size == 0;
      held_.append(piece, size > 0 ? static_cast<size_t>(size) : 0);
    }
  }

 private:
  std::string held_;
  bool ended_ = false;
};

ChatFamily FamilyFor(const Options& options, const Model& model) {
  if (!options.family.empty()) {
    const auto family = ChatFamilyOf(options.family);
    if (!family) {
      throw Error(
          Cat("--chat-template '", options.family, "': ", ChatFamilyNames(), " are possible"),
          Exit::kUsage);
    }
    return *family;
  }
  const auto jinja = model.gguf().GetString("tokenizer.chat_template");
  const auto family = jinja ? RecognizeTemplate(*jinja) : std::nullopt;
  if (!family) {
    throw Error(Cat("'", model.path(),
                    jinja ? "' has a chat template of no known family" : "' has no chat template",
                    "; name one with --chat-template: ", ChatFamilyNames()),
                Exit::kUsage);
  }
  return *family;
}

class Conversation {
 public:
  Conversation(const Options& options, const Model& model, ChatFamily family, Engine& engine)
      : options_(options),
        model_(model),
        family_(family),
        engine_(engine),
        generator_(engine, Settings(options)) {
    Reset();
  }

  void Reset() {
    turns_.clear();
    if (!options_.system.empty()) {
      turns_.push_back({Turn::Role::kSystem, options_.system});
    }
  }

  // Answers, or says why it cannot and forgets the question.
  void Say(const std::string& text) {
    turns_.push_back({Turn::Role::kUser, text});
    const Tokenizer& tokenizer = *model_.tokenizer();
    const std::vector<int32_t> prompt = ChatPrompt(tokenizer, family_, turns_);
    const uint32_t context = engine_.options().limits.context;
    if (prompt.size() + options_.max_new > context) {
      turns_.pop_back();
      std::fprintf(
          stderr,
          "the conversation has %zu tokens, and %u more may follow; the context has %u. Nothing is "
          "dropped "
          "from the front to make room: /reset starts anew, --context or a smaller -n gives room\n",
          prompt.size(), options_.max_new, context);
      return;
    }
    TextStream out(stdout);
    std::string answer;
    generator_.Run({prompt}, [&](size_t, int32_t token) {
      if (!tokenizer.EndsText(token)) {
        const std::string piece = tokenizer.Piece(token);
        answer += piece;
        out.Add(piece);
      }
    });
    out.Finish();
    std::fputs("\n", stdout);
    std::fflush(stdout);
    turns_.push_back({Turn::Role::kAssistant, answer});
  }

 private:
  static GenerateOptions Settings(const Options& options) {
    GenerateOptions generate;
    generate.max_new = options.max_new;
    generate.sampling = options.sampling;
    return generate;
  }

  const Options& options_;
  const Model& model_;
  const ChatFamily family_;
  Engine& engine_;
  Generator generator_;
  std::vector<Turn> turns_;
};

void Chat(Options options) {
  const Model model(options.run.model);
  if (!model.tokenizer()) {
    throw Error(Cat("'", model.path(), "' has no tokenizer, so it takes no text"));
  }
  const ChatFamily family = FamilyFor(options, model);
  RunOptions run = options.run;
  if (run.context == 0) {
    run.context = std::min(model.shape().trained_context, kDefaultContext);
  }
  if (options.max_new == 0) {
    options.max_new = std::max(1u, std::min(kDefaultAnswer, run.context / 2));
  }
  if (options.max_new >= run.context) {
    throw Error(
        Cat("-n ", options.max_new, " leaves no room for a question in a context of ", run.context),
        Exit::kUsage);
  }
  RunShape shape;
  shape.longest_prompt = run.context - options.max_new;
  shape.prompt_tokens = shape.longest_prompt;
  shape.max_new = options.max_new;
  shape.greedy = options.sampling.greedy();
  const het::api::Session session = OpenSession(run);
  const auto engine = MakeEngine(session, model, run, shape);
  Conversation conversation(options, model, family, *engine);
  const bool terminal = isatty(STDIN_FILENO) != 0;
  if (terminal) {
    std::fprintf(stderr, "%s, %u tokens of context. /reset starts anew, /exit or Ctrl-D ends.\n",
                 model.title().c_str(), run.context);
  }
  Lines lines;
  for (;;) {
    if (terminal) {
      std::fputs("> ", stdout);
      std::fflush(stdout);
    }
    const auto line = lines.Next();
    if (!line || *line == "/exit") {
      return;
    }
    if (*line == "/reset") {
      conversation.Reset();
    } else if (!line->empty()) {
      conversation.Say(*line);
    }
  }
}

}  // namespace

void AddChat(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("chat", "Talk with a model: a line is a question");
  AddRunOptions(*command, options->run);
  AddSamplingOptions(*command, options->sampling);
  command
      ->add_option("-n", options->max_new,
                   "tokens of an answer at most (default: 512, or half of a small context)")
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--system", options->system, "what the model is told first");
  command->add_option("--chat-template", options->family,
                      Cat("instead of the file's: ", ChatFamilyNames()));
  command->callback([options, &run] { run = [options] { Chat(*options); }; });
}

}  // namespace hetllm
