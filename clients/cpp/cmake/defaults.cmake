# Writes defaults.h: protos/channel_defaults.json as a table, protos/service_config.json as a text.
# Changing one of them configures the build anew.

set(service_config_file "${HEADGATE_PROTOS}/service_config.json")
set(channel_defaults_file "${HEADGATE_PROTOS}/channel_defaults.json")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
  "${service_config_file}" "${channel_defaults_file}")

file(READ "${service_config_file}" SERVICE_CONFIG)
file(READ "${channel_defaults_file}" defaults)

string(JSON count LENGTH "${defaults}")
math(EXPR last "${count} - 1")
set(CHANNEL_DEFAULTS "")
foreach(place RANGE ${last})
  string(JSON name MEMBER "${defaults}" ${place})
  string(JSON type TYPE "${defaults}" "${name}")
  string(JSON value GET "${defaults}" "${name}")
  if(NOT type STREQUAL "NUMBER" OR NOT value MATCHES "^-?[0-9]+$")
    message(FATAL_ERROR "${channel_defaults_file}: ${name} is ${value}; only whole numbers are known")
  endif()
  string(APPEND CHANNEL_DEFAULTS "    {\"${name}\", ${value}},\n")
endforeach()

configure_file("${CMAKE_CURRENT_LIST_DIR}/defaults.h.in"
  "${PROJECT_BINARY_DIR}/private/defaults.h" @ONLY)
set_property(SOURCE src/client.cc APPEND PROPERTY INCLUDE_DIRECTORIES "${PROJECT_BINARY_DIR}/private")
