# Profile-guided optimisation of the rooms that a run spends its time in.
#
# Purpose: compile the trained rooms twice: instrumented, linked into build/forksim-train, which runs shipped workloads, and then for use,
#          with the profile that this left. Which branches are usual is measured, not guessed: 4 to 7 % more events per second.
# Needs:   g++ and Ninja (other compilers name profiles in other ways; with make the order of the steps would need targets of their own),
#          and gnuplot, because the runs draw their plots as they always do.
# Output:  the profile in build/profile; same compiler, same sources: same profile, because runs are deterministic.
# Errors:  a run that fails stops the build with its messages. FORKSIM_PGO=OFF builds without, for whoever changes these rooms: there
#          every change costs one compilation and no training.

find_program(GNUPLOT gnuplot)
include(CMakeDependentOption)
cmake_dependent_option(FORKSIM_PGO "Compile the kernel model with a profile of shipped workloads (g++, Ninja, Release, gnuplot)" ON
  "CMAKE_CXX_COMPILER_ID STREQUAL GNU;CMAKE_GENERATOR MATCHES Ninja;CMAKE_BUILD_TYPE STREQUAL Release;GNUPLOT;NOT CMAKE_CROSSCOMPILING" OFF)

set(FORKSIM_PROFILE ${CMAKE_BINARY_DIR}/profile)
# As g++ sees the folder it works in: by the way that led there, or the real one.
file(REAL_PATH ${CMAKE_BINARY_DIR} real_binary_dir)
set(FORKSIM_BINARY_DIRS ${CMAKE_BINARY_DIR} ${real_binary_dir})
list(REMOVE_DUPLICATES FORKSIM_BINARY_DIRS)

# forksim_trained(ROOM SOURCE...): the objects of ROOM wait for the profile and use it.
function(forksim_trained room)
  if(NOT FORKSIM_PGO)
    return()
  endif()
  # Functions that no workload reached are compiled as if there were no profile, not for size; g++ warns of each, and of nothing that it
  # has not said when it compiled the instrumented object.
  set_source_files_properties(${ARGN} PROPERTIES OBJECT_DEPENDS ${FORKSIM_PROFILE}/done
    COMPILE_OPTIONS "-fprofile-use=${FORKSIM_PROFILE};-fprofile-partial-training;-w")
  # What the instrumented object writes (objects of sources above a directory are below "__"), and where g++ looks for it.
  foreach(source ${ARGN})
    file(RELATIVE_PATH wrote ${CMAKE_SOURCE_DIR}/sim/train ${source})
    string(REPLACE ".." "__" wrote "CMakeFiles/instrumented.dir/${wrote}.gcda")
    file(RELATIVE_PATH path ${CMAKE_SOURCE_DIR} ${source})
    set_property(GLOBAL APPEND PROPERTY FORKSIM_TRAINED_SOURCES ${source})
    foreach(dir ${FORKSIM_BINARY_DIRS})
      string(REPLACE "/" "#" name "${dir}/CMakeFiles/${room}.dir/${path}.gcda")
      set_property(GLOBAL APPEND_STRING PROPERTY FORKSIM_PROFILE_NAMES "${wrote} ${name}\n")
    endforeach()
  endforeach()
endfunction()
