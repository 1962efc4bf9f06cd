// The table of functions in kernel_model/README.md.
//
// Purpose: `forksim list functions --markdown`: every function that function_graph shows and every one that the articles on fork and exit
//          name, with its file, stage, cost row and test. Source: kernel_model/trace/functions.def, named_functions.def.
// Units:   none. Ownership: values. Errors: none. Not here: functions of user space and macros.
#pragma once

#include <string>

namespace forksim {

std::string function_markdown();

}  // namespace forksim
