#include "devices/level_zero/gpu.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "devices/spirv/modules.h"

namespace het::level_zero {
namespace {

constexpr size_t kMemoryAlignment = 256;
constexpr uint64_t kForever = UINT64_MAX;

}  // namespace

// Lists of other devices may hold it, too.
struct ZeGpu::Point {
  Point(std::shared_ptr<Points> points, Handle event, uint64_t* stamp)
      : points(std::move(points)), event(event), stamp(stamp) {}
  ~Point() { points->GiveBack(event, stamp); }

  const std::shared_ptr<Points> points;
  const Handle event;
  uint64_t* const stamp;  // device ticks, written with the signal
  // What the list waited for before this point: may be used anew when this one was reached.
  absl::Mutex mutex;
  std::vector<std::shared_ptr<Point>> waited ABSL_GUARDED_BY(mutex);
};

// What streams::Event holds: the point of its last recording.
struct ZeGpu::Event {
  absl::Mutex mutex;
  std::shared_ptr<Point> point ABSL_GUARDED_BY(mutex);

  std::shared_ptr<Point> Last() {
    absl::MutexLock lock(&mutex);
    return point;
  }
};

struct ZeGpu::Stream {
  explicit Stream(Handle list) : list(list) {}
  const Handle list;
  absl::Mutex mutex;  // a list takes one command at a time
  std::vector<std::shared_ptr<Point>> waited ABSL_GUARDED_BY(mutex);  // since the last point
};

struct ZeGpu::Kernel {
  Handle handle = nullptr;  // a graph's, too
  bool is_graph = false;
  uint32_t arguments = 0;
  absl::Mutex mutex;  // arguments and group size are the kernel's state until it is appended
};

struct ZeGpu::Module {
  Handle handle = nullptr;
  bool is_graph = false;
  std::vector<std::unique_ptr<Kernel>> kernels;  // one thread loads a program
};

absl::StatusOr<std::unique_ptr<ZeGpu>> ZeGpu::Open(std::shared_ptr<const Context> context,
                                                   Handle driver, Handle device,
                                                   std::function<void()> give_back) {
  std::unique_ptr<ZeGpu> gpu(new ZeGpu(std::move(context), driver, device, std::move(give_back)));
  HET_ZE_RETURN_IF_ERROR(static_cast<uint32_t>(gpu->ReadQueueGroups()),
                         "asking for the device's queues");
  return gpu;
}

ZeGpu::ZeGpu(std::shared_ptr<const Context> context, Handle driver, Handle device,
             std::function<void()> give_back)
    : context_(std::move(context)),
      points_(std::make_shared<Points>(context_)),
      api_(context_->api()),
      device_(device),
      graphs_(GraphTableOf(api_, driver)),
      give_back_(std::move(give_back)) {
  ModuleProperties modules;
  takes_spirv_ =
      api_.zeDeviceGetModuleProperties(device_, &modules) == kSuccess && modules.spirv_version != 0;
}

uint32_t ZeGpu::capabilities() const {
  if (takes_spirv_) {
    return kRunsPortable | (api_.zeDeviceCanAccessPeer != nullptr ? kPeerCopies : 0u);
  }
  return graphs_ != nullptr ? kRunsGraphs : 0u;
}

ZeGpu::~ZeGpu() {
  std::map<void*, std::shared_ptr<Stream>> streams;  // those of the caller: they may hold points
  {
    absl::MutexLock lock(&mutex_);
    streams.swap(streams_);
  }
  streams.clear();
  if (give_back_) give_back_();
}

int ZeGpu::ReadQueueGroups() {
  DeviceProperties properties;
  HET_ZE_TRY(api_.zeDeviceGetProperties(device_, &properties));
  name_ = properties.name;
  if (properties.timer_resolution > 0) {
    nanos_per_tick_ = static_cast<double>(properties.timer_resolution);
  }
  if (properties.timestamp_bits > 0 && properties.timestamp_bits < 64) {
    tick_mask_ = (uint64_t{1} << properties.timestamp_bits) - 1;
  }
  uint32_t count = 0;
  HET_ZE_TRY(api_.zeDeviceGetCommandQueueGroupProperties(device_, &count, nullptr));
  std::vector<QueueGroupProperties> groups(count);
  HET_ZE_TRY(api_.zeDeviceGetCommandQueueGroupProperties(device_, &count, groups.data()));
  const auto find = [&groups](auto suits, uint32_t otherwise) {
    const auto found = std::find_if(groups.begin(), groups.end(), suits);
    return found == groups.end() ? otherwise : static_cast<uint32_t>(found - groups.begin());
  };
  compute_ordinal_ =
      find([](const QueueGroupProperties& g) { return (g.flags & kQueueComputes) != 0; }, 0);
  // A copy engine of its own, where there is one.
  copy_ordinal_ = find(
      [](const QueueGroupProperties& g) {
        return (g.flags & kQueueCopies) != 0 && (g.flags & kQueueComputes) == 0 && g.queues > 0;
      },
      compute_ordinal_);
  return kSuccess;
}

int ZeGpu::NewStream(QueueKind kind, void** stream) {
  CommandQueueDesc desc;
  desc.ordinal = kind == QueueKind::kTransfer ? copy_ordinal_ : compute_ordinal_;
  Handle list = nullptr;
  HET_ZE_TRY(api_.zeCommandListCreateImmediate(context_->handle(), device_, &desc, &list));
  absl::MutexLock lock(&mutex_);
  streams_[list] = std::make_shared<Stream>(list);
  *stream = list;
  return kSuccess;
}

int ZeGpu::DeleteStream(void* stream) {
  std::shared_ptr<Stream> last;  // lets go of its points without the lock
  {
    absl::MutexLock lock(&mutex_);
    const auto found = streams_.find(stream);
    if (found == streams_.end()) return kInvalidNullHandle;
    last = std::move(found->second);
    streams_.erase(found);
  }
  return static_cast<int>(api_.zeCommandListDestroy(stream));
}

absl::Status ZeGpu::CheckStream(void* stream) {
  // An immediate command list does not tell its device in Level Zero 1.4: the caller's word counts.
  absl::MutexLock lock(&mutex_);
  if (streams_.count(stream) == 0) streams_[stream] = std::make_shared<Stream>(stream);
  return absl::OkStatus();
}

std::shared_ptr<ZeGpu::Stream> ZeGpu::StreamOf(void* stream) {
  absl::MutexLock lock(&mutex_);
  const auto found = streams_.find(stream);
  return found == streams_.end() ? nullptr : found->second;
}

int ZeGpu::NewEvent(void** event) {
  *event = new Event;
  return kSuccess;
}

int ZeGpu::DeleteEvent(void* event) {
  delete static_cast<Event*>(event);
  return kSuccess;
}

int ZeGpu::Record(void* event, void* stream) {
  const std::shared_ptr<Stream> to = StreamOf(stream);
  if (to == nullptr) return kInvalidNullHandle;
  Handle handle = nullptr;
  uint64_t* stamp = nullptr;
  if (const int error = points_->Take(&handle, &stamp); error != kSuccess) return error;
  auto point = std::make_shared<Point>(points_, handle, stamp);
  {
    absl::MutexLock lock(&to->mutex);
    HET_ZE_TRY(api_.zeCommandListAppendWriteGlobalTimestamp(to->list, point->stamp, point->event, 0,
                                                            nullptr));
    absl::MutexLock point_lock(&point->mutex);
    point->waited = std::exchange(to->waited, {});
  }
  auto* record = static_cast<Event*>(event);
  {
    absl::MutexLock lock(&record->mutex);
    record->point.swap(point);
  }
  return kSuccess;  // the point of before goes here, without the lock
}

int ZeGpu::Query(void* event) {
  const std::shared_ptr<Point> point = static_cast<Event*>(event)->Last();
  if (point == nullptr) return kSuccess;
  HET_ZE_TRY(api_.zeEventQueryStatus(point->event));
  std::vector<std::shared_ptr<Point>> over;
  absl::MutexLock lock(&point->mutex);
  over.swap(point->waited);
  return kSuccess;
}

int ZeGpu::Await(void* event) {
  const std::shared_ptr<Point> point = static_cast<Event*>(event)->Last();
  if (point == nullptr) return kSuccess;
  HET_ZE_TRY(api_.zeEventHostSynchronize(point->event, kForever));
  std::vector<std::shared_ptr<Point>> over;
  absl::MutexLock lock(&point->mutex);
  over.swap(point->waited);
  return kSuccess;
}

int ZeGpu::Elapsed(float* milliseconds, void* begin, void* end) {
  const std::shared_ptr<Point> from = static_cast<Event*>(begin)->Last();
  const std::shared_ptr<Point> to = static_cast<Event*>(end)->Last();
  if (from == nullptr || to == nullptr) return kInvalidArgument;
  const uint64_t ticks = (*to->stamp - *from->stamp) & tick_mask_;  // the counter may wrap once
  *milliseconds = static_cast<float>(static_cast<double>(ticks) * nanos_per_tick_ * 1e-6);
  return kSuccess;
}

int ZeGpu::WaitFor(void* event, void* stream) {
  const std::shared_ptr<Stream> to = StreamOf(stream);
  if (to == nullptr) return kInvalidNullHandle;
  std::shared_ptr<Point> point = static_cast<Event*>(event)->Last();
  if (point == nullptr) return kSuccess;
  Handle handle = point->event;
  absl::MutexLock lock(&to->mutex);
  HET_ZE_TRY(api_.zeCommandListAppendWaitOnEvents(to->list, 1, &handle));
  to->waited.push_back(std::move(point));
  return kSuccess;
}

int ZeGpu::NewMemory(uint64_t bytes, streams::Address* address) {
  const DeviceMemoryDesc desc;
  void* memory = nullptr;
  HET_ZE_TRY(
      api_.zeMemAllocDevice(context_->handle(), &desc, bytes, kMemoryAlignment, device_, &memory));
  *address = reinterpret_cast<streams::Address>(memory);
  return kSuccess;
}

int ZeGpu::DeleteMemory(streams::Address address) {
  return static_cast<int>(api_.zeMemFree(context_->handle(), reinterpret_cast<void*>(address)));
}

int ZeGpu::NewPinned(uint64_t bytes, void** address) {
  const HostMemoryDesc desc;
  return static_cast<int>(
      api_.zeMemAllocHost(context_->handle(), &desc, bytes, kMemoryAlignment, address));
}

int ZeGpu::DeletePinned(void* address) {
  return static_cast<int>(api_.zeMemFree(context_->handle(), address));
}

int ZeGpu::Move(void* to, const void* from, uint64_t bytes, void* stream) {
  const std::shared_ptr<Stream> on = StreamOf(stream);
  if (on == nullptr) return kInvalidNullHandle;
  absl::MutexLock lock(&on->mutex);
  HET_ZE_TRY(api_.zeCommandListAppendMemoryCopy(on->list, to, from, bytes, nullptr, 0, nullptr));
  return static_cast<int>(api_.zeCommandListAppendBarrier(on->list, nullptr, 0, nullptr));
}

int ZeGpu::Write(streams::Address to, const void* from, uint64_t bytes, void* stream) {
  return Move(reinterpret_cast<void*>(to), from, bytes, stream);
}

int ZeGpu::Read(void* to, streams::Address from, uint64_t bytes, void* stream) {
  return Move(to, reinterpret_cast<const void*>(from), bytes, stream);
}

int ZeGpu::Copy(streams::Address to, streams::Address from, uint64_t bytes, void* stream) {
  return Move(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes, stream);
}

bool ZeGpu::Reaches(const streams::Gpu& other) const {
  const auto* peer = dynamic_cast<const ZeGpu*>(&other);
  if (peer == nullptr || peer->context_ != context_ || api_.zeDeviceCanAccessPeer == nullptr) {
    return false;
  }
  if (peer->device_ == device_) return true;
  absl::MutexLock lock(&mutex_);
  const auto known = reaches_.find(peer->device_);
  if (known != reaches_.end()) return known->second;
  uint8_t can = 0, back = 0;
  const bool reaches = api_.zeDeviceCanAccessPeer(device_, peer->device_, &can) == kSuccess &&
                       api_.zeDeviceCanAccessPeer(peer->device_, device_, &back) == kSuccess &&
                       can != 0 && back != 0;
  return reaches_[peer->device_] = reaches;
}

int ZeGpu::Fill(streams::Address to, uint8_t value, uint64_t bytes, void* stream) {
  const std::shared_ptr<Stream> on = StreamOf(stream);
  if (on == nullptr) return kInvalidNullHandle;
  absl::MutexLock lock(&on->mutex);
  HET_ZE_TRY(api_.zeCommandListAppendMemoryFill(on->list, reinterpret_cast<void*>(to), &value,
                                                sizeof(value), bytes, nullptr, 0, nullptr));
  return static_cast<int>(api_.zeCommandListAppendBarrier(on->list, nullptr, 0, nullptr));
}

int ZeGpu::Launch(void* kernel, const uint32_t groups[3], const uint32_t group_size[3],
                  const void* arguments, size_t bytes, void* stream) {
  const std::shared_ptr<Stream> on = StreamOf(stream);
  if (on == nullptr) return kInvalidNullHandle;
  auto& own = *static_cast<Kernel*>(kernel);
  if (own.is_graph) return LaunchGraph(own, arguments, bytes, *on);
  // The portable dialect: an address and an offset per buffer, then at most one struct.
  const uint32_t words = own.arguments / 2 * 2;
  const bool has_struct = own.arguments % 2 != 0;
  const size_t word_bytes = words * sizeof(uint64_t);
  if (bytes < word_bytes || (bytes > word_bytes) != has_struct) return kInvalidArgument;
  const auto* from = static_cast<const std::byte*>(arguments);
  absl::MutexLock kernel_lock(&own.mutex);
  HET_ZE_TRY(api_.zeKernelSetGroupSize(own.handle, group_size[0], group_size[1], group_size[2]));
  for (uint32_t i = 0; i < words; ++i) {
    HET_ZE_TRY(api_.zeKernelSetArgumentValue(own.handle, i, sizeof(uint64_t),
                                             from + i * sizeof(uint64_t)));
  }
  if (has_struct) {
    HET_ZE_TRY(
        api_.zeKernelSetArgumentValue(own.handle, words, bytes - word_bytes, from + word_bytes));
  }
  const GroupCount count = {groups[0], groups[1], groups[2]};
  absl::MutexLock lock(&on->mutex);
  HET_ZE_TRY(
      api_.zeCommandListAppendLaunchKernel(on->list, own.handle, &count, nullptr, 0, nullptr));
  return static_cast<int>(api_.zeCommandListAppendBarrier(on->list, nullptr, 0, nullptr));
}

int ZeGpu::LaunchGraph(Kernel& kernel, const void* arguments, size_t bytes, Stream& on) {
  // An address and an offset per argument of the graph.
  if (bytes != kernel.arguments * 2 * sizeof(uint64_t)) return kInvalidArgument;
  const auto* pairs = static_cast<const uint64_t*>(arguments);
  absl::MutexLock kernel_lock(&kernel.mutex);
  for (uint32_t i = 0; i < kernel.arguments; ++i) {
    HET_ZE_TRY(graphs_->set_argument_value(
        kernel.handle, i, reinterpret_cast<const void*>(pairs[2 * i] + pairs[2 * i + 1])));
  }
  absl::MutexLock lock(&on.mutex);
  HET_ZE_TRY(graphs_->append_execute(DriversOwn(api_, kLoaderCommandList, on.list), kernel.handle,
                                     nullptr, nullptr, 0, nullptr));
  return static_cast<int>(api_.zeCommandListAppendBarrier(on.list, nullptr, 0, nullptr));
}

int ZeGpu::LoadGraph(const std::string& blob, Module& module) {
  GraphDesc desc;
  desc.bytes = blob.size();
  desc.input = reinterpret_cast<const uint8_t*>(blob.data());
  HET_ZE_TRY(graphs_->create(DriversOwn(api_, kLoaderContext, context_->handle()),
                             DriversOwn(api_, kLoaderDevice, device_), &desc, &module.handle));
  module.is_graph = true;
  // It is brought to the device once, before it is executed.
  void* stream = nullptr;
  void* event = nullptr;
  int error = NewStream(QueueKind::kCompute, &stream);
  if (error == kSuccess) error = NewEvent(&event);
  if (error == kSuccess) {
    error = static_cast<int>(graphs_->append_initialize(
        DriversOwn(api_, kLoaderCommandList, stream), module.handle, nullptr, 0, nullptr));
  }
  if (error == kSuccess) error = Record(event, stream);
  if (error == kSuccess) error = Await(event);
  if (event != nullptr) DeleteEvent(event);
  if (stream != nullptr) DeleteStream(stream);
  if (error != kSuccess) graphs_->destroy(module.handle);
  return error;
}

absl::StatusOr<streams::Code> ZeGpu::Compile(const ProgramSource& source) {
  streams::Code code;
  if (!takes_spirv_ || source.portable.empty()) {
    code.form = KernelForm::kGraph;
    code.image = source.graph;
    code.kernels = {kGraphKernel};
    return code;
  }
  auto module = spirv::ModuleFor(source.portable, source.options);
  if (absl::IsInvalidArgument(module.status())) {
    return absl::InvalidArgumentError(absl::StrCat("program ", source.name, " does not build on ",
                                                   name_, ":\n", module.status().message()));
  }
  if (!module.ok()) {
    return Annotate(module.status(), absl::StrCat("program ", source.name, " on ", name_));
  }
  code.image = *std::move(module);
  HET_ASSIGN_OR_RETURN(code.kernels, spirv::EntryPoints(code.image));
  return code;
}

int ZeGpu::LoadCode(const streams::Code& code, void** module, std::string* log_text) {
  if (code.form == KernelForm::kGraph) {
    auto graph = std::make_unique<Module>();
    if (const int error = LoadGraph(code.image, *graph); error != kSuccess) return error;
    *module = graph.release();
    return kSuccess;
  }
  const std::string& image = code.image;
  ModuleDesc desc;
  desc.bytes = image.size();
  desc.image = reinterpret_cast<const uint8_t*>(image.data());
  auto loaded = std::make_unique<Module>();
  Handle log = nullptr;
  const uint32_t result =
      api_.zeModuleCreate(context_->handle(), device_, &desc, &loaded->handle, &log);
  if (log != nullptr) {
    size_t bytes = 0;
    if (result != kSuccess && api_.zeModuleBuildLogGetString(log, &bytes, nullptr) == kSuccess) {
      std::string text(bytes, '\0');
      api_.zeModuleBuildLogGetString(log, &bytes, text.data());
      *log_text = absl::StrCat("the driver does not take the SPIR-V: ",
                               absl::StripAsciiWhitespace(text.c_str()));
    }
    api_.zeModuleBuildLogDestroy(log);
  }
  if (result == kSuccess) *module = loaded.release();
  return static_cast<int>(result);
}

int ZeGpu::UnloadCode(void* module) {
  const std::unique_ptr<Module> own(static_cast<Module*>(module));
  if (own->is_graph) return static_cast<int>(graphs_->destroy(own->handle));
  for (const auto& kernel : own->kernels) api_.zeKernelDestroy(kernel->handle);
  return static_cast<int>(api_.zeModuleDestroy(own->handle));
}

size_t ZeGpu::ArgumentBytes(void* kernel) {
  const auto& own = *static_cast<Kernel*>(kernel);
  return own.is_graph ? own.arguments * 2 * sizeof(uint64_t) : 0;  // else the driver does not tell
}

int ZeGpu::FindKernel(void* module, const char* name, void** kernel) {
  auto& own = *static_cast<Module*>(module);
  if (own.is_graph) {
    GraphProperties graph;
    HET_ZE_TRY(graphs_->get_properties(own.handle, &graph));
    own.kernels.push_back(std::make_unique<Kernel>());
    own.kernels.back()->handle = own.handle;
    own.kernels.back()->is_graph = true;
    own.kernels.back()->arguments = graph.arguments;
    *kernel = own.kernels.back().get();
    return kSuccess;
  }
  KernelDesc desc;
  desc.name = name;
  auto made = std::make_unique<Kernel>();
  HET_ZE_TRY(api_.zeKernelCreate(own.handle, &desc, &made->handle));
  KernelProperties properties;
  if (const uint32_t result = api_.zeKernelGetProperties(made->handle, &properties);
      result != kSuccess) {
    api_.zeKernelDestroy(made->handle);
    return static_cast<int>(result);
  }
  made->arguments = properties.arguments;
  *kernel = made.get();
  own.kernels.push_back(std::move(made));
  return kSuccess;
}

}  // namespace het::level_zero
