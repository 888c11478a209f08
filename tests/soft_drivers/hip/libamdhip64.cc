// The soft libamdhip64.so.7, hiprtc within: AMD's entry points over cards that are host memory and
// PoCL. Its cards come from HET_SOFT_HIP (../common/settings.h):
//
//   devices=N      cards (1)                memory=SIZE   of a card (4GiB)
//   name=TEXT      ("AMD Instinct MI300X")  units=N       compute units (304)
//   order=reverse  last card first          version=N     of the runtime (60000000)
//   pools=0        no memory pools          peers=0       cards do not reach each other
#include <atomic>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "devices/hip/abi.h"
#include "tests/soft_drivers/common/compiler.h"
#include "tests/soft_drivers/common/engine.h"

#define HET_EXPORT extern "C" __attribute__((visibility("default")))

namespace het::hip {

// Every entry point has the declaration that the backend has.
#define HET_DECLARE(name, result, arguments) HET_EXPORT result name arguments;
HET_HIP_REQUIRED(HET_DECLARE)
HET_HIP_OPTIONAL(HET_DECLARE)
HET_HIPRTC_REQUIRED(HET_DECLARE)
#undef HET_DECLARE

// What was captured, one after the other. Executable graphs are copies.
struct hipGraphOpaque {
  std::vector<soft::GraphNode> nodes;
};
struct hipGraphExecOpaque : hipGraphOpaque {};
struct hipStreamOpaque {
  int card = 0;
  std::unique_ptr<soft::Stream> stream;
  hipGraph_t captured_in = nullptr;
};
struct hipEventOpaque : soft::Event {};
struct hipFunctionOpaque {
  hipModule_t module = nullptr;
  const soft::KernelShape* shape = nullptr;
};
struct hipModuleOpaque {
  std::shared_ptr<const soft::Program> program;
  std::deque<hipFunctionOpaque> functions;
};
struct hipCtxOpaque {
  int card = 0;
};
struct hipMemPoolOpaque {
  int card = 0;
};
struct hiprtcProgramOpaque {
  explicit hiprtcProgramOpaque(const char* text) : program(text) {}
  soft::RtcProgram program;
};

namespace {

constexpr uint32_t kMostThreads = 1024;
// Numbers that het's backend has no name for.
constexpr hipError_t hipErrorIllegalState = 401, hipErrorStreamCaptureUnsupported = 900;
constexpr int kLeastPriority = 1, kGreatestPriority = -1;

struct Card {
  std::string name;
  uint64_t memory = 0;
  uint32_t units = 0;
  hipStreamOpaque default_stream;
  hipCtxOpaque context;
};

struct State {
  State() {
    const auto count = static_cast<int>(engine.settings.Number("devices", 1));
    const bool reverse = engine.settings.Text("order", "") == "reverse";
    for (int i = 0; i < count; ++i) {
      const int number = reverse ? count - 1 - i : i;
      const soft::Settings& settings = engine.settings;
      cards.emplace_back();
      Card& card = cards.back();
      card.name = settings.Text("name", "AMD Instinct MI300X", number) + " (soft)";
      card.memory = settings.Number("memory", uint64_t{4} << 30, number);
      card.units = static_cast<uint32_t>(settings.Number("units", 304, number));
      card.context.card = i;
      engine.AddCard(number, card.memory);
    }
  }
  soft::Engine engine{"libamdhip64", "HET_SOFT_HIP"};
  std::deque<Card> cards;
  std::mutex mutex;  // default streams
};

State& The() {
  static State* const state = new State;  // never destroyed: streams may run at exit
  return *state;
}

int& Current() {
  thread_local int current = 0;
  return current;
}

hipError_t ErrorOf(soft::Trouble trouble) {
  switch (trouble) {
    case soft::Trouble::kNone:
      return hipSuccess;
    case soft::Trouble::kOutOfMemory:
      return hipErrorOutOfMemory;
    case soft::Trouble::kNoDevice:
      return hipErrorNoDevice;
    case soft::Trouble::kEcc:
      return hipErrorECCNotCorrectable;
    case soft::Trouble::kIllegalAddress:
      return hipErrorIllegalAddress;
    case soft::Trouble::kTimeout:
      return hipErrorLaunchTimeOut;
    case soft::Trouble::kLaunchFailed:
      return hipErrorLaunchFailure;
    default:
      return hipErrorUnknown;  // also what a card gives that fell off the bus
  }
}

// At the head of every entry point: faults, no card, and what broke the current one.
hipError_t Enter(const char* point) {
  if (The().cards.empty()) return hipErrorNoDevice;
  return ErrorOf(The().engine.Check(point, Current()));
}

#define SOFT_ENTER(point) \
  if (const hipError_t soft_error = Enter(#point); soft_error != hipSuccess) return soft_error

bool IsDevice(int device) { return The().engine.IsCard(device); }

hipStream_t Resolve(hipStream_t stream) {
  if (stream != nullptr) return stream;
  const std::lock_guard lock(The().mutex);
  hipStream_t own = &The().cards[Current()].default_stream;
  if (own->stream == nullptr) *own = {Current(), The().engine.NewStream(Current())};
  return own;
}

hipError_t Move(hipStream_t handle, std::function<void()> work) {
  hipStream_t stream = Resolve(handle);
  if (stream->captured_in != nullptr) {
    stream->captured_in->nodes.push_back({{}, std::move(work)});
    return hipSuccess;
  }
  The().engine.Move(*stream->stream, stream->card, std::move(work));
  return hipSuccess;
}

bool Reaches(const void* address, size_t bytes) {
  return The().engine.Reaches(Current(), address, bytes);
}

}  // namespace

// ---- The runtime and its devices ----

HET_EXPORT hipError_t hipInit(unsigned int flags) {
  if (flags != 0) return hipErrorInvalidValue;
  const hipError_t fault = ErrorOf(The().engine.Check("hipInit"));
  if (fault != hipSuccess) return fault;
  return The().cards.empty() ? hipErrorNoDevice : hipSuccess;
}

HET_EXPORT hipError_t hipDriverGetVersion(int* version) {
  *version = static_cast<int>(The().engine.settings.Number("version", 60'000'000));
  return hipSuccess;
}

HET_EXPORT const char* hipGetErrorName(hipError_t error) {
#define HET_NAME(value) \
  case value:           \
    return #value;
  switch (error) {
    HET_NAME(hipSuccess)
    HET_NAME(hipErrorInvalidValue)
    HET_NAME(hipErrorOutOfMemory)
    HET_NAME(hipErrorNoDevice)
    HET_NAME(hipErrorInvalidDevice)
    HET_NAME(hipErrorInvalidImage)
    HET_NAME(hipErrorECCNotCorrectable)
    HET_NAME(hipErrorInvalidHandle)
    HET_NAME(hipErrorNotFound)
    HET_NAME(hipErrorNotReady)
    HET_NAME(hipErrorIllegalAddress)
    HET_NAME(hipErrorLaunchTimeOut)
    HET_NAME(hipErrorLaunchFailure)
    default:
      return "hipErrorUnknown";
  }
#undef HET_NAME
}

HET_EXPORT hipError_t hipGetDeviceCount(int* count) {
  *count = The().engine.cards();
  return *count == 0 ? hipErrorNoDevice : hipSuccess;
}

HET_EXPORT hipError_t hipDeviceGetName(char* name, int length, hipDevice_t device) {
  if (!IsDevice(device)) return hipErrorInvalidDevice;
  std::snprintf(name, static_cast<size_t>(length), "%s", The().cards[device].name.c_str());
  return hipSuccess;
}

HET_EXPORT hipError_t hipDeviceGetUuid(hipUUID* uuid, hipDevice_t device) {
  if (!IsDevice(device)) return hipErrorInvalidDevice;
  char text[17];  // the serial as text, as AMD's runtime has it
  std::snprintf(text, sizeof(text), "50f7%012x", The().engine.number(device) + 1);
  std::memcpy(uuid->bytes, text, sizeof(uuid->bytes));
  return hipSuccess;
}

HET_EXPORT hipError_t hipDeviceTotalMem(size_t* bytes, hipDevice_t device) {
  if (!IsDevice(device)) return hipErrorInvalidDevice;
  *bytes = The().cards[device].memory;
  return hipSuccess;
}

HET_EXPORT hipError_t hipDeviceGetAttribute(int* value, int attribute, int device) {
  if (!IsDevice(device)) return hipErrorInvalidDevice;
  switch (attribute) {
    case hipDeviceAttributeMultiprocessorCount:
      *value = static_cast<int>(The().cards[device].units);
      return hipSuccess;
    case hipDeviceAttributeMaxThreadsPerBlock:
      *value = kMostThreads;
      return hipSuccess;
    case hipDeviceAttributeMemoryPoolsSupported:
      *value =
          static_cast<int>(The().engine.settings.Number("pools", 1, The().engine.number(device)));
      return hipSuccess;
    case hipDeviceAttributeComputeMode:
    case hipDeviceAttributeIntegrated:
      *value = 0;
      return hipSuccess;
    default:
      return hipErrorInvalidValue;
  }
}

HET_EXPORT hipError_t hipDeviceGetPCIBusId(char* text, int length, int device) {
  if (!IsDevice(device)) return hipErrorInvalidDevice;
  std::snprintf(text, static_cast<size_t>(length), "0000:%02x:00.0",
                0xA0 + The().engine.number(device));
  return hipSuccess;
}

HET_EXPORT hipError_t hipSetDevice(int device) {
  if (!IsDevice(device)) return hipErrorInvalidDevice;
  Current() = device;
  return ErrorOf(The().engine.Check("hipSetDevice", device));
}

HET_EXPORT hipError_t hipGetDevice(int* device) {
  *device = Current();
  return hipSuccess;
}

HET_EXPORT hipError_t hipDevicePrimaryCtxRetain(hipCtx_t* context, hipDevice_t device) {
  if (!IsDevice(device)) return hipErrorInvalidDevice;
  *context = &The().cards[device].context;
  return ErrorOf(The().engine.Check("hipDevicePrimaryCtxRetain", device));
}

HET_EXPORT hipError_t hipDevicePrimaryCtxRelease(hipDevice_t device) {
  return IsDevice(device) ? hipSuccess : hipErrorInvalidDevice;
}

// ---- Streams and events ----

HET_EXPORT hipError_t hipDeviceGetStreamPriorityRange(int* least, int* greatest) {
  SOFT_ENTER(hipDeviceGetStreamPriorityRange);
  *least = kLeastPriority;
  *greatest = kGreatestPriority;
  return hipSuccess;
}

HET_EXPORT hipError_t hipStreamCreateWithPriority(hipStream_t* stream, unsigned int flags, int) {
  SOFT_ENTER(hipStreamCreateWithPriority);
  if (flags > kStreamNonBlocking) return hipErrorInvalidValue;
  *stream = new hipStreamOpaque{Current(), The().engine.NewStream(Current())};
  return hipSuccess;
}

HET_EXPORT hipError_t hipExtStreamCreateWithCUMask(hipStream_t* stream, uint32_t words,
                                                   const uint32_t* mask) {
  SOFT_ENTER(hipExtStreamCreateWithCUMask);
  uint32_t any = 0;
  for (uint32_t i = 0; i < words; ++i) any |= mask[i];
  if (any == 0) return hipErrorInvalidValue;
  *stream = new hipStreamOpaque{Current(), The().engine.NewStream(Current())};
  return hipSuccess;
}

HET_EXPORT hipError_t hipStreamDestroy(hipStream_t stream) {
  if (stream == nullptr) return hipErrorInvalidHandle;
  delete stream;
  return hipSuccess;
}

HET_EXPORT hipError_t hipStreamGetFlags(hipStream_t stream, unsigned int* flags) {
  if (stream == nullptr) return hipErrorInvalidHandle;
  *flags = kStreamNonBlocking;
  return hipSuccess;
}

HET_EXPORT hipError_t hipStreamSynchronize(hipStream_t stream) {
  SOFT_ENTER(hipStreamSynchronize);
  if (Resolve(stream)->captured_in != nullptr) return hipErrorStreamCaptureUnsupported;
  Resolve(stream)->stream->Synchronize();
  return Enter("hipStreamSynchronize");  // what failed meanwhile
}

HET_EXPORT hipError_t hipLaunchHostFunc(hipStream_t stream, void (*function)(void*), void* user) {
  SOFT_ENTER(hipLaunchHostFunc);
  return Move(stream, [function, user] { function(user); });
}

HET_EXPORT hipError_t hipStreamWaitEvent(hipStream_t stream, hipEvent_t event, unsigned int) {
  SOFT_ENTER(hipStreamWaitEvent);
  event->WaitIn(*Resolve(stream)->stream);
  return hipSuccess;
}

HET_EXPORT hipError_t hipEventCreateWithFlags(hipEvent_t* event, unsigned int) {
  SOFT_ENTER(hipEventCreateWithFlags);
  *event = new hipEventOpaque;
  return hipSuccess;
}

HET_EXPORT hipError_t hipEventDestroy(hipEvent_t event) {
  delete event;
  return hipSuccess;
}

HET_EXPORT hipError_t hipEventRecord(hipEvent_t event, hipStream_t stream) {
  SOFT_ENTER(hipEventRecord);
  event->Record(*Resolve(stream)->stream);
  return hipSuccess;
}

HET_EXPORT hipError_t hipEventQuery(hipEvent_t event) {
  SOFT_ENTER(hipEventQuery);
  return event->reached() ? Enter("hipEventQuery") : hipErrorNotReady;
}

HET_EXPORT hipError_t hipEventSynchronize(hipEvent_t event) {
  SOFT_ENTER(hipEventSynchronize);
  event->Wait();
  return Enter("hipEventSynchronize");
}

HET_EXPORT hipError_t hipEventElapsedTime(float* milliseconds, hipEvent_t begin, hipEvent_t end) {
  SOFT_ENTER(hipEventElapsedTime);
  bool ready = false;
  if (!soft::Event::Elapsed(*begin, *end, milliseconds, &ready)) return hipErrorInvalidHandle;
  return ready ? hipSuccess : hipErrorNotReady;
}

// ---- Memory ----

HET_EXPORT hipError_t hipMalloc(void** address, size_t bytes) {
  SOFT_ENTER(hipMalloc);
  *address = nullptr;
  if (bytes == 0) return hipSuccess;
  *address = The().engine.memory.Allocate(Current(), bytes);
  return *address != nullptr ? hipSuccess : hipErrorOutOfMemory;
}

HET_EXPORT hipError_t hipFree(void* address) {
  if (address == nullptr) return hipSuccess;
  const soft::Piece piece = The().engine.memory.Find(address);
  if (piece.bytes != 0 && piece.card >= 0) The().engine.Synchronize(piece.card);
  return The().engine.memory.Free(address) ? hipSuccess : hipErrorInvalidValue;
}

HET_EXPORT hipError_t hipHostMalloc(void** address, size_t bytes, unsigned int) {
  SOFT_ENTER(hipHostMalloc);
  *address = The().engine.memory.Allocate(soft::kHostMemory, bytes);
  return *address != nullptr ? hipSuccess : hipErrorOutOfMemory;
}

HET_EXPORT hipError_t hipHostFree(void* address) {
  return The().engine.memory.Free(address) ? hipSuccess : hipErrorInvalidValue;
}

HET_EXPORT hipError_t hipMemcpyAsync(void* to, const void* from, size_t bytes, int kind,
                                     hipStream_t stream) {
  SOFT_ENTER(hipMemcpyAsync);
  if (kind == hipMemcpyHostToDevice && !Reaches(to, bytes)) return hipErrorInvalidValue;
  if (kind == hipMemcpyDeviceToHost && !Reaches(from, bytes)) return hipErrorInvalidValue;
  if (kind == hipMemcpyHostToDevice && The().engine.memory.Find(from).bytes == 0) {
    // Pageable memory is copied to the runtime's own before the call returns.
    const auto* begin = static_cast<const std::byte*>(from);
    return Move(stream, [to, staged = std::vector<std::byte>(begin, begin + bytes)] {
      std::memcpy(to, staged.data(), staged.size());
    });
  }
  return Move(stream, [=] { std::memmove(to, from, bytes); });
}

HET_EXPORT hipError_t hipMemsetAsync(void* to, int value, size_t bytes, hipStream_t stream) {
  SOFT_ENTER(hipMemsetAsync);
  if (!Reaches(to, bytes)) return hipErrorInvalidValue;
  return Move(stream, [=] { std::memset(to, value, bytes); });
}

// ---- Pools and peers: a pool is a name for a card; which others reach it is the engine's affair.

HET_EXPORT hipError_t hipDeviceCanAccessPeer(int* can, int device, int peer) {
  if (!IsDevice(device) || !IsDevice(peer)) return hipErrorInvalidDevice;
  *can = device != peer ? static_cast<int>(The().engine.settings.Number("peers", 1)) : 0;
  return hipSuccess;
}

HET_EXPORT hipError_t hipMemPoolCreate(hipMemPool_t* pool, const hipMemPoolProps* properties) {
  const int card = properties->location.id;
  if (properties->allocType != hipMemAllocationTypePinned ||
      properties->location.type != hipMemLocationTypeDevice || !IsDevice(card))
    return hipErrorInvalidValue;
  *pool = new hipMemPoolOpaque{card};
  return ErrorOf(The().engine.Check("hipMemPoolCreate", card));
}

HET_EXPORT hipError_t hipMemPoolDestroy(hipMemPool_t pool) {
  delete pool;
  return hipSuccess;
}

HET_EXPORT hipError_t hipMemPoolSetAccess(hipMemPool_t pool, const hipMemAccessDesc* access,
                                          size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (!IsDevice(access[i].location.id)) return hipErrorInvalidDevice;
    The().engine.AllowPeer(access[i].location.id, pool->card);
  }
  return hipSuccess;
}

HET_EXPORT hipError_t hipMallocFromPoolAsync(void** address, size_t bytes, hipMemPool_t pool,
                                             hipStream_t stream) {
  if (stream == nullptr || bytes == 0) return hipErrorInvalidValue;
  SOFT_ENTER(hipMallocFromPoolAsync);
  *address = The().engine.memory.Allocate(pool->card, bytes);
  return *address != nullptr ? hipSuccess : hipErrorOutOfMemory;
}

HET_EXPORT hipError_t hipFreeAsync(void* address, hipStream_t stream) {
  if (stream == nullptr || The().engine.memory.Find(address).bytes == 0)
    return hipErrorInvalidValue;
  stream->stream->Enqueue([address] { The().engine.memory.Free(address); }, true);
  return hipSuccess;
}

HET_EXPORT hipError_t hipMemcpyPeerAsync(void* to, int to_device, const void* from, int from_device,
                                         size_t bytes, hipStream_t stream) {
  SOFT_ENTER(hipMemcpyPeerAsync);
  if (stream == nullptr || !IsDevice(to_device) || !IsDevice(from_device))
    return hipErrorInvalidValue;
  if (The().engine.memory.Find(to, bytes).card != to_device ||
      The().engine.memory.Find(from, bytes).card != from_device ||
      !The().engine.Reaches(stream->card, to, bytes) ||
      !The().engine.Reaches(stream->card, from, bytes))
    return hipErrorInvalidValue;
  return Move(stream, [=] { std::memcpy(to, from, bytes); });
}

// ---- Code ----

HET_EXPORT hipError_t hipModuleLoadData(hipModule_t* module, const void* image) {
  SOFT_ENTER(hipModuleLoadData);
  // A code object begins with a table of kernel descriptors here, as CodeEntries looks for them.
  const char* text = static_cast<const char*>(image);
  while (*text != '\0' && std::strncmp(text, "//", 2) != 0) text += std::strlen(text) + 1;
  soft::ModuleText source;
  if (!source.Parse(text)) return hipErrorInvalidImage;
  std::string log;
  auto made = std::make_unique<hipModuleOpaque>();
  made->program = soft::Program::Build(source.portable, source.options, log);
  if (made->program == nullptr) {
    std::fprintf(stderr, "soft libamdhip64: %s\n", log.c_str());
    return hipErrorInvalidImage;
  }
  for (const soft::KernelShape& shape : made->program->kernels()) {
    made->functions.push_back({made.get(), &shape});
  }
  *module = made.release();
  return hipSuccess;
}

HET_EXPORT hipError_t hipModuleUnload(hipModule_t module) {
  delete module;
  return hipSuccess;
}

HET_EXPORT hipError_t hipModuleGetFunction(hipFunction_t* function, hipModule_t module,
                                           const char* name) {
  SOFT_ENTER(hipModuleGetFunction);
  for (hipFunctionOpaque& one : module->functions) {
    if (one.shape->name != name) continue;
    *function = &one;
    return hipSuccess;
  }
  return hipErrorNotFound;
}

HET_EXPORT hipError_t hipModuleLaunchKernel(hipFunction_t function, unsigned int grid_x,
                                            unsigned int grid_y, unsigned int grid_z,
                                            unsigned int block_x, unsigned int block_y,
                                            unsigned int block_z, unsigned int, hipStream_t stream,
                                            void** parameters, void** extra) {
  SOFT_ENTER(hipModuleLaunchKernel);
  if (uint64_t{block_x} * block_y * block_z > kMostThreads || grid_x == 0 || grid_y == 0 ||
      grid_z == 0 || block_x == 0 || block_y == 0 || block_z == 0) {
    return hipErrorInvalidValue;
  }
  soft::Launch launch;
  launch.program = function->module->program;
  launch.kernel = function->shape;
  launch.groups[0] = grid_x;
  launch.groups[1] = grid_y;
  launch.groups[2] = grid_z;
  launch.group_size[0] = block_x;
  launch.group_size[1] = block_y;
  launch.group_size[2] = block_z;
  if (!soft::PackArguments(*function->shape, parameters, extra, kLaunchParamEnd,
                           launch.arguments)) {
    return hipErrorInvalidValue;
  }
  hipStream_t to = Resolve(stream);
  if (to->captured_in != nullptr) {
    to->captured_in->nodes.push_back({std::move(launch), {}});
  } else {
    to->stream->Enqueue(std::move(launch));
  }
  return hipSuccess;
}

// ---- Graphs: of one stream, in its order ----

HET_EXPORT hipError_t hipStreamBeginCapture(hipStream_t stream, int) {
  SOFT_ENTER(hipStreamBeginCapture);
  if (stream == nullptr) return hipErrorStreamCaptureUnsupported;
  if (stream->captured_in != nullptr) return hipErrorIllegalState;
  stream->captured_in = new hipGraphOpaque;
  return hipSuccess;
}

HET_EXPORT hipError_t hipStreamEndCapture(hipStream_t stream, hipGraph_t* graph) {
  SOFT_ENTER(hipStreamEndCapture);
  if (stream == nullptr || stream->captured_in == nullptr) return hipErrorIllegalState;
  *graph = std::exchange(stream->captured_in, nullptr);
  return hipSuccess;
}

HET_EXPORT hipError_t hipGraphInstantiate(hipGraphExec_t* executable, hipGraph_t graph,
                                          hipGraphNode_t*, char*, size_t) {
  SOFT_ENTER(hipGraphInstantiate);
  *executable = new hipGraphExecOpaque;
  (*executable)->nodes = graph->nodes;
  return hipSuccess;
}

HET_EXPORT hipError_t hipGraphLaunch(hipGraphExec_t executable, hipStream_t stream) {
  SOFT_ENTER(hipGraphLaunch);
  for (const soft::GraphNode& node : executable->nodes) {
    if (node.launch.kernel != nullptr) {
      Resolve(stream)->stream->Enqueue(node.launch);
    } else {
      Move(stream, node.work);
    }
  }
  return hipSuccess;
}

HET_EXPORT hipError_t hipGraphDestroy(hipGraph_t graph) {
  delete graph;
  return hipSuccess;
}

HET_EXPORT hipError_t hipGraphExecDestroy(hipGraphExec_t executable) {
  delete executable;
  return hipSuccess;
}

// ---- hiprtc ----

namespace {

// "<name>.kd" for every kernel, then the text.
std::string CodeObject(const soft::RtcProgram& program) {
  std::string code;
  constexpr std::string_view kEntry = ".entry ";
  const std::string& text = program.code();
  for (size_t at = text.find(kEntry); at != std::string::npos; at = text.find(kEntry, at + 1)) {
    const size_t begin = at + kEntry.size();
    code += text.substr(begin, text.find('(', begin) - begin) + ".kd" + '\0';
  }
  return code + text + '\0';
}

}  // namespace

HET_EXPORT hiprtcResult hiprtcVersion(int* major, int* minor) {
  *major = 6;
  *minor = 0;
  return HIPRTC_SUCCESS;
}
HET_EXPORT const char* hiprtcGetErrorString(hiprtcResult error) {
  return error == HIPRTC_SUCCESS             ? "HIPRTC_SUCCESS"
         : error == HIPRTC_ERROR_COMPILATION ? "HIPRTC_ERROR_COMPILATION"
                                             : "hiprtc error";
}
HET_EXPORT hiprtcResult hiprtcCreateProgram(hiprtcProgram* program, const char* text, const char*,
                                            int, const char**, const char**) {
  *program = new hiprtcProgramOpaque(text);
  return HIPRTC_SUCCESS;
}
HET_EXPORT hiprtcResult hiprtcDestroyProgram(hiprtcProgram* program) {
  delete *program;
  *program = nullptr;
  return HIPRTC_SUCCESS;
}
HET_EXPORT hiprtcResult hiprtcCompileProgram(hiprtcProgram program, int count,
                                             const char** options) {
  return program->program.Compile(count, options) ? HIPRTC_SUCCESS : HIPRTC_ERROR_COMPILATION;
}
HET_EXPORT hiprtcResult hiprtcGetCodeSize(hiprtcProgram program, size_t* bytes) {
  *bytes = CodeObject(program->program).size();
  return HIPRTC_SUCCESS;
}
HET_EXPORT hiprtcResult hiprtcGetCode(hiprtcProgram program, char* code) {
  const std::string object = CodeObject(program->program);
  std::memcpy(code, object.data(), object.size());
  return HIPRTC_SUCCESS;
}
HET_EXPORT hiprtcResult hiprtcGetProgramLogSize(hiprtcProgram program, size_t* bytes) {
  *bytes = program->program.log().size() + 1;
  return HIPRTC_SUCCESS;
}
HET_EXPORT hiprtcResult hiprtcGetProgramLog(hiprtcProgram program, char* log) {
  std::memcpy(log, program->program.log().c_str(), program->program.log().size() + 1);
  return HIPRTC_SUCCESS;
}

}  // namespace het::hip
