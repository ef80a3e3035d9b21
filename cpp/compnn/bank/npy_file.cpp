#include "compnn/bank/npy_file.h"

#include <cctype>
#include <cstdint>
#include <limits>

#include "compnn/base/error.h"

namespace compnn {
namespace {

constexpr char kMagic[] = "\x93NUMPY";
constexpr std::size_t kMagicSize = 6;

std::size_t item_size(const std::string& descr) {
  if (descr == "|u1" || descr == "|i1") return 1;
  if (descr == "<f2" || descr == "<u2") return 2;
  if (descr == "<f4") return 4;
  return 0;
}

// The text after 'key': in the header's dictionary, up to its closing character.
std::string field(const std::string& header, const std::string& key, char open, char close) {
  const std::size_t name = header.find("'" + key + "'");
  if (name == std::string::npos) return {};
  const std::size_t first = header.find(open, header.find(':', name));
  if (first == std::string::npos) return {};
  const std::size_t last = header.find(close, first + 1);
  if (last == std::string::npos) return {};
  return header.substr(first + 1, last - first - 1);
}

}  // namespace

NpyFile::NpyFile(const std::string& path) : path_(path), file_(path) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(file_.data());
  if (file_.size() < 12 || std::string(bytes, bytes + kMagicSize) != kMagic) {
    fail("not a .npy file");
  }
  const int version = bytes[kMagicSize];
  std::size_t header_size = bytes[8] | std::size_t{bytes[9]} << 8;
  std::size_t header_start = 10;
  if (version == 2 || version == 3) {
    header_size |= std::size_t{bytes[10]} << 16 | std::size_t{bytes[11]} << 24;
    header_start = 12;
  } else if (version != 1) {
    fail("unknown .npy version " + std::to_string(version));
  }
  offset_ = header_start + header_size;
  if (offset_ > file_.size()) fail("truncated in its header");
  parse_header(std::string(bytes + header_start, bytes + offset_));
}

void NpyFile::parse_header(const std::string& header) {
  descr_ = field(header, "descr", '\'', '\'');
  const std::size_t item = item_size(descr_);
  if (item == 0) fail("unsupported element type '" + descr_ + "'");
  if (header.find("'fortran_order': False") == std::string::npos) fail("not in C order");

  if (offset_ % item != 0) fail("elements are not aligned to their size");

  const std::string shape = field(header, "shape", '(', ')');
  if (shape.find_first_not_of("0123456789, ") != std::string::npos) {
    fail("impossible shape (" + shape + ")");
  }
  std::size_t total = item;
  for (std::size_t i = 0; i < shape.size();) {
    if (!std::isdigit(static_cast<unsigned char>(shape[i]))) {
      ++i;
      continue;
    }
    std::size_t extent = 0;
    for (; i < shape.size() && std::isdigit(static_cast<unsigned char>(shape[i])); ++i) {
      extent = extent * 10 + static_cast<std::size_t>(shape[i] - '0');
      if (extent > (std::size_t{1} << 48)) fail("impossible shape (" + shape + ")");
    }
    if (extent > 0 && total > std::numeric_limits<std::size_t>::max() / extent) {
      fail("impossible shape (" + shape + ")");
    }
    total *= extent;
    shape_.push_back(static_cast<Index>(extent));
  }
  if (total > file_.size() - offset_) {
    fail("truncated: " + std::to_string(file_.size()) + " bytes, expected " +
         std::to_string(offset_ + total));
  }
}

void NpyFile::fail(const std::string& why) const { throw FileError(path_ + ": " + why); }

}  // namespace compnn
