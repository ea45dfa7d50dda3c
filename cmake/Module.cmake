# halogen_module(NAME [SUBDIRS ...] [DEPENDS modules...] [LINKS libraries...] [PRECOMPILE headers...] [LOSES_POWER])
#
# One folder is one module is one static library. Sources are every *.cc in the folder (and the
# folders named in SUBDIRS) but *_test.cc, which together make the module's test program. DEPENDS names
# the modules whose headers it may include; dev lint checks the same rule on the #include lines. LOSES_POWER links the
# tests with the disk of sim/.
# The preset "fuzz" has its own programs instead of the tests.
find_package(GTest REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(prometheus-cpp REQUIRED)

add_library(halogen_options INTERFACE)
target_include_directories(halogen_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(halogen_options INTERFACE
  -Wall -Wextra -Werror -Wno-missing-field-initializers -Wno-c99-designator
  $<$<COMPILE_LANGUAGE:CXX>:-Wthread-safety;-Wnon-virtual-dtor;-Wshadow>)
target_link_libraries(halogen_options INTERFACE Threads::Threads)
if(HALOGEN_SANITIZE)
  target_compile_options(halogen_options INTERFACE
    -fsanitize=${HALOGEN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  string(REPLACE "fuzzer-no-link," "" HALOGEN_LINK_SANITIZE "${HALOGEN_SANITIZE}")
  target_link_options(halogen_options INTERFACE -fsanitize=${HALOGEN_LINK_SANITIZE})
endif()

# Headers that most sources include, compiled once: for a build of everything without ccache (CI), which takes a third
# less time. Not for daily work: ccache finds less then, and an #include that is missing would not be noticed.
option(HALOGEN_PCH "Precompiled headers" OFF)
set(PCH_LIBRARY <algorithm> <array> <atomic> <chrono> <cstdint> <cstring> <deque> <filesystem> <functional> <map>
  <memory> <mutex> <optional> <random> <set> <span> <string> <string_view> <thread> <unordered_map> <utility> <vector>
  <condition_variable> <fmt/core.h> <fmt/format.h>)
set(PCH_TEST ${PCH_LIBRARY} <gtest/gtest.h> <gmock/gmock.h>)

function(halogen_precompile TARGET)
  if(HALOGEN_PCH)
    target_precompile_headers(${TARGET} PRIVATE ${ARGN})
  endif()
endfunction()

function(halogen_module NAME)
  cmake_parse_arguments(ARG "LOSES_POWER" "" "SUBDIRS;DEPENDS;LINKS;PRECOMPILE" ${ARGN})
  set(DIRS . ${ARG_SUBDIRS})
  set(SOURCES)
  set(TESTS)
  foreach(DIR ${DIRS})
    file(GLOB FOUND CONFIGURE_DEPENDS ${DIR}/*.cc)
    foreach(FILE ${FOUND})
      if(FILE MATCHES "_test\\.cc$")
        list(APPEND TESTS ${FILE})
      else()
        list(APPEND SOURCES ${FILE})
      endif()
    endforeach()
  endforeach()
  list(TRANSFORM ARG_DEPENDS PREPEND halogen_)

  if(SOURCES)
    add_library(halogen_${NAME} STATIC ${SOURCES})
    target_link_libraries(halogen_${NAME} PUBLIC halogen_options ${ARG_DEPENDS} ${ARG_LINKS})
    halogen_precompile(halogen_${NAME} ${PCH_LIBRARY} ${ARG_PRECOMPILE})
  else()
    add_library(halogen_${NAME} INTERFACE)
    target_link_libraries(halogen_${NAME} INTERFACE halogen_options ${ARG_DEPENDS} ${ARG_LINKS})
  endif()
  if(TESTS AND NOT HALOGEN_FUZZ)
    add_executable(${NAME}_test ${TESTS})
    target_link_libraries(${NAME}_test PRIVATE halogen_${NAME} GTest::gmock GTest::gtest_main)
    # A test is compiled more often than its own code takes time: half as long.
    if(NOT HALOGEN_SANITIZE)
      target_compile_options(${NAME}_test PRIVATE -O0)
    endif()
    if(ARG_LOSES_POWER)
      target_link_libraries(${NAME}_test PRIVATE sim_power_loss)
    endif()
    halogen_precompile(${NAME}_test ${PCH_TEST} ${ARG_PRECOMPILE})
    add_test(NAME ${NAME} COMMAND ${NAME}_test)
    set_tests_properties(${NAME} PROPERTIES ENVIRONMENT TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/cmake/tsan.supp)
  endif()
endfunction()
