# What `cmake --install` puts where; packaging/debian divides it into packages. libhet and the OpenCL layer install
# themselves (runtime/, interpose/opencl/).
set(programs "")
foreach(program hetd hetctl het-probe het-worker het-exporter hetllm)
  if(TARGET ${program})
    list(APPEND programs ${program})
  endif()
endforeach()
install(TARGETS ${programs} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

set(packaging ${CMAKE_SOURCE_DIR}/packaging/systemd)
install(FILES ${packaging}/hetd.socket ${packaging}/hetd-admin.socket ${packaging}/hetd.service ${packaging}/het-probe.socket
              ${packaging}/het-probe@.service ${packaging}/het-exporter.service
        DESTINATION lib/systemd/system)
install(FILES ${packaging}/hetd.sysusers DESTINATION lib/sysusers.d RENAME hetd.conf)
install(FILES ${packaging}/hetd.tmpfiles DESTINATION lib/tmpfiles.d RENAME hetd.conf)
install(FILES ${packaging}/hetd.catalog DESTINATION lib/systemd/catalog)

install(FILES ${CMAKE_SOURCE_DIR}/docs/man/hetd.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
foreach(page hetctl het-probe het-worker het-exporter hetllm)
  install(FILES ${CMAKE_SOURCE_DIR}/docs/man/${page}.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endforeach()

# SPIR-V of the portable kernels, where the build had the tools to make it (tools/spirv).
install(DIRECTORY ${CMAKE_BINARY_DIR}/lib/het/spirv DESTINATION lib/het OPTIONAL FILES_MATCHING PATTERN "*.spv" PATTERN "*.cl")

# The completions are what this hetctl says of itself.
set(completions ${CMAKE_BINARY_DIR}/generated/completions)
add_custom_command(OUTPUT ${completions}/hetctl ${completions}/_hetctl ${completions}/hetctl.fish
  COMMAND ${CMAKE_COMMAND} -E make_directory ${completions}
  COMMAND hetctl completion bash > ${completions}/hetctl
  COMMAND hetctl completion zsh > ${completions}/_hetctl
  COMMAND hetctl completion fish > ${completions}/hetctl.fish
  DEPENDS hetctl VERBATIM)
add_custom_target(completions ALL DEPENDS ${completions}/hetctl)
install(FILES ${completions}/hetctl DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${completions}/_hetctl DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
install(FILES ${completions}/hetctl.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
