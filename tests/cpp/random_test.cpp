#include "compnn/base/random.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

#include "check.h"

using compnn::CounterRandom;
using compnn::mix_bits;

// First output of SplitMix64 seeded with 0 and 1234567 (reference values of its authors' code).
TEST(mix_bits_is_splitmix64) {
  CHECK_EQUAL(mix_bits(0), 0xe220a8397b1dcdafULL);
  CHECK_EQUAL(mix_bits(1234567), 6457827717110365317ULL);
}

TEST(same_key_same_draws) {
  CounterRandom a(1, 2, 3), b(1, 2, 3);
  for (int i = 0; i < 100; ++i) CHECK_EQUAL(a.below(1000), b.below(1000));
}

TEST(every_part_of_the_key_matters) {
  const auto draws = [](std::uint64_t seed, std::uint64_t round, std::uint64_t position) {
    CounterRandom random(seed, round, position);
    std::vector<std::uint64_t> numbers(8);
    for (std::uint64_t& number : numbers) number = random.below(1ULL << 31);
    return numbers;
  };
  std::set<std::vector<std::uint64_t>> seen;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    for (std::uint64_t round = 0; round < 10; ++round) {
      for (std::uint64_t position = 0; position < 10; ++position) {
        seen.insert(draws(seed, round, position));
      }
    }
  }
  CHECK_EQUAL(seen.size(), 1000U);
}

TEST(draws_stay_below_their_bound) {
  CounterRandom random(5, 0, 0);
  for (const std::uint64_t bound : {1ULL, 2ULL, 3ULL, 1000ULL, (1ULL << 32) - 1}) {
    for (int i = 0; i < 1000; ++i) CHECK(random.below(bound) < bound);
  }
}

// Chi-squared over 10 bins, also across positions and rounds: 9 degrees of freedom, 99.99 % < 33.7.
TEST(draws_are_uniform) {
  const auto chi_squared = [](const std::vector<int>& bins) {
    const double expected = 10000.0 / static_cast<double>(bins.size());
    double sum = 0;
    for (const int bin : bins) sum += (bin - expected) * (bin - expected) / expected;
    return sum;
  };
  std::vector<int> by_draw(10), by_position(10), by_round(10);
  CounterRandom random(7, 1, 1);
  for (std::uint64_t i = 0; i < 10000; ++i) {
    ++by_draw[random.below(10)];
    ++by_position[CounterRandom(7, 1, i).below(10)];
    ++by_round[CounterRandom(7, i, 1).below(10)];
  }
  CHECK_NEAR(chi_squared(by_draw), 0, 33.7);
  CHECK_NEAR(chi_squared(by_position), 0, 33.7);
  CHECK_NEAR(chi_squared(by_round), 0, 33.7);
}
