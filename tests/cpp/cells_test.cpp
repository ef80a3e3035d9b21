#include "compnn/bank/cells.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "check.h"
#include "test_cells.h"

using namespace compnn;
using namespace compnn::test;

namespace {

std::vector<float> random_floats(Index count) {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(static_cast<std::size_t>(count));
  for (float& number : numbers) number = normal(generator);
  return numbers;
}

// Cells of all lengths, some of them zero.
TestCells various_cells(Precision precision, Index depth) {
  TestCells cells = TestCells::random({3, 3, 5, depth}, precision, 2);
  cells.change([&](Index image, Index row, Index col, float* cell) {
    const float by = col == 2 ? 0.0F : std::ldexp(1.0F, static_cast<int>(row + col - image));
    for (Index d = 0; d < depth; ++d) cell[d] *= by;
  });
  return cells;
}

template <typename Body>
void for_each_kind_of_cells(Body body) {
  for (const SimdLevel level : supported_simd_levels()) {
    for (const Precision precision : kAllPrecisions) {
      for (const Index depth : {1, 5, 16, 67}) {
        body(kernels(level), various_cells(precision, depth));
      }
    }
  }
}

}  // namespace

TEST(numbers_have_the_sizes_of_their_formats) {
  CHECK_EQUAL(bytes_per_number(Precision::kFloat32), 4);
  CHECK_EQUAL(bytes_per_number(Precision::kFloat16), 2);
  CHECK_EQUAL(bytes_per_number(Precision::kBfloat16), 2);
  CHECK_EQUAL(bytes_per_number(Precision::kInt8), 1);
}

TEST(widens_neighbours_and_no_more) {
  for_each_kind_of_cells([](const Kernels& k, const TestCells& cells) {
    const auto depth = static_cast<std::size_t>(cells.shape().depth);
    const Cells view = cells.bank().image(2);
    for (const std::size_t count : {1U, 3U, 4U}) {
      std::vector<float> numbers(count * depth + 1, 77.0F);
      view.widen(k, 1, 1, static_cast<Index>(count), numbers.data());
      CHECK(std::memcmp(numbers.data(), cells.cell(2, 1, 1), 4 * count * depth) == 0);
      CHECK_EQUAL(numbers.back(), 77.0F);
    }
  });
}

TEST(dots_are_those_of_the_widened_numbers) {
  for_each_kind_of_cells([](const Kernels& k, const TestCells& cells) {
    const Cells view = cells.bank().image(1);
    for (const Index count : {1, 2, 4}) {
      const Index all = count * cells.shape().depth;
      const std::vector<float> other = random_floats(all);
      const float* numbers = cells.cell(1, 2, 1);
      double dot = 0, square = 0, scale = 0;
      for (Index i = 0; i < all; ++i) {
        const auto number = static_cast<double>(numbers[i]);
        const double product = number * static_cast<double>(other[static_cast<std::size_t>(i)]);
        dot += product;
        scale += std::fabs(product);
        square += number * number;
      }
      CHECK_NEAR(view.dot(k, other.data(), 2, 1, count), dot, 1e-6 * scale);
      double exact = 0.25, exact_square = 0.5;  // they add to what is there
      view.exact_dot(k, other.data(), 2, 1, count, &exact, &exact_square);
      CHECK_NEAR(exact, 0.25 + dot, 1e-14 * (1 + scale));
      CHECK_NEAR(exact_square, 0.5 + square, 1e-14 * (1 + square));
    }
  });
}

TEST(integers_have_their_norm_as_length) {
  const std::int8_t integers[] = {3, 4, -127, 0, 0, 0, 0, 0, 127, 127};
  const float norms[] = {10, 2, 0, 5, std::sqrt(2.0F)};
  const float expected[] = {6, 8, -2, 0, 0, 0, 0, 0, 1, 1};
  Cells cells;
  cells.numbers = integers;
  cells.norms = norms;
  cells.precision = Precision::kInt8;
  cells.rows = 1;
  cells.cols = 5;
  cells.depth = 2;
  const std::vector<float> ones(10, 1.0F);
  for (const SimdLevel level : supported_simd_levels()) {
    const Kernels& k = kernels(level);
    float numbers[10];
    cells.widen(k, 0, 0, 5, numbers);
    for (std::size_t i = 0; i < 10; ++i) CHECK_NEAR(numbers[i], expected[i], 1e-6);
    CHECK_NEAR(cells.dot(k, ones.data(), 0, 0, 5), 14, 1e-5);
    double dot = 0, square = 0;
    cells.exact_dot(k, ones.data(), 0, 1, 4, &dot, &square);
    CHECK_NEAR(dot, 0, 1e-6);
    CHECK_NEAR(square, 6, 1e-5);
  }
}
