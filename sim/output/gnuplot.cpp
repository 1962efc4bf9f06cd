#include "sim/output/gnuplot.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "sim/output/out_file.hpp"
#include "sim/output/plot.hpp"

namespace forksim {

namespace fs = std::filesystem;

namespace {

constexpr const char* kFont = "DejaVu Sans,13";

std::string terminal(const std::string& format, const std::string& name, int width, int height) {
  // An SVG's name may hold letters, digits and '_' only.
  std::string id = name;
  std::replace(id.begin(), id.end(), '-', '_');
  if (format == "svg")
    return fmt::format("set terminal svg size {},{} font {} background \"white\" noenhanced name {}\n", width, height, gnuplot_quote(kFont),
                       gnuplot_quote(id));
  return fmt::format("set terminal pngcairo size {},{} font {} background \"white\" noenhanced\n", width, height, gnuplot_quote(kFont));
}

/// Runs `gnuplot -d script` in `dir`, its messages going to `log`; returns the wait status.
int spawn_and_wait(const fs::path& dir, const std::string& script, const std::string& log) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addchdir_np(&actions, dir.c_str());
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  std::string program = "gnuplot", defaults = "-d", file = script;
  char* const argv[] = {program.data(), defaults.data(), file.data(), nullptr};
  // The numbers in a picture must not depend on the user's locale.
  std::vector<std::string> kept{"LC_ALL=C"};
  for (char** e = environ; *e != nullptr; ++e)
    if (std::string_view v = *e; !v.starts_with("LC_") && !v.starts_with("LANG") && !v.starts_with("GNU")) kept.emplace_back(v);
  std::vector<char*> envp;
  for (std::string& e : kept) envp.push_back(e.data());
  envp.push_back(nullptr);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, "gnuplot", &actions, nullptr, argv, envp.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) throw PlotError("gnuplot is not installed; install the package gnuplot-nox");
  if (error != 0) throw PlotError("gnuplot cannot be started: " + std::generic_category().message(error));
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) throw PlotError("gnuplot cannot be waited for: " + std::generic_category().message(errno));
  return status;
}

}  // namespace

std::string gnuplot_quote(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out + '"';
}

std::vector<fs::path> run_gnuplot(const fs::path& dir, const std::string& name, const std::vector<std::string>& formats, int width,
                                  int height, const std::string& body) {
  std::string script = "# Drawn by forksim plot; run `gnuplot " + name + ".gp` in this folder to draw it again.\n";
  std::vector<fs::path> pictures;
  for (const std::string& f : formats) {
    const std::string picture = name + '.' + f;
    script += terminal(f, name, width, height) + "set output " + gnuplot_quote(picture) + '\n' + (pictures.empty() ? body : "replot\n") +
              "unset output\n";
    pictures.push_back(dir / picture);
  }
  write_file(dir / (name + ".gp"), script);
  const std::string log = name + ".err";
  const int status = spawn_and_wait(dir, name + ".gp", log);
  const std::string said = read_file(dir / log);
  fs::remove(dir / log);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw PlotError("gnuplot failed on " + (dir / (name + ".gp")).string() + ": " + said);
  return pictures;
}

}  // namespace forksim
