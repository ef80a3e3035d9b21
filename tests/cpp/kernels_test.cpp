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
#include "storage_reference.h"

using namespace compnn;
using compnn::test::value_of;

namespace {

std::vector<float> random_floats(Index count, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(static_cast<std::size_t>(count));
  for (float& number : numbers) number = normal(generator);
  return numbers;
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

namespace {

template <typename T>
void check_that_widen_is_exact(const NumberKernels<T>& k, bool nan_too) {
  std::vector<T> numbers;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const T number{static_cast<std::uint16_t>(bits)};
    if (nan_too || !std::isnan(value_of(number))) numbers.push_back(number);
  }
  const auto check = [](float actual, T number) {
    const double expected = value_of(number), found = static_cast<double>(actual);
    CHECK(std::isnan(expected)
              ? std::isnan(found)
              : found == expected && std::signbit(found) == std::signbit(expected));
  };
  // From an odd start, each number is converted once in a vector and once in a remainder.
  for (const std::size_t start : {std::size_t{0}, numbers.size() - 15}) {
    std::vector<float> floats(numbers.size() - start);
    k.widen(numbers.data() + start, floats.data(), static_cast<Index>(floats.size()));
    for (std::size_t i = 0; i < floats.size(); ++i) check(floats[i], numbers[start + i]);
  }
  for (const T number : numbers) {  // remainders only: one at a time
    float one = 77;
    k.widen(&number, &one, 1);
    check(one, number);
  }
}

// Floats, and the bits that they are rounded to.
struct Rounded {
  std::vector<float> from;
  std::vector<std::uint16_t> expected;

  void add(float number, std::uint16_t bits) {
    for (const float sign : {1.0F, -1.0F}) {
      from.push_back(sign * number);
      expected.push_back(static_cast<std::uint16_t>(bits | (sign < 0 ? 0x8000 : 0)));
    }
  }

  // Neighbouring numbers, their midpoint (a tie: to the even one) and the floats beside it.
  template <typename T>
  void add_all(std::uint16_t largest) {
    for (std::uint16_t bits = 0; bits < largest; ++bits) {
      const auto next = static_cast<std::uint16_t>(bits + 1);
      const double low = value_of(T{bits});
      const auto middle = static_cast<float>((low + value_of(T{next})) / 2);
      add(static_cast<float>(low), bits);
      add(middle, bits % 2 == 0 ? bits : next);
      add(std::nextafter(middle, 0.0F), bits);
      add(std::nextafter(middle, std::numeric_limits<float>::infinity()), next);
    }
  }

  template <typename T>
  void check(const NumberKernels<T>& k) const {
    std::vector<T> numbers(from.size());
    k.narrow(from.data(), numbers.data(), static_cast<Index>(from.size()));
    for (std::size_t i = 0; i < from.size(); ++i) CHECK_EQUAL(numbers[i].bits, expected[i]);
    for (std::size_t i = 0; i < from.size(); ++i) {
      T one{};
      k.narrow(&from[i], &one, 1);
      CHECK_EQUAL(one.bits, expected[i]);
    }
  }
};

template <typename T>
void check_that_conversions_stay_inside(const NumberKernels<T>& k, double rounding) {
  const std::vector<float> from = random_floats(70, 1);
  for (Index count = 0; count <= 70; ++count) {
    std::vector<T> numbers(from.size() + 1, T{0xabcd});
    k.narrow(from.data(), numbers.data(), count);
    std::vector<float> back(from.size() + 1, 77.0F);
    k.widen(numbers.data(), back.data(), count);
    for (std::size_t i = 0; i < back.size(); ++i) {
      if (static_cast<Index>(i) < count) {
        CHECK_NEAR(back[i], from[i], rounding * std::fabs(from[i]) + 1e-7);
      } else {
        CHECK_EQUAL(numbers[i].bits, 0xabcd);
        CHECK_EQUAL(back[i], 77.0F);
      }
    }
  }
}

template <typename T>
void check_dots(const NumberKernels<T>& k) {
  for (Index count = 0; count <= 200; ++count) {
    // Vectors of their own size, so that AddressSanitizer sees a read past the end.
    const std::vector<float> a = random_floats(count, 2), b = random_floats(count, 3);
    std::vector<T> numbers(b.size());
    std::vector<float> rounded(b.size());
    k.narrow(b.data(), numbers.data(), count);
    k.widen(numbers.data(), rounded.data(), count);
    double scale = 0;
    const double expected = dot_in_double(a.data(), rounded.data(), count, &scale);
    CHECK_NEAR(k.dot(a.data(), numbers.data(), count), expected, 1e-6 * scale);
  }
}

// `b`: numbers that T holds.
template <typename T>
void check_exact_dot(void (*exact_dot)(const float*, const T*, Index, double*, double*),
                     const std::vector<float>& a, const std::vector<float>& b, const T* stored) {
  const auto count = static_cast<Index>(a.size());
  double scale = 0, squares = 0;
  const double expected = dot_in_double(a.data(), b.data(), count, &scale);
  const double square = dot_in_double(b.data(), b.data(), count, &squares);
  double sum = 0.25, square_sum = 0.5;  // they add to what is there
  exact_dot(a.data(), stored, count, &sum, &square_sum);
  CHECK_NEAR(sum, 0.25 + expected, 1e-14 * (1 + scale));
  CHECK_NEAR(square_sum, 0.5 + square, 1e-14 * (1 + squares));
}

template <typename T>
void check_exact_dot(const NumberKernels<T>& k, const std::vector<float>& a,
                     const std::vector<float>& b) {
  std::vector<T> numbers(b.size());
  std::vector<float> rounded(b.size());
  k.narrow(b.data(), numbers.data(), static_cast<Index>(b.size()));
  k.widen(numbers.data(), rounded.data(), static_cast<Index>(b.size()));
  check_exact_dot(k.exact_dot, a, rounded, numbers.data());
}

}  // namespace

TEST(widen_is_exact_for_every_number) {
  for_each_level([](const Kernels& k) {
    check_that_widen_is_exact(k.half, true);
    check_that_widen_is_exact(k.bfloat16, false);
  });
}

TEST(narrow_to_half_rounds_to_nearest_even) {
  Rounded numbers;
  numbers.add_all<Half>(0x7bff);
  numbers.add(65504.0F, 0x7bff);
  numbers.add(65519.99F, 0x7bff);
  numbers.add(65519.996F, 0x7bff);
  numbers.add(65520.0F, 0x7c00);
  numbers.add(1e30F, 0x7c00);
  numbers.add(std::numeric_limits<float>::infinity(), 0x7c00);
  numbers.add(std::numeric_limits<float>::denorm_min(), 0);
  numbers.add(1e-30F, 0);
  for_each_level([&](const Kernels& k) {
    numbers.check(k.half);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    Half bits{};
    k.half.narrow(&nan, &bits, 1);
    CHECK(std::isnan(value_of(bits)));
  });
}

TEST(narrow_to_bfloat16_rounds_to_nearest_even) {
  Rounded numbers;
  numbers.add_all<Bfloat16>(0x7f7f);
  numbers.add(1.0F, 0x3f80);
  numbers.add(1.00390625F, 0x3f80);  // 1 + 2^-8: half way to the next one, which is odd
  numbers.add(1.01171875F, 0x3f82);  // 1 + 3 * 2^-8
  numbers.add(std::numeric_limits<float>::denorm_min(), 0);
  numbers.add(1e16F, 0x5a0e);
  numbers.add(std::numeric_limits<float>::max(), 0x7f80);
  numbers.add(std::numeric_limits<float>::infinity(), 0x7f80);
  for_each_level([&](const Kernels& k) { numbers.check(k.bfloat16); });
}

TEST(conversions_write_count_numbers_and_no_more) {
  for_each_level([](const Kernels& k) {
    check_that_conversions_stay_inside(k.half, 1.0 / 2048);
    check_that_conversions_stay_inside(k.bfloat16, 1.0 / 256);
  });
}

TEST(dots_of_all_lengths) {
  for_each_level([](const Kernels& k) {
    for (Index count = 0; count <= 200; ++count) {
      const std::vector<float> a = random_floats(count, 2), b = random_floats(count, 3);
      double scale = 0;
      const double expected = dot_in_double(a.data(), b.data(), count, &scale);
      CHECK_NEAR(k.dot(a.data(), b.data(), count), expected, 1e-6 * scale);
    }
    check_dots(k.half);
    check_dots(k.bfloat16);
  });
}

TEST(exact_dots_add_in_double) {
  for_each_level([](const Kernels& k) {
    for (Index count = 0; count <= 100; ++count) {
      const std::vector<float> a = random_floats(count, 2);
      std::vector<float> b = random_floats(count, 3);
      if (count > 3) b[1] = 1e4F;  // beside this, float sums would lose the others' last digits
      check_exact_dot(k.exact_dot, a, b, b.data());
      check_exact_dot(k.half, a, b);
      check_exact_dot(k.bfloat16, a, b);
    }
  });
}

namespace {

// -127 to 127, from one of them on.
std::vector<std::int8_t> some_integers(Index count, int start) {
  std::vector<std::int8_t> integers;
  for (Index i = 0; i < count; ++i) {
    integers.push_back(static_cast<std::int8_t>((start + 89 * i) % 255 - 127));
  }
  return integers;
}

}  // namespace

TEST(integers_are_widened_and_scaled) {
  for_each_level([](const Kernels& k) {
    for (const float scale : {1.0F, 0.1F, 3e15F, 1e-30F, 0.0F}) {
      for (Index count = 0; count <= 300; count += count < 70 ? 1 : 23) {
        const std::vector<std::int8_t> integers = some_integers(count, 0);
        std::vector<float> numbers(integers.size() + 1, 77.0F);
        k.int8.widen(integers.data(), scale, numbers.data(), count);
        for (std::size_t i = 0; i < integers.size(); ++i) {
          CHECK_EQUAL(numbers[i], static_cast<float>(integers[i]) * scale);
        }
        CHECK_EQUAL(numbers.back(), 77.0F);
      }
    }
  });
}

TEST(narrow_to_integers_rounds_to_nearest_even) {
  std::vector<float> from;
  std::vector<int> expected;
  const auto expect = [&](float number, int integer) {
    from.push_back(number);
    expected.push_back(integer);
  };
  for (int integer = -127; integer <= 127; ++integer) {
    const auto number = static_cast<float>(integer);
    expect(number, integer);
    if (integer == 127) continue;
    const float middle = number + 0.5F;
    expect(middle, integer % 2 == 0 ? integer : integer + 1);
    expect(std::nextafter(middle, -200.0F), integer);
    expect(std::nextafter(middle, 200.0F), integer + 1);
  }
  expect(-0.0F, 0);
  expect(1e-30F, 0);
  // The largest of a cell may be a little beyond 127, once it is multiplied.
  expect(std::nextafter(127.0F, 200.0F), 127);
  expect(std::nextafter(-127.0F, -200.0F), -127);
  for_each_level([&](const Kernels& k) {
    for (const float factor : {1.0F, 0.125F}) {
      std::vector<float> scaled = from;
      for (float& number : scaled) number /= factor;
      std::vector<std::int8_t> integers(from.size());
      k.int8.narrow(scaled.data(), factor, integers.data(), static_cast<Index>(from.size()));
      for (std::size_t i = 0; i < from.size(); ++i) {
        CHECK_EQUAL(int{integers[i]}, expected[i]);
        std::int8_t one = 77;  // a remainder
        k.int8.narrow(&scaled[i], factor, &one, 1);
        CHECK_EQUAL(int{one}, expected[i]);
      }
    }
  });
}

// Banks must not depend on the processor that packs them: products are rounded to float first.
TEST(integers_are_the_same_at_every_level) {
  const std::vector<float> cells = random_floats(20000, 12);
  for_each_level([&](const Kernels& k) {
    for (const float factor : {127 / 5.0F, 127 / 4.7F, 20 / 3.0F}) {
      std::vector<std::int8_t> integers(cells.size());
      k.int8.narrow(cells.data(), factor, integers.data(), static_cast<Index>(cells.size()));
      for (std::size_t i = 0; i < cells.size(); ++i) {
        CHECK_EQUAL(int{integers[i]}, static_cast<int>(std::nearbyint(cells[i] * factor)));
      }
    }
  });
}

TEST(narrow_to_integers_writes_count_of_them_and_no_more) {
  for_each_level([](const Kernels& k) {
    for (Index count = 0; count <= 70; ++count) {
      const std::vector<float> from = random_floats(count, 1);
      std::vector<std::int8_t> integers(71, 0x55);
      k.int8.narrow(from.data(), 10.0F, integers.data(), count);
      for (std::size_t i = 0; i < integers.size(); ++i) {
        CHECK_EQUAL(int{integers[i]}, static_cast<Index>(i) < count
                                          ? static_cast<int>(std::nearbyint(from[i] * 10.0F))
                                          : 0x55);
      }
    }
  });
}

TEST(dots_and_squares_of_integers) {
  for_each_level([](const Kernels& k) {
    for (Index count = 0; count <= 200; ++count) {
      const std::vector<float> a = random_floats(count, 2);
      const std::vector<std::int8_t> integers = some_integers(count, static_cast<int>(count));
      const std::vector<float> b(integers.begin(), integers.end());
      double scale = 0, squares = 0;
      const double expected = dot_in_double(a.data(), b.data(), count, &scale);
      CHECK_NEAR(k.int8.dot(a.data(), integers.data(), count), expected, 1e-6 * scale);
      dot_in_double(b.data(), b.data(), count, &squares);
      CHECK_EQUAL(k.int8.square(integers.data(), count), static_cast<std::int64_t>(squares));
    }
  });
}

TEST(squares_of_many_integers) {
  for_each_level([](const Kernels& k) {
    for (const Index count : {65536, 70001, 300007, 3000017}) {
      const std::vector<std::int8_t> integers(static_cast<std::size_t>(count), -127);
      CHECK_EQUAL(k.int8.square(integers.data(), count), count * 127 * 127);
    }
  });
}

TEST(largest_magnitude_wherever_it_is) {
  for_each_level([](const Kernels& k) {
    for (Index count = 0; count <= 70; ++count) {
      std::vector<float> numbers(static_cast<std::size_t>(count), -0.0F);
      CHECK_EQUAL(k.largest_magnitude(numbers.data(), count), 0.0F);
      for (std::size_t i = 0; i < numbers.size(); ++i) {
        numbers[i] = i % 2 == 0 ? -0.5F : 0.25F;
      }
      for (float& number : numbers) {
        const float before = number;
        const float huge = std::numeric_limits<float>::max();
        for (const float largest : {0.75F, huge, std::numeric_limits<float>::infinity()}) {
          for (const float sign : {1.0F, -1.0F}) {
            number = sign * largest;
            CHECK_EQUAL(k.largest_magnitude(numbers.data(), count), largest);
          }
        }
        number = before;
      }
    }
    const std::vector<float> tiny(40, -std::numeric_limits<float>::denorm_min());
    CHECK_EQUAL(k.largest_magnitude(tiny.data(), 40), std::numeric_limits<float>::denorm_min());
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
          fold.most_error = 0.7F * *std::max_element(residuals.begin(), residuals.end()) +
                            0.4F * *std::max_element(missing.begin(), missing.end());
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
