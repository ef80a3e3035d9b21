// The exhaustive search on data made to break its screens.
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "check.h"
#include "compnn/search/exhaustive.h"
#include "compnn/search/subspace.h"
#include "exact_reference.h"
#include "test_cells.h"

using namespace compnn;
using namespace compnn::test;

namespace {

using Generator = std::mt19937;

TestQuery query_of(const TestCells& query, const TestCells& bank, HyperpatchSize hyperpatch,
                   int matches) {
  TestQuery asked;
  asked.cells = query.cells();
  asked.candidates = all_images(bank);
  asked.hyperpatch = hyperpatch;
  const Index all =
      bank.shape().images * hyperpatch.rows(bank.cells()) * hyperpatch.cols(bank.cells());
  asked.matches = static_cast<int>(std::min<Index>(matches, all));
  return asked;
}

int between(Generator& generator, int low, int high) {
  return std::uniform_int_distribution<int>(low, high)(generator);
}

// A factor of 10^low to 10^high.
float factor(Generator& generator, float low, float high) {
  return std::pow(10.0F, std::uniform_real_distribution<float>(low, high)(generator));
}

// Each cell times such a factor.
void scale(TestCells& cells, Generator& generator, float low, float high) {
  const Index depth = cells.shape().depth;
  cells.change([&](Index, Index, Index, float* cell) {
    const float by = factor(generator, low, high);
    for (Index d = 0; d < depth; ++d) cell[d] *= by;
  });
}

// Mixtures of `rank` non-negative vectors, like activations after a ReLU, and a little noise.
void make_low_rank(TestCells& cells, Generator& generator, Index rank, float noise) {
  const Index depth = cells.shape().depth;
  Generator of_directions(5);
  std::normal_distribution<float> normal;
  std::vector<float> directions(static_cast<std::size_t>(rank * depth));
  for (float& number : directions) number = std::fabs(normal(of_directions));
  cells.change([&](Index, Index, Index, float* cell) {
    for (Index d = 0; d < depth; ++d) cell[d] = noise * normal(generator);
    for (Index r = 0; r < rank; ++r) {
      const float weight = std::fabs(normal(generator));
      for (Index d = 0; d < depth; ++d) {
        cell[d] += weight * directions[static_cast<std::size_t>(r * depth + d)];
      }
    }
  });
}

// All cells nearly the same: they differ from one by `difference` of each number.
void make_near_duplicates(TestCells& cells, Generator& generator, float difference) {
  const Index depth = cells.shape().depth;
  Generator of_one(6);
  std::normal_distribution<float> normal;
  std::vector<float> one(static_cast<std::size_t>(depth));
  for (float& number : one) number = normal(of_one);
  cells.change([&](Index, Index, Index, float* cell) {
    for (Index d = 0; d < depth; ++d) {
      cell[d] = one[static_cast<std::size_t>(d)] * (1 + difference * normal(generator));
    }
  });
}

bool uses_subspace(const TestCells& bank, const TestQuery& asked) {
  return Subspace::choose(bank.bank(), asked).kept() < bank.shape().depth;
}

}  // namespace

TEST(low_rank_cells_in_a_subspace) {
  Generator generator(1);
  for (const Precision precision : kAllPrecisions) {
    for (const HyperpatchSize size : {HyperpatchSize{2, 2}, HyperpatchSize{1, 1}}) {
      TestCells query({1, 34, 35, 24}, precision), bank({12, 15, 15, 24}, precision);
      make_low_rank(query, generator, 6, 1e-2F);
      make_low_rank(bank, generator, 6, 1e-2F);
      const TestQuery asked = query_of(query, bank, size, 3);
      CHECK(uses_subspace(bank, asked));
      check_exactness(query, bank, asked);
    }
  }
}

// What decides lies outside of the subspace for some, and their norms tell nothing.
TEST(cells_outside_the_subspace) {
  Generator generator(2);
  std::normal_distribution<float> normal;
  TestCells query({1, 34, 35, 24}, Precision::kFloat32),
      bank({12, 15, 15, 24}, Precision::kFloat32);
  make_low_rank(query, generator, 4, 1e-4F);
  make_low_rank(bank, generator, 4, 1e-4F);
  // So many that the 16 directions that are kept cannot hold them.
  std::vector<float> outliers(30 * 24);
  for (float& number : outliers) number = normal(generator);
  const auto replace_some = [&](Index, Index, Index, float* cell) {
    if (generator() % 100 != 0) return;
    const float* from = outliers.data() + 24 * (generator() % 30);
    for (Index d = 0; d < 24; ++d) cell[d] = from[d] + 1e-3F * normal(generator);
  };
  query.change(replace_some);
  bank.change(replace_some);
  scale(query, generator, -12, 15);
  scale(bank, generator, -12, 15);
  for (const int matches : {1, 7}) {
    const TestQuery asked = query_of(query, bank, {2, 2}, matches);
    CHECK(uses_subspace(bank, asked));
    check_exactness(query, bank, asked);
  }
}

// In the subspace the most similar cells look less similar than others, which lie in it.
TEST(cells_half_outside_the_subspace) {
  constexpr Index kDepth = 48;
  Generator generator(16);
  std::normal_distribution<float> normal;
  TestCells query({1, 48, 50, kDepth}, Precision::kFloat32),
      bank({20, 15, 15, kDepth}, Precision::kFloat32);
  make_low_rank(query, generator, 8, 1e-4F);
  make_low_rank(bank, generator, 8, 1e-4F);
  TestCells special({1, 1, 60, kDepth}, Precision::kFloat32);
  make_low_rank(special, generator, 8, 0);
  special.change([&](Index, Index, Index, float* cell) {
    const float each = 0.9F * norm_of(cell, kDepth) / std::sqrt(static_cast<float>(kDepth));
    for (Index d = 0; d < kDepth; ++d) cell[d] += each * normal(generator);
  });
  const auto replace_some = [&](Index, Index, Index, float* cell) {
    if (generator() % 50 != 0) return;
    std::copy_n(special.cell(0, 0, static_cast<Index>(generator() % 60)), kDepth, cell);
  };
  query.change(replace_some);
  bank.change(replace_some);
  const TestQuery asked = query_of(query, bank, {1, 1}, 1);
  CHECK(uses_subspace(bank, asked));
  check_exactness(query, bank, asked, {2});
}

// Beside one long cell of a hyperpatch the other ones count for little, but decide.
TEST(norms_from_tiny_to_huge) {
  Generator generator(3);
  for (const HyperpatchSize size :
       {HyperpatchSize{1, 1}, HyperpatchSize{2, 2}, HyperpatchSize{3, 1}}) {
    for (const float low : {-17.0F, -10.0F, -1.0F}) {
      for (const Precision precision :
           {Precision::kFloat32, Precision::kBfloat16, Precision::kInt8}) {
        TestCells query = TestCells::random({1, 9, 10, 19}, precision, 31);
        TestCells bank = TestCells::random({4, 9, 11, 19}, precision, 32);
        scale(query, generator, low, 15);
        scale(bank, generator, low, 15);
        check_exactness(query, bank, query_of(query, bank, size, 5));
      }
    }
    TestCells query = TestCells::random({1, 9, 10, 19}, Precision::kFloat32, 33);
    TestCells bank = TestCells::random({4, 9, 11, 19}, Precision::kFloat32, 34);
    scale(query, generator, -17, -13);
    scale(bank, generator, -17, -13);
    check_exactness(query, bank, query_of(query, bank, size, 5));
  }
}

// Norms as packing computes them, in float; numbers whose squares vanish there, beside others.
TEST(numbers_of_many_magnitudes_within_cells) {
  Generator generator(4);
  for (const Index depth : {5, 40}) {
    for (const float low : {-22.0F, -8.0F}) {
      TestCells query = TestCells::random({1, 8, 9, depth}, Precision::kFloat32, 41);
      TestCells bank = TestCells::random({4, 8, 9, depth}, Precision::kFloat32, 42);
      const auto spread = [&](Index, Index, Index, float* cell) {
        const float high = low + 15 * factor(generator, -2, 0);
        for (Index d = 0; d < depth; ++d) cell[d] *= factor(generator, low, high);
      };
      query.change(spread);
      bank.change(spread);
      check_exactness(query, bank, query_of(query, bank, {2, 2}, 4));
      check_exactness(query, bank, query_of(query, bank, {1, 1}, 4));
    }
  }
}

TEST(near_duplicates) {
  Generator generator(5);
  for (const float difference : {1e-7F, 1e-6F, 1e-5F, 1e-4F, 1e-3F, 1e-2F}) {
    for (const Precision precision : kAllPrecisions) {
      TestCells query({1, 9, 9, 20}, precision), bank({3, 11, 12, 20}, precision);
      make_near_duplicates(query, generator, difference);
      make_near_duplicates(bank, generator, difference);
      check_exactness(query, bank, query_of(query, bank, {2, 2}, 1));
      check_exactness(query, bank, query_of(query, bank, {1, 1}, 20));
    }
  }
}

// So many survive the fast screen that the search gives it up within a tile, after it has offered
// some of them: there are more than 2^18 pairs of hyperpatches in a strip and a tile.
TEST(tiles_that_are_searched_again) {
  Generator generator(6);
  struct Case {
    float difference;
    int matches;
  };
  for (const auto& [difference, matches] : {Case{1e-6F, 1}, Case{1e-6F, 2}, Case{1e-3F, 30}}) {
    TestCells query({1, 17, 61, 7}, Precision::kFloat32), bank({2, 20, 20, 7}, Precision::kFloat32);
    make_near_duplicates(query, generator, difference);
    make_near_duplicates(bank, generator, difference);
    check_exactness(query, bank, query_of(query, bank, {1, 1}, matches), {1, 2});
  }
}

TEST(tiles_of_a_subspace_that_are_searched_again) {
  Generator generator(7);
  TestCells query({1, 32, 33, 17}, Precision::kFloat32), bank({6, 19, 19, 17}, Precision::kFloat32);
  make_near_duplicates(query, generator, 1e-5F);
  make_near_duplicates(bank, generator, 1e-5F);
  const TestQuery asked = query_of(query, bank, {2, 2}, 3);
  CHECK(uses_subspace(bank, asked));
  check_exactness(query, bank, asked, {2});
}

// Copies times powers of two are exactly as similar; times other numbers, by rounding nearly.
TEST(scaled_copies) {
  Generator generator(8);
  for (const bool powers : {true, false}) {
    TestCells query = TestCells::random({1, 8, 9, 33}, Precision::kFloat32, 81);
    TestCells bank = TestCells::random({5, 9, 10, 33}, Precision::kFloat32, 82);
    const TestCells pattern = TestCells::random({1, 3, 2, 33}, Precision::kFloat32, 83);
    bank.change([&](Index image, Index row, Index col, float* cell) {
      std::copy_n(pattern.cell(0, row % 3, col % 2), 33, cell);
      const float by = powers ? std::ldexp(1.0F, static_cast<int>(image * 9 - row / 3 * 6))
                              : static_cast<float>(3 * image + row / 3 + 1);
      for (Index d = 0; d < 33; ++d) cell[d] *= by;
    });
    check_exactness(query, bank, query_of(query, bank, {1, 1}, 50));
    check_exactness(query, bank, query_of(query, bank, {3, 2}, 50));
    check_exactness(query, bank, query_of(query, bank, {2, 2}, 1));
  }
}

TEST(many_matches_among_duplicates) {
  Generator generator(9);
  for (const Precision precision : kAllPrecisions) {
    for (const int matches : {1, 2, 10, 50}) {
      const TestCells pattern = TestCells::random({1, 1, 6, 12}, precision, 91);
      const auto choose = [&](Index, Index, Index, float* cell) {
        std::copy_n(pattern.cell(0, 0, between(generator, 0, 5)), 12, cell);
      };
      TestCells query({1, 7, 8, 12}, precision), bank({4, 12, 13, 12}, precision);
      query.change(choose);
      bank.change(choose);
      check_exactness(query, bank, query_of(query, bank, {1, 1}, matches));
      check_exactness(query, bank, query_of(query, bank, {1, 2}, matches));
      check_exactness(query, bank, query_of(query, bank, {2, 2}, matches));
    }
  }
}

// Few integers and few norms: cells that are the same in one of them, in the other, or in both.
TEST(integers_of_several_norms) {
  Generator generator(15);
  for (const int norms : {1, 2, 5}) {
    const TestCells pattern = TestCells::random({1, 1, 2, 12}, Precision::kInt8, 141);
    TestCells query = TestCells::random({1, 7, 8, 12}, Precision::kInt8, 142);
    TestCells bank({3, 12, 13, 12}, Precision::kInt8);
    const auto choose = [&](Index, Index, Index, float* cell) {
      const float* from = pattern.cell(0, 0, between(generator, 0, 1));
      const auto by = static_cast<float>(between(generator, 1, norms));
      for (Index d = 0; d < 12; ++d) cell[d] = by * from[d];
    };
    bank.change(choose);
    for (const int matches : {1, 3, 30}) {
      check_exactness(query, bank, query_of(query, bank, {1, 1}, matches));
      check_exactness(query, bank, query_of(query, bank, {2, 2}, matches));
    }
    query.change(choose);
    check_exactness(query, bank, query_of(query, bank, {2, 2}, 2));
  }
}

TEST(duplicates_on_both_sides_of_a_tile) {
  Generator generator(10);
  const TestCells pattern = TestCells::random({1, 1, 4, 6}, Precision::kFloat32, 101);
  TestCells query = TestCells::random({1, 4, 140, 6}, Precision::kFloat32, 102);
  TestCells bank({2, 4, 270, 6}, Precision::kFloat32);
  bank.change([&](Index, Index, Index, float* cell) {
    std::copy_n(pattern.cell(0, 0, between(generator, 0, 3)), 6, cell);
  });
  check_exactness(query, bank, query_of(query, bank, {2, 2}, 9));
}

TEST(zeros_in_query_and_bank) {
  Generator generator(11);
  for (const Precision precision : kAllPrecisions) {
    for (const std::uint32_t share : {2, 5, 1000000}) {
      TestCells query = TestCells::random({1, 8, 8, 9}, precision, 111);
      TestCells bank = TestCells::random({4, 8, 8, 9}, precision, 112);
      const auto clear = [&](Index, Index row, Index, float* cell) {
        if (row < 3 || generator() % share == 0)
          std::fill_n(cell, 9, generator() % 2 ? 0.0F : -0.0F);
        if (share == 5)
          for (Index d = 0; d < 9; ++d) cell[d] = -std::fabs(cell[d]);
      };
      bank.change(clear);
      // Zeros are no matches, even when all others point the other way.
      query.change([&](Index image, Index row, Index col, float* cell) {
        clear(image, row, col, cell);
        if (share == 5)
          for (Index d = 0; d < 9; ++d) cell[d] = std::fabs(cell[d]);
      });
      TestQuery asked = query_of(query, bank, {2, 2}, 50);
      check_exactness(query, bank, asked);
      asked = query_of(query, bank, {1, 1}, 1);
      asked.candidates = {1, 3};
      check_exactness(query, bank, asked);
    }
  }
}

TEST(a_bank_of_zeros) {
  const TestCells query = TestCells::random({1, 5, 5, 9}, Precision::kFloat32, 115);
  const TestCells bank({3, 5, 5, 9}, Precision::kFloat32);
  check_exactness(query, bank, query_of(query, bank, {2, 2}, 20));
}

// The products of a block of query cells fewer than the hyperpatch is wide.
TEST(large_hyperpatches) {
  for (const HyperpatchSize size :
       {HyperpatchSize{1, 13}, HyperpatchSize{9, 5}, HyperpatchSize{5, 9}, HyperpatchSize{4, 1},
        HyperpatchSize{3, 20}}) {
    const TestCells query = TestCells::random({1, 13, 25, 6}, Precision::kFloat16, 121);
    const TestCells bank = TestCells::random({2, 12, 40, 6}, Precision::kFloat16, 122);
    check_exactness(query, bank, query_of(query, bank, size, 3));
  }
}

TEST(deep_activations) {
  Generator generator(13);
  std::normal_distribution<float> normal;
  for (const Index depth : {65535, 65536, 70000}) {
    for (const Precision precision : kAllPrecisions) {
      const TestCells query = TestCells::random({1, 1, 1, depth}, precision, 131);
      TestCells bank({12, 1, 1, depth}, precision);
      bank.change([&](Index image, Index, Index, float* cell) {
        const float noise = image < 6 ? 1e-3F : 1;
        for (Index d = 0; d < depth; ++d) {
          cell[d] = (query.cell(0, 0, 0)[d] + noise * normal(generator)) *
                    (precision == Precision::kFloat16 ? 1e-2F : 1e13F);
        }
      });
      check_exactness(query, bank, query_of(query, bank, {1, 1}, 3));
    }
  }
}

// Sums at the limits of the integers: all products have one sign and the largest magnitude.
TEST(deep_constant_activations) {
  for (const Index depth : {1, 2, 3, 65535, 65536, 65537}) {
    TestCells query({1, 2, 2, depth}, Precision::kFloat32),
        bank({2, 2, 3, depth}, Precision::kFloat32);
    query.change([&](Index, Index row, Index col, float* cell) {
      std::fill_n(cell, depth, row == col ? 1e16F : -3.0F);
    });
    bank.change([&](Index image, Index row, Index col, float* cell) {
      std::fill_n(cell, depth, (row + col + image) % 2 == 0 ? 0.1F : -1e16F);
    });
    check_exactness(query, bank, query_of(query, bank, {1, 1}, 7));
    check_exactness(query, bank, query_of(query, bank, {2, 2}, 2));
    query.change([&](Index, Index, Index, float* cell) { cell[depth / 2] = 12345; });
    check_exactness(query, bank, query_of(query, bank, {1, 1}, 7));
  }
}

TEST(random_searches) {
  Generator generator(14);
  for (int trial = 0; trial < 150; ++trial) {
    const Index depth = trial % 3 == 0 ? between(generator, 1, 4) : between(generator, 5, 70);
    const auto any_precision = [&] { return kAllPrecisions[generator() % 4]; };
    const Precision query_precision = any_precision(), precision = any_precision();
    const HyperpatchSize size{between(generator, 1, 3), between(generator, 1, 4)};
    TestCells query({1, between(generator, 3, 14), between(generator, 4, 14), depth},
                    query_precision);
    TestCells bank(
        {between(generator, 1, 4), between(generator, 3, 14), between(generator, 4, 40), depth},
        precision);
    const int kind = between(generator, 0, 3);
    for (TestCells* cells : {&query, &bank}) {
      if (kind == 0) make_low_rank(*cells, generator, between(generator, 1, 4), 1e-3F);
      if (kind == 1) make_near_duplicates(*cells, generator, factor(generator, -7, -1));
      if (kind >= 2) make_low_rank(*cells, generator, 1, 10);  // as good as random
      if (cells->cells().precision != Precision::kFloat16 && generator() % 2) {
        scale(*cells, generator, -17, static_cast<float>(between(generator, -16, 15)));
      }
      if (generator() % 3 == 0) {  // some cells zero, others copies of a cell that came before
        std::vector<float> other(static_cast<std::size_t>(depth));
        cells->change([&](Index, Index, Index, float* cell) {
          const auto chance = generator() % 10;
          if (chance == 0) std::fill_n(cell, depth, 0.0F);
          if (chance == 1) std::copy_n(cell, depth, other.begin());
          if (chance == 2 || chance == 3) std::copy_n(other.begin(), depth, cell);
          if (chance == 4)
            for (Index d = 0; d < depth; ++d) cell[d] = -2 * other[static_cast<std::size_t>(d)];
        });
      }
    }
    const int matches = generator() % 2 ? 1 : between(generator, 1, 50);
    check_exactness(query, bank, query_of(query, bank, size, matches));
  }
}
