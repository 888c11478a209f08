// The beginning and the ends: cuInit, and contexts that are destroyed with all that is in them.
#include "interpose/cuda/holding.h"
#include "interpose/say.h"

namespace het::interpose {
namespace {

using cuda::CUcontext;
using cuda::CUDA_SUCCESS;
using cuda::CUdevice;
using cuda::CUresult;
using cuda::driver;

// `context` null: it may live on.
template <typename End>
CUresult EndedContext(CUcontext context, bool owns_memory, End end) {
  const Held held;
  Shadow* shadow = held.open_shadow();
  if (shadow == nullptr || context == nullptr) return end();
  shadow->LeaveContext(context);
  const CUresult error = end();
  if (error == CUDA_SUCCESS && owns_memory) shadow->book().ForgetContext(context);
  return error;
}

// A primary context goes with its last use. Those that the program has through the runtime's own
// tables are not seen here: so the driver is asked.
template <typename End>
CUresult ReleasedPrimary(CUdevice device, End end) {
  const Held held;
  Shadow* shadow = held.open_shadow();
  if (shadow == nullptr) return end();
  const CUcontext context = shadow->LastRelease(device);
  if (context != nullptr) shadow->LeaveContext(context);
  const CUresult error = end();
  unsigned int flags = 0;
  int active = 1;
  if (context != nullptr && error == CUDA_SUCCESS && driver.cuDevicePrimaryCtxGetState != nullptr &&
      driver.cuDevicePrimaryCtxGetState(device, &flags, &active) == CUDA_SUCCESS && active == 0) {
    shadow->book().ForgetContext(context);
  }
  return error;
}

CUcontext PrimaryOf(CUdevice device) {
  Shadow* shadow = Shadow::Get();
  return shadow == nullptr ? nullptr : shadow->PrimaryOf(device);
}

CUcontext ContextOf(cuda::CUgreenCtx green) {
  CUcontext context = nullptr;
  if (driver.cuCtxFromGreenCtx != nullptr) driver.cuCtxFromGreenCtx(&context, green);
  return context;
}

}  // namespace
}  // namespace het::interpose

namespace het::cuda {

using namespace interpose;  // NOLINT(google-build-using-namespace): its hooks

CUresult cuInit(unsigned int flags) {
  if (!MissingDriver().empty()) {
    static const bool said = [] {
      Say("this program gets no CUDA device: " + MissingDriver());
      return true;
    }();
    return said ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS;
  }
  const Held held;
  Shadow* shadow = held.shadow();
  return shadow == nullptr ? driver.cuInit(flags) : shadow->Initialise(flags);
}

CUresult cuCtxDestroy(CUcontext context) {
  return EndedContext(context, true, [=] { return driver.cuCtxDestroy(context); });
}
CUresult cuCtxDestroy_v2(CUcontext context) {
  return EndedContext(context, true, [=] { return driver.cuCtxDestroy_v2(context); });
}
// The first detach ends a context: cuCtxAttach is refused.
CUresult cuCtxDetach(CUcontext context) {
  return EndedContext(context, true, [=] { return driver.cuCtxDetach(context); });
}
CUresult cuGreenCtxDestroy(CUgreenCtx context) {
  return EndedContext(ContextOf(context), false, [=] { return driver.cuGreenCtxDestroy(context); });
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  const Held held;
  const CUresult error = driver.cuDevicePrimaryCtxRetain(context, device);
  Shadow* shadow = held.open_shadow();
  if (shadow != nullptr && error == CUDA_SUCCESS) shadow->Retained(device, *context);
  return error;
}
CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
  return ReleasedPrimary(device, [=] { return driver.cuDevicePrimaryCtxRelease(device); });
}
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  return ReleasedPrimary(device, [=] { return driver.cuDevicePrimaryCtxRelease_v2(device); });
}
CUresult cuDevicePrimaryCtxReset(CUdevice device) {
  return EndedContext(PrimaryOf(device), true,
                      [=] { return driver.cuDevicePrimaryCtxReset(device); });
}
CUresult cuDevicePrimaryCtxReset_v2(CUdevice device) {
  return EndedContext(PrimaryOf(device), true,
                      [=] { return driver.cuDevicePrimaryCtxReset_v2(device); });
}

}  // namespace het::cuda
