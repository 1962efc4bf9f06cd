#include "sim/output/sha256.hpp"

#include <openssl/evp.h>

#include <array>
#include <fstream>
#include <memory>

#include "sim/output/out_file.hpp"

namespace forksim {

namespace {

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) { check(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr)); }
  void update(const char* bytes, std::size_t n) { check(EVP_DigestUpdate(context_.get(), bytes, n)); }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    check(EVP_DigestFinal_ex(context_.get(), digest.data(), &size));
    std::string out;
    for (unsigned i = 0; i < size; ++i) {
      out += "0123456789abcdef"[digest[i] >> 4];
      out += "0123456789abcdef"[digest[i] & 15];
    }
    return out;
  }

 private:
  static void check(int ok) {
    if (ok != 1) throw OutputError("libcrypto cannot compute SHA-256");
  }
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  Sha256 h;
  h.update(bytes.data(), bytes.size());
  return h.hex();
}

std::string sha256_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw OutputError(path.string() + ": cannot be read");
  Sha256 h;
  std::array<char, 1 << 16> block;
  while (in.read(block.data(), block.size()) || in.gcount() > 0) h.update(block.data(), static_cast<std::size_t>(in.gcount()));
  if (in.bad()) throw OutputError(path.string() + ": cannot be read");
  return h.hex();
}

std::string short_hash(const std::vector<InputFile>& inputs) {
  std::string all;
  for (const InputFile& f : inputs) all += std::to_string(f.content.size()) + '\n' + f.content;
  return sha256_hex(all).substr(0, 8);
}

}  // namespace forksim
