// The transport of a sweep over MPI; a module of its own, loaded only below mpirun.
#include <mpi.h>
#include <unistd.h>

#include <chrono>

#include "sim/study/ranks.hpp"

namespace forksim {

namespace {

class MpiRanks final : public Ranks {
 public:
  MpiRanks() {
    MPI_Init(nullptr, nullptr);
    // A peer that died must not take us with it.
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void send(int to, RankMessage::Kind kind, const std::string& text) override {
    MPI_Send(text.data(), static_cast<int>(text.size()), MPI_CHAR, to, static_cast<int>(kind), MPI_COMM_WORLD);
  }

  std::optional<RankMessage> receive(int timeout_ms) override {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    do {
      int there = 0;
      MPI_Status status;
      if (MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &there, &status) == MPI_SUCCESS && there) return take(status);
      // Sleeping leaves the CPU to the simulations; MPI's own waits spin.
      usleep(1000);
    } while (std::chrono::steady_clock::now() < end);
    return std::nullopt;
  }

  void leave(bool all_there) override {
    if (all_there) MPI_Finalize();
  }

 private:
  static std::optional<RankMessage> take(const MPI_Status& status) {
    int size = 0;
    MPI_Get_count(&status, MPI_CHAR, &size);
    RankMessage m{status.MPI_SOURCE, static_cast<RankMessage::Kind>(status.MPI_TAG), std::string(static_cast<std::size_t>(size), '\0')};
    const int code = MPI_Recv(m.text.data(), size, MPI_CHAR, m.peer, status.MPI_TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (code != MPI_SUCCESS) return std::nullopt;
    return m;
  }

  int rank_ = 0, size_ = 1;
};

}  // namespace

}  // namespace forksim

extern "C" forksim::Ranks* forksim_make_ranks() { return new forksim::MpiRanks; }
