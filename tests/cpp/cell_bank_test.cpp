#include "compnn/bank/cell_bank.h"

#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "test_cells.h"

using namespace compnn;
using namespace compnn::test;

namespace {

constexpr Index kMost = std::numeric_limits<std::int32_t>::max();
constexpr Index kLargest = std::numeric_limits<Index>::max();

void check_image(const CellBank& bank, Index image, const TestCells& cells, Index expected) {
  const Cells view = bank.image(image);
  CHECK_EQUAL(view.rows, cells.rows(expected));
  CHECK_EQUAL(view.cols, cells.cols(expected));
  CHECK_EQUAL(bank.rows(image), view.rows);
  CHECK_EQUAL(bank.cols(image), view.cols);
  CHECK_EQUAL(view.depth, cells.shape().depth);
  const auto bytes = static_cast<std::size_t>(view.depth) * sizeof(float);
  for (Index row = 0; row < view.rows; ++row) {
    for (Index col = 0; col < view.cols; ++col) {
      std::vector<float> numbers(static_cast<std::size_t>(view.depth));
      view.widen(kernels(), row, col, 1, numbers.data());
      CHECK(std::memcmp(numbers.data(), cells.cell(expected, row, col), bytes) == 0);
      const auto at = (cells.cell(expected, row, col) - cells.cell(0, 0, 0)) / view.depth;
      CHECK_EQUAL(view.norms[row * view.cols + col], cells.norms()[static_cast<std::size_t>(at)]);
    }
  }
}

}  // namespace

TEST(bank_holds_the_shards_numbers) {
  for (const Precision precision : kAllPrecisions) {
    const TestCells one = TestCells::random({{2, 4}, {1, 1}, {5, 3}}, 5, precision, 1);
    const TestCells other = TestCells::random({{3, 3}, {1, 7}}, 8, precision, 2);
    Shard of_other = other.shard(0, 2);
    of_other.basis = 1;
    // Two shards of one, one of other; the images in an order of their own.
    const CellBank bank({one.shard(0, 1), of_other, one.shard(1, 3)},
                        {one.place(2, 2, 1), other.place(1, 1, 0), one.place(0, 0, 0),
                         other.place(0, 1, 0), one.place(1, 2, 1)});
    const CellBank copy = bank;
    CHECK_EQUAL(copy.images(), 5);
    CHECK_EQUAL(copy.bases(), 2);
    CHECK_EQUAL(copy.depth(0), 5);
    CHECK_EQUAL(copy.depth(1), 8);
    CHECK(copy.precision() == precision);
    const struct {
      const TestCells& cells;
      Index image, basis;
    } expected[] = {{one, 2, 0}, {other, 1, 1}, {one, 0, 0}, {other, 0, 1}, {one, 1, 0}};
    for (Index image = 0; image < 5; ++image) {
      check_image(copy, image, expected[image].cells, expected[image].image);
      CHECK_EQUAL(copy.basis(image), expected[image].basis);
    }
    copy.read_ahead(0);
    copy.map(1);
  }
}

TEST(images_outside_of_their_shards_are_refused) {
  const TestCells cells = TestCells::random({1, 3, 4, 5}, Precision::kFloat32, 1);
  const std::vector<Shard> shards = {cells.shard(0, 1)};
  const auto expect = [&](ImagePlace wrong, const char* part) {
    CHECK_THROWS(CellBank(shards, {{0, 0, 3, 4}, wrong}), std::invalid_argument, part);
  };
  CHECK_EQUAL(CellBank(shards, {{0, 0, 3, 4}, {0, 4, 2, 4}, {0, 11, 1, 1}}).images(), 3);
  CHECK_EQUAL(CellBank(shards, {}).images(), 0);
  expect({1, 0, 3, 4}, "image 1 is in shard 1 of 1");
  expect({-1, 0, 3, 4}, "image 1 is in shard -1 of 1");
  expect({0, 0, 0, 4}, "image 1 has 0x4 cells");
  expect({0, 0, 3, -4}, "image 1 has 3x-4 cells");
  expect({0, 0, -3, -4}, "image 1 has -3x-4 cells");
  expect({0, 0, 13, 1}, "image 1 has 13x1 cells from cell 0 on, but shard 0 has 12 cells");
  expect({0, 1, 3, 4}, "image 1 has 3x4 cells from cell 1 on");
  expect({0, 12, 1, 1}, "from cell 12 on");
  expect({0, 13, 1, 1}, "from cell 13 on");
  expect({0, -1, 1, 1}, "from cell -1 on");
  // Nothing may overflow.
  expect({0, 0, kMost, kMost}, "image 1 has");
  expect({0, 0, kMost + 1, 1}, "image 1 has");
  expect({0, 0, Index{1} << 32, Index{1} << 32}, "image 1 has");
  expect({0, kLargest, kMost, kMost}, "image 1 has");
  expect({0, -kLargest - 1, 3, 4}, "image 1 has");
  expect({kLargest, 0, 3, 4}, "image 1 is in shard");
}

TEST(shards_that_do_not_fit_one_another_are_refused) {
  const TestCells cells = TestCells::random({2, 3, 4, 5}, Precision::kFloat32, 1);
  const TestCells deeper = TestCells::random({1, 3, 4, 6}, Precision::kFloat32, 2);
  const TestCells half = TestCells::random({1, 3, 4, 5}, Precision::kFloat16, 3);
  const auto expect = [&](const TestCells& other, Index basis, const char* part) {
    Shard shard = other.shard(0, 1);
    shard.basis = basis;
    CHECK_THROWS(CellBank({cells.shard(0, 2), shard}, {}), std::invalid_argument, part);
  };
  CHECK_THROWS(CellBank({}, {}), std::invalid_argument, "at least one shard");
  expect(deeper, 0, "shard 1 has 6 channels, another one of basis 0 5");
  expect(half, 1, "shard 1 has numbers of another type than shard 0");
  expect(cells, -1, "shard 1 has basis -1");
  expect(cells, 2, "shard 1 has basis 2");
  expect(cells, kLargest, "shard 1 has basis");
  Shard only = cells.shard(0, 1);
  only.basis = 1;
  CHECK_THROWS(CellBank({only, only}, {}), std::invalid_argument, "no shard has basis 0");
}

TEST(owner_lives_as_long_as_the_bank) {
  const TestCells cells = TestCells::random({3, 2, 4, 5}, Precision::kFloat32, 1);
  const auto owner = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = owner;
  auto bank = std::make_unique<CellBank>(std::vector<Shard>{cells.shard(0, 3)},
                                         std::vector<ImagePlace>{}, owner);
  CHECK_EQUAL(watch.use_count(), 2);
  bank.reset();
  CHECK_EQUAL(watch.use_count(), 1);
}
