// cuda_probe: one thing at a time that a CUDA program does, for shadow_test and bench/shadow.
//
//   cuda_probe dlopen|proc|linked MODE [NUMBERS]
//
// Prints what it found as "name value" lines; exit 0, or 3 for an error that no mode expects, 4
// where there is no device.
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/interpose/cuda_program.h"
#include "tests/interpose/probe.h"

namespace {

using het::interpose::Arguments;
using het::interpose::Check;
using het::interpose::Cu;
using het::interpose::CudaProgram;
using het::interpose::Median;
using het::interpose::Now;
using het::interpose::Number;
using het::interpose::Say;
using het::interpose::WaitToBegin;
using namespace het::cuda;  // NOLINT(google-build-using-namespace): a program of that API

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kPhysical = 2 * kMiB;

size_t FreeBytes() {
  size_t free = 0, total = 0;
  Check(Cu().cuMemGetInfo_v2(&free, &total), "cuMemGetInfo");
  return free;
}

// ---- what the program sees -------------------------------------------------------------------

int Devices(const Arguments&) {
  CudaProgram program;
  int count = 0;
  size_t free = 0, total = 0, whole = 0;
  Check(Cu().cuDeviceGetCount(&count), "cuDeviceGetCount");
  Check(Cu().cuMemGetInfo_v2(&free, &total), "cuMemGetInfo");
  Check(Cu().cuDeviceTotalMem_v2(&whole, program.device), "cuDeviceTotalMem");
  CUuuid uuid = {};
  Check(Cu().cuDeviceGetUuid_v2(&uuid, program.device), "cuDeviceGetUuid");
  Say("devices", count);
  Say("card", uuid.bytes[15]);
  Say("free", static_cast<long long>(free));
  Say("total", static_cast<long long>(total));
  Say("whole", static_cast<long long>(whole));
  program.Compile();
  Check(program.Launch(program.stream, 64, 10), "launch");
  Say("counter", program.Counter(63));
  return 0;
}

// NVML's view, of every card.
int Management(const Arguments&) {
  struct {
    unsigned long long total, free, used;
  } memory = {};
  struct {
    unsigned int version;
    unsigned long long total, reserved, free, used;
  } second = {};
  void* library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
  if (library == nullptr) return 4;
  const auto init = reinterpret_cast<int (*)()>(dlsym(library, "nvmlInit_v2"));
  const auto count =
      reinterpret_cast<int (*)(unsigned int*)>(dlsym(library, "nvmlDeviceGetCount_v2"));
  const auto handle = reinterpret_cast<int (*)(unsigned int, void**)>(
      dlsym(library, "nvmlDeviceGetHandleByIndex_v2"));
  const auto get =
      reinterpret_cast<int (*)(void*, void*)>(dlsym(library, "nvmlDeviceGetMemoryInfo"));
  const auto get_second =
      reinterpret_cast<int (*)(void*, void*)>(dlsym(library, "nvmlDeviceGetMemoryInfo_v2"));
  Check(init(), "nvmlInit");
  unsigned int cards = 0;
  Check(count(&cards), "nvmlDeviceGetCount");
  for (unsigned int i = 0; i < cards; ++i) {
    void* device = nullptr;
    Check(handle(i, &device), "nvmlDeviceGetHandleByIndex");
    Check(get(device, &memory), "nvmlDeviceGetMemoryInfo");
    const std::string name = "card" + std::to_string(i);
    Say(name + "_total", static_cast<long long>(memory.total));
    Say(name + "_used", static_cast<long long>(memory.used));
    Say(name + "_free", static_cast<long long>(memory.free));
    second.version = static_cast<unsigned int>(sizeof(second)) | 2u << 24;
    Check(get_second(device, &second), "nvmlDeviceGetMemoryInfo_v2");
    Say(name + "_second_total", static_cast<long long>(second.total));
  }
  return 0;
}

// ---- memory ----------------------------------------------------------------------------------

// One way to allocate; `free` undoes it.
struct Family {
  std::string name;
  size_t bytes;   // that it asks for
  size_t booked;  // that it takes
  std::function<CUresult()> allocate;
  std::function<CUresult()> free;
};

std::vector<Family> Families(CudaProgram& program) {
  static CUdeviceptr address = 0;
  static size_t pitch = 0;
  static CUarray array = nullptr;
  static CUmipmappedArray levels = nullptr;
  static CUmemGenericAllocationHandle handle = 0;
  static CUmemoryPool pool = nullptr;
  Check(Cu().cuDeviceGetDefaultMemPool(&pool, program.device), "cuDeviceGetDefaultMemPool");
  static const CUDA_ARRAY_DESCRIPTOR flat = {1000, 3, 0x20, 4};
  static const CUDA_ARRAY3D_DESCRIPTOR deep = {100, 30, 5, 0x10, 1, 0};
  static CUmemAllocationProp physical = {};
  physical.type = 1;
  physical.location = {CU_MEM_LOCATION_TYPE_DEVICE, program.device};
  static CUgraph graph = nullptr;
  static CUgraphNode node = nullptr;
  static CUDA_MEM_ALLOC_NODE_PARAMS node_memory = {};
  node_memory.bytesize = 4321;
  Check(Cu().cuGraphCreate(&graph, 0), "cuGraphCreate");
  const auto unit = [](size_t bytes) { return (bytes + 511) / 512 * 512; };
  const auto free_address = [] { return Cu().cuMemFree_v2(address); };
  const auto free_in_order = [] {
    const CUresult error = Cu().cuMemFreeAsync(address, nullptr);
    Check(Cu().cuStreamSynchronize(nullptr), "cuStreamSynchronize");
    return error;
  };
  return {
      {"plain", 12345, 12345, [] { return Cu().cuMemAlloc_v2(&address, 12345); }, free_address},
      {"pitched", 1001 * 7, 1024 * 7,
       [] { return Cu().cuMemAllocPitch_v2(&address, &pitch, 1001, 7, 4); }, free_address},
      {"managed", 777, 777, [] { return Cu().cuMemAllocManaged(&address, 777, 1); }, free_address},
      {"ordered", 5555, 5555, [] { return Cu().cuMemAllocAsync(&address, 5555, nullptr); },
       free_in_order},
      {"pooled", 5556, 5556,
       [] { return Cu().cuMemAllocFromPoolAsync(&address, 5556, pool, nullptr); }, free_in_order},
      {"array", 1000 * 3 * 16, unit(1000 * 3 * 16),
       [] { return Cu().cuArrayCreate_v2(&array, &flat); },
       [] { return Cu().cuArrayDestroy(array); }},
      {"deep_array", 100 * 30 * 5 * 2, unit(100 * 30 * 5 * 2),
       [] { return Cu().cuArray3DCreate_v2(&array, &deep); },
       [] { return Cu().cuArrayDestroy(array); }},
      {"levels", 2 * (100 * 30 * 5 + 50 * 15 * 2), unit(2 * (100 * 30 * 5 + 50 * 15 * 2)),
       [] { return Cu().cuMipmappedArrayCreate(&levels, &deep, 2); },
       [] { return Cu().cuMipmappedArrayDestroy(levels); }},
      {"physical", kPhysical, kPhysical,
       [] { return Cu().cuMemCreate(&handle, kPhysical, &physical, 0); },
       [] { return Cu().cuMemRelease(handle); }},
      {"of_graph", 4321, 4321,
       [] { return Cu().cuGraphAddMemAllocNode(&node, graph, nullptr, 0, &node_memory); },
       [] { return Cu().cuMemFree_v2(node_memory.dptr); }},
  };
}

// Every family: refused when one byte is missing, and then nothing is booked; there when its bytes
// are; and given back.
int Quota(const Arguments&) {
  CudaProgram program;
  for (const Family& family : Families(program)) {
    CUdeviceptr filler = 0;
    const size_t room = FreeBytes();
    Check(Cu().cuMemAlloc_v2(&filler, room - family.booked + 1), "filler");
    Say(family.name + "_over", family.allocate());
    Say(family.name + "_left_after_refusal", static_cast<long long>(FreeBytes()));
    Check(Cu().cuMemFree_v2(filler), "cuMemFree");
    Check(Cu().cuMemAlloc_v2(&filler, room - family.booked), "filler");
    Say(family.name + "_exact", family.allocate());
    Say(family.name + "_left", static_cast<long long>(FreeBytes()));
    Say(family.name + "_freed", family.free());
    Check(Cu().cuMemFree_v2(filler), "cuMemFree");
    Say(family.name + "_lost", static_cast<long long>(room) - static_cast<long long>(FreeBytes()));
  }
  // Pinned memory of the host is not the device's.
  const size_t before = FreeBytes();
  void* pinned = nullptr;
  Check(Cu().cuMemHostAlloc(&pinned, before + 1, 0), "cuMemHostAlloc");
  Say("pinned_booked", static_cast<long long>(before - FreeBytes()));
  Check(Cu().cuMemFreeHost(pinned), "cuMemFreeHost");
  return 0;
}

// What holds physical memory: handles and mappings, here and from elsewhere.
int Physical(const Arguments&) {
  CudaProgram program;
  CUmemAllocationProp what = {};
  what.type = 1;
  what.location = {CU_MEM_LOCATION_TYPE_DEVICE, program.device};
  const size_t before = FreeBytes();
  const auto booked = [&] { return static_cast<long long>((before - FreeBytes()) / kPhysical); };
  CUmemGenericAllocationHandle handle = 0, again = 0;
  CUdeviceptr at = 0, other = 0;
  Check(Cu().cuMemCreate(&handle, kPhysical, &what, 0), "cuMemCreate");
  Check(Cu().cuMemAddressReserve(&at, kPhysical, 0, 0, 0), "cuMemAddressReserve");
  Check(Cu().cuMemAddressReserve(&other, kPhysical, 0, 0, 0), "cuMemAddressReserve");
  Check(Cu().cuMemMap(at, kPhysical, 0, handle, 0), "cuMemMap");
  Say("mapped", booked());
  int file = -1;
  Check(Cu().cuMemExportToShareableHandle(&file, handle, 1, 0), "export");
  Check(Cu().cuMemRelease(handle), "cuMemRelease");
  Say("released", booked());
  // The way round a quota: hold it through a file, and let go of the original.
  Check(Cu().cuMemImportFromShareableHandle(
            &again, reinterpret_cast<void*>(static_cast<intptr_t>(file)), 1),
        "import");
  Check(Cu().cuMemMap(other, kPhysical, 0, again, 0), "cuMemMap");
  Check(Cu().cuMemUnmap(at, kPhysical), "cuMemUnmap");
  Say("imported", booked());
  Check(Cu().cuMemUnmap(other, kPhysical), "cuMemUnmap");
  Say("import_unmapped", booked());
  Check(Cu().cuMemRelease(again), "cuMemRelease");
  Say("all_gone", booked());
  return 0;
}

// A context takes what was in it along.
int Contexts(const Arguments&) {
  CudaProgram program;
  const size_t before = FreeBytes();
  CUcontext other = nullptr;
  Check(Cu().cuCtxCreate_v2(&other, 0, program.device), "cuCtxCreate");
  CUdeviceptr lost = 0;
  CUarray array = nullptr;
  const CUDA_ARRAY_DESCRIPTOR flat = {1000, 3, 0x20, 4};
  Check(Cu().cuMemAlloc_v2(&lost, kMiB), "cuMemAlloc");
  Check(Cu().cuArrayCreate_v2(&array, &flat), "cuArrayCreate");
  Say("booked", static_cast<long long>(before - FreeBytes()));
  Check(Cu().cuCtxDestroy_v2(other), "cuCtxDestroy");
  Check(Cu().cuCtxSetCurrent(program.context), "cuCtxSetCurrent");
  Say("booked_after", static_cast<long long>(before - FreeBytes()));
  Check(Cu().cuMemAlloc_v2(&lost, kMiB), "cuMemAlloc");
  Check(Cu().cuDevicePrimaryCtxRelease_v2(program.device), "cuDevicePrimaryCtxRelease");
  Check(Cu().cuDevicePrimaryCtxRetain(&other, program.device), "cuDevicePrimaryCtxRetain");
  Check(Cu().cuCtxSetCurrent(other), "cuCtxSetCurrent");
  Say("booked_after_release", static_cast<long long>(before - FreeBytes()));
  return 0;
}

// Memory of another process of the slice is booked where it is open, too.
int Ipc(const Arguments&) {
  int to_child[2], to_parent[2];
  if (pipe(to_child) != 0 || pipe(to_parent) != 0) return 5;
  const pid_t child = fork();
  if (child == 0) {
    CudaProgram program;
    CUdeviceptr address = 0;
    CUipcMemHandle handle = {};
    Check(Cu().cuMemAlloc_v2(&address, kMiB), "cuMemAlloc");
    Check(Cu().cuMemsetD8Async(address, 7, kMiB, nullptr), "cuMemsetD8Async");
    Check(Cu().cuStreamSynchronize(nullptr), "cuStreamSynchronize");
    Check(Cu().cuIpcGetMemHandle(&handle, address), "cuIpcGetMemHandle");
    char end = 0;
    if (write(to_parent[1], &handle, sizeof(handle)) < 0 || read(to_child[0], &end, 1) < 0) {
      _exit(5);
    }
    _exit(0);
  }
  CudaProgram program;
  CUipcMemHandle handle = {};
  if (read(to_parent[0], &handle, sizeof(handle)) != sizeof(handle)) return 5;
  const size_t before = FreeBytes();
  CUdeviceptr address = 0;
  Check(Cu().cuIpcOpenMemHandle_v2(&address, handle, 1), "cuIpcOpenMemHandle");
  unsigned char value = 0;
  Check(Cu().cuMemcpyDtoH_v2(&value, address, 1), "cuMemcpyDtoH");
  Say("value", value);
  Say("open", static_cast<long long>(before - FreeBytes()));
  Check(Cu().cuIpcCloseMemHandle(address), "cuIpcCloseMemHandle");
  Say("closed", static_cast<long long>(before - FreeBytes()));
  if (write(to_child[1], "x", 1) != 1) return 5;
  waitpid(child, nullptr, 0);
  return 0;
}

// ---- work ------------------------------------------------------------------------------------

// Every way to launch and to wait; what they compute.
int Results(const Arguments&) {
  using Way = CudaProgram::Way;
  CudaProgram program;
  program.Compile();
  for (int i = 0; i < 2000; ++i) Check(program.Launch(program.stream, 64, 10), "launch");
  Say("pipelined", program.Counter(0));
  for (Way way : {Way::kExtended, Way::kCooperative}) {
    Check(program.Launch(program.stream, 64, 10, way), "launch");
  }
  Check(program.Launch(nullptr, 64, 10), "launch");
  Check(Cu().cuStreamSynchronize(program.stream), "cuStreamSynchronize");
  Say("ways", program.Counter(0));
  std::thread([&] {
    Check(Cu().cuCtxSetCurrent(program.context), "cuCtxSetCurrent");
    for (int i = 0; i < 100; ++i) {
      Check(program.Launch(nullptr, 64, 10, Way::kPerThread), "launch");
    }
    Check(Cu().cuStreamSynchronize_ptsz(nullptr), "cuStreamSynchronize");
  }).join();
  Say("per_thread", program.Counter(0));
  CUevent event = nullptr;
  Check(Cu().cuEventCreate(&event, 0), "cuEventCreate");
  for (int i = 0; i < 50; ++i) {
    Check(program.Launch(program.stream, 64, 1000), "launch");
    Check(Cu().cuEventRecord(event, program.stream), "cuEventRecord");
    if (i % 2 == 0) {
      Check(Cu().cuEventSynchronize(event), "cuEventSynchronize");
    } else {
      while (Cu().cuEventQuery(event) == CUDA_ERROR_NOT_READY) usleep(100);
    }
  }
  Check(Cu().cuEventDestroy_v2(event), "cuEventDestroy");
  Say("events", program.Counter(0));
  for (int i = 0; i < 30; ++i) {
    CUstream once = nullptr;
    Check(Cu().cuStreamCreateWithPriority(&once, 1, 0), "cuStreamCreate");
    Check(program.Launch(once, 64, 10), "launch");
    if (i % 2 == 0) usleep(3000);  // the shadow's ticker comes by
    Check(Cu().cuStreamDestroy_v2(once), "cuStreamDestroy");
  }
  Say("streams", program.Counter(0));
  return 0;
}

// graphs ROUNDS LAUNCHES ROUNDS_IN_GRAPH: captures in the strictest mode, while launches of before
// are under way: the graph has what the program put in it.
int Graphs(const Arguments& arguments) {
  const auto rounds = static_cast<uint32_t>(Number(arguments, 0, 50'000));
  const uint64_t before_each = Number(arguments, 1, 4);
  const auto rounds_in_graph = static_cast<uint32_t>(Number(arguments, 2, 10));
  CudaProgram program;
  program.Compile();
  CUgraph graph = nullptr;
  CUgraphExec ready = nullptr;
  CUstream other = nullptr;
  Check(Cu().cuStreamCreateWithPriority(&other, 1, 0), "cuStreamCreate");
  size_t nodes = 0, most = 0;
  for (int i = 0; i < 20; ++i) {
    for (uint64_t j = 0; j < before_each; ++j) {
      Check(program.Launch(program.stream, 64, rounds), "launch");
      Check(program.Launch(other, 64, rounds), "launch");
    }
    Check(Cu().cuStreamBeginCapture_v2(program.stream, 0), "cuStreamBeginCapture");
    for (int j = 0; j < 3; ++j) {
      Check(program.Launch(program.stream, 64, rounds_in_graph), "launch");
      usleep(1000);
    }
    Check(Cu().cuStreamEndCapture(program.stream, &graph), "cuStreamEndCapture");
    Check(Cu().cuGraphGetNodes(graph, nullptr, &nodes), "cuGraphGetNodes");
    most = std::max(most, nodes);
    if (i < 19) Check(Cu().cuGraphDestroy(graph), "cuGraphDestroy");
  }
  Say("nodes", static_cast<long long>(most));
  Check(Cu().cuStreamSynchronize(other), "cuStreamSynchronize");
  const uint32_t before = program.Counter(0);
  Check(Cu().cuGraphInstantiateWithFlags(&ready, graph, 0), "cuGraphInstantiate");
  for (int i = 0; i < 10; ++i) Check(Cu().cuGraphLaunch(ready, program.stream), "cuGraphLaunch");
  Say("counted", program.Counter(0) - before);
  return 0;
}

// busy SECONDS ROUNDS BATCH: launches for so long, two batches deep.
int Busy(const Arguments& arguments) {
  CudaProgram program;
  program.Compile();
  const double seconds = static_cast<double>(Number(arguments, 0, 1));
  const auto rounds = static_cast<uint32_t>(Number(arguments, 1, 20'000));
  const uint64_t each = Number(arguments, 2, 16);
  long long launches = 0;
  if (!WaitToBegin()) return 5;
  CUevent events[2] = {};
  for (CUevent& event : events) Check(Cu().cuEventCreate(&event, 2), "cuEventCreate");
  const double end = Now() + seconds;
  for (int batch = 0; Now() < end; batch ^= 1) {
    Check(Cu().cuEventSynchronize(events[batch]), "cuEventSynchronize");
    for (uint64_t i = 0; i < each; ++i, ++launches) {
      Check(program.Launch(program.stream, 1024, rounds), "launch");
    }
    Check(Cu().cuEventRecord(events[batch], program.stream), "cuEventRecord");
  }
  Check(Cu().cuStreamSynchronize(program.stream), "cuStreamSynchronize");
  Say("launches", launches);
  return 0;
}

// pipelined LAUNCHES TIMES: microseconds per launch of an almost empty kernel in order.
int Pipelined(const Arguments& arguments) {
  CudaProgram program;
  program.Compile();
  const int launches = static_cast<int>(Number(arguments, 0, 5000));
  const int repeats = static_cast<int>(Number(arguments, 1, 9));
  std::vector<double> enqueue, whole;
  for (int r = -2; r < repeats; ++r) {
    const double start = Now();
    for (int i = 0; i < launches; ++i) Check(program.Launch(program.stream, 1, 0), "launch");
    const double enqueued = Now();
    Check(Cu().cuStreamSynchronize(program.stream), "cuStreamSynchronize");
    const double end = Now();
    if (r < 0) continue;
    enqueue.push_back((enqueued - start) / launches * 1e6);
    whole.push_back((end - start) / launches * 1e6);
  }
  std::printf("enqueue_us %.4f\nwhole_us %.4f\n", Median(enqueue), Median(whole));
  return 0;
}

// ---- processes and names ---------------------------------------------------------------------

// A child without exec has no CUDA after cuInit; the parent keeps its own.
int Fork(const Arguments&) {
  CudaProgram program;
  program.Compile();
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    CUdeviceptr address = 0;
    const bool refused = Cu().cuInit(0) != CUDA_SUCCESS &&
                         Cu().cuMemAlloc_v2(&address, 4096) != CUDA_SUCCESS &&
                         program.Launch(program.stream, 64, 10) != CUDA_SUCCESS;
    _exit(refused ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  Say("child_refused", WIFEXITED(status) && WEXITSTATUS(status) == 0);
  Check(program.Launch(program.stream, 64, 10), "launch");
  Say("counter", program.Counter(63));
  return 0;
}

// What cuGetProcAddress gives for a name: 1 when there is a function, else 0; and what it says.
int Names(const Arguments& arguments) {
  CudaProgram program;
  for (const std::string& name : arguments) {
    void* function = nullptr;
    int status = -1;
    const CUresult error = Cu().cuGetProcAddress_v2(name.c_str(), &function, 13000, 0, &status);
    Say(name, function != nullptr ? 1 : 0);
    Say(name + "_error", error);
    Say(name + "_status", status);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const het::interpose::Modes modes = {{"devices", Devices},   {"management", Management},
                                       {"quota", Quota},       {"physical", Physical},
                                       {"contexts", Contexts}, {"ipc", Ipc},
                                       {"results", Results},   {"graphs", Graphs},
                                       {"busy", Busy},         {"pipelined", Pipelined},
                                       {"fork", Fork},         {"names", Names}};
  const auto mode = het::interpose::FindMode(modes, "cuda_probe dlopen|proc|linked MODE [NUMBERS]",
                                             argc > 2 ? argv[2] : nullptr);
  if (mode == nullptr) return 2;
  if (mode != Management) het::interpose::FindCallsBy(argv[1]);
  return mode(Arguments(argv + 3, argv + argc));
}
