# Profile-guided and link-time optimisation of the rooms that a run spends its time in.
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

# forksim_note_room(ROOM TRAINED LINK...): keeps what forksim-train is made of: objects of rooms that are not trained, and libraries.
function(forksim_note_room room trained)
  set_property(GLOBAL APPEND PROPERTY FORKSIM_ROOMS ${room})
  set_property(GLOBAL APPEND PROPERTY FORKSIM_LINKS ${ARGN})
  if(NOT trained)
    set_property(GLOBAL APPEND PROPERTY FORKSIM_PLAIN_ROOMS ${room})
  endif()
endfunction()

# The options that name the profile of SOURCE, profile/kernel_model-core.gcda. g++ takes the name for part of what a function without a
# name of its own is known by, so that the instrumented object and the one for use must have the same.
function(forksim_profile_name result source)
  file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR} ${source})
  string(REPLACE "/" "-" name ${name})
  set(${result} "-dumpdir;profile/;-dumpbase;${name};-dumpbase-ext;.cpp" PARENT_SCOPE)
endfunction()

# forksim_trained(ROOM SOURCE...): its objects wait for the profile and use it.
function(forksim_trained room)
  if(NOT FORKSIM_PGO)
    return()
  endif()
  set_property(GLOBAL APPEND PROPERTY FORKSIM_TRAINED_SOURCES ${ARGN})
  # Functions that no workload reached are compiled as if there were no profile, not for size. The options are the room's, because g++
  # does without the profile where they are not those that it read the common header with.
  target_compile_options(${room} PRIVATE -fprofile-use -fprofile-partial-training -flto -ffat-lto-objects)
  foreach(source ${ARGN})
    forksim_profile_name(name ${source})
    set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS ${FORKSIM_PROFILE}/done
      COMPILE_OPTIONS "${name};-Wmissing-profile")
  endforeach()
endfunction()

# forksim_whole(TARGET): the trained rooms become one piece of code in it, another 3 to 7 %. Other programs take each room as it is, which
# is faster to link: the objects hold both forms.
if(FORKSIM_PGO)
  add_link_options($<IF:$<BOOL:$<TARGET_PROPERTY:FORKSIM_WHOLE>>,-flto=auto,-fno-lto>)
endif()
function(forksim_whole target)
  set_target_properties(${target} PROPERTIES FORKSIM_WHOLE ON)
endfunction()
