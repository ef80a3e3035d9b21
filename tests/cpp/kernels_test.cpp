#include "compnn/simd/kernels.h"

#include <algorithm>
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
  CHECK(to_string(SimdLevel::kAvx512Vnni) == "avx512vnni");
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

TEST(exact_dots_add_in_double) {
  for_each_level([](const Kernels& k) {
    for (Index count = 0; count <= 100; ++count) {
      const std::vector<float> a = random_floats(count, 2);
      std::vector<float> b = random_floats(count, 3), rounded(b.size());
      if (count > 3) b[1] = 1e4F;  // beside this, float sums would lose the others' last digits
      std::vector<Half> halves(b.size());
      k.narrow(b.data(), halves.data(), count);
      k.widen(halves.data(), rounded.data(), count);
      for (const bool half : {false, true}) {
        const std::vector<float>& numbers = half ? rounded : b;
        double scale = 0, squares = 0;
        const double expected = dot_in_double(a.data(), numbers.data(), count, &scale);
        const double square = dot_in_double(numbers.data(), numbers.data(), count, &squares);
        double sum = 0.25, square_sum = 0.5;  // they add to what is there
        if (half) {
          k.exact_dot_half(a.data(), halves.data(), count, &sum, &square_sum);
        } else {
          k.exact_dot(a.data(), b.data(), count, &sum, &square_sum);
        }
        CHECK_NEAR(sum, 0.25 + expected, 1e-14 * (1 + scale));
        CHECK_NEAR(square_sum, 0.5 + square, 1e-14 * (1 + squares));
      }
    }
  });
}

TEST(project_multiplies_by_each_direction) {
  for_each_level([](const Kernels& k) {
    for (const Index count : {1, 3, 16, 49}) {
      for (const Index depth : {1, 7, 64, 131}) {
        for (const Index directions : {1, 16, 33}) {
          const std::vector<float> cells = random_floats(count * depth, 4);
          const std::vector<float> to = random_floats(directions * depth, 5);
          std::vector<float> coordinates(static_cast<std::size_t>(count * directions), 1e9F);
          k.project(cells.data(), count, depth, to.data(), directions, coordinates.data());
          for (Index c = 0; c < count; ++c) {
            for (Index d = 0; d < directions; ++d) {
              double scale = 0;
              const double expected =
                  dot_in_double(cells.data() + c * depth, to.data() + d * depth, depth, &scale);
              CHECK_NEAR(coordinates[static_cast<std::size_t>(c * directions + d)], expected,
                         1e-6 * scale);
            }
          }
        }
      }
    }
  });
}

namespace {

// The numbers of a converted cell. What is stored for the bank in 8 bits is 128 higher.
std::vector<double> numbers_of(const ScreenKernels& screen, const std::int32_t* words,
                               Index num_words, Index stride, float scale, bool is_bank) {
  std::vector<double> numbers;
  for (Index w = 0; w < num_words; ++w) {
    const std::int32_t word = words[w * stride];
    if (screen.per_word == 1) {
      float number;
      std::memcpy(&number, &word, sizeof number);
      numbers.push_back(static_cast<double>(scale) * static_cast<double>(number));
    }
    for (int i = 0; screen.per_word > 1 && i < screen.per_word; ++i) {
      const auto bits = static_cast<std::uint32_t>(word) >> (32 / screen.per_word * i);
      const int integer = screen.per_word == 2 ? static_cast<std::int16_t>(bits)
                          : is_bank            ? static_cast<int>(bits & 255) - 128
                                               : static_cast<std::int8_t>(bits);
      numbers.push_back(static_cast<double>(scale) * integer);
    }
  }
  return numbers;
}

template <typename Body>
void for_each_screen(Body body) {
  for_each_level([&](const Kernels& k) {
    body(k.fast);
    body(k.floats);
  });
}

// Cells that are hard to convert.
std::vector<std::vector<float>> hard_cells(Index depth) {
  std::vector<std::vector<float>> cells;
  for (const float factor : {1.0F, 1e16F, 1e-13F, 2e-15F, 3e-16F, 1e-30F, 0.0F}) {
    cells.push_back(random_floats(depth, 6));
    for (float& number : cells.back()) number *= factor;
  }
  cells.push_back(std::vector<float>(static_cast<std::size_t>(depth), 0.7F));
  cells.push_back(std::vector<float>(static_cast<std::size_t>(depth), -1e16F));
  std::mt19937 generator(7);
  std::uniform_real_distribution<float> exponent(-16, 16);
  cells.emplace_back();
  for (Index i = 0; i < depth; ++i) {
    const float sign = generator() % 2 == 0 ? 1.0F : -1.0F;
    cells.back().push_back(sign * std::pow(10.0F, exponent(generator)));
  }
  return cells;
}

struct Converted {
  explicit Converted(Index count) : words(static_cast<std::size_t>(count)) {}
  std::vector<std::int32_t> words;
  float scale = -1, residual = -1;
  std::int32_t correction = 12345;
};

}  // namespace

TEST(screens_know_what_they_round_away) {
  for_each_screen([](const ScreenKernels& screen) {
    for (const Index depth : {1, 2, 3, 5, 16, 63, 64, 65, 200, 1031}) {
      const Index words = screen.words(depth);
      CHECK_EQUAL(words, (depth + screen.per_word - 1) / screen.per_word);
      for (const std::vector<float>& cell : hard_cells(depth)) {
        for (const bool is_bank : {false, true}) {
          const Index stride = is_bank ? screen.bank_block : 1;
          constexpr std::int32_t kUntouched = 0x55555555;
          Converted to((words - 1) * stride + 1);
          std::fill(to.words.begin(), to.words.end(), kUntouched);
          screen.convert(cell.data(), depth, to.words.data(), stride, &to.scale, &to.residual,
                         is_bank ? nullptr : &to.correction);
          for (std::size_t i = 0; i < to.words.size(); ++i) {
            if (static_cast<Index>(i) % stride != 0) CHECK_EQUAL(to.words[i], kUntouched);
          }
          const std::vector<double> numbers =
              numbers_of(screen, to.words.data(), words, stride, to.scale, is_bank);
          double lost = 0, largest = 0;
          for (Index i = 0; i < depth; ++i) {
            const auto at = static_cast<std::size_t>(i);
            const double x = static_cast<double>(cell[at]);
            lost += (x - numbers[at]) * (x - numbers[at]);
            largest = std::max(largest, std::fabs(x));
          }
          lost = std::sqrt(lost);
          CHECK(lost <= static_cast<double>(to.residual));
          // And not much more than that.
          const double root = std::sqrt(static_cast<double>(depth));
          if (largest < 1e-15) {
            CHECK_EQUAL(to.scale, 0.0F);
            CHECK_NEAR(to.residual, root * largest, 0.002 * root * largest);
          } else {
            CHECK(static_cast<double>(to.residual) <= 1.002 * lost + 1e-6 * root * largest);
            CHECK(lost <= 0.005 * root * largest);
          }
          // Nothing behind the query's last number.
          for (std::size_t i = cell.size(); !is_bank && i < numbers.size(); ++i) {
            CHECK_EQUAL(numbers[i], 0.0);
          }
        }
      }
    }
  });
}

TEST(screen_products_of_many_shapes) {
  for_each_screen([](const ScreenKernels& screen) {
    const Index block = screen.bank_block;
    for (const Index depth : {1, 2, 3, 4, 5, 16, 67, 130, 65536}) {
      const Index words = screen.words(depth);
      const std::vector<std::vector<float>> cells = hard_cells(depth);
      for (const Index panels :
           depth > 1000 ? std::vector<Index>{1} : std::vector<Index>{1, 2, 5}) {
        const Index stride = panels * block + 3;
        const auto queries = static_cast<std::size_t>(screen.query_block);
        const auto bank_cells = static_cast<std::size_t>(panels * block);
        std::vector<std::int32_t> query(queries * static_cast<std::size_t>(words));
        std::vector<std::int32_t> bank(bank_cells * static_cast<std::size_t>(words));
        std::vector<std::int32_t> corrections(queries);
        std::vector<float> query_scales(queries), bank_scales(bank_cells);
        std::vector<std::vector<double>> query_numbers, bank_numbers;
        float residual;
        for (std::size_t q = 0; q < queries; ++q) {
          std::int32_t* to = query.data() + static_cast<Index>(q) * words;
          // All the cells in turn; from the end, so that blocks have the extreme ones.
          const std::vector<float>& cell = cells[cells.size() - 1 - q % cells.size()];
          screen.convert(cell.data(), depth, to, 1, &query_scales[q], &residual, &corrections[q]);
          query_numbers.push_back(numbers_of(screen, to, words, 1, query_scales[q], false));
        }
        for (std::size_t c = 0; c < bank_cells; ++c) {
          const Index panel = static_cast<Index>(c) / block;
          std::int32_t* to = bank.data() + panel * block * words + static_cast<Index>(c) % block;
          screen.convert(cells[c % cells.size()].data(), depth, to, block, &bank_scales[c],
                         &residual, nullptr);
          bank_numbers.push_back(numbers_of(screen, to, words, block, bank_scales[c], true));
        }
        constexpr float kUntouched = -77;
        std::vector<float> products(queries * static_cast<std::size_t>(stride), kUntouched);
        screen.multiply(query.data(), query_scales.data(), corrections.data(), bank.data(),
                        bank_scales.data(), words, panels, products.data(), stride);
        for (std::size_t q = 0; q < queries; ++q) {
          const float* row = products.data() + static_cast<Index>(q) * stride;
          for (std::size_t c = 0; c < bank_cells; ++c) {
            double expected = 0, squares[2] = {};
            for (std::size_t i = 0; i < query_numbers[q].size(); ++i) {
              const double x = query_numbers[q][i], y = bank_numbers[c][i];
              expected += x * y;
              squares[0] += x * x;
              squares[1] += y * y;
            }
            const double scale = std::sqrt(squares[0]) * std::sqrt(squares[1]);
            const double rounding =
                static_cast<double>(screen.rounding) * static_cast<double>(depth) + 3e-6;
            CHECK_NEAR(row[c], expected, rounding * scale);
          }
          for (Index c = panels * block; c < stride; ++c) CHECK_EQUAL(row[c], kUntouched);
        }
      }
    }
  });
}

TEST(fold_of_many_shapes) {
  for_each_level([](const Kernels& k) {
    for (int width = 1; width <= 4; ++width) {
      for (int num_rows = 0; num_rows <= 3; ++num_rows) {
        for (Index count = kFoldStep; count <= 4 * kFoldStep; count += kFoldStep) {
          const auto n = static_cast<std::size_t>(count);
          const Index stride = count + width + 2;
          const std::vector<float> products =
              random_floats((width - 1) * stride + count + width - 1, 6);
          const std::vector<float> above = random_floats(num_rows * count, 7);
          std::vector<float> inverse_norms = random_floats(count, 8);
          std::vector<float> residuals = random_floats(count, 9),
                             missing = random_floats(count, 10);
          for (std::size_t c = 0; c < n; ++c) {
            inverse_norms[c] = std::fabs(inverse_norms[c]);
            residuals[c] =
                c % 7 == 3 ? -std::numeric_limits<float>::infinity() : std::fabs(residuals[c]);
            missing[c] = std::fabs(missing[c]);
          }
          std::vector<const float*> rows;
          for (int a = 0; a < num_rows; ++a) rows.push_back(above.data() + a * count);

          ScreenFold fold{};
          fold.products = products.data();
          fold.product_stride = stride;
          fold.width = width;
          fold.rows = rows.data();
          fold.num_rows = num_rows;
          fold.count = count;
          std::vector<float> partial(n, 1e9F);  // sums that are not yet whole
          CHECK_EQUAL(k.fold(fold, partial.data(), nullptr, nullptr), 0);
          std::vector<double> sums(n), row_sums(n);
          for (std::size_t c = 0; c < n; ++c) {
            for (int b = 0; b < width; ++b) {
              row_sums[c] += products[static_cast<std::size_t>(b * stride + b) + c];
            }
            CHECK_NEAR(partial[c], row_sums[c], 1e-6);
            sums[c] = row_sums[c];
            for (const float* row : rows) sums[c] += row[c];
          }

          fold.inverse_norms = inverse_norms.data();
          fold.residuals = residuals.data();
          fold.missing = missing.data();
          fold.residual_weight = 0.7F;
          fold.missing_weight = 0.4F;
          for (const float threshold : {-1e30F, 1.0F, 3.0F, 1e30F}) {
            fold.threshold = threshold;
            std::vector<float> scores(n, 1e9F), newest(n, 1e9F);
            std::vector<std::int32_t> hits(n, -1);
            // The newest sums may lie where the oldest are.
            std::vector<float> oldest(n);
            if (num_rows > 0) {
              std::copy_n(above.data() + (num_rows - 1) * count, count, oldest.data());
              rows.back() = oldest.data();
            }
            float* to = num_rows > 0 ? oldest.data() : newest.data();
            const Index num_hits = k.fold(fold, to, scores.data(), hits.data());
            CHECK(num_hits >= 0 && num_hits <= count);
            if (num_rows > 0) CHECK(oldest == partial);
            for (Index i = 1; i < num_hits; ++i) {
              CHECK(hits[static_cast<std::size_t>(i - 1)] < hits[static_cast<std::size_t>(i)]);
            }
            for (std::size_t c = 0; c < n; ++c) {
              const double score = sums[c] * inverse_norms[c];
              const double most = score + 0.7 * residuals[c] + 0.4 * missing[c];
              const bool hit = std::binary_search(hits.begin(), hits.begin() + num_hits,
                                                  static_cast<std::int32_t>(c));
              if (hit) CHECK_NEAR(scores[c], score, 1e-5);
              if (hit) CHECK(most >= static_cast<double>(threshold) - 1e-5);
              if (!hit) CHECK(most <= static_cast<double>(threshold) + 1e-5);
            }
          }
        }
      }
    }
  });
}

TEST(largest_is_the_first_of_equal_ones) {
  for_each_level([](const Kernels& k) {
    for (Index count = 1; count <= 140; ++count) {
      std::vector<float> numbers = random_floats(count, 11);
      for (float& number : numbers) number -= 10;
      const auto place = [&] {
        return std::max_element(numbers.begin(), numbers.end()) - numbers.begin();
      };
      CHECK_EQUAL(k.largest(numbers.data(), count), place());
      for (Index at = 0; at < count; at += 1 + count / 9) {
        numbers[static_cast<std::size_t>(at)] = numbers[static_cast<std::size_t>(count - 1)] = 5;
        CHECK_EQUAL(k.largest(numbers.data(), count), place());
        numbers[static_cast<std::size_t>(at)] = -20;
      }
    }
  });
}

TEST(levels_agree) {
  const Kernels& slow = kernels(SimdLevel::kBaseline);
  const Index depth = 200;
  const std::vector<float> a = random_floats(depth, 9), b = random_floats(depth, 10);
  for_each_level([&](const Kernels& k) {
    for (Index count = 1; count <= depth; ++count) {
      double scale = 0;
      dot_in_double(a.data(), b.data(), count, &scale);
      CHECK_NEAR(k.dot(a.data(), b.data(), count), slow.dot(a.data(), b.data(), count),
                 1e-5 * scale);
    }
  });
}
