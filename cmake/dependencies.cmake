# Every third-party library is found here, once, as an imported target.
set(SLUICE_CACHE "$ENV{SLUICE_CACHE}" CACHE PATH "Folder where `./run setup` keeps what it built or fetched")
if(NOT SLUICE_CACHE)
  if(DEFINED ENV{XDG_CACHE_HOME})
    set(SLUICE_CACHE "$ENV{XDG_CACHE_HOME}/sluice" CACHE PATH "" FORCE)
  else()
    set(SLUICE_CACHE "$ENV{HOME}/.cache/sluice" CACHE PATH "" FORCE)
  endif()
endif()

# Debian's protobuf and Abseil aren't built for ThreadSanitizer, and lay some of their types out otherwise where
# they see that a program is: it must not show.
if(CMAKE_CXX_FLAGS_DEBUG MATCHES "-fsanitize=thread")
  add_compile_options(-U__SANITIZE_THREAD__)
endif()

find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(absl REQUIRED)
# FindProtobuf before gRPC, whose own package would look for a protobuf CONFIG that Debian lacks. gRPC also
# brings the target re2::re2; a variable re2_FOUND of ours would keep it from looking.
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_program(SLUICE_GRPC_PLUGIN grpc_cpp_plugin REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
if(SLUICE_TESTS)
  find_package(GTest CONFIG REQUIRED)
  find_package(benchmark CONFIG REQUIRED)
endif()
find_package(PkgConfig REQUIRED)
pkg_check_modules(simdjson REQUIRED IMPORTED_TARGET simdjson)
pkg_check_modules(yaml-cpp REQUIRED IMPORTED_TARGET yaml-cpp)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(pq REQUIRED IMPORTED_TARGET libpq)
pkg_check_modules(pqxx REQUIRED IMPORTED_TARGET libpqxx)
pkg_check_modules(lmdb REQUIRED IMPORTED_TARGET lmdb)
# Areas: what the tests compare this project's own look-ups with.
pkg_check_modules(geos REQUIRED IMPORTED_TARGET geos)
find_package(CLI11 CONFIG REQUIRED)

# For processes that hand many small pieces of memory from one thread to another, as librdkafka does with every
# record: an eighth of the processor's CPU time less than with glibc's. Sanitizers bring their own.
pkg_check_modules(jemalloc REQUIRED IMPORTED_TARGET jemalloc)
add_library(sluice_allocator INTERFACE)
if(NOT CMAKE_BUILD_TYPE STREQUAL Debug)
  target_link_libraries(sluice_allocator INTERFACE PkgConfig::jemalloc)
endif()

# librdkafka before 2.8.0 skips offsets and reports false fatal errors; a system that has a newer one
# serves, otherwise `./run setup` has built 2.8.0 into the cache.
pkg_check_modules(rdkafka QUIET IMPORTED_TARGET rdkafka>=2.8.0)
add_library(sluice_rdkafka INTERFACE)
if(rdkafka_FOUND)
  target_link_libraries(sluice_rdkafka INTERFACE PkgConfig::rdkafka)
else()
  set(rdkafka_root ${SLUICE_CACHE}/librdkafka-2.8.0-pthread)
  if(NOT EXISTS ${rdkafka_root}/lib/librdkafka-static.a)
    message(FATAL_ERROR "librdkafka >= 2.8.0 not found: run `./run setup` first")
  endif()
  target_include_directories(sluice_rdkafka SYSTEM INTERFACE ${rdkafka_root}/include)
  target_link_libraries(sluice_rdkafka INTERFACE ${rdkafka_root}/lib/librdkafka-static.a
    OpenSSL::SSL OpenSSL::Crypto ZLIB::ZLIB zstd lz4 sasl2 curl m ${CMAKE_DL_LIBS} Threads::Threads)
endif()
