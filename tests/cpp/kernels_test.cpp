#include "compnn/simd/kernels.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.h"

using namespace compnn;

namespace {

std::vector<float> random_floats(Index count, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(static_cast<std::size_t>(count));
  for (float& number : numbers) number = normal(generator);
  return numbers;
}

// The value of a half by the definition of the format; NaN has no value.
double value_of(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double sign = bits >> 15 != 0 ? -1 : 1;
  if (exponent == 31) {
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

// Runs a check at every level this processor supports.
template <typename Body>
void for_each_level(Body body) {
  for (const SimdLevel level : supported_simd_levels()) body(kernels(level));
}

double dot_in_double(const float* a, const float* b, Index count, double* scale) {
  double sum = 0;
  *scale = 0;
  for (Index i = 0; i < count; ++i) {
    sum += static_cast<double>(a[i]) * b[i];
    *scale += std::fabs(static_cast<double>(a[i]) * b[i]);
  }
  return sum;
}

}  // namespace

TEST(levels) {
  const std::vector<SimdLevel> levels = supported_simd_levels();
  CHECK(!levels.empty() && levels.front() == SimdLevel::kBaseline);
  CHECK(to_string(SimdLevel::kBaseline) == "baseline");
  CHECK(to_string(SimdLevel::kAvx2) == "avx2");
  CHECK(to_string(SimdLevel::kAvx512) == "avx512");
  for (const SimdLevel level : levels) std::cout << "       level " << to_string(level) << "\n";
}

TEST(widen_is_exact_for_every_half) {
  for_each_level([](const Kernels& k) {
    std::vector<Half> halves(65536);
    for (std::size_t i = 0; i < halves.size(); ++i) halves[i].bits = static_cast<std::uint16_t>(i);
    // From an odd start, each number is converted once in a vector and once in a remainder.
    for (const std::size_t start : {std::size_t{0}, std::size_t{65521}}) {
      std::vector<float> floats(halves.size() - start);
      k.widen(halves.data() + start, floats.data(), static_cast<Index>(floats.size()));
      for (std::size_t i = 0; i < floats.size(); ++i) {
        const double expected = value_of(static_cast<std::uint16_t>(start + i));
        const double actual = static_cast<double>(floats[i]);
        CHECK(std::isnan(expected)
                  ? std::isnan(actual)
                  : actual == expected && std::signbit(actual) == std::signbit(expected));
      }
    }
    for (std::size_t i = 0; i < halves.size(); ++i) {  // remainders only: one at a time
      float one = 0;
      k.widen(&halves[i], &one, 1);
      const double expected = value_of(halves[i].bits);
      CHECK(std::isnan(expected) ? std::isnan(one) : static_cast<double>(one) == expected);
    }
  });
}

// Neighbouring halves, their midpoint (a tie: to the even one) and the floats beside the midpoint.
TEST(narrow_rounds_to_nearest_even) {
  std::vector<float> from;
  std::vector<std::uint16_t> expected;
  const auto expect = [&](float number, std::uint16_t bits) {
    for (const float sign : {1.0F, -1.0F}) {
      from.push_back(sign * number);
      expected.push_back(static_cast<std::uint16_t>(bits | (sign < 0 ? 0x8000 : 0)));
    }
  };
  for (std::uint16_t bits = 0; bits < 0x7bff; ++bits) {
    const auto next = static_cast<std::uint16_t>(bits + 1);
    const auto low = static_cast<float>(value_of(bits));
    const auto middle = static_cast<float>((value_of(bits) + value_of(next)) / 2);
    expect(low, bits);
    expect(middle, bits % 2 == 0 ? bits : next);
    expect(std::nextafter(middle, 0.0F), bits);
    expect(std::nextafter(middle, 1e9F), next);
  }
  expect(65504.0F, 0x7bff);
  expect(65519.99F, 0x7bff);
  expect(65519.996F, 0x7bff);
  expect(65520.0F, 0x7c00);
  expect(1e30F, 0x7c00);
  expect(std::numeric_limits<float>::infinity(), 0x7c00);
  expect(std::numeric_limits<float>::denorm_min(), 0);
  expect(1e-30F, 0);
  for_each_level([&](const Kernels& k) {
    std::vector<Half> halves(from.size());
    k.narrow(from.data(), halves.data(), static_cast<Index>(from.size()));
    for (std::size_t i = 0; i < from.size(); ++i) CHECK_EQUAL(halves[i].bits, expected[i]);
    for (std::size_t i = 0; i < from.size(); ++i) {
      Half one{};
      k.narrow(&from[i], &one, 1);
      CHECK_EQUAL(one.bits, expected[i]);
    }
    const float nan = std::numeric_limits<float>::quiet_NaN();
    Half bits{};
    k.narrow(&nan, &bits, 1);
    CHECK(std::isnan(value_of(bits.bits)));
  });
}

TEST(conversions_write_count_numbers_and_no_more) {
  for_each_level([](const Kernels& k) {
    const std::vector<float> from = random_floats(70, 1);
    for (Index count = 0; count <= 70; ++count) {
      std::vector<Half> halves(from.size() + 1, Half{0xabcd});
      k.narrow(from.data(), halves.data(), count);
      CHECK_EQUAL(halves[static_cast<std::size_t>(count)].bits, 0xabcd);
      std::vector<float> back(from.size() + 1, 77.0F);
      k.widen(halves.data(), back.data(), count);
      CHECK_EQUAL(back[static_cast<std::size_t>(count)], 77.0F);
      for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
        CHECK_NEAR(back[i], from[i], 1e-3 * std::fabs(from[i]) + 1e-7);
      }
    }
  });
}

TEST(transpose_of_many_shapes) {
  for_each_level([](const Kernels& k) {
    for (const Index depth : {1, 3, 4, 15, 16, 17, 40}) {
      for (Index cells = 1; cells <= 40; ++cells) {
        const Index stride = cells + 2;
        // The numbers beyond the first `cells` columns are not looked at.
        std::vector<float> from(static_cast<std::size_t>(depth * stride - 2));
        for (std::size_t i = 0; i < from.size(); ++i) {
          const bool used = static_cast<Index>(i) % stride < cells;
          from[i] = used ? static_cast<float>(i) * (i % 2 == 0 ? 1.0F : -1.0F) : 1e30F;
        }
        std::vector<float> to(static_cast<std::size_t>(cells * depth));
        const float largest = k.transpose(from.data(), stride, depth, cells, to.data());
        CHECK_EQUAL(largest, static_cast<float>(from.size() - 1));
        for (Index cell = 0; cell < cells; ++cell) {
          for (Index d = 0; d < depth; ++d) {
            CHECK_EQUAL(to[static_cast<std::size_t>(cell * depth + d)],
                        from[static_cast<std::size_t>(d * stride + cell)]);
          }
        }
        for (const float bad :
             {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
          for (const Index at : {Index{0}, cells - 1, (depth - 1) * stride, depth / 2 * stride}) {
            std::vector<float> damaged = from;
            damaged[static_cast<std::size_t>(at)] = bad;
            const float found = k.transpose(damaged.data(), stride, depth, cells, to.data());
            CHECK(!std::isfinite(found));
          }
        }
      }
    }
  });
}

TEST(dots_of_all_lengths) {
  for_each_level([](const Kernels& k) {
    for (Index count = 0; count <= 200; ++count) {
      // Vectors of their own size, so that AddressSanitizer sees a read past the end.
      const std::vector<float> a = random_floats(count, 2), b = random_floats(count, 3);
      double scale = 0;
      const double expected = dot_in_double(a.data(), b.data(), count, &scale);
      CHECK_NEAR(k.dot(a.data(), b.data(), count), expected, 1e-6 * scale);

      std::vector<Half> halves(b.size());
      std::vector<float> rounded(b.size());
      k.narrow(b.data(), halves.data(), count);
      k.widen(halves.data(), rounded.data(), count);
      const double expected_half = dot_in_double(a.data(), rounded.data(), count, &scale);
      CHECK_NEAR(k.dot_half(a.data(), halves.data(), count), expected_half, 1e-6 * scale);
    }
  });
}

TEST(cell_products_of_many_shapes) {
  for_each_level([](const Kernels& k) {
    for (const Index queries : {1, 2, 5, 17, 33}) {
      for (const Index cells : {1, 3, 16, 49, 70}) {
        for (const Index depth : {1, 2, 7, 64, 131}) {
          const std::vector<float> query = random_floats(queries * depth, 4);
          const std::vector<float> bank = random_floats(cells * depth, 5);
          std::vector<float> products(static_cast<std::size_t>(queries * cells), 1e9F);
          k.cell_products(query.data(), queries, bank.data(), cells, depth, products.data());
          for (Index q = 0; q < queries; ++q) {
            for (Index c = 0; c < cells; ++c) {
              double scale = 0;
              const double expected =
                  dot_in_double(query.data() + q * depth, bank.data() + c * depth, depth, &scale);
              CHECK_NEAR(products[static_cast<std::size_t>(q * cells + c)], expected, 1e-6 * scale);
            }
          }
        }
      }
    }
  });
}

TEST(fold_diagonal_of_many_shapes) {
  for_each_level([](const Kernels& k) {
    for (int width = 1; width <= 3; ++width) {
      for (int num_rows = 0; num_rows <= 2; ++num_rows) {
        for (Index count = 1; count <= 70; ++count) {
          const Index cells = count + width - 1;
          const Index stride = cells + 3;
          const std::vector<float> products = random_floats((width - 1) * stride + cells, 6);
          const std::vector<float> above = random_floats(num_rows * count, 7);
          const std::vector<float> inverse_norms = random_floats(count, 8);
          std::vector<const float*> rows;
          for (int a = 0; a < num_rows; ++a) rows.push_back(above.data() + a * count);
          DiagonalFold fold{products.data(),      stride, width, rows.data(), num_rows,
                            inverse_norms.data(), count};
          const auto n = static_cast<std::size_t>(count);
          std::vector<float> row_sums(n, 1e9F), scores(n, 1e9F);
          const float most =
              k.fold_diagonal(fold, num_rows > 0 ? row_sums.data() : nullptr, scores.data());
          float largest = -std::numeric_limits<float>::infinity();
          for (std::size_t c = 0; c < n; ++c) {
            double row_sum = 0;
            for (int b = 0; b < width; ++b) {
              row_sum += products[static_cast<std::size_t>(b * stride + b) + c];
            }
            double sum = row_sum;
            for (const float* row : rows) sum += row[c];
            CHECK_NEAR(scores[c], sum * inverse_norms[c], 1e-5);
            if (num_rows > 0) CHECK_NEAR(row_sums[c], row_sum, 1e-6);
            largest = std::max(largest, scores[c]);
          }
          CHECK_EQUAL(most, largest);

          // Sums that are not yet whole: row sums only.
          std::vector<float> partial(n, 1e9F);
          fold.inverse_norms = nullptr;
          k.fold_diagonal(fold, num_rows > 0 ? partial.data() : nullptr, nullptr);
          if (num_rows > 0) CHECK(partial == row_sums);
        }
      }
    }
  });
}

// Equal hyperpatches must get equal scores wherever they lie, or ties are decided by chance.
TEST(score_does_not_depend_on_the_column) {
  for_each_level([](const Kernels& k) {
    for (Index count = 1; count <= 40; ++count) {
      const std::vector<float> products(static_cast<std::size_t>(2 * (count + 1)), 0.1234567F);
      const std::vector<float> above(static_cast<std::size_t>(count), 0.7654321F);
      const std::vector<float> inverse_norms(static_cast<std::size_t>(count), 1.7F);
      const float* rows[] = {above.data()};
      const DiagonalFold fold{products.data(), count + 1, 2, rows, 1, inverse_norms.data(), count};
      std::vector<float> row_sums(above.size()), scores(above.size());
      k.fold_diagonal(fold, row_sums.data(), scores.data());
      for (const float score : scores) CHECK_EQUAL(score, scores[0]);
    }
  });
}

TEST(levels_agree) {
  const Kernels& slow = kernels(SimdLevel::kBaseline);
  const Index queries = 33, cells = 70, depth = 200;
  const std::vector<float> a = random_floats(queries * depth, 9);
  const std::vector<float> b = random_floats(cells * depth, 10);
  std::vector<float> expected(static_cast<std::size_t>(queries * cells)), actual(expected);
  slow.cell_products(a.data(), queries, b.data(), cells, depth, expected.data());
  for_each_level([&](const Kernels& k) {
    k.cell_products(a.data(), queries, b.data(), cells, depth, actual.data());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      CHECK_NEAR(actual[i], expected[i], 1e-5 * std::sqrt(static_cast<double>(depth)));
    }
    for (Index count = 1; count <= depth; ++count) {
      double scale = 0;
      dot_in_double(a.data(), b.data(), count, &scale);
      CHECK_NEAR(k.dot(a.data(), b.data(), count), slow.dot(a.data(), b.data(), count),
                 1e-5 * scale);
    }
  });
}
