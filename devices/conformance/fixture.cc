#include "devices/conformance/kernels.h"
#include "devices/conformance/suite.h"

namespace het::conformance {

Ref<Program> Fixture::NewProgram() {
  Ref<Program> program = Must(device.Build(TestProgram()), "Device::Build");
  return program;
}

void Fixture::Finish(Queue& queue) {
  const Ref<Timeline> done = NewTimeline();
  Must(queue.Barrier({.signal = {done, 1}}), "Barrier");
  Await(*done, 1);
}

void Fixture::Upload(Queue& queue, Buffer& to, const void* from, uint64_t bytes, uint64_t offset) {
  const Ref<Timeline> done = NewTimeline();
  Must(queue.Write(from, to, offset, bytes, {.signal = {done, 1}}), "Write");
  Await(*done, 1);
}

std::vector<uint8_t> Fixture::Download(Queue& queue, Buffer& from) {
  std::vector<uint8_t> bytes(from.bytes(), 0xEE);
  const Ref<Timeline> done = NewTimeline();
  Must(queue.Read(from, 0, bytes.data(), bytes.size(), {.signal = {done, 1}}), "Read");
  Await(*done, 1);
  return bytes;
}

}  // namespace het::conformance
