/* het.h from a C11 program: acquire a slice of the host, run a kernel on it, meet the quota. */
#include <het/het.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void expect(int condition, const char* what) {
  if (!condition) {
    printf("failed: %s\n", what);
    ++failures;
  }
}

/* The code; prints what an unexpected failure says. */
static het_code take(het_status status, het_code expected) {
  const het_code code = het_status_code(status);
  if (code != expected)
    printf("code %d instead of %d: %s\n", code, expected, het_status_message(status));
  het_status_free(status);
  return code;
}

#define OK(call) expect(take(call, HET_OK) == HET_OK, #call)
#define FAILS(code, call) expect(take(call, code) == (code), #call)

struct square_params {
  uint32_t count;
};

static void square(const het_native_call* call) {
  const struct square_params* params = call->params;
  const float* in = call->buffers[0];
  float* out = call->buffers[1];
  for (uint64_t i = call->group_begin; i < call->group_end && i < params->count; ++i)
    out[i] = in[i] * in[i];
}

static void run_kernel(het_lease* lease) {
  enum { N = 1000 };
  float in[N], out[N];
  for (int i = 0; i < N; ++i) in[i] = (float)i;
  const het_native_kernel table[] = {{"square", square}};
  het_program_source source;
  HET_INIT(source);
  source.name = "square";
  source.native = table;
  source.native_count = 1;
  het_program* program = NULL;
  OK(het_program_build(lease, &source, &program));
  het_kernel* kernel = NULL;
  FAILS(HET_NOT_FOUND, het_program_kernel(program, "cube", &kernel));
  OK(het_program_kernel(program, "square", &kernel));

  het_buffer *a = NULL, *b = NULL;
  OK(het_buffer_create(lease, sizeof(in), HET_MEMORY_DEVICE, &a));
  OK(het_buffer_create(lease, sizeof(out), HET_MEMORY_DEVICE, &b));
  het_queue* queue = NULL;
  OK(het_queue_create(lease, HET_QUEUE_COMPUTE, &queue));
  het_timeline* timeline = NULL;
  OK(het_timeline_create(lease, 0, &timeline));
  OK(het_queue_write(queue, in, a, 0, sizeof(in), NULL));
  const het_buffer_arg buffers[] = {{a, 0}, {b, 0}};
  const struct square_params params = {N};
  het_launch launch;
  HET_INIT(launch);
  launch.kernel = kernel;
  launch.groups[0] = N;
  launch.groups[1] = launch.groups[2] = 1;
  launch.group_size[0] = launch.group_size[1] = launch.group_size[2] = 1;
  launch.buffers = buffers;
  launch.buffer_count = 2;
  launch.params = &params;
  launch.params_bytes = sizeof(params);
  OK(het_queue_launch(queue, &launch, NULL));
  het_sync sync;
  HET_INIT(sync);
  sync.signal.timeline = timeline;
  sync.signal.value = 1;
  OK(het_queue_read(queue, b, 0, out, sizeof(out), &sync));
  OK(het_queue_flush(queue));
  OK(het_timeline_wait(timeline, 1, UINT64_MAX));
  for (int i = 0; i < N; ++i) {
    if (out[i] != in[i] * in[i]) {
      expect(0, "the kernel's result");
      break;
    }
  }
  het_timeline_release(timeline);
  het_queue_release(queue);
  het_buffer_release(a);
  het_buffer_release(b);
  het_program_release(program);
}

int main(void) {
  int major = -1, minor = -1;
  het_version(&major, &minor);
  expect(major == HET_VERSION_MAJOR && minor == HET_VERSION_MINOR, "the library's version");

  het_session_options options;
  HET_INIT(options);
  options.flags = HET_SESSION_EMBEDDED;
  het_session* session = NULL;
  OK(het_session_open(&options, &session));
  if (session == NULL) return 1;
  het_device_info info;
  const char* cpu = NULL;
  for (size_t i = 0; i < het_session_device_count(session); ++i) {
    HET_INIT(info);
    OK(het_session_device(session, i, &info));
    if (strcmp(info.backend, "cpu") == 0) cpu = info.id;
  }
  expect(cpu != NULL, "a cpu device");

  het_slice_request request;
  HET_INIT(request);
  request.device = cpu;
  request.share = 5000;
  request.memory_bytes = 16 << 20;
  het_lease* lease = NULL;
  OK(het_acquire(session, &request, 1, &lease));
  het_session_close(session); /* the lease keeps what it needs */
  if (lease == NULL) return 1;
  run_kernel(lease);

  het_buffer* big = NULL;
  het_status refused = het_buffer_create(lease, 17 << 20, HET_MEMORY_DEVICE, &big);
  expect(het_status_code(refused) == HET_RESOURCE_EXHAUSTED, "17 MiB of 16 MiB");
  expect(strstr(het_status_message(refused), "asked 17 MiB") != NULL,
         "the refusal says what was asked");
  expect(strstr(het_status_message(refused), "16 MiB left") != NULL,
         "the refusal says what is left");
  het_status_free(refused);
  expect(big == NULL, "no output on failure");
  het_lease_release(lease);
  if (failures == 0) printf("ok\n");
  return failures == 0 ? 0 : 1;
}
