#include "tests/oracle/line_reader.hpp"

#include <lzma.h>

#include <array>
#include <cstdint>
#include <stdexcept>

namespace forksim::oracle {

struct LineReader::Impl {
  std::string path;
  std::FILE* file = nullptr;
  bool xz = false, eof = false;
  lzma_stream stream = LZMA_STREAM_INIT;
  std::array<std::uint8_t, 1 << 16> in{};
  std::string text;
  std::size_t pos = 0;
};

LineReader::LineReader(const std::string& path) : impl_(std::make_unique<Impl>()) {
  impl_->path = path;
  impl_->xz = path.ends_with(".xz");
  impl_->file = std::fopen(path.c_str(), "rb");
  if (!impl_->file) throw std::runtime_error(path + ": cannot be opened");
  if (impl_->xz && lzma_stream_decoder(&impl_->stream, UINT64_MAX, LZMA_CONCATENATED) != LZMA_OK)
    throw std::runtime_error(path + ": the xz decoder does not start");
}

LineReader::~LineReader() {
  lzma_end(&impl_->stream);
  if (impl_->file) std::fclose(impl_->file);
}

bool LineReader::fill() {
  Impl& m = *impl_;
  if (m.eof) return false;
  m.text.erase(0, m.pos);
  m.pos = 0;
  const std::size_t n = std::fread(m.in.data(), 1, m.in.size(), m.file);
  if (!m.xz) {
    m.eof = n == 0;
    m.text.append(reinterpret_cast<const char*>(m.in.data()), n);
    return !m.eof;
  }
  m.stream.next_in = m.in.data();
  m.stream.avail_in = n;
  std::array<std::uint8_t, 1 << 16> out;
  for (;;) {
    m.stream.next_out = out.data();
    m.stream.avail_out = out.size();
    const lzma_ret ret = lzma_code(&m.stream, n == 0 ? LZMA_FINISH : LZMA_RUN);
    m.text.append(reinterpret_cast<const char*>(out.data()), out.size() - m.stream.avail_out);
    if (ret == LZMA_STREAM_END) m.eof = true;
    if (m.eof || (ret == LZMA_BUF_ERROR && n != 0)) return true;
    if (ret != LZMA_OK) throw std::runtime_error(m.path + ": not a complete xz file");
    if (m.stream.avail_in == 0 && m.stream.avail_out != 0) return true;
  }
}

bool LineReader::next(std::string& line) {
  Impl& m = *impl_;
  std::size_t end, from = m.pos;
  while ((end = m.text.find('\n', from)) == std::string::npos) {
    const std::size_t seen = m.text.size() - m.pos;
    if (!fill()) {
      if (m.pos == m.text.size()) return false;
      end = m.text.size();
      line.assign(m.text, m.pos, end - m.pos);
      m.pos = end;
      return true;
    }
    from = m.pos + seen;
  }
  line.assign(m.text, m.pos, end - m.pos);
  m.pos = end + 1;
  return true;
}

}  // namespace forksim::oracle
