#include "compnn/bank/pack.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "check.h"
#include "compnn/base/error.h"
#include "compnn/simd/kernels.h"

using namespace compnn;

namespace {

struct Packed {
  std::vector<float> numbers, norms;
};

template <typename T>
Packed pack(const std::vector<float>& activations, Index depth) {
  const Index cells = static_cast<Index>(activations.size()) / depth;
  std::vector<T> packed(activations.size());
  Packed result{activations, std::vector<float>(static_cast<std::size_t>(cells))};
  pack_activations(activations.data(), depth, cells, packed.data(), result.norms.data());
  for (std::size_t i = 0; i < packed.size(); ++i) {
    if constexpr (std::is_same_v<T, Half>) {
      kernels(SimdLevel::kBaseline).widen(&packed[i], &result.numbers[i], 1);
    } else {
      result.numbers[i] = packed[i];
    }
  }
  return result;
}

std::vector<float> random_activations(Index depth, Index cells) {
  std::mt19937 generator(static_cast<std::uint32_t>(depth * 1000 + cells));
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> numbers(static_cast<std::size_t>(depth * cells));
  for (float& number : numbers) number = normal(generator);
  return numbers;
}

void check_norms(const Packed& packed, Index depth) {
  for (std::size_t cell = 0; cell < packed.norms.size(); ++cell) {
    double square = 0;
    for (std::size_t d = 0; d < static_cast<std::size_t>(depth); ++d) {
      const double number = packed.numbers[cell * static_cast<std::size_t>(depth) + d];
      square += number * number;
    }
    CHECK_NEAR(packed.norms[cell], std::sqrt(square), 1e-6 * std::sqrt(square));
  }
}

}  // namespace

TEST(transposes_and_rounds) {
  for (const Index depth : {1, 3, 16, 67}) {
    for (const Index cells : {1, 15, 16, 17, 31, 48, 65}) {
      const std::vector<float> from = random_activations(depth, cells);
      const Packed single = pack<float>(from, depth), half = pack<Half>(from, depth);
      for (Index cell = 0; cell < cells; ++cell) {
        for (Index d = 0; d < depth; ++d) {
          const float number = from[static_cast<std::size_t>(d * cells + cell)];
          const auto at = static_cast<std::size_t>(cell * depth + d);
          CHECK_EQUAL(single.numbers[at], number);
          CHECK_NEAR(half.numbers[at], number, std::fabs(number) / 2048 + 3e-8);
        }
      }
      check_norms(single, depth);
      check_norms(half, depth);  // norms of the rounded numbers
    }
  }
}

TEST(rounds_to_even_and_keeps_subnormals) {
  const std::vector<float> from = {2049.0F, 2051.0F, 65519.99F, -65519.99F, 5.9604645e-8F, -0.0F};
  const Packed packed = pack<Half>(from, 1);
  const std::vector<float> expected = {2048.0F, 2052.0F, 65504.0F, -65504.0F, 5.9604645e-8F, -0.0F};
  CHECK(packed.numbers == expected);
  CHECK(std::signbit(packed.numbers.back()));
  check_norms(packed, 1);
}

TEST(refuses_what_is_not_finite) {
  const float bad[] = {std::numeric_limits<float>::quiet_NaN(),
                       std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity()};
  for (const float number : bad) {
    for (const std::size_t place : {0U, 15U, 16U, 36U, 110U}) {
      std::vector<float> from = random_activations(3, 37);
      from[place] = number;
      CHECK_THROWS(pack<float>(from, 3), NotFinite, "NaN or infinity");
      CHECK_THROWS(pack<Half>(from, 3), NotFinite, "NaN or infinity");
    }
  }
}

TEST(refuses_what_does_not_fit) {
  for (const float number : {65520.0F, -65520.0F, 1e6F}) {
    std::vector<float> from = random_activations(3, 37);
    from[50] = number;
    CHECK_THROWS(pack<Half>(from, 3), OutOfRange, "the limit is");
    CHECK_EQUAL(pack<float>(from, 3).numbers.size(), 111U);
  }
  for (const float number : {1.1e17F, -3e38F}) {
    std::vector<float> from = random_activations(3, 37);
    from[50] = number;
    CHECK_THROWS(pack<float>(from, 3), OutOfRange, "the limit is");
  }
}

TEST(norms_of_the_largest_and_of_zero) {
  check_norms(pack<float>(std::vector<float>(512, kLargestActivation), 512), 512);
  check_norms(pack<Half>(std::vector<float>(512, 65504.0F), 512), 512);
  CHECK_EQUAL(pack<float>(std::vector<float>(8, 0.0F), 4).norms[1], 0.0F);
}
