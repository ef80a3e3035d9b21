#include "compnn/bank/cell_bank.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "compnn/base/error.h"
#include "temporary_file.h"
#include "test_cells.h"

using namespace compnn;
using compnn::test::npy_bytes;
using compnn::test::TemporaryFile;
using compnn::test::TestCells;

namespace {

std::string npy(const std::string& descr, const std::string& shape, const void* data,
                std::size_t bytes) {
  return npy_bytes("{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }",
                   std::string(static_cast<const char*>(data), bytes));
}

struct Format {
  Precision precision;
  const char* descr;
};
constexpr Format kFormats[] = {{Precision::kFloat32, "<f4"},
                               {Precision::kFloat16, "<f2"},
                               {Precision::kBfloat16, "<u2"},
                               {Precision::kInt8, "|i1"}};

}  // namespace

TEST(opened_bank_holds_the_files_numbers) {
  for (const auto& [precision, descr] : kFormats) {
    const TestCells cells = TestCells::random({3, 2, 4, 5}, precision, 1);
    auto activations = std::make_unique<TemporaryFile>(
        npy(descr, "(3, 2, 4, 5)", cells.cells().numbers, cells.bytes()));
    auto norms = std::make_unique<TemporaryFile>(
        npy("<f4", "(3, 2, 4)", cells.norms().data(), 24 * sizeof(float)));
    const auto bank =
        std::make_unique<CellBank>(CellBank::open(activations->path(), norms->path()));
    activations.reset();  // a mapping outlives the file's name
    norms.reset();
    const CellBank copy = *bank;  // and a copy shares it
    CHECK_EQUAL(copy.images(), 3);
    CHECK_EQUAL(copy.rows(), 2);
    CHECK_EQUAL(copy.cols(), 4);
    CHECK_EQUAL(copy.depth(), 5);
    CHECK(copy.precision() == precision);
    for (Index image = 0; image < 3; ++image) {
      const Cells view = copy.image(image);
      for (Index row = 0; row < 2; ++row) {
        for (Index col = 0; col < 4; ++col) {
          std::vector<float> numbers(5);
          view.widen(kernels(), row, col, 1, numbers.data());
          CHECK(std::memcmp(numbers.data(), cells.cell(image, row, col), 20) == 0);
          CHECK_EQUAL(view.norms[row * 4 + col],
                      cells.norms()[static_cast<std::size_t>((image * 2 + row) * 4 + col)]);
        }
      }
    }
  }
}

TEST(wrong_files_are_refused_by_name) {
  const std::vector<float> zeros(200);
  const TemporaryFile good(npy("<f4", "(3, 2, 4, 5)", zeros.data(), 480));
  const TemporaryFile three(npy("<f4", "(3, 2, 20)", zeros.data(), 480));
  const TemporaryFile bytes(npy("|u1", "(3, 2, 4, 5)", zeros.data(), 120));
  const TemporaryFile norms(npy("<f4", "(3, 2, 4)", zeros.data(), 96));
  const TemporaryFile short_norms(npy("<f4", "(2, 2, 4)", zeros.data(), 64));
  const TemporaryFile half_norms(npy("<f2", "(3, 2, 4)", zeros.data(), 48));
  CHECK_EQUAL(CellBank::open(good.path(), norms.path()).images(), 3);
  CHECK_THROWS(CellBank::open(three.path(), norms.path()), FileError, three.path());
  CHECK_THROWS(CellBank::open(bytes.path(), norms.path()), FileError,
               bytes.path() + ": activations must be float32, float16, uint16 (bfloat16) or int8 ");
  CHECK_THROWS(CellBank::open(good.path(), short_norms.path()), FileError, short_norms.path());
  CHECK_THROWS(CellBank::open(good.path(), half_norms.path()), FileError, half_norms.path());
  CHECK_THROWS(CellBank::open(good.path(), "/nowhere.npy"), FileError, "/nowhere.npy");
}

TEST(owner_lives_as_long_as_the_bank) {
  const TestCells cells = TestCells::random({3, 2, 4, 5}, Precision::kFloat32, 1);
  const auto owner = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = owner;
  auto bank = std::make_unique<CellBank>(cells.cells(), 3, owner);
  CHECK_EQUAL(watch.use_count(), 2);
  bank.reset();
  CHECK_EQUAL(watch.use_count(), 1);
}
