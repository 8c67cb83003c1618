# What `cmake --install` puts where, and what `cpack` packs.

include(CMakePackageConfigHelpers)
set(config_dir "${CMAKE_INSTALL_LIBDIR}/cmake/headgate-client")

install(TARGETS headgate-client EXPORT headgate-client-targets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
install(FILES include/headgate/client.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/headgate")
install(FILES ${chat}.pb.h ${chat}.grpc.pb.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/headgate/v1")
install(FILES "${HEADGATE_PROTOS}/headgate/v1/chat.proto"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/headgate-client/protos/headgate/v1")
install(FILES LICENSE README.md DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(EXPORT headgate-client-targets NAMESPACE headgate:: DESTINATION "${config_dir}")

# The generated headers fit one protobuf only, so the consumer has to find that very one.
set(HEADGATE_PROTOBUF_VERSION "${Protobuf_VERSION}")
configure_package_config_file(cmake/headgate-client-config.cmake.in
  "${PROJECT_BINARY_DIR}/headgate-client-config.cmake" INSTALL_DESTINATION "${config_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/headgate-client-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/headgate-client-config.cmake"
  "${PROJECT_BINARY_DIR}/headgate-client-config-version.cmake"
  DESTINATION "${config_dir}")

if(standalone)
  set(CPACK_PACKAGE_VENDOR "headgate")
  set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
  set(CPACK_RESOURCE_FILE_LICENSE "${PROJECT_SOURCE_DIR}/LICENSE")
  set(CPACK_GENERATOR TGZ)
  set(CPACK_SOURCE_GENERATOR TGZ)
  set(CPACK_SOURCE_PACKAGE_FILE_NAME "headgate-client-cpp-${PROJECT_VERSION}")
  set(CPACK_SOURCE_INSTALLED_DIRECTORIES
    "${PROJECT_SOURCE_DIR};/;${HEADGATE_PROTOS};/protos")
  set(CPACK_SOURCE_IGNORE_FILES "${PROJECT_SOURCE_DIR}/build/" "__pycache__"
    "/protos/[^/]*\\\\.(binpb|md|py|txt|yaml)$")
  include(CPack)
endif()
