// Everything that depends on the version of SimGrid (3.32 to 4.1).
//
// Purpose: one header to look at when SimGrid changes. The classes kernel::resource::Model and kernel::timer::Timer are installed but
//          semi-private; what we use of them is the same in all these versions.
// Source:  SimGrid ChangeLog: 3.34 renames on_state_change to on_onoff and surf/precision to precision/timing; 4.0 always has a root
//          zone around the zones of the file and creates actors through the engine, 4.1 through the host.
// Units:   seconds, Hz. Ownership: SimGrid owns its objects. Errors: compile-time only. Not modelled: versions before 3.32.
#pragma once

#include <simgrid/s4u/Actor.hpp>
#include <simgrid/s4u/Engine.hpp>
#include <simgrid/s4u/Host.hpp>
#include <simgrid/s4u/Link.hpp>
#include <simgrid/s4u/NetZone.hpp>
// version.h must be named: the other headers do not always bring it, and SIMGRID_VERSION would silently be 0
#include <simgrid/version.h>

#include <simgrid/kernel/Timer.hpp>
#include <simgrid/kernel/resource/Model.hpp>
#include <string>
#include <utility>

#if SIMGRID_VERSION < 33200
#error "SimGrid 3.32 or later is needed"
#endif

namespace forksim::sg {

using simgrid::kernel::resource::Model;
using simgrid::kernel::timer::Timer;
using simgrid::s4u::Engine;
using simgrid::s4u::Host;
using simgrid::s4u::Link;
using simgrid::s4u::NetZone;

template <class F>
void on_host_onoff(F&& f) {
#if SIMGRID_VERSION >= 33400
  Host::on_onoff_cb(std::forward<F>(f));
#else
  Host::on_state_change_cb(std::forward<F>(f));
#endif
}

/// Only the reference engine of the tests has actors.
template <class F>
void start_actor([[maybe_unused]] Engine& engine, const std::string& name, Host* host, F&& code) {
#if SIMGRID_VERSION >= 40100
  host->add_actor(name, std::forward<F>(code));
#elif SIMGRID_VERSION >= 40000
  engine.add_actor(name, host, std::forward<F>(code));
#else
  simgrid::s4u::Actor::create(name, host, std::forward<F>(code));
#endif
}

/// Dates of actors and Execs 1 ns apart must not be merged.
inline std::string timing_precision_option() {
#if SIMGRID_VERSION >= 33400
  return "--cfg=precision/timing:1e-10";
#else
  return "--cfg=surf/precision:1e-10";
#endif
}

/// The zone that the platform file describes.
inline const NetZone* platform_zone(const Engine& e) {
  const NetZone* root = e.get_netzone_root();
  const auto children = root->get_children();
  return root->get_properties()->empty() && children.size() == 1 ? children.front() : root;
}

}  // namespace forksim::sg
