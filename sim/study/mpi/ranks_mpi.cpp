// The transport of a sweep over MPI; a module of its own, loaded only below mpirun.
//
// A message goes in pieces that any MPI hands over whole (eagerly). A longer one stays in its sender's memory until it is received, and
// receiving it from a rank that has died meanwhile never ends.
#include <mpi.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <string_view>
#include <utility>

#include "sim/study/ranks.hpp"

namespace forksim {

namespace {

constexpr std::size_t kPiece = 1024;      ///< below the eager limits of Open MPI and MPICH, 4 KiB at least
constexpr char kMore = '+', kLast = '.';  ///< first character of a piece

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
    std::size_t at = 0;
    do {
      const std::string_view rest = std::string_view(text).substr(at, kPiece);
      at += rest.size();
      const std::string piece = (at < text.size() ? kMore : kLast) + std::string(rest);
      MPI_Send(piece.data(), static_cast<int>(piece.size()), MPI_CHAR, to, static_cast<int>(kind), MPI_COMM_WORLD);
    } while (at < text.size());
  }

  std::optional<RankMessage> receive(int timeout_ms) override {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    do {
      int there = 0;
      MPI_Status status;
      if (MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &there, &status) == MPI_SUCCESS && there) {
        if (std::optional<RankMessage> m = take(status)) return m;
      } else {
        usleep(1000);  // leaves the CPU to the simulations; MPI's own waits spin
      }
    } while (std::chrono::steady_clock::now() < end);
    return std::nullopt;
  }

  void leave(bool all_there) override {
    if (all_there) MPI_Finalize();
  }

 private:
  /// The next piece; a message when it is the last. A peer's pieces come in the order in which it sent them.
  std::optional<RankMessage> take(const MPI_Status& status) {
    int size = 0;
    MPI_Get_count(&status, MPI_CHAR, &size);
    std::string piece(static_cast<std::size_t>(size), '\0');
    const int code = MPI_Recv(piece.data(), size, MPI_CHAR, status.MPI_SOURCE, status.MPI_TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (code != MPI_SUCCESS || piece.empty()) return std::nullopt;
    std::string& text = begun_[status.MPI_SOURCE];
    text.append(piece, 1);
    if (piece.front() == kMore) return std::nullopt;
    return RankMessage{status.MPI_SOURCE, static_cast<RankMessage::Kind>(status.MPI_TAG), std::exchange(text, {})};
  }

  std::map<int, std::string> begun_;  ///< what has arrived of a message, by peer
  int rank_ = 0, size_ = 1;
};

}  // namespace

}  // namespace forksim

extern "C" forksim::Ranks* forksim_make_ranks() { return new forksim::MpiRanks; }
