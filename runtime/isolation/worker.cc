#include "runtime/isolation/worker.h"

#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "devices/device.h"
#include "runtime/isolation/wire.h"

namespace het::runtime::isolation {
namespace {

absl::Status Cut() { return absl::InvalidArgumentError("a message that is cut off"); }

// Host memory that both processes map.
struct Window {
  ~Window() {
    if (address != nullptr) munmap(address, bytes);
  }
  char* address = nullptr;
  uint64_t bytes = 0;
};

struct OpenQueue {
  Window window;
  absl::Status failure;  // the first that was not even queued
  Ref<Timeline> done;
  uint64_t value = 0;
  std::unique_ptr<Queue> queue;  // last: its destructor waits for what is queued
};

struct OpenKernel {
  Ref<Program> program;
  const Kernel* kernel = nullptr;
};

// The sending half: answers come from this thread and from the driver's.
class Answers : public RefCounted {
 public:
  explicit Answers(int socket) : socket_(socket) {}
  void Send(uint64_t id, const absl::Status& status, std::string payload) {
    if (id == 0) return;
    Message message;
    message.id = id;
    message.status = status;
    message.payload = std::move(payload);
    absl::MutexLock lock(&mutex_);
    // Where it cannot be sent the other end is gone, and Serve sees that.
    (void)isolation::Send(socket_, message);
  }

 private:
  absl::Mutex mutex_;
  const int socket_;
};

class Server {
 public:
  Server(int socket, Driver& driver)
      : socket_(socket), driver_(driver), answers_(MakeRef<Answers>(socket)) {}

  void Run() {
    while (true) {
      auto message = Receive(socket_);
      if (!message.ok()) return;
      auto payload = Do(*message);
      if (message->descriptor >= 0) close(message->descriptor);
      if (!payload.ok() || !later_) {
        answers_->Send(message->id, payload.status(), payload.ok() ? *std::move(payload) : "");
      }
    }
  }

 private:
  // The answer's payload, unless later_ was set: then a timeline answers.
  absl::StatusOr<std::string> Do(const Message& message) {
    later_ = false;
    Unpacker in(message.payload);
    switch (static_cast<Verb>(message.verb)) {
      case Verb::kEnumerate:
        return Enumerate();
      case Verb::kOpen:
        return Open(in);
      case Verb::kClose:
        devices_.erase(in.Get<uint64_t>());
        return "";
      case Verb::kAllocate:
        return Allocate(in);
      case Verb::kFree:
        buffers_.erase(in.Get<uint64_t>());
        return "";
      case Verb::kCreateQueue:
        return CreateQueue(in, message.descriptor);
      case Verb::kDestroyQueue:
        queues_.erase(in.Get<uint64_t>());
        return "";
      case Verb::kBuild:
        return Build(in);
      case Verb::kDestroyProgram:
        return DestroyProgram(in.Get<uint64_t>());
      case Verb::kFindKernel:
        return FindKernel(in);
      default:
        return Queued(static_cast<Verb>(message.verb), message.id, in);
    }
  }

  template <typename Map>
  absl::StatusOr<typename Map::mapped_type*> Find(Map& map, uint64_t id, const char* what) {
    const auto found = map.find(id);
    if (found == map.end()) return absl::NotFoundError(absl::StrCat("no ", what, " ", id));
    return &found->second;
  }
  absl::StatusOr<Buffer*> FindBuffer(uint64_t id) {
    HET_ASSIGN_OR_RETURN(Ref<Buffer>* const buffer, Find(buffers_, id, "buffer"));
    return buffer->get();
  }

  absl::StatusOr<std::string> Enumerate() {
    HET_ASSIGN_OR_RETURN(const std::vector<DeviceInfo> devices, driver_.Enumerate());
    Json list = Json::array();
    for (const DeviceInfo& device : devices) list.push_back(ToJson(device));
    return Packer().Text(PrintJson(list)).Take();
  }

  absl::StatusOr<std::string> Open(Unpacker& in) {
    const std::string uuid = in.Text();
    OpenOptions options;
    options.compute_units = in.Get<uint32_t>();
    const auto cores = in.Get<uint32_t>();
    for (uint32_t i = 0; i < cores && in.ok(); ++i) options.cores.push_back(in.Get<uint32_t>());
    if (!in.ok()) return Cut();
    HET_ASSIGN_OR_RETURN(std::unique_ptr<Device> device, driver_.Open(uuid, options));
    Packer out;
    out.Put(++last_id_).Put(device->capabilities()).Text(PrintJson(ToJson(device->info())));
    devices_[last_id_] = std::move(device);
    return out.Take();
  }

  absl::StatusOr<std::string> Allocate(Unpacker& in) {
    HET_ASSIGN_OR_RETURN(auto* const device, Find(devices_, in.Get<uint64_t>(), "device"));
    const auto bytes = in.Get<uint64_t>();
    if (!in.ok()) return Cut();
    HET_ASSIGN_OR_RETURN(Ref<Buffer> buffer, (*device)->Allocate(bytes));
    buffers_[++last_id_] = std::move(buffer);
    return Packer().Put(last_id_).Take();
  }

  absl::StatusOr<std::string> CreateQueue(Unpacker& in, int descriptor) {
    HET_ASSIGN_OR_RETURN(auto* const device, Find(devices_, in.Get<uint64_t>(), "device"));
    const auto kind = static_cast<QueueKind>(in.Get<uint32_t>());
    const auto bytes = in.Get<uint64_t>();
    if (!in.ok() || descriptor < 0) return Cut();
    void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (address == MAP_FAILED) return absl::ResourceExhaustedError("cannot map shared memory");
    OpenQueue& queue = queues_[++last_id_];
    queue.window.address = static_cast<char*>(address);
    queue.window.bytes = bytes;
    auto made = (*device)->CreateQueue(kind);
    auto done = (*device)->CreateTimeline();
    if (!made.ok() || !done.ok()) {
      queues_.erase(last_id_);
      return made.ok() ? done.status() : made.status();
    }
    queue.queue = *std::move(made);
    queue.done = *std::move(done);
    return Packer().Put(last_id_).Take();
  }

  absl::StatusOr<std::string> Build(Unpacker& in) {
    HET_ASSIGN_OR_RETURN(auto* const device, Find(devices_, in.Get<uint64_t>(), "device"));
    ProgramSource source;
    source.name = in.Text();
    source.portable = in.Text();
    source.options = in.Text();
    if (!in.ok()) return Cut();
    HET_ASSIGN_OR_RETURN(Ref<Program> program, (*device)->Build(source));
    programs_[++last_id_] = std::move(program);
    return Packer().Put(last_id_).Take();
  }

  absl::StatusOr<std::string> DestroyProgram(uint64_t id) {
    const auto found = programs_.find(id);
    if (found == programs_.end()) return absl::NotFoundError(absl::StrCat("no program ", id));
    std::erase_if(kernels_,
                  [&](const auto& entry) { return entry.second.program == found->second; });
    programs_.erase(found);
    return "";
  }

  absl::StatusOr<std::string> FindKernel(Unpacker& in) {
    HET_ASSIGN_OR_RETURN(auto* const program, Find(programs_, in.Get<uint64_t>(), "program"));
    HET_ASSIGN_OR_RETURN(const Kernel* kernel, (*program)->GetKernel(in.Text()));
    kernels_[++last_id_] = {*program, kernel};
    return Packer().Put(last_id_).Take();
  }

  // An operation of a queue; with an id it is answered when it, and all before it, is done.
  absl::StatusOr<std::string> Queued(Verb verb, uint64_t id, Unpacker& in) {
    HET_ASSIGN_OR_RETURN(OpenQueue* const open, Find(queues_, in.Get<uint64_t>(), "queue"));
    if (!open->failure.ok()) return open->failure;
    Sync sync;
    if (id != 0) sync.signal = {open->done, ++open->value};
    // Nobody may wait for this operation: the next answer must tell of its failure.
    open->failure = Enqueue(verb, *open, in, sync);
    if (!open->failure.ok()) return open->failure;
    if (id == 0) return "";
    HET_RETURN_IF_ERROR(open->queue->Flush());
    later_ = true;
    open->done->OnReach(open->value,
                        [answers = answers_, id, queue = open->queue.get()](const absl::Status& s) {
                          const int64_t busy = s.ok() ? queue->busy_nanos() : 0;
                          answers->Send(id, s, Packer().Put(busy).Take());
                        });
    return "";
  }

  absl::Status Enqueue(Verb verb, OpenQueue& open, Unpacker& in, const Sync& sync) {
    if (verb == Verb::kSync) return open.queue->Barrier(sync);
    if (verb == Verb::kLaunch) return EnqueueLaunch(open, in, sync);
    HET_ASSIGN_OR_RETURN(Buffer* const buffer, FindBuffer(in.Get<uint64_t>()));
    const auto offset = in.Get<uint64_t>();
    if (verb == Verb::kCopy) {
      HET_ASSIGN_OR_RETURN(Buffer* const to, FindBuffer(in.Get<uint64_t>()));
      const auto to_offset = in.Get<uint64_t>(), bytes = in.Get<uint64_t>();
      return in.ok() ? open.queue->Copy(*buffer, offset, *to, to_offset, bytes, sync) : Cut();
    }
    const auto bytes = in.Get<uint64_t>(), last = in.Get<uint64_t>();
    if (!in.ok()) return Cut();
    if (verb == Verb::kFill) {
      return open.queue->Fill(*buffer, offset, bytes, static_cast<uint8_t>(last), sync);
    }
    if (last > open.window.bytes || bytes > open.window.bytes - last) return Cut();
    char* const shared = open.window.address + last;
    return verb == Verb::kWrite ? open.queue->Write(shared, *buffer, offset, bytes, sync)
                                : open.queue->Read(*buffer, offset, shared, bytes, sync);
  }

  absl::Status EnqueueLaunch(OpenQueue& open, Unpacker& in, const Sync& sync) {
    HET_ASSIGN_OR_RETURN(OpenKernel* const kernel, Find(kernels_, in.Get<uint64_t>(), "kernel"));
    Launch launch;
    launch.kernel = kernel->kernel;
    for (uint32_t& groups : launch.groups) groups = in.Get<uint32_t>();
    for (uint32_t& size : launch.group_size) size = in.Get<uint32_t>();
    const auto count = in.Get<uint32_t>();
    std::vector<BufferArg> buffers;
    for (uint32_t i = 0; i < count && in.ok(); ++i) {
      HET_ASSIGN_OR_RETURN(Buffer* const buffer, FindBuffer(in.Get<uint64_t>()));
      buffers.push_back({buffer, in.Get<uint64_t>()});
    }
    const std::string params = in.Text();
    if (!in.ok()) return Cut();
    launch.buffers = buffers;
    launch.params = {reinterpret_cast<const std::byte*>(params.data()), params.size()};
    return open.queue->Submit(launch, sync);
  }

  const int socket_;
  Driver& driver_;
  const Ref<Answers> answers_;
  uint64_t last_id_ = 0;
  bool later_ = false;
  // Destroyed last to first: queues before what they work on.
  std::map<uint64_t, std::unique_ptr<Device>> devices_;
  std::map<uint64_t, Ref<Buffer>> buffers_;
  std::map<uint64_t, Ref<Program>> programs_;
  std::map<uint64_t, OpenKernel> kernels_;
  std::map<uint64_t, OpenQueue> queues_;
};

}  // namespace

void Serve(int socket, Driver& driver) { Server(socket, driver).Run(); }

}  // namespace het::runtime::isolation
