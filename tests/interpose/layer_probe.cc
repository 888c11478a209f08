// layer_probe: one thing at a time that an OpenCL program does, for layer_test and bench/layer.
// Prints what it found as "name value" lines; exit 0, or 3 for an OpenCL error that no mode
// expects, 4 where there is no device.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tests/interpose/cl_program.h"
#include "tests/interpose/probe.h"

namespace {

using het::interpose::Arguments;
using het::interpose::Check;
using het::interpose::Cl;
using het::interpose::ClProgram;
using het::interpose::Median;
using het::interpose::Now;
using het::interpose::Number;
using het::interpose::Say;
using het::interpose::WaitToBegin;

// Of the whole process: what a launch costs whoever else runs on this machine.
double CpuSeconds() {
  timespec time = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

template <typename T>
T Info(cl_device_id device, cl_device_info what) {
  T value = 0;
  Check(Cl().clGetDeviceInfo(device, what, sizeof(value), &value, nullptr), "clGetDeviceInfo");
  return value;
}

// ---- what the program sees -------------------------------------------------------------------

int Devices(const Arguments&) {
  cl_uint platforms = 0;
  cl_platform_id platform = nullptr;
  Say("platforms_error", Cl().clGetPlatformIDs(1, &platform, &platforms));
  Say("platforms", platforms);
  if (platforms == 0) return 0;
  cl_uint devices = 0;
  Say("devices_error", Cl().clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &devices));
  Say("devices", devices);
  cl_device_id device = nullptr;
  Say("default_error", Cl().clGetDeviceIDs(platform, CL_DEVICE_TYPE_DEFAULT, 1, &device, nullptr));
  Say("gpu_error", Cl().clGetDeviceIDs(platform, CL_DEVICE_TYPE_GPU, 1, &device, nullptr));
  Say("no_room_error", Cl().clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, &device, nullptr));
  Say("bad_type_error", Cl().clGetDeviceIDs(platform, 1u << 20, 1, &device, nullptr));
  device = het::interpose::FirstDevice();
  Say("memory", Info<cl_ulong>(device, CL_DEVICE_GLOBAL_MEM_SIZE));
  Say("largest", Info<cl_ulong>(device, CL_DEVICE_MAX_MEM_ALLOC_SIZE));
  Say("units", Info<cl_uint>(device, CL_DEVICE_MAX_COMPUTE_UNITS));
  cl_device_id parent = device;
  Check(Cl().clGetDeviceInfo(device, CL_DEVICE_PARENT_DEVICE, sizeof(parent), &parent, nullptr),
        "parent");
  Say("has_parent", parent != nullptr);
  // Twice what it holds: a slice's device must outlive what the program takes for a root device's
  // ignored releases.
  Cl().clReleaseDevice(device);
  Cl().clReleaseDevice(device);
  ClProgram program;
  Check(program.Launch(program.queue, 64, 10), "launch");
  Say("counter", program.Counter(63));
  return 0;
}

// ---- memory ----------------------------------------------------------------------------------

// quota BYTES: fills exactly BYTES, with every kind of allocation at its edge.
int Quota(const Arguments& arguments) {
  ClProgram program;
  const size_t own = 4096 * sizeof(cl_uint);  // the program's counters
  const size_t room = Number(arguments, 0, 0) - own;
  cl_int error = 0;
  const auto create = [&](size_t bytes) {
    return Cl().clCreateBuffer(program.context, CL_MEM_READ_WRITE, bytes, nullptr, &error);
  };
  cl_mem over = create(room + 1);
  Say("over_error", error);
  Say("over_made", over != nullptr);
  cl_mem all = create(room);
  Say("all_error", error);
  cl_mem more = create(1);
  Say("full_error", error);
  Say("full_made", more != nullptr);
  Say("svm_when_full_made",
      Cl().clSVMAlloc(program.context, CL_MEM_READ_WRITE, 4096, 0) != nullptr);
  cl_image_format format = {CL_RGBA, CL_UNSIGNED_INT8};
  cl_image_desc description = {};
  description.image_type = CL_MEM_OBJECT_IMAGE2D;
  description.image_width = description.image_height = 64;
  cl_mem image = Cl().clCreateImage(program.context, CL_MEM_READ_WRITE, &format, &description,
                                    nullptr, &error);
  Say("image_when_full_error", error);
  // A sub-buffer takes nothing; the parent lives as long as it does.
  cl_buffer_region region = {0, 4096};
  cl_mem part =
      Cl().clCreateSubBuffer(all, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &error);
  Say("part_error", error);
  Check(Cl().clRetainMemObject(all), "retain");
  Check(Cl().clReleaseMemObject(all), "release");
  Check(Cl().clReleaseMemObject(all), "release");
  create(1);
  Say("parent_of_part_error", error);
  Check(Cl().clReleaseMemObject(part), "release part");
  // All is free again: as an image and the rest as SVM.
  image = Cl().clCreateImage(program.context, CL_MEM_READ_WRITE, &format, &description, nullptr,
                             &error);
  Say("image_error", error);
  size_t image_bytes = 0;
  Check(Cl().clGetMemObjectInfo(image, CL_MEM_SIZE, sizeof(image_bytes), &image_bytes, nullptr),
        "size");
  void* svm = Cl().clSVMAlloc(program.context, CL_MEM_READ_WRITE, room - image_bytes, 0);
  Say("svm_made", svm != nullptr);
  create(1);
  Say("full_again_error", error);
  Check(Cl().clReleaseMemObject(image), "release image");
  cl_mem instead = create(image_bytes);
  Say("instead_of_image_error", error);
  void* pointers[] = {svm};
  Check(Cl().clEnqueueSVMFree(program.queue, 1, pointers, nullptr, nullptr, 0, nullptr, nullptr),
        "clEnqueueSVMFree");
  Check(Cl().clFinish(program.queue), "finish");
  usleep(50'000);  // the driver's callback
  svm = Cl().clSVMAlloc(program.context, CL_MEM_READ_WRITE, room - image_bytes, 0);
  Say("svm_again_made", svm != nullptr);
  Cl().clSVMFree(program.context, svm);
  Check(Cl().clReleaseMemObject(instead), "release");
  all = create(room);
  Say("all_again_error", error);
  Check(Cl().clReleaseMemObject(all), "release");
  return 0;
}

// ---- launches --------------------------------------------------------------------------------

// results: the sum over pipelined launches, events, out-of-order queues and callbacks is what it
// must be.
int Results(const Arguments&) {
  ClProgram program;
  constexpr int kLaunches = 2000;
  for (int i = 0; i < kLaunches; ++i) Check(program.Launch(program.queue, 64, 10), "launch");
  Check(Cl().clFinish(program.queue), "finish");
  Say("pipelined", program.Counter(63));
  cl_command_queue other = program.NewQueue(/*in_order=*/false);
  cl_event last = nullptr;
  for (int i = 0; i < 100; ++i) {
    cl_event event = nullptr;
    Check(program.Launch(i % 2 == 0 ? other : program.queue, 64, 10, last != nullptr,
                         last != nullptr ? &last : nullptr, &event),
          "chained launch");
    if (last != nullptr) Cl().clReleaseEvent(last);
    last = event;
  }
  Check(Cl().clWaitForEvents(1, &last), "wait");
  Cl().clReleaseEvent(last);
  Say("chained", program.Counter(63));
  Check(Cl().clReleaseCommandQueue(other), "release queue");
  // Polled, as some programs do.
  for (int i = 0; i < 20; ++i) {
    cl_event event = nullptr;
    Check(program.Launch(program.queue, 64, 10, 0, nullptr, &event), "polled launch");
    Check(Cl().clFlush(program.queue), "flush");
    cl_int status = CL_QUEUED;
    while (status != CL_COMPLETE) {
      Check(Cl().clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status,
                                nullptr),
            "poll");
    }
    Cl().clReleaseEvent(event);
  }
  Say("polled", program.Counter(63));
  return 0;
}

// user_event: work that waits for the program itself holds nobody up, not even this program.
int UserEvent(const Arguments&) {
  ClProgram program;
  cl_int error = 0;
  cl_event gate = Cl().clCreateUserEvent(program.context, &error);
  Check(error, "clCreateUserEvent");
  cl_event gated = nullptr;
  Check(program.Launch(program.queue, 64, 10, 1, &gate, &gated), "gated");
  Check(program.Launch(program.queue, 64, 10), "behind it");
  cl_command_queue other = program.NewQueue();
  for (int i = 0; i < 100; ++i) Check(program.Launch(other, 64, 10), "beside it");
  Check(Cl().clFinish(other), "finish");
  cl_event after = nullptr;
  Check(program.Launch(other, 64, 10, 1, &gated, &after), "after it, on the other queue");
  usleep(20'000);
  cl_int status = CL_COMPLETE;
  Check(Cl().clGetEventInfo(after, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status,
                            nullptr),
        "status");
  Say("waits", status != CL_COMPLETE);
  Check(Cl().clSetUserEventStatus(gate, CL_COMPLETE), "set");
  Check(Cl().clReleaseEvent(gate), "release");
  Check(Cl().clWaitForEvents(1, &after), "wait");
  Check(Cl().clFinish(program.queue), "finish");
  Say("counter", program.Counter(63));
  return 0;
}

// callback: launches from inside a driver's callback.
int FromCallback(const Arguments&) {
  static ClProgram* program = new ClProgram;
  static std::atomic<int> left{50};
  static std::atomic<bool> done{false};
  static void(CL_CALLBACK * next)(cl_event, cl_int, void*) = [](cl_event event, cl_int, void*) {
    Cl().clReleaseEvent(event);
    if (--left == 0) {
      done = true;
      return;
    }
    cl_event event_of_next = nullptr;
    Check(program->Launch(program->queue, 64, 10, 0, nullptr, &event_of_next), "launch");
    Check(Cl().clSetEventCallback(event_of_next, CL_COMPLETE, next, nullptr), "callback");
    Cl().clFlush(program->queue);
  };
  cl_event first = nullptr;
  Check(program->Launch(program->queue, 64, 10, 0, nullptr, &first), "launch");
  Check(Cl().clSetEventCallback(first, CL_COMPLETE, next, nullptr), "callback");
  Cl().clFlush(program->queue);
  while (!done) usleep(1000);
  Check(Cl().clFinish(program->queue), "finish");
  Say("counter", program->Counter(63));
  return 0;
}

// busy SECONDS ROUNDS [sync]: launches for so long; how many of them completed.
int Busy(const Arguments& arguments) {
  ClProgram program;
  const double seconds = static_cast<double>(Number(arguments, 0, 1));
  const cl_uint rounds = Number(arguments, 1, 2000);
  const bool sync = arguments.size() > 2 && arguments[2] == "sync";
  long long launches = 0;
  if (!WaitToBegin()) return 5;
  const double end = Now() + seconds;
  cl_event previous = nullptr;
  while (Now() < end) {
    if (sync) {
      Check(program.Launch(program.queue, 1024, rounds), "launch");
      Check(Cl().clFinish(program.queue), "finish");
      ++launches;
      continue;
    }
    cl_event last = nullptr;
    for (int i = 0; i < 16; ++i) {
      Check(program.Launch(program.queue, 1024, rounds, 0, nullptr, i == 15 ? &last : nullptr),
            "launch");
      ++launches;
    }
    // Two batches deep.
    if (previous != nullptr) {
      Check(Cl().clWaitForEvents(1, &previous), "wait");
      Cl().clReleaseEvent(previous);
    }
    previous = last;
  }
  Check(Cl().clFinish(program.queue), "finish");
  Say("launches", launches);
  return 0;
}

// ---- cost ------------------------------------------------------------------------------------

// pipelined LAUNCHES ROUNDS_OF_IT: microseconds per launch of an empty kernel in order.
int Pipelined(const Arguments& arguments) {
  ClProgram program;
  const int launches = static_cast<int>(Number(arguments, 0, 5000));
  const int repeats = static_cast<int>(Number(arguments, 1, 10));
  std::vector<double> enqueue, whole, cpu;
  for (int r = -2; r < repeats; ++r) {
    const double start = Now(), cpu_start = CpuSeconds();
    for (int i = 0; i < launches; ++i) Check(program.Launch(program.queue, 1, 0), "launch");
    const double enqueued = Now();
    Check(Cl().clFinish(program.queue), "finish");
    const double end = Now();
    if (r < 0) continue;
    enqueue.push_back((enqueued - start) / launches * 1e6);
    whole.push_back((end - start) / launches * 1e6);
    cpu.push_back((CpuSeconds() - cpu_start) / launches * 1e6);
  }
  std::printf("enqueue_us %.4f\nwhole_us %.4f\ncpu_us %.4f\n", Median(enqueue), Median(whole),
              Median(cpu));
  return 0;
}

// finished LAUNCHES ROUNDS_OF_IT: microseconds per launch with clFinish after each.
int Finished(const Arguments& arguments) {
  ClProgram program;
  const int launches = static_cast<int>(Number(arguments, 0, 500));
  const int repeats = static_cast<int>(Number(arguments, 1, 10));
  std::vector<double> each;
  for (int r = -2; r < repeats; ++r) {
    for (int i = 0; i < launches; ++i) {
      const double start = Now();
      Check(program.Launch(program.queue, 1, 0), "launch");
      Check(Cl().clFinish(program.queue), "finish");
      if (r >= 0) each.push_back((Now() - start) * 1e6);
    }
  }
  std::printf("finish_us %.4f\n", Median(each));
  return 0;
}

// ---- processes -------------------------------------------------------------------------------

// fork: a child without exec gets no device; the parent keeps its own.
int Fork(const Arguments&) {
  ClProgram program;
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    cl_uint platforms = 0;
    const cl_int listed = Cl().clGetPlatformIDs(0, nullptr, &platforms);
    cl_int made = CL_SUCCESS;
    Cl().clCreateBuffer(program.context, CL_MEM_READ_WRITE, 4096, nullptr, &made);
    const cl_int launched = program.Launch(program.queue, 64, 10);
    _exit(listed != CL_SUCCESS && made != CL_SUCCESS && launched != CL_SUCCESS ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  Say("child_refused", WIFEXITED(status) && WEXITSTATUS(status) == 0);
  Check(program.Launch(program.queue, 64, 10), "launch");
  Say("counter", program.Counter(63));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const het::interpose::Modes modes = {
      {"devices", Devices},      {"quota", Quota},           {"results", Results},
      {"user_event", UserEvent}, {"callback", FromCallback}, {"busy", Busy},
      {"pipelined", Pipelined},  {"finished", Finished},     {"fork", Fork}};
  const auto mode =
      het::interpose::FindMode(modes, "layer_probe MODE [NUMBERS]", argc > 1 ? argv[1] : nullptr);
  return mode == nullptr ? 2 : mode(Arguments(argv + 2, argv + argc));
}
