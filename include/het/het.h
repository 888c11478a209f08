/* libhet: one Linux node with mixed accelerators as one large machine. The C ABI.
 *
 * A session knows the devices (from hetd, or embedded: without a daemon). Leases are slices of
 * devices, acquired all or none. On a lease live buffers (within its memory quota), queues,
 * timelines and programs; a pipeline runs the stages of a model across leases. An engine that has
 * its own kernels takes native handles and brackets its own work with het_work_begin/het_work_end.
 *
 * Conventions
 * - A function that can fail returns het_status: NULL is success, anything else an error that the
 * caller frees with het_status_free. Outputs are written on success only.
 * - Every argument struct starts with `struct_size`; set it to sizeof(the struct) (the HET_INIT
 * macro does) and leave members you do not use zero. A newer libhet serves programs built against
 * an older header.
 * - Handles are owned by the caller and given back with their _release/_close function, which
 * accept NULL. A child keeps its parent alive where it must: releasing a lease with living buffers
 * or queues is safe, its memory goes back with the last of them.
 * - Functions are thread-safe unless they say otherwise; one queue is used by one thread at a time.
 * - Sizes are bytes, times nanoseconds (suffix _ns) or milliseconds as double (suffix _ms), shares
 * 1/10000.
 *
 * Changes: 0.1 first version; since then (additions only): peers, pool memory,
 * het_queue_multiply, isolation_at_least of a slice, isolate of a session, graphs and
 * built-in kernels, recordings, y_stride of a matrix product (was reserved).
 */
#ifndef HET_HET_H_
#define HET_HET_H_

#include <stddef.h>
#include <stdint.h>

#include "het/kernel.h"

#if defined(HET_BUILDING_LIBRARY)
#define HET_API __attribute__((visibility("default")))
#else
#define HET_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define HET_VERSION_MAJOR 0
#define HET_VERSION_MINOR 1
/* Zeroes a struct and sets its struct_size: het_session_options options; HET_INIT(options); */
#define HET_INIT(s) (__builtin_memset(&(s), 0, sizeof(s)), (void)((s).struct_size = sizeof(s)))

/* ---- status ---- */

typedef struct het_error* het_status;

/* The canonical codes (the numbers of google.rpc.Code). */
typedef enum het_code {
  HET_OK = 0,
  HET_CANCELLED = 1,
  HET_UNKNOWN = 2,
  HET_INVALID_ARGUMENT = 3,
  HET_DEADLINE_EXCEEDED = 4,
  HET_NOT_FOUND = 5,
  HET_ALREADY_EXISTS = 6,
  HET_PERMISSION_DENIED = 7,
  HET_RESOURCE_EXHAUSTED = 8, /* over quota, no capacity: the message names what is free */
  HET_FAILED_PRECONDITION = 9,
  HET_ABORTED = 10,
  HET_OUT_OF_RANGE = 11,
  HET_UNIMPLEMENTED = 12, /* this backend cannot */
  HET_INTERNAL = 13,
  HET_UNAVAILABLE = 14, /* no daemon, no driver */
  HET_DATA_LOSS = 15,   /* the device was lost */
  HET_UNAUTHENTICATED = 16
} het_code;

HET_API het_code het_status_code(het_status status); /* HET_OK for NULL */
HET_API const char* het_status_message(
    het_status status); /* valid until the status is freed; "" for NULL */
HET_API void het_status_free(het_status status);
/* For stage functions that want to fail. `message` is copied. */
HET_API het_status het_status_make(het_code code, const char* message);
HET_API void het_version(int* major, int* minor);

/* ---- session and devices ---- */

typedef struct het_session het_session;

enum {
  HET_SESSION_EMBEDDED = 1, /* no daemon: an in-process ledger over the devices of this machine */
  HET_SESSION_FALLBACK = 2  /* a daemon if one answers, else embedded */
};

typedef struct het_session_options {
  size_t struct_size;
  uint32_t flags;
  uint32_t reserved;
  const char*
      socket; /* NULL: $HET_SOCKET, else $XDG_RUNTIME_DIR/het/het.sock, else /run/het/het.sock */
  const char*
      simulate; /* embedded only: a profile file of simulated devices that join the inventory */
  const char* tenant; /* a name for reports; NULL: the user's name */
  /* Backends whose drivers run in worker processes, so that one that crashes takes its own devices
   * and nothing else: "cuda,hip", "all", "" (none); NULL: $HET_ISOLATE. Native kernels, host memory
   * in place, native handles and matrix products do not cross. */
  const char* isolate;
} het_session_options;

/* Unavailable when no daemon answers (the message says where it looked). options may be NULL. */
HET_API het_status het_session_open(const het_session_options* options, het_session** session);
HET_API void het_session_close(het_session* session);
HET_API int het_session_is_embedded(const het_session* session);

enum {
  HET_DEVICE_SIMULATED = 1,
  HET_DEVICE_USABLE = 2,        /* a slice of it can be acquired */
  HET_DEVICE_VIRTUAL_TIME = 4,  /* simulated, timing mode: no data */
  HET_DEVICE_FIXED_FUNCTION = 8 /* runs compiled graphs or built-in kernels, and no others */
};

typedef struct het_device_info {
  size_t struct_size;
  uint32_t flags;
  uint32_t compute_units;
  uint64_t memory_bytes;
  uint64_t free_memory_bytes; /* not leased now */
  uint32_t free_share;        /* not leased now, 1/10000; devices that share hardware share it */
  uint32_t numa_node;
  double memory_bytes_per_s; /* measured; 0: not measured */
  double flops_per_s;        /* measured f32 peak; 0: not measured */
  const char* id;            /* UUID. All texts are valid until the session is closed. */
  const char* vendor;
  const char* name;
  const char* backend;
  const char* state;  /* "ok", "degraded", "unsupported", "removed" */
  const char* reason; /* why not ok, and what to do */
} het_device_info;

/* Devices are numbered for iteration only; the UUID is the identity. het_session_refresh asks hetd
 * again. */
HET_API het_status het_session_refresh(het_session* session);
HET_API size_t het_session_device_count(const het_session* session);
HET_API het_status het_session_device(const het_session* session, size_t index,
                                      het_device_info* info);

/* ---- leases ---- */

typedef struct het_lease het_lease;

typedef enum het_policy { HET_GUARANTEED = 0, HET_CAPPED = 1, HET_BEST_EFFORT = 2 } het_policy;

/* While work of a higher class waits or runs on a device, none of a lower class is started there.
 */
typedef enum het_priority {
  HET_PRIORITY_NORMAL = 0,
  HET_PRIORITY_HIGH = 1,
  HET_PRIORITY_BATCH = 2
} het_priority;

/* What must hold a slice at least (docs/slices.md). A slice that would be held by less is refused
 * with FailedPrecondition: the message says what is there and what would do. */
typedef enum het_isolation {
  HET_ISOLATION_ANY = 0,     /* het's arbiter (cooperative) does */
  HET_ISOLATION_DRIVER = 1,  /* the driver or the kernel keeps the part apart */
  HET_ISOLATION_HARDWARE = 2 /* its own silicon and memory */
} het_isolation;

typedef struct het_slice_request {
  size_t struct_size;
  const char* device; /* UUID */
  uint32_t share;     /* 1/10000 of the device's compute, 100 .. 10000 */
  het_policy policy;
  uint64_t memory_bytes; /* rounded up to 1 MiB */
  const char* name;      /* a slice the operator cut: leased as it is; or NULL */
  het_priority priority;
  het_isolation isolation_at_least;
} het_slice_request;

/* All or none, one transaction. `leases` has room for `count`. ResourceExhausted names what is free
 * and what would fit; no device is opened by this. requests are `requests->struct_size` apart. */
HET_API het_status het_acquire(het_session* session, const het_slice_request* requests,
                               size_t count, het_lease** leases);
HET_API void het_lease_release(het_lease* lease);

typedef struct het_lease_info {
  size_t struct_size;
  uint64_t memory_limit_bytes;
  uint64_t memory_used_bytes;
  uint64_t memory_peak_bytes;
  uint64_t generation;
  uint32_t share;      /* 1/10000 */
  uint32_t core_count; /* host cores of the slice, 0 for devices that are no CPU */
  uint32_t compute_units;
  uint32_t reserved;
  const char* id;     /* UUID. Texts are valid as long as the lease. */
  const char* device; /* UUID */
  const char* device_name;
  const char* vendor;
  const char* backend;
  const char* isolation; /* "hardware", "driver", "cooperative" */
} het_lease_info;

HET_API het_status het_lease_get_info(const het_lease* lease, het_lease_info* info);

/* What the slice's device can do; opens the device in this process on first use (as does everything
 * below). */
enum {
  HET_CAN_RUN_NATIVE = 1,
  HET_CAN_RUN_PORTABLE = 2,
  HET_CAN_HOST_ADDRESS = 4,
  HET_CAN_WRAP_HOST = 8,
  HET_CAN_NATIVE_HANDLES = 16,
  HET_HAS_VIRTUAL_TIME = 32,
  HET_HAS_NO_DATA = 64,
  HET_CAN_COPY_PEERS = 128,  /* het_queue_copy to and from buffers of leases that it reaches */
  HET_HAS_POOL_MEMORY = 256, /* buffers come and go without waiting for other queues' work */
  HET_CAN_MULTIPLY_MATRICES = 512, /* het_queue_multiply */
  HET_CAN_RUN_GRAPHS = 1024,       /* het_program_source.graph */
  HET_CAN_RUN_BUILT_IN = 2048,     /* het_program_source.built_in */
  HET_CAN_REPLAY = 4096            /* het_queue_begin_recording */
};
HET_API het_status het_lease_capabilities(het_lease* lease, uint32_t* capabilities);
/* The vendor's context (cl_context, ...), NULL where there is none; valid as long as the lease. */
HET_API het_status het_lease_native_handle(het_lease* lease, void** handle);

/* An engine that enqueues by itself brackets its work: begin asks the arbiter for the right to put
 * work of about `estimate_ns` on the device, end says when it is done (now, or when `timeline`
 * reaches `value`) and accounts it. */
typedef struct het_timeline het_timeline;
HET_API het_status het_work_begin(het_lease* lease, uint64_t estimate_ns, uint64_t* ticket);
HET_API het_status het_work_end(het_lease* lease, uint64_t ticket, het_timeline* timeline,
                                uint64_t value);

/* ---- memory ---- */

typedef struct het_buffer het_buffer;

typedef enum het_memory_kind { HET_MEMORY_DEVICE = 0, HET_MEMORY_STAGING = 1 } het_memory_kind;

/* ResourceExhausted past the lease's quota: what was asked, what is used, what is left. */
HET_API het_status het_buffer_create(het_lease* lease, uint64_t bytes, het_memory_kind kind,
                                     het_buffer** buffer);
/* Host memory used in place (mapped weights), charged to the lease all the same. Address aligned to
 * 64 bytes; must stay valid until released. Unimplemented without HET_CAN_WRAP_HOST. */
HET_API het_status het_buffer_wrap(het_lease* lease, void* address, uint64_t bytes, int writable,
                                   het_buffer** buffer);
HET_API void het_buffer_release(het_buffer* buffer);
HET_API uint64_t het_buffer_bytes(const het_buffer* buffer);
HET_API void* het_buffer_host(const het_buffer* buffer); /* NULL when the host cannot address it */
HET_API void* het_buffer_native(const het_buffer* buffer); /* cl_mem, ... */

/* ---- timelines ---- */

typedef void (*het_timeline_fn)(void* user, het_status status /* borrowed */);

HET_API het_status het_timeline_create(het_lease* lease, uint64_t initial, het_timeline** timeline);
HET_API void het_timeline_release(het_timeline* timeline);
/* The value reached; the timeline's failure as a status. */
HET_API het_status het_timeline_query(het_timeline* timeline, uint64_t* value);
HET_API het_status het_timeline_signal(het_timeline* timeline, uint64_t value);
/* Blocks at most timeout_ns (UINT64_MAX: for ever). DeadlineExceeded. */
HET_API het_status het_timeline_wait(het_timeline* timeline, uint64_t value, uint64_t timeout_ns);
/* Called once, on the completing thread (or at once); it must be short and must not wait. */
HET_API het_status het_timeline_on_reach(het_timeline* timeline, uint64_t value, het_timeline_fn fn,
                                         void* user);
/* A new eventfd, owned by the caller, readable once the value is reached or the timeline failed. */
HET_API het_status het_timeline_eventfd(het_timeline* timeline, uint64_t value, int* fd);

/* ---- programs ---- */

typedef struct het_program het_program;
typedef struct het_kernel het_kernel;

typedef struct het_native_kernel {
  const char* name;
  het_native_fn function;
} het_native_kernel;

typedef struct het_program_source {
  size_t struct_size;
  const char* name;
  const char* portable; /* OpenCL C subset, without the prelude; NULL: none */
  const char* options;  /* "-DNAME=VALUE ..."; NULL: none */
  const het_native_kernel* native;
  size_t native_count;
  /* What the vendor's compiler made of a network, for a device with HET_CAN_RUN_GRAPHS: one kernel,
   * "graph"; its launch has a buffer per argument of the graph, inputs and outputs in its order. */
  const void* graph;
  size_t graph_bytes;
  /* Kernels in the device's driver, "NAME;NAME", for one with HET_CAN_RUN_BUILT_IN; NULL: none.
   * Their launch has a buffer per argument, at offset 0, and the parameters last. */
  const char* built_in;
} het_program_source;

typedef enum het_kernel_form {
  HET_FORM_NATIVE = 0,
  HET_FORM_PORTABLE = 1,
  HET_FORM_GRAPH = 2,
  HET_FORM_BUILT_IN = 3
} het_kernel_form;

/* InvalidArgument with the compiler's log. The native table is copied. */
HET_API het_status het_program_build(het_lease* lease, const het_program_source* source,
                                     het_program** program);
HET_API void het_program_release(het_program* program);
/* Owned by the program. NotFound names the kernels there are. */
HET_API het_status het_program_kernel(het_program* program, const char* name, het_kernel** kernel);
HET_API het_kernel_form het_kernel_get_form(const het_kernel* kernel);

/* ---- queues ---- */

typedef struct het_queue het_queue;

typedef enum het_queue_kind { HET_QUEUE_COMPUTE = 0, HET_QUEUE_TRANSFER = 1 } het_queue_kind;

typedef struct het_fence {
  het_timeline* timeline;
  uint64_t value;
} het_fence;

/* What an operation waits for (timelines of the same backend) and what it signals (timeline NULL:
 * nothing). */
typedef struct het_sync {
  size_t struct_size;
  const het_fence* waits;
  size_t wait_count;
  het_fence signal;
} het_sync;

typedef struct het_buffer_arg {
  het_buffer* buffer;
  uint64_t offset;
} het_buffer_arg;

typedef struct het_launch {
  size_t struct_size;
  const het_kernel* kernel;
  uint32_t groups[3];
  uint32_t group_size[3];
  const het_buffer_arg* buffers;
  size_t buffer_count;
  const void* params; /* the plain struct, copied */
  size_t params_bytes;
  double flops; /* what it costs, for accounting and simulated devices; 0: unknown */
  double bytes;
  double batch;
} het_launch;

HET_API het_status het_queue_create(het_lease* lease, het_queue_kind kind, het_queue** queue);
/* Over the vendor's queue, which stays the caller's. */
HET_API het_status het_queue_wrap(het_lease* lease, void* native, het_queue** queue);
/* Waits for what is queued. */
HET_API void het_queue_release(het_queue* queue);
HET_API void* het_queue_native(const het_queue* queue);
HET_API uint64_t het_queue_busy_ns(const het_queue* queue);

/* All asynchronous; `sync` may be NULL. Host memory stays valid until the operation completed. */
HET_API het_status het_queue_write(het_queue* queue, const void* host, het_buffer* to,
                                   uint64_t offset, uint64_t bytes, const het_sync* sync);
HET_API het_status het_queue_read(het_queue* queue, het_buffer* from, uint64_t offset, void* host,
                                  uint64_t bytes, const het_sync* sync);
HET_API het_status het_queue_copy(het_queue* queue, het_buffer* from, uint64_t from_offset,
                                  het_buffer* to, uint64_t to_offset, uint64_t bytes,
                                  const het_sync* sync);
HET_API het_status het_queue_fill(het_queue* queue, het_buffer* to, uint64_t offset, uint64_t bytes,
                                  uint8_t value, const het_sync* sync);
HET_API het_status het_queue_launch(het_queue* queue, const het_launch* launch,
                                    const het_sync* sync);
/* y[r][o] = sum over i of x[r][i] * w[o][i] (plus the old y[r][o] with `accumulate`): rows times
 * n_in activations by n_out rows of n_in weights, row-major and dense, by the vendor's own library;
 * y and the sums are f32. Rows of y are y_stride elements apart (0: n_out). Offsets are multiples
 * of 16. Unimplemented without HET_CAN_MULTIPLY_MATRICES. */
typedef enum het_matrix_type {
  HET_MATRIX_F32 = 0,
  HET_MATRIX_F16 = 1,
  HET_MATRIX_BF16 = 2
} het_matrix_type;

typedef struct het_matrix_product {
  size_t struct_size;
  het_matrix_type type; /* of w and x */
  uint32_t rows;
  uint32_t n_in;
  uint32_t n_out;
  uint32_t accumulate; /* 0 or 1 */
  uint32_t y_stride;
  het_buffer_arg w;
  het_buffer_arg x;
  het_buffer_arg y;
} het_matrix_product;

HET_API het_status het_queue_multiply(het_queue* queue, const het_matrix_product* product,
                                      const het_sync* sync);
/* Work that is queued again and again, recorded once and replayed with one call of the driver. From
 * begin to end, launches, copies within the device and fills on this queue are noted and not run;
 * waits, signals and anything else are InvalidArgument, and end then fails too. What is noted are
 * places, grids and parameters: what the buffers hold is read by each replay. A recording keeps its
 * buffers; its programs must live until end. Any queue of the lease replays it, in its order; to
 * the lease's share a replay is what its operations are. Unimplemented without HET_CAN_REPLAY. */
typedef struct het_recording het_recording;
HET_API het_status het_queue_begin_recording(het_queue* queue);
HET_API het_status het_queue_end_recording(het_queue* queue, het_recording** recording);
HET_API het_status het_queue_replay(het_queue* queue, het_recording* recording,
                                    const het_sync* sync);
HET_API void het_recording_release(het_recording* recording);
HET_API het_status het_queue_barrier(het_queue* queue, const het_sync* sync);
HET_API het_status het_queue_flush(het_queue* queue);
/* Barrier + wait: the edge of the API, never inside a stage. */
HET_API het_status het_queue_finish(het_queue* queue);

/* ---- planning ---- */

typedef enum het_objective { HET_THROUGHPUT = 0, HET_LATENCY = 1 } het_objective;

typedef struct het_plan_problem {
  size_t struct_size;
  size_t layer_count;
  const uint64_t* layer_bytes; /* memory a layer needs on its slice: weights + KV */
  size_t slice_count;
  const uint64_t* slice_memory_bytes; /* what a slice has for layers */
  const double* layer_ms;             /* [slice][layer], measured */
  const double* link_ms;              /* [from slice][to slice], one micro-batch; NULL: free */
  het_objective objective;
  uint32_t reserved;
} het_plan_problem;

typedef struct het_plan_stage {
  size_t slice;
  size_t begin; /* layers [begin, end) */
  size_t end;
} het_plan_stage;

typedef struct het_plan {
  size_t struct_size;
  size_t stage_count;
  const het_plan_stage* stages; /* in pipeline order */
  double bottleneck_ms;         /* the largest stage or transfer */
  double latency_ms;            /* the sum of all stages and transfers */
  double lower_bound_ms;        /* no plan is better than this (of the objective) */
  int optimal;                  /* proven */
  uint32_t in_flight;           /* groups that keep the bottleneck busy */
} het_plan;

/* ResourceExhausted when nothing fits: says what is short and by how much. */
HET_API het_status het_plan_make(const het_plan_problem* problem, het_plan** plan);
HET_API void het_plan_free(het_plan* plan);

/* Milliseconds to bring `bytes` from a buffer on one lease to a buffer on another the way a
 * pipeline does (measured now, the median of several; 0 for the same lease). */
HET_API het_status het_link_measure(het_lease* from, het_lease* to, uint64_t bytes, double* ms);

/* Measured costs that outlive the process, kept per device model, driver, share and `key` (the
 * engine's kernel set and shape). load: *found is 0 when there is none of that count. Files under
 * $XDG_CACHE_HOME/het. */
HET_API het_status het_calibration_load(het_lease* lease, const char* key, double* values,
                                        size_t count, int* found);
HET_API het_status het_calibration_store(het_lease* lease, const char* key, const double* values,
                                         size_t count);

/* ---- pipelines ---- */

typedef struct het_pipeline het_pipeline;

typedef struct het_stage_call {
  size_t struct_size;
  uint64_t item;   /* number of the item, from 0, in the order of submission */
  void* item_data; /* as submitted */
  uint32_t stage;
  uint32_t slot; /* items in flight use different slots, 0 .. in_flight-1: for per-item scratch */
  het_queue* queue;  /* put the stage's work here, in order; the executor signals behind it */
  het_buffer* input; /* on the stage's device */
  uint64_t input_bytes;
  het_buffer* output;    /* on the stage's device */
  uint64_t output_bytes; /* in: capacity; out: what the stage will write (default: the capacity) */
} het_stage_call;

/* Enqueues one item's work of one stage and returns without waiting. Called by an executor worker,
 * one item at a time per stage, items in order. A returned error fails the item. */
typedef het_status (*het_stage_fn)(void* user, het_stage_call* call);

typedef struct het_stage {
  size_t struct_size;
  const char* name;
  het_lease* lease;
  het_stage_fn run;
  void* user;
  uint64_t output_capacity; /* bytes of one item's output at most */
} het_stage;

typedef struct het_pipeline_options {
  size_t struct_size;
  const het_stage* stages; /* `stages->struct_size` apart */
  size_t stage_count;
  uint64_t input_capacity; /* bytes of one item's input at most */
  uint32_t in_flight;      /* items between first and last stage; 0: stage_count + 1 */
  uint32_t reserved;
} het_pipeline_options;

/* `status` is borrowed. Called once per item on a completing thread; must be short; may submit. */
typedef void (*het_item_fn)(void* user, uint64_t item, het_status status, uint64_t output_bytes);

typedef struct het_item {
  size_t struct_size;
  void* data;
  const void* input; /* host memory, valid until the item is done */
  uint64_t input_bytes;
  void* output; /* host memory for the last stage's output, or NULL */
  uint64_t output_capacity;
  het_item_fn done;
  void* user;
} het_item;

/* Channel memory (input and output of every stage, times in_flight) is charged to the stages'
 * leases here. */
HET_API het_status het_pipeline_create(het_session* session, const het_pipeline_options* options,
                                       het_pipeline** pipeline);
/* Queues the item; it enters when fewer than in_flight are under way. After a stage's device was
 * lost every item in flight and every later one fails with that error: make a new pipeline over the
 * remaining leases. */
HET_API het_status het_pipeline_submit(het_pipeline* pipeline, const het_item* item);
/* Blocks until everything submitted is done. The first failure, if any item failed. */
HET_API het_status het_pipeline_drain(het_pipeline* pipeline, uint64_t timeout_ns);
HET_API void het_pipeline_release(het_pipeline* pipeline);

typedef struct het_stage_stats {
  size_t struct_size;
  uint64_t items;
  uint64_t busy_ns; /* device-busy time of the stage's queue */
  uint64_t
      transfer_ns; /* time that items spent between the stage before (or the host) and this one */
  uint64_t transfer_bytes;
  uint64_t elapsed_ns; /* since the first item entered (or since reset) */
} het_stage_stats;

HET_API het_status het_pipeline_get_stage_stats(het_pipeline* pipeline, size_t stage,
                                                het_stage_stats* stats);
HET_API void het_pipeline_reset_stats(het_pipeline* pipeline);
/* The first stage that failed, or -1. */
HET_API int het_pipeline_failed_stage(het_pipeline* pipeline);

#ifdef __cplusplus
}
#endif

#endif /* HET_HET_H_ */
