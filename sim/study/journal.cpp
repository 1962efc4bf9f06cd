#include "sim/study/journal.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "sim/output/out_file.hpp"
#include "sim/output/sha256.hpp"

namespace forksim {

namespace fs = std::filesystem;

namespace {

using Json = nlohmann::ordered_json;
constexpr std::size_t kSum = 16;

[[noreturn]] void fail(const fs::path& file) { throw OutputError(file.string() + ": cannot be written: " + std::generic_category().message(errno)); }

RunOutcome from_json(const Json& j) {
  RunOutcome r;
  r.key = j.at("key").get<std::string>();
  r.ok = j.at("ok").get<bool>();
  r.violated = j.at("violated").get<km::u64>();
  r.error = j.at("error").get<std::string>();
  r.resolved = j.at("resolved").get<std::string>();
  for (const Json& v : j.at("values"))
    if (const auto row = find_measure(v.at(0).get<std::string>())) r.values.emplace_back(*row, v.at(1).get<double>());
  return r;
}

}  // namespace

std::string encode(const RunOutcome& outcome) {
  Json j{{"key", outcome.key}, {"ok", outcome.ok}, {"violated", outcome.violated}, {"error", outcome.error}, {"resolved", outcome.resolved}};
  Json& values = j["values"] = Json::array();
  for (const auto& [row, value] : outcome.values) values.push_back(Json::array({measure_table()[row].name(), value}));
  const std::string body = j.dump(-1, ' ', false, Json::error_handler_t::replace);
  return '\n' + sha256_hex(body).substr(0, kSum) + ' ' + body + '\n';
}

Journal::Journal(fs::path file, bool fresh) : file_(std::move(file)) {
  fd_ = open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (fresh ? O_TRUNC : 0), 0644);
  if (fd_ < 0) fail(file_);
}

Journal::~Journal() { close(fd_); }

void Journal::append(const std::string& line) {
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t n = write(fd_, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(file_);
    done += static_cast<std::size_t>(n);
  }
}

void decode(const std::string& text, Outcomes& out) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    if (line.size() < kSum + 2 || sha256_hex(line.substr(kSum + 1)).substr(0, kSum) != line.substr(0, kSum)) continue;
    RunOutcome r = from_json(Json::parse(line.substr(kSum + 1)));
    out[r.key] = std::move(r);
  }
}

Outcomes read_journals(const fs::path& dir) {
  std::vector<fs::path> files;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(dir, ec))
    if (entry.path().extension() == ".txt" && entry.path().filename().string().starts_with("journal")) files.push_back(entry.path());
  std::ranges::sort(files);
  Outcomes out;
  for (const fs::path& f : files) decode(read_file(f), out);
  return out;
}

}  // namespace forksim
