// A sweep over several machines: rank 0 hands out jobs, the others run them, a lost rank's job is given again.
//
// Purpose: `mpirun -n N forksim sweep STUDY.yaml`. The transport is behind Ranks, so that forksim itself is free of MPI: the module with
//          the real one (sim/study/mpi) is loaded only below mpirun, and tests bring their own. Jobs are numbers; all ranks read the study.
// Loss:    a worker says every second that it is there; silent for longer than the patience, it is lost and its job goes to another, or
//          to rank 0 when nobody is left. A late record of a lost rank is as good as any: same input, same bytes.
// Units:   ms. Ownership: the caller's. Errors: a transport that fails on one message drops it; the patience finds it.
// Not here: MPI (sim/study/mpi/ranks_mpi.cpp), running (pool.hpp).
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace forksim {

struct RankMessage {
  enum class Kind : int { ready, job, record, alive, stop };
  int peer = 0;  ///< who sent it
  Kind kind = Kind::alive;
  std::string text;
};

class Ranks {
 public:
  virtual ~Ranks() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual void send(int to, RankMessage::Kind kind, const std::string& text) = 0;
  /// The next message, waiting at most this long.
  virtual std::optional<RankMessage> receive(int timeout_ms) = 0;
  /// The last call; `all_there`: no rank was lost.
  virtual void leave(bool all_there) = 0;
};

struct CoordinatorCalls {
  std::function<void(std::size_t job, const std::string& record)> finished;
  std::function<std::string(std::size_t job)> run_here;  ///< when no worker is left
  std::function<void(int rank, std::size_t job)> lost;
};
/// Rank 0. Returns when every job has a record or `stop` is set; true when no rank was lost.
bool coordinate(Ranks& ranks, const std::vector<std::size_t>& jobs, const CoordinatorCalls& calls, int patience_ms, const std::atomic<bool>& stop);
/// Every other rank: asks for jobs until it is told to stop. `run` calls its argument several times a second while it works. Returns
/// false when a rank was lost, or rank 0 fell silent for `patience_ms`.
bool serve(Ranks& ranks, const std::function<std::string(std::size_t job, const std::function<void()>& tick)>& run, int patience_ms);

}  // namespace forksim
