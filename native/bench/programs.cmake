# The programs that compare contenders. One whose headers are not installed is left out; `--list` of a program names those
# that it has.
foreach(program contend_timers contend_queues)
  add_executable(${program} native/bench/${program}.cc)
  target_link_libraries(${program} PRIVATE sip_async_core sip_async_flags)
endforeach()

find_path(asio_headers boost/asio/detail/timer_queue.hpp)
find_path(lockfree_headers boost/lockfree/queue.hpp)
find_path(moodycamel_headers concurrentqueue/concurrentqueue.h)
find_package(TBB QUIET)

# SYSTEM, so that their headers are not held to our warnings.
if(asio_headers)
  target_compile_definitions(contend_timers PRIVATE BENCH_HAS_ASIO)
  target_include_directories(contend_timers SYSTEM PRIVATE ${asio_headers})
endif()
if(lockfree_headers)
  target_compile_definitions(contend_queues PRIVATE BENCH_HAS_BOOST_LOCKFREE)
  target_include_directories(contend_queues SYSTEM PRIVATE ${lockfree_headers})
endif()
if(moodycamel_headers)
  target_compile_definitions(contend_queues PRIVATE BENCH_HAS_MOODYCAMEL)
  target_include_directories(contend_queues SYSTEM PRIVATE ${moodycamel_headers})
endif()
if(TARGET TBB::tbb)
  target_compile_definitions(contend_queues PRIVATE BENCH_HAS_TBB)
  target_link_libraries(contend_queues PRIVATE TBB::tbb)
endif()

# The core paths whose instructions are counted: see scripts/instructions.mjs.
add_executable(count_paths native/bench/count_paths.cc)
target_link_libraries(count_paths PRIVATE sip_async_sip sip_async_flags)
