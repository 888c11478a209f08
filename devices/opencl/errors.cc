#include "devices/opencl/errors.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace het::opencl {
namespace {

struct Row {
  cl_int error;
  const char* name;
  absl::StatusCode code;
};

#define HET_ROW(error, code) \
  { error, #error, absl::StatusCode::code }
constexpr Row kRows[] = {
    HET_ROW(CL_DEVICE_NOT_FOUND, kNotFound),
    HET_ROW(CL_DEVICE_NOT_AVAILABLE, kDataLoss),
    HET_ROW(CL_COMPILER_NOT_AVAILABLE, kUnimplemented),
    HET_ROW(CL_MEM_OBJECT_ALLOCATION_FAILURE, kResourceExhausted),
    HET_ROW(CL_OUT_OF_RESOURCES, kResourceExhausted),
    HET_ROW(CL_OUT_OF_HOST_MEMORY, kResourceExhausted),
    HET_ROW(CL_PROFILING_INFO_NOT_AVAILABLE, kUnimplemented),
    HET_ROW(CL_BUILD_PROGRAM_FAILURE, kInvalidArgument),
    HET_ROW(CL_MISALIGNED_SUB_BUFFER_OFFSET, kInvalidArgument),
    HET_ROW(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, kDataLoss),
    HET_ROW(CL_DEVICE_PARTITION_FAILED, kFailedPrecondition),
    HET_ROW(CL_INVALID_VALUE, kInvalidArgument),
    HET_ROW(CL_INVALID_PLATFORM, kInternal),
    HET_ROW(CL_INVALID_DEVICE, kInternal),
    HET_ROW(CL_INVALID_CONTEXT, kInternal),
    HET_ROW(CL_INVALID_COMMAND_QUEUE, kInvalidArgument),
    HET_ROW(CL_INVALID_HOST_PTR, kInvalidArgument),
    HET_ROW(CL_INVALID_MEM_OBJECT, kInvalidArgument),
    HET_ROW(CL_INVALID_BUILD_OPTIONS, kInvalidArgument),
    HET_ROW(CL_INVALID_PROGRAM, kInternal),
    HET_ROW(CL_INVALID_PROGRAM_EXECUTABLE, kInternal),
    HET_ROW(CL_INVALID_KERNEL_NAME, kNotFound),
    HET_ROW(CL_INVALID_KERNEL_DEFINITION, kInvalidArgument),
    HET_ROW(CL_INVALID_KERNEL, kInternal),
    HET_ROW(CL_INVALID_ARG_INDEX, kInvalidArgument),
    HET_ROW(CL_INVALID_ARG_VALUE, kInvalidArgument),
    HET_ROW(CL_INVALID_ARG_SIZE, kInvalidArgument),
    HET_ROW(CL_INVALID_KERNEL_ARGS, kInvalidArgument),
    HET_ROW(CL_INVALID_WORK_DIMENSION, kInvalidArgument),
    HET_ROW(CL_INVALID_WORK_GROUP_SIZE, kInvalidArgument),
    HET_ROW(CL_INVALID_WORK_ITEM_SIZE, kInvalidArgument),
    HET_ROW(CL_INVALID_GLOBAL_OFFSET, kInvalidArgument),
    HET_ROW(CL_INVALID_EVENT_WAIT_LIST, kInternal),
    HET_ROW(CL_INVALID_EVENT, kInternal),
    HET_ROW(CL_INVALID_OPERATION, kInternal),
    HET_ROW(CL_INVALID_BUFFER_SIZE, kResourceExhausted),
    HET_ROW(CL_INVALID_GLOBAL_WORK_SIZE, kInvalidArgument),
    HET_ROW(CL_INVALID_PROPERTY, kInvalidArgument),
    HET_ROW(CL_INVALID_DEVICE_PARTITION_COUNT, kInvalidArgument),
};
#undef HET_ROW

const Row* Find(cl_int error) {
  for (const Row& row : kRows) {
    if (row.error == error) return &row;
  }
  return nullptr;
}

}  // namespace

std::string ErrorName(cl_int error) {
  const Row* row = Find(error);
  return row != nullptr ? row->name : absl::StrCat("OpenCL error ", error);
}

absl::Status ErrorStatus(cl_int error, absl::string_view what) {
  if (error == CL_SUCCESS) return absl::OkStatus();
  const Row* row = Find(error);
  return absl::Status(row != nullptr ? row->code : absl::StatusCode::kInternal,
                      absl::StrCat(what, ": ", ErrorName(error)));
}

absl::Status ExecutionStatus(cl_int status, absl::string_view what) {
  if (status >= 0) return absl::OkStatus();
  const absl::Status plain = ErrorStatus(status, what);
  if (plain.code() == absl::StatusCode::kResourceExhausted) return plain;
  return absl::DataLossError(plain.message());
}

}  // namespace het::opencl
