#include "compnn/bank/npy_file.h"

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "compnn/base/error.h"
#include "temporary_file.h"

using compnn::FileError;
using compnn::Index;
using compnn::NpyFile;
using compnn::test::npy_bytes;
using compnn::test::TemporaryFile;

namespace {

std::string header(const std::string& descr, const std::string& shape,
                   const std::string& order = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

void expect_error(const std::string& bytes, const std::string& part) {
  const TemporaryFile file(bytes);
  CHECK_THROWS(NpyFile(file.path()), FileError, part);
  CHECK_THROWS(NpyFile(file.path()), FileError, file.path());
}

}  // namespace

TEST(reads_versions_1_to_3) {
  for (const int version : {1, 2, 3}) {
    const std::string elements("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c", 12);
    const TemporaryFile file(npy_bytes(header("<f2", "(2, 3)"), elements, version));
    const NpyFile npy(file.path());
    CHECK_EQUAL(npy.path(), file.path());
    CHECK_EQUAL(npy.descr(), "<f2");
    CHECK((npy.shape() == std::vector<Index>{2, 3}));
    CHECK_EQUAL(std::string(static_cast<const char*>(npy.data()), 12), elements);
  }
}

TEST(reads_types_and_shapes) {
  const auto shape_of = [](const std::string& descr, const std::string& shape, std::size_t bytes) {
    const TemporaryFile file(npy_bytes(header(descr, shape), std::string(bytes, 'x')));
    return NpyFile(file.path()).shape();
  };
  CHECK((shape_of("|u1", "(5,)", 5) == std::vector<Index>{5}));
  CHECK((shape_of("|i1", "(3, 2)", 6) == std::vector<Index>{3, 2}));
  CHECK((shape_of("<u2", "(2, 3)", 12) == std::vector<Index>{2, 3}));
  CHECK((shape_of("<f4", "()", 4) == std::vector<Index>{}));
  CHECK((shape_of("<f4", "(2, 1, 3, 4)", 96) == std::vector<Index>{2, 1, 3, 4}));
  CHECK((shape_of("<f4", "(0, 7)", 0) == std::vector<Index>{0, 7}));
}

TEST(refuses_what_is_not_npy) {
  expect_error("", "not a .npy file");
  expect_error("\x93NUMPY", "not a .npy file");
  expect_error("\x93NUMPX" + std::string(200, ' '), "not a .npy file");
  expect_error(npy_bytes(header("<f4", "(1,)"), "xxxx", 4), "unknown .npy version 4");
  CHECK_THROWS(NpyFile("/nowhere/at/all.npy"), FileError, "/nowhere/at/all.npy: cannot open");
  CHECK_THROWS(NpyFile("/tmp"), FileError, "/tmp: ");
}

TEST(refuses_truncated_files) {
  const std::string whole = npy_bytes(header("<f4", "(4, 5)"), std::string(80, 'x'));
  const TemporaryFile good(whole);
  CHECK_EQUAL(NpyFile(good.path()).shape().size(), 2U);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const TemporaryFile file(whole.substr(0, size));
    CHECK_THROWS(NpyFile(file.path()), FileError, file.path());
  }
  expect_error(whole.substr(0, whole.size() - 1), "truncated");
  // By the size of their elements.
  expect_error(npy_bytes(header("<u2", "(5,)"), std::string(9, 'x')), "truncated");
  expect_error(npy_bytes(header("|i1", "(5,)"), std::string(4, 'x')), "truncated");
}

TEST(refuses_other_layouts_and_types) {
  expect_error(npy_bytes(header("<f4", "(1, 1)", "True"), "xxxx"), "not in C order");
  expect_error(npy_bytes(header(">f4", "(1,)"), "xxxx"), "unsupported element type '>f4'");
  expect_error(npy_bytes(header("<f8", "(1,)"), std::string(8, 'x')), "'<f8'");
  expect_error(npy_bytes(header(">u2", "(1,)"), "xx"), "unsupported element type '>u2'");
  expect_error(npy_bytes(header("<i2", "(1,)"), "xx"), "unsupported element type '<i2'");
  expect_error(npy_bytes("{'shape': (1,)}", "xxxx"), "unsupported element type");
  expect_error(npy_bytes("", "xxxx"), "unsupported element type");
}

TEST(refuses_impossible_shapes) {
  expect_error(npy_bytes(header("<f4", "(99999999999999999999,)"), "xxxx"), "impossible shape");
  expect_error(npy_bytes(header("<f4", "(4294967296, 4294967296)"), "xxxx"), "impossible shape");
  expect_error(npy_bytes(header("<f4", "(4611686018427387904, 4)"), "xxxx"), "impossible shape");
  expect_error(npy_bytes(header("<f4", "(1000000, 1000000)"), "xxxx"), "truncated");
  expect_error(npy_bytes(header("<f4", "(-1, 4)"), "xxxx"), "shape");
}

// Elements that do not lie on a multiple of their size cannot be read through a pointer.
TEST(refuses_unaligned_elements) {
  std::string bytes = npy_bytes(header("<f4", "(1,)"), "xxxxxxxx");
  bytes[8] = static_cast<char>(bytes[8] + 1);
  expect_error(bytes, "align");
}

// Any damage to the header gives FileError, or an array that lies within the file.
TEST(damaged_headers_never_read_outside_the_file) {
  const std::string whole = npy_bytes(header("<f2", "(3, 4, 5)"), std::string(120, 'x'));
  const std::size_t header_size = whole.size() - 120;
  std::mt19937 generator(1);
  int refused = 0, accepted = 0;
  for (int i = 0; i < 1500; ++i) {
    std::string bytes = whole;
    const auto changes = generator() % 3 + 1;
    for (std::uint32_t j = 0; j < changes; ++j) {
      char& byte = bytes[generator() % header_size];
      if (generator() % 2 == 0) {
        byte = static_cast<char>(byte ^ (1 << generator() % 8));
      } else {
        byte = "0123456789(),'- \0\xff"[generator() % 18];
      }
    }
    const TemporaryFile file(bytes);
    try {
      const NpyFile npy(file.path());
      Index size = npy.descr().back() - '0';
      for (const Index extent : npy.shape()) {
        CHECK(extent >= 0);
        size *= extent;
      }
      CHECK(size <= static_cast<Index>(bytes.size()));
      int sum = 0;  // touches every byte of the array
      for (Index k = 0; k < size; ++k) sum += static_cast<const char*>(npy.data())[k];
      CHECK(sum >= 0 || sum < 0);
      ++accepted;
    } catch (const FileError& error) {
      CHECK(std::string(error.what()).find(file.path()) == 0);
      ++refused;
    }
  }
  CHECK(refused > 100 && accepted > 10);
}
