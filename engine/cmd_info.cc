#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/commands.h"
#include "engine/error.h"
#include "engine/model.h"
#include "engine/report.h"
#include "engine/weight_type.h"

namespace hetllm {
namespace {

// "f32 9, q4_0 155": how many tensors of each type.
std::map<std::string, size_t> CountTypes(const Model& model) {
  std::map<std::string, size_t> counts;
  for (const GgufTensor& tensor : model.gguf().tensors()) {
    ++counts[std::string(WeightTypeName(tensor.type))];
  }
  return counts;
}

std::string_view TokenizerName(const Model& model) {
  if (!model.tokenizer()) {
    return "none";
  }
  const bool bytes = model.tokenizer()->vocabulary().kind == TokenizerKind::kByteLevel;
  return bytes ? "gpt2" : "llama";
}

nlohmann::json InfoJson(const Model& model) {
  const Shape& shape = model.shape();
  auto layers = nlohmann::json::array();
  uint64_t weights = 0, kv = 0, flops = 0;
  for (size_t i = 0; i < model.layer_count(); ++i) {
    layers.push_back({{"name", model.LayerName(i)},
                      {"weight_bytes", model.WeightBytes(i)},
                      {"kv_bytes_per_token", model.KvBytesPerToken(i)},
                      {"flops_per_token", model.FlopsPerToken(i)}});
    weights += model.WeightBytes(i);
    kv += model.KvBytesPerToken(i);
    flops += model.FlopsPerToken(i);
  }
  uint64_t parameters = 0;
  for (const GgufTensor& tensor : model.gguf().tensors()) {
    parameters += tensor.ne[0] * tensor.rows();
  }
  return {{"apiVersion", "het/v1"},
          {"file", model.path()},
          {"name", model.title()},
          {"architecture", model.architecture().name},
          {"ggufVersion", model.gguf().version()},
          {"parameters", parameters},
          {"blocks", shape.blocks},
          {"embedding", shape.embd},
          {"feedForward", shape.ff},
          {"heads", shape.heads},
          {"kvHeads", shape.kv_heads},
          {"headDimension", shape.head_dim},
          {"ropeDimension", shape.rope_dim},
          {"ropeBase", shape.rope_base},
          {"slidingWindow", shape.window},
          {"epsilon", shape.eps},
          {"vocabulary", shape.vocab},
          {"context", shape.trained_context},
          {"tiedHead", model.tied()},
          {"tokenizer", TokenizerName(model)},
          {"tensorTypes", CountTypes(model)},
          {"weight_bytes", weights},
          {"kv_bytes_per_token", kv},
          {"flops_per_token", flops},
          {"layers", layers}};
}

std::string InfoText(const Model& model) {
  const Shape& s = model.shape();
  const nlohmann::json json = InfoJson(model);
  std::string types;
  for (const auto& [name, count] : CountTypes(model)) {
    types += Cat(types.empty() ? "" : ", ", count, " ", name);
  }
  const auto parameters = static_cast<double>(json["parameters"].get<uint64_t>());
  char millions[32];
  std::snprintf(millions, sizeof(millions), "%.1f", parameters * 1e-6);
  return Cat("model       ", model.title(), ", ", model.architecture().name, ", ", millions,
             " M parameters\n", "blocks      ", s.blocks, " of embedding ", s.embd,
             ", feed-forward ", s.ff, "\n", "attention   ", s.heads, " heads of ", s.head_dim, ", ",
             s.kv_heads, " KV heads, RoPE ", s.rope_dim, " at ", s.rope_base, "\n", "vocabulary  ",
             s.vocab, " tokens, tokenizer ", TokenizerName(model), ", head ",
             model.tied() ? "tied" : "separate", "\n", "context     ", s.trained_context,
             " tokens, KV cache ", FormatBytes(json["kv_bytes_per_token"].get<uint64_t>()),
             " per token\n", "weights     ", FormatBytes(json["weight_bytes"].get<uint64_t>()),
             " (tensors: ", types, "); embedding ", FormatBytes(model.WeightBytes(0)), ", a block ",
             FormatBytes(model.WeightBytes(1)), ", head ",
             FormatBytes(model.WeightBytes(model.head_layer())), "\n");
}

}  // namespace

void AddInfo(CLI::App& app, Run& run) {
  struct Options {
    std::string model;
    std::string output = "text";
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("info", "Show what a GGUF file holds");
  command->add_option("-m,--model", options->model, "GGUF file")->required();
  command->add_option("-o,--output", options->output, "text or json")
      ->check(CLI::IsMember({"text", "json"}));
  command->callback([options, &run] {
    run = [options] {
      const Model model(options->model);
      if (options->output == "json") {
        std::printf("%s\n", Dump(InfoJson(model)).c_str());
      } else {
        std::fputs(InfoText(model).c_str(), stdout);
      }
    };
  });
}

}  // namespace hetllm
