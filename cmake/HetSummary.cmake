message(STATUS "het ${PROJECT_VERSION}, ${CMAKE_BUILD_TYPE}, tests ${HET_BUILD_TESTS}, benchmarks ${HET_BUILD_BENCHMARKS}")
foreach(line ${HET_LEFT_OUT})
  message(STATUS "left out: ${line}")
endforeach()
