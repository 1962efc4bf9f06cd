// Loads a platform file into SimGrid and says what it holds.
//
// Purpose: SimGrid reads the XML, owns hosts, links and routes; this reads them back as a PlatformDesc and finds every mistake it can.
// Source:  SimGrid reference (platform files), host_energy plugin. Units: see platform_desc.hpp.
// Ownership: hosts belong to the Engine, of which a process has one.
// Errors:  Diagnostics. SimGrid aborts the process on some bad files, so a child process tries the file first; its last words become
//          the diagnostic.
// Not modelled: virtual machines, disks, hosts that are not CPUs, several cores per host.
#pragma once

#include <string>
#include <vector>

#include "sim/config/diagnostics.hpp"
#include "sim/platform/platform_desc.hpp"
#include "sim/platform/simgrid_compat.hpp"

namespace forksim {

struct LoadedPlatform {
  PlatformDesc desc;
  std::vector<sg::Host*> hosts;  ///< by CPU number
};

/// Initialises the energy plugin, loads `file` and seals the platform. The engine must be fresh. When diagnostics were added, the
/// result is incomplete and the engine must not run.
LoadedPlatform load_platform_file(sg::Engine& engine, const std::string& file, Diagnostics& diags);

}  // namespace forksim
