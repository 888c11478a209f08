// Compiled graphs of the soft NPU: the table behind "ZE_extension_graph", and what executes a blob.
//
// A blob is text (the real ones are the vendor compiler's): a first line "HETSOFTGRAPH 1", then one
// tensor a line, all f32:
//
//   input NAME DIM [DIM]
//   const NAME DIM [DIM] : VALUE ...
//   let NAME = OP A [B]           output NAME = OP A [B]
//
// OP is matmul (rows of A by the rows of B: y[r][o] = sum a[r][i] b[o][i]), add, mul (B of A's
// shape, or one row) or relu. Arguments of the graph are the inputs, then the outputs, as they
// stand. It is computed for real, in double precision, when the list gets there.
#include <cstring>
#include <map>
#include <sstream>

#include "devices/level_zero/abi.h"
#include "tests/soft_drivers/level_zero/state.h"

namespace het::soft::ze {
namespace {

using level_zero::GraphDesc;
using level_zero::GraphProperties;
using level_zero::GraphTable;
using level_zero::Handle;
using level_zero::Result;

struct Tensor {
  size_t rows = 0, cols = 0;
  std::vector<double> values;  // of a const
};

struct Step {
  std::string to, op, a, b;
};

struct Graph {
  int card = 0;
  bool initialised = false;
  std::map<std::string, Tensor> tensors;
  std::vector<std::string> arguments;
  size_t inputs = 0;
  std::vector<Step> steps;
  std::vector<const void*> values;  // addresses, by argument
};

bool ParseTensor(std::istringstream& line, Tensor& tensor) {
  std::vector<size_t> dims;
  std::string word;
  while (line >> word && word != ":") {
    const long dim = std::strtol(word.c_str(), nullptr, 10);
    if (dim <= 0 || dim > 1 << 20) return false;
    dims.push_back(static_cast<size_t>(dim));
  }
  if (dims.empty() || dims.size() > 2) return false;
  tensor.rows = dims.size() == 2 ? dims[0] : 1;
  tensor.cols = dims.back();
  for (double value; line >> value;) tensor.values.push_back(value);
  return true;
}

// The shape of a step's result; false: its operands do not fit.
bool Shape(const Graph& graph, const Step& step, Tensor& result) {
  const auto a = graph.tensors.find(step.a);
  if (a == graph.tensors.end()) return false;
  result.rows = a->second.rows;
  result.cols = a->second.cols;
  if (step.op == "relu") return step.b.empty();
  const auto b = graph.tensors.find(step.b);
  if (b == graph.tensors.end()) return false;
  if (step.op == "matmul") {
    result.cols = b->second.rows;
    return a->second.cols == b->second.cols;
  }
  return (step.op == "add" || step.op == "mul") && b->second.cols == a->second.cols &&
         (b->second.rows == a->second.rows || b->second.rows == 1);
}

bool Parse(const std::string& blob, Graph& graph) {
  std::istringstream text(blob);
  std::string row;
  if (!std::getline(text, row) || row != "HETSOFTGRAPH 1") return false;
  std::vector<std::string> outputs;
  while (std::getline(text, row)) {
    std::istringstream line(row);
    std::string kind, name, equals;
    if (!(line >> kind)) continue;
    if (!(line >> name) || graph.tensors.contains(name)) return false;
    Tensor tensor;
    if (kind == "input" || kind == "const") {
      if (!ParseTensor(line, tensor)) return false;
      const size_t wanted = kind == "const" ? tensor.rows * tensor.cols : 0;
      if (tensor.values.size() != wanted) return false;
      if (kind == "input") graph.arguments.push_back(name);
    } else if (kind == "let" || kind == "output") {
      Step step;
      step.to = name;
      if (!(line >> equals >> step.op >> step.a) || equals != "=") return false;
      line >> step.b;
      if (!Shape(graph, step, tensor)) return false;
      graph.steps.push_back(step);
      if (kind == "output") outputs.push_back(name);
    } else {
      return false;
    }
    graph.tensors[name] = tensor;
  }
  graph.inputs = graph.arguments.size();
  graph.arguments.insert(graph.arguments.end(), outputs.begin(), outputs.end());
  graph.values.resize(graph.arguments.size());
  return graph.inputs > 0 && !outputs.empty();
}

std::vector<double> Compute(const Step& step, const Tensor& a, const Tensor& b) {
  std::vector<double> result;
  for (size_t r = 0; r < a.rows; ++r) {
    if (step.op == "matmul") {
      for (size_t o = 0; o < b.rows; ++o) {
        double sum = 0;
        for (size_t i = 0; i < a.cols; ++i) {
          sum += a.values[r * a.cols + i] * b.values[o * a.cols + i];
        }
        result.push_back(sum);
      }
      continue;
    }
    for (size_t i = 0; i < a.cols; ++i) {
      const double left = a.values[r * a.cols + i];
      if (step.op == "relu") {
        result.push_back(left > 0 ? left : 0);
        continue;
      }
      const double right = b.values[(b.rows == 1 ? 0 : r) * a.cols + i];
      result.push_back(step.op == "add" ? left + right : left * right);
    }
  }
  return result;
}

void Run(std::map<std::string, Tensor> tensors, const std::vector<Step>& steps,
         const std::vector<std::pair<std::string, const void*>>& inputs,
         const std::vector<std::pair<std::string, void*>>& outputs) {
  for (const auto& [name, address] : inputs) {
    Tensor& tensor = tensors[name];
    const auto* from = static_cast<const float*>(address);
    tensor.values.assign(from, from + tensor.rows * tensor.cols);
  }
  for (const Step& step : steps) {
    tensors[step.to].values = Compute(step, tensors[step.a], tensors[step.b]);
  }
  for (const auto& [name, address] : outputs) {
    float* to = static_cast<float*>(address);
    for (const double value : tensors[name].values) *to++ = static_cast<float>(value);
  }
}

Result Of(ze_result_t result) { return static_cast<Result>(result); }

Result Create(Handle, Handle device, const GraphDesc* desc, Handle* handle) {
  const int card = static_cast<Device*>(device)->card;
  if (const ze_result_t due = Due("pfnGraphCreate", card)) return Of(due);
  if (desc->format != level_zero::kGraphFormatNative || !CardAt(card).npu)
    return level_zero::kUnsupportedFeature;
  auto graph = std::make_unique<Graph>();
  graph->card = card;
  const std::string blob(reinterpret_cast<const char*>(desc->input), desc->bytes);
  if (!Parse(blob, *graph)) return level_zero::kInvalidNativeBinary;
  *handle = graph.release();
  return level_zero::kSuccess;
}

Result DestroyGraph(Handle handle) {
  delete static_cast<Graph*>(handle);
  return level_zero::kSuccess;
}

Result Properties(Handle handle, GraphProperties* properties) {
  properties->arguments = static_cast<uint32_t>(static_cast<Graph*>(handle)->arguments.size());
  return level_zero::kSuccess;
}

Result SetArgument(Handle handle, uint32_t index, const void* value) {
  auto& graph = *static_cast<Graph*>(handle);
  if (index >= graph.values.size() || value == nullptr) return level_zero::kInvalidArgument;
  graph.values[index] = value;
  return level_zero::kSuccess;
}

Result AppendInitialize(Handle, Handle handle, Handle signal, uint32_t count, Handle*) {
  if (signal != nullptr || count != 0) return level_zero::kUnsupportedFeature;
  static_cast<Graph*>(handle)->initialised = true;
  return level_zero::kSuccess;
}

Result AppendExecute(Handle list_handle, Handle handle, Handle profiling, Handle signal,
                     uint32_t count, Handle*) {
  if (profiling != nullptr || signal != nullptr || count != 0)
    return level_zero::kUnsupportedFeature;  // of this soft driver
  auto& graph = *static_cast<Graph*>(handle);
  auto& list = *static_cast<List*>(list_handle);
  if (const ze_result_t due = Due("pfnAppendGraphExecute", graph.card)) return Of(due);
  if (!graph.initialised) return level_zero::kInvalidArgument;
  std::vector<std::pair<std::string, const void*>> inputs;
  std::vector<std::pair<std::string, void*>> outputs;
  for (size_t i = 0; i < graph.arguments.size(); ++i) {
    const Tensor& tensor = graph.tensors[graph.arguments[i]];
    // An NPU reaches what was allocated through its driver, and nothing else.
    const Piece piece = TheMemory().Find(graph.values[i], tensor.rows * tensor.cols * 4);
    if (piece.bytes == 0 || (piece.card != graph.card && piece.card != kHostMemory))
      return level_zero::kInvalidArgument;
    if (i < graph.inputs) {
      inputs.emplace_back(graph.arguments[i], graph.values[i]);
    } else {
      outputs.emplace_back(graph.arguments[i], const_cast<void*>(graph.values[i]));
    }
  }
  list.stream.Enqueue(
      [&list, card = graph.card, tensors = graph.tensors, steps = graph.steps, inputs, outputs] {
        if (Due("kernel", card) == ZE_RESULT_SUCCESS) {
          Run(tensors, steps, inputs, outputs);
        } else {
          list.stream.Stop();
        }
      });
  return level_zero::kSuccess;
}

// What het does not ask for.
Result ArgumentProperties(Handle, uint32_t, void*) { return level_zero::kUnsupportedFeature; }
Result NativeBinary(Handle, size_t*, uint8_t*) { return level_zero::kUnsupportedFeature; }
Result DeviceGraphProperties(Handle, void*) { return level_zero::kUnsupportedFeature; }

}  // namespace

ze_result_t ExtensionAddress(ze_driver_handle_t, const char* name, void** address) {
  static GraphTable table = {
      Create,           DestroyGraph,  Properties,   ArgumentProperties,   SetArgument,
      AppendInitialize, AppendExecute, NativeBinary, DeviceGraphProperties};
  if (std::strcmp(name, level_zero::kGraphExtension) != 0 ||
      TheSettings().Number("graphs", 1) == 0) {
    return ZE_RESULT_ERROR_UNSUPPORTED_FEATURE;
  }
  *address = &table;
  return ZE_RESULT_SUCCESS;
}

}  // namespace het::soft::ze
