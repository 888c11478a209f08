# Everything het takes from Debian 12. Required ones stop the configuration with the package to install; optional ones
# leave a part out, and HetSummary.cmake says which.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

set(HET_LEFT_OUT "" CACHE INTERNAL "parts that were left out")
macro(het_left_out part reason)
  list(APPEND HET_LEFT_OUT "${part}: ${reason}")
  set(HET_LEFT_OUT "${HET_LEFT_OUT}" CACHE INTERNAL "parts that were left out")
endmacro()

macro(het_require_package name debian)
  find_package(${name} QUIET ${ARGN})
  if(NOT ${name}_FOUND)
    message(FATAL_ERROR "het needs ${name}. On Debian 12: apt-get install ${debian} (or run ./dev setup)")
  endif()
endmacro()

het_require_package(absl libabsl-dev CONFIG)
het_require_package(nlohmann_json nlohmann-json3-dev CONFIG)
het_require_package(CLI11 libcli11-dev CONFIG)
het_require_package(spdlog libspdlog-dev CONFIG)

# pkg-config packages, as imported targets PkgConfig::<NAME>.
pkg_check_modules(TOMLPLUSPLUS REQUIRED IMPORTED_TARGET tomlplusplus)
pkg_check_modules(HWLOC REQUIRED IMPORTED_TARGET hwloc)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)
pkg_check_modules(SQLITE3 REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(LIBMD REQUIRED IMPORTED_TARGET libmd)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)

# OpenCL: only the headers; the library itself is opened at run time.
find_path(HET_OPENCL_INCLUDE_DIR CL/cl.h)
if(NOT HET_OPENCL_INCLUDE_DIR)
  het_left_out("devices/opencl" "CL/cl.h not found (apt-get install opencl-headers)")
endif()

if(HET_BUILD_TESTS)
  find_package(GTest QUIET CONFIG)
  if(NOT GTest_FOUND)
    het_left_out("tests" "GoogleTest not found (apt-get install libgtest-dev libgmock-dev)")
    set(HET_BUILD_TESTS OFF)
  endif()
endif()
if(HET_BUILD_BENCHMARKS)
  find_package(benchmark QUIET CONFIG)
  if(NOT benchmark_FOUND)
    het_left_out("bench" "Google Benchmark not found (apt-get install libbenchmark-dev)")
    set(HET_BUILD_BENCHMARKS OFF)
  endif()
  find_package(TBB QUIET CONFIG)
  if(NOT TBB_FOUND)
    het_left_out("the oneTBB twin in bench/executor" "oneTBB not found (apt-get install libtbb-dev)")
  endif()
endif()

# spdlog and fmt as headers only: libhet.so must bring neither along nor clash with the program's own copy.
add_library(het_spdlog INTERFACE)
target_compile_definitions(het_spdlog INTERFACE SPDLOG_FMT_EXTERNAL FMT_HEADER_ONLY)
