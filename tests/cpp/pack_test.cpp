#include "compnn/bank/pack.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "check.h"
#include "compnn/base/error.h"
#include "compnn/simd/kernels.h"
#include "storage_reference.h"

using namespace compnn;
using namespace compnn::test;

namespace {

// On both sides of the blocks that cells are packed in.
constexpr Index kCounts[] = {1, 15, 16, 17, 31, 32, 33, 65, 255, 256, 257, 600};

struct Packed {
  Index depth;
  std::vector<std::byte> stored;
  std::vector<float> numbers, norms, lost;  // numbers: what the stored ones stand for

  const std::int8_t* integers(Index cell) const {
    return reinterpret_cast<const std::int8_t*>(stored.data()) + cell * depth;
  }
  const float* cell(Index cell) const { return numbers.data() + cell * depth; }
};

Packed pack(const std::vector<float>& activations, Index depth, Precision precision,
            const std::vector<float>& directions = {}) {
  Unpacked from{};
  from.activations = activations.data();
  from.depth = depth;
  from.cells = static_cast<Index>(activations.size()) / depth;
  from.directions = directions.empty() ? nullptr : directions.data();
  from.kept = directions.empty() ? depth : static_cast<Index>(directions.size()) / depth;
  const auto count = static_cast<std::size_t>(from.cells * from.kept);
  const std::vector<float> each(static_cast<std::size_t>(from.cells), -1.0F);
  Packed packed{
      from.kept,
      std::vector<std::byte>(count * static_cast<std::size_t>(bytes_per_number(precision))),
      std::vector<float>(count), each, each};
  pack_activations(from, precision, packed.stored.data(), packed.norms.data(), packed.lost.data());
  Cells view;
  view.numbers = packed.stored.data();
  view.norms = packed.norms.data();
  view.precision = precision;
  view.rows = 1;
  view.cols = from.cells;
  view.depth = from.kept;
  view.widen(kernels(SimdLevel::kBaseline), 0, 0, from.cells, packed.numbers.data());
  return packed;
}

std::vector<float> random_activations(Index depth, Index cells) {
  std::mt19937 generator(static_cast<std::uint32_t>(depth * 1000 + cells));
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> numbers(static_cast<std::size_t>(depth * cells));
  for (float& number : numbers) number = normal(generator);
  return numbers;
}

// The cells (cells x depth) of activations (depth x cells).
std::vector<float> transposed(const std::vector<float>& activations, Index depth) {
  const Index cells = static_cast<Index>(activations.size()) / depth;
  std::vector<float> to;
  for (Index cell = 0; cell < cells; ++cell) {
    for (Index d = 0; d < depth; ++d) {
      to.push_back(activations[static_cast<std::size_t>(d * cells + cell)]);
    }
  }
  return to;
}

// Orthonormal (kept x depth), by Gram and Schmidt.
std::vector<float> random_directions(Index kept, Index depth) {
  std::mt19937 generator(static_cast<std::uint32_t>(kept * 1000 + depth));
  std::normal_distribution<double> normal;
  std::vector<double> rows;
  for (Index k = 0; k < kept; ++k) {
    std::vector<double> row(static_cast<std::size_t>(depth));
    for (double& number : row) number = normal(generator);
    for (int twice = 0; twice < 2; ++twice) {
      for (auto other = rows.begin(); other != rows.end(); other += depth) {
        const double along = std::inner_product(row.begin(), row.end(), other, 0.0);
        for (Index d = 0; d < depth; ++d) row[static_cast<std::size_t>(d)] -= along * other[d];
      }
    }
    const double norm = std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0));
    for (const double number : row) rows.push_back(number / norm);
  }
  return std::vector<float>(rows.begin(), rows.end());
}

// Half of the distance between the numbers of a format near this one.
double rounding(Precision precision, double number, double largest) {
  switch (precision) {
    case Precision::kFloat32:
      return 0;
    case Precision::kFloat16:
      return std::fabs(number) / 2048 + 3e-8;
    case Precision::kBfloat16:
      return std::fabs(number) / 256;
    case Precision::kInt8:
      break;
  }
  return 0.5 / 127 * largest;
}

// Norms of the packed numbers.
void check_norms(const Packed& packed) {
  for (std::size_t i = 0; i < packed.norms.size(); ++i) {
    const float norm = norm_of(packed.cell(static_cast<Index>(i)), packed.depth);
    CHECK_NEAR(packed.norms[i], norm, 1e-6 * norm);
  }
}

}  // namespace

TEST(transposes_and_rounds) {
  for (const Index depth : {1, 3, 16, 67}) {
    for (const Index count : kCounts) {
      const std::vector<float> from = random_activations(depth, count);
      const std::vector<float> cells = transposed(from, depth);
      CHECK(pack(from, depth, Precision::kFloat32).numbers == cells);
      std::vector<float> halves, bfloats;
      for (const float number : cells) {
        halves.push_back(static_cast<float>(value_of(half_of(number))));
        bfloats.push_back(static_cast<float>(value_of(bfloat16_of(number))));
      }
      CHECK(pack(from, depth, Precision::kFloat16).numbers == halves);
      CHECK(pack(from, depth, Precision::kBfloat16).numbers == bfloats);
      const Packed packed = pack(from, depth, Precision::kInt8);
      for (Index i = 0; i < count; ++i) {
        const IntegerCell expected(cells.data() + i * depth, depth);
        CHECK(std::equal(expected.integers.begin(), expected.integers.end(), packed.integers(i)));
      }
    }
  }
}

TEST(norms_are_of_rounded_cells_or_those_of_integers_of_unrounded_ones) {
  for (const Index depth : {1, 3, 16, 67}) {
    for (const Index count : kCounts) {
      const std::vector<float> from = random_activations(depth, count);
      check_norms(pack(from, depth, Precision::kFloat32));
      check_norms(pack(from, depth, Precision::kFloat16));
      check_norms(pack(from, depth, Precision::kBfloat16));
      const std::vector<float> cells = transposed(from, depth);
      const Packed integers = pack(from, depth, Precision::kInt8);
      for (Index i = 0; i < count; ++i) {
        const float norm = norm_of(cells.data() + i * depth, depth);
        CHECK_NEAR(integers.norms[static_cast<std::size_t>(i)], norm, 1e-6 * norm);
      }
      check_norms(integers);  // what they stand for has that norm, too
    }
  }
}

TEST(coordinates_along_directions) {
  for (const Index depth : {3, 16, 67}) {
    for (const Index kept : {Index{1}, depth / 2, depth - 1}) {
      const std::vector<float> directions = random_directions(kept, depth);
      for (const Index count : kCounts) {
        const std::vector<float> from = random_activations(depth, count);
        const std::vector<float> cells = transposed(from, depth);
        std::vector<double> coordinates;
        for (auto cell = cells.begin(); cell != cells.end(); cell += depth) {
          for (auto to = directions.begin(); to != directions.end(); to += depth) {
            coordinates.push_back(std::inner_product(
                cell, cell + depth, to, 0.0, std::plus<>(),
                [](float a, float b) { return static_cast<double>(a) * static_cast<double>(b); }));
          }
        }
        for (const Precision precision : kAllPrecisions) {
          const Packed packed = pack(from, depth, precision, directions);
          CHECK_EQUAL(packed.depth, kept);
          for (Index i = 0; i < count; ++i) {
            const double* expected = coordinates.data() + i * kept;
            double largest = 0, square = 0;
            for (Index k = 0; k < kept; ++k) {
              largest = std::max(largest, std::fabs(expected[k]));
              square += expected[k] * expected[k];
            }
            // What float products of unit vectors with these cells may lose.
            const double float_rounding = 1e-5;
            const float norm = packed.norms[static_cast<std::size_t>(i)];
            if (precision == Precision::kInt8) {
              CHECK_NEAR(norm, std::sqrt(square), float_rounding);
              for (Index k = 0; k < kept; ++k) {
                CHECK_NEAR(packed.integers(i)[k] * largest / 127, expected[k],
                           rounding(precision, expected[k], largest) + float_rounding);
              }
            } else {
              for (Index k = 0; k < kept; ++k) {
                CHECK_NEAR(packed.cell(i)[k], expected[k],
                           rounding(precision, expected[k], largest) + float_rounding);
              }
            }
          }
          check_norms(packed);
          for (Index i = 0; i < count; ++i) {
            const float lost = packed.lost[static_cast<std::size_t>(i)];
            const double norm = norm_of(cells.data() + i * depth, depth);
            const double* first = coordinates.data() + i * kept;
            const double inside = std::inner_product(first, first + kept, first, 0.0);
            CHECK(lost >= 0);
            CHECK_NEAR(lost, norm * norm - inside, 2e-6 * norm * norm);
          }
        }
      }
    }
  }
}

TEST(nothing_is_lost_without_directions) {
  const std::vector<float> from = random_activations(5, 70);
  for (const Precision precision : kAllPrecisions) {
    for (const float lost : pack(from, 5, precision).lost) CHECK_EQUAL(lost, 0.0F);
  }
}

// Cells along two of the directions.
TEST(cells_within_the_directions_lose_next_to_nothing) {
  const std::vector<float> directions = random_directions(8, 40);
  const std::vector<float> weights = random_activations(2, 300);
  std::vector<float> from(40 * 300);
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::size_t d = i / 300, cell = i % 300;
    from[i] = weights[cell] * directions[40 + d] + weights[300 + cell] * directions[240 + d];
  }
  const Packed packed = pack(from, 40, Precision::kFloat32, directions);
  for (std::size_t i = 0; i < 300; ++i) {
    CHECK(packed.lost[i] >= 0);
    CHECK_NEAR(packed.lost[i], 0, 1e-6 * packed.norms[i] * packed.norms[i]);
    CHECK_NEAR(packed.cell(static_cast<Index>(i))[1], weights[i], 1e-5);
    CHECK_NEAR(packed.cell(static_cast<Index>(i))[6], weights[300 + i], 1e-5);
  }
}

TEST(rounds_to_even_and_keeps_subnormals) {
  const std::vector<float> from = {2049.0F, 2051.0F, 65519.99F, -65519.99F, 5.9604645e-8F, -0.0F};
  const Packed packed = pack(from, 1, Precision::kFloat16);
  const std::vector<float> expected = {2048.0F, 2052.0F, 65504.0F, -65504.0F, 5.9604645e-8F, -0.0F};
  CHECK(packed.numbers == expected);
  CHECK(std::signbit(packed.numbers.back()));
  check_norms(packed);
}

TEST(integers_reach_127_and_round_to_even) {
  // Columns are cells; 254 makes the factor one half.
  const std::vector<float> from = {254, -254, 3, 127, 1, 5, -1, 63.5F, -5, -3, 7, -127};
  const Packed packed = pack(from, 3, Precision::kInt8);
  const int expected[][3] = {{127, 0, -2}, {-127, 2, -2}, {54, -18, 127}, {127, 64, -127}};
  for (Index i = 0; i < 4; ++i) {
    for (Index d = 0; d < 3; ++d) CHECK_EQUAL(int{packed.integers(i)[d]}, expected[i][d]);
  }
  CHECK_NEAR(packed.norms[0], std::sqrt(254.0 * 254 + 1 + 25), 1e-4);
}

TEST(refuses_what_is_not_finite) {
  const float bad[] = {std::numeric_limits<float>::quiet_NaN(),
                       std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity()};
  for (const Precision precision : kAllPrecisions) {
    for (const std::vector<float>& directions : {std::vector<float>(), random_directions(2, 3)}) {
      for (const Index count : {37, 300}) {
        for (const float number : bad) {
          for (const Index place : {Index{0}, Index{15}, Index{36}, 2 * count, 3 * count - 1}) {
            std::vector<float> from = random_activations(3, count);
            from[static_cast<std::size_t>(place)] = number;
            CHECK_THROWS(pack(from, 3, precision, directions), NotFinite, "NaN or infinity");
          }
        }
      }
    }
  }
}

TEST(refuses_what_does_not_fit) {
  for (const float number : {65520.0F, -65520.0F, 1e6F}) {
    std::vector<float> from = random_activations(3, 37);
    from[50] = number;
    CHECK_THROWS(pack(from, 3, Precision::kFloat16), OutOfRange, "the limit is 65520");
    for (const Precision other : {Precision::kFloat32, Precision::kBfloat16, Precision::kInt8}) {
      const float packed = pack(from, 3, other).numbers[13 * 3 + 1];
      CHECK_NEAR(packed, number, std::fabs(number) / 256);
    }
  }
  for (const float number : {1.1e16F, -3e38F}) {
    for (const Precision precision : kAllPrecisions) {
      std::vector<float> from = random_activations(3, 37);
      from[50] = number;
      CHECK_THROWS(pack(from, 3, precision), OutOfRange, "the limit is");
      CHECK_THROWS(pack(from, 3, precision, random_directions(2, 3)), OutOfRange, "the limit is");
    }
  }
}

// What is stored must fit: the coordinates, whatever the activations are.
TEST(refuses_coordinates_that_do_not_fit) {
  const float half = 0.5F;
  const std::vector<float> sum(4, half), difference = {half, -half, half, -half};
  const auto with = [](float number) {  // the last of 300 cells
    std::vector<float> from = random_activations(4, 300);
    for (std::size_t d = 0; d < 4; ++d) from[d * 300 + 299] = number;
    return from;
  };
  CHECK_THROWS(pack(with(50000), 4, Precision::kFloat16, sum), OutOfRange,
               "reach 100000, the limit is 65520");
  CHECK_THROWS(pack(with(-32760), 4, Precision::kFloat16, sum), OutOfRange, "reach 65520");
  CHECK_EQUAL(pack(with(32752), 4, Precision::kFloat16, sum).numbers[299], 65504.0F);
  CHECK_EQUAL(pack(with(1e6F), 4, Precision::kFloat16, difference).numbers[299], 0.0F);
  for (const Precision other : {Precision::kFloat32, Precision::kBfloat16, Precision::kInt8}) {
    CHECK_NEAR(pack(with(50000), 4, other, sum).numbers[299], 1e5, 1e5 / 256);
    CHECK_THROWS(pack(with(9e15F), 4, other, sum), OutOfRange, "the limit is 1e+16");
  }
}

TEST(norms_of_the_largest) {
  for (const Precision precision : kAllPrecisions) {
    const float largest = precision == Precision::kFloat16 ? 65504.0F : kLargestActivation;
    const Packed packed = pack(std::vector<float>(512, largest), 512, precision);
    CHECK_NEAR(packed.norms[0] / largest, std::sqrt(512.0), std::sqrt(512.0) / 256);
    check_norms(packed);
  }
}

TEST(zero_cells_have_norm_zero) {
  std::vector<float> from = random_activations(4, 40);
  for (std::size_t d = 0; d < 4; ++d) from[d * 40 + 35] = d % 2 == 0 ? 0.0F : -0.0F;
  for (const Precision precision : kAllPrecisions) {
    for (const std::vector<float>& directions : {std::vector<float>(), random_directions(3, 4)}) {
      const Packed packed = pack(from, 4, precision, directions);
      CHECK_EQUAL(packed.norms[35], 0.0F);
      CHECK(packed.norms[34] > 0 && packed.norms[36] > 0);
      for (Index k = 0; k < packed.depth; ++k) CHECK_EQUAL(packed.cell(35)[k], 0.0F);
    }
  }
}

// Their squares vanish in float: they count as zero.
TEST(tiny_cells_count_as_zero) {
  for (const float tiny : {1e-20F, -1e-20F, 1e-40F}) {
    for (const Precision precision : kAllPrecisions) {
      const Packed packed = pack(std::vector<float>(17, tiny), 17, precision);
      CHECK(packed.norms[0] >= 0 && packed.norms[0] < kSmallestNorm);
      const bool rounds_to_zero = precision == Precision::kFloat16 || precision == Precision::kInt8;
      if (rounds_to_zero) CHECK_EQUAL(packed.norms[0], 0.0F);
      for (Index d = 0; d < 17; ++d) {
        // Half of bfloat16's smallest number is 4.6e-41.
        CHECK_NEAR(packed.cell(0)[d], rounds_to_zero ? 0 : tiny, std::fabs(tiny) / 256 + 4.6e-41);
      }
      for (Index d = 0; precision == Precision::kInt8 && d < 17; ++d) {
        CHECK_EQUAL(int{packed.integers(0)[d]}, 0);
      }
    }
  }
}

TEST(short_cells_keep_their_direction) {
  for (const float length : {kSmallestNorm, 1e-17F, 1e-10F}) {
    const std::vector<float> from = {length, -length / 2, 0, length / 4};
    const Packed packed = pack(from, 4, Precision::kInt8);
    const int expected[] = {127, -64, 0, 32};  // of 63.5 and 31.75
    for (Index d = 0; d < 4; ++d) CHECK_EQUAL(int{packed.integers(0)[d]}, expected[d]);
    const double norm = length * std::sqrt(1 + 0.25 + 0.0625);
    CHECK_NEAR(packed.norms[0], norm, 1e-5 * norm);
  }
  const std::vector<float> shorter(4, std::nextafter(kSmallestNorm, 0.0F));
  CHECK_EQUAL(pack(shorter, 4, Precision::kInt8).norms[0], 0.0F);
}
