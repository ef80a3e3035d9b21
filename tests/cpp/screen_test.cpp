#include "compnn/search/screen.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "check.h"
#include "compnn/search/tiles.h"
#include "test_cells.h"

using namespace compnn;
using namespace compnn::test;

namespace {

struct Level {
  const Kernels& kernels;
  const ScreenKernels& screen;
};

void for_each_screen(const std::function<void(const Level&)>& body) {
  for (const SimdLevel level : supported_simd_levels()) {
    const Kernels& table = kernels(level);
    body({table, table.fast});
    body({table, table.floats});
  }
}

// Each cell times 10^low to 10^high; `within`: each number.
void scale(TestCells& cells, std::uint32_t seed, float low, float high, bool within) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> exponent(low, high);
  cells.change([&](Index, Index, Index, float* cell) {
    float by = std::pow(10.0F, exponent(generator));
    for (Index d = 0; d < cells.shape().depth; ++d) {
      if (within) by = std::pow(10.0F, exponent(generator));
      cell[d] *= by;
    }
  });
}

// A query and one image of a bank, screened: the columns [first, first + count) of it.
struct Screened {
  Screened(const TestCells& query_cells, const TestCells& bank_cells, HyperpatchSize hyperpatch,
           Index first_, Index count_, int copies, const Level& level_, const Subspace& subspace)
      : level(level_),
        size(hyperpatch),
        first(first_),
        count(count_),
        query_numbers(query_cells),
        bank(bank_cells),
        asked(),
        query(prepare(), level_.screen, subspace) {
    const Cells cells = query_cells.cells();
    std::vector<float> numbers(static_cast<std::size_t>(cells.cols * cells.depth));
    for (Index row = 0; row < cells.rows; ++row) {
      cells.widen(level.kernels, row, 0, cells.cols, numbers.data());
      query.convert_row(row, numbers.data());
    }
    for (Index row = 0; row < size.rows(cells); ++row) query.bound_row(row);
    tile.fill(bank.cells(), 0, first, count, size, copies, level.kernels, level.screen, subspace);
    multiply();
  }

  const Query& prepare() {
    asked.cells = query_numbers.cells();
    asked.candidates = {0};
    asked.hyperpatch = size;
    return asked;
  }

  // Products of all cells: query cell, then bank cell of the tile with its room.
  void multiply() {
    const Index cols = query_numbers.shape().cols, block = level.screen.query_block;
    query_row = rounded_up(cols, block);
    bank_row = tile.row_cells();
    const Index rows = query_numbers.shape().rows;
    products.assign(static_cast<std::size_t>(rows * query_row * tile.rows() * bank_row), 0);
    for (Index row = 0; row < rows; ++row) {
      for (Index col = 0; col < cols; col += block) {
        for (Index r = 0; r < tile.rows(); ++r) {
          level.screen.multiply(query.cell_words(row, col), query.scales(row, col),
                                query.corrections(row, col), tile.row_words(r), tile.scales(r),
                                query.words(), tile.panels(), product(row, col, r, 0),
                                tile.rows() * bank_row);
        }
      }
    }
  }

  float* product(Index row, Index col, Index match_row, Index match_col) {
    return products.data() + ((row * query_row + col) * tile.rows() + match_row) * bank_row +
           match_col;
  }

  // S of ScreenedQuery::Bound.
  double score(Index row, Index col, Index match_row, Index c) {
    double sum = 0;
    for (Index a = 0; a < size.height; ++a) {
      for (Index b = 0; b < size.width; ++b) {
        sum += static_cast<double>(*product(row + a, col + b, match_row + a, c + b));
      }
    }
    return sum * static_cast<double>(tile.inverse_norms(match_row)[c]);
  }

  double true_similarity(Index row, Index col, Index match_row, Index c) const {
    if (inverse_norm(query_numbers.cells(), size, row, col) == 0 ||
        inverse_norm(bank.cells(), size, match_row, first + c) == 0) {
      return 0;
    }
    const Match place{0, 0, static_cast<std::int32_t>(match_row),
                      static_cast<std::int32_t>(first + c)};
    return cosine(query_numbers, row, col, bank, place, size);
  }

  // Hits of a fold that everything reaches, for each row: columns of the tile.
  std::vector<std::vector<bool>> hits() {
    std::vector<std::vector<bool>> all;
    const auto padded = static_cast<std::size_t>(tile.fold_count());
    for (Index row = 0; row + size.height <= tile.rows(); ++row) {
      const std::vector<float> no_products(padded, 0.0F);
      std::vector<float> scores(padded);
      std::vector<std::int32_t> found(padded);
      ScreenFold fold{};
      fold.products = no_products.data();
      fold.width = 1;
      fold.count = tile.fold_count();
      fold.inverse_norms = tile.inverse_norms(row);
      fold.residuals = tile.residuals(row);
      fold.missing = tile.missing(row);
      fold.residual_weight = 1e-30F;
      fold.missing_weight = 1;
      fold.most_error = fold.residual_weight * tile.most_residual(row) + tile.most_missing(row);
      fold.threshold = -1e30F;
      const Index num_hits = level.kernels.fold(fold, nullptr, scores.data(), found.data());
      all.emplace_back(padded, false);
      for (Index i = 0; i < num_hits; ++i) {
        all.back()[static_cast<std::size_t>(found[static_cast<std::size_t>(i)])] = true;
      }
    }
    return all;
  }

  const Level& level;
  HyperpatchSize size;
  Index first, count;
  const TestCells& query_numbers;
  const TestCells& bank;
  Query asked;
  ScreenedQuery query;
  ScreenedTile tile;
  Index query_row = 0, bank_row = 0;
  AlignedVector<float> products;
};

// Returns the mean of the bounds, so that they can be seen to exclude something.
double check_bounds(const TestCells& query, const TestCells& bank, HyperpatchSize size,
                    const Level& level, const Subspace& subspace) {
  const Index cols = bank.shape().cols - size.width + 1;
  double total = 0, pairs = 0;
  // All columns, and a part of them.
  for (const Index first : {Index{0}, cols / 2}) {
    Screened screened(query, bank, size, first, cols - first, 1, level, subspace);
    for (Index row = 0; row + size.height <= query.shape().rows; ++row) {
      for (Index col = 0; col + size.width <= query.shape().cols; ++col) {
        const ScreenedQuery::Bound& bound = screened.query.bound(row, col);
        const auto norm = static_cast<double>(bound.norm);
        for (Index r = 0; r + size.height <= bank.shape().rows; ++r) {
          for (Index c = 0; c < screened.count; ++c) {
            const double residual = screened.tile.residuals(r)[c];
            if (std::isinf(residual)) continue;  // a copy
            CHECK(screened.tile.residuals(r)[c] <= screened.tile.most_residual(r));
            CHECK(screened.tile.missing(r)[c] <= screened.tile.most_missing(r));
            const double similarity = screened.true_similarity(row, col, r, c);
            if (norm == 0) {
              CHECK_EQUAL(similarity, 0.0);
              continue;
            }
            const double most = (residual * static_cast<double>(bound.residual_weight) +
                                 static_cast<double>(screened.tile.missing(r)[c]) *
                                     static_cast<double>(bound.missing_weight)) /
                                    norm +
                                static_cast<double>(bound.slack);
            CHECK_NEAR(screened.score(row, col, r, c) / norm, similarity, most);
            total += most;
            pairs += 1;
          }
        }
      }
    }
  }
  return pairs == 0 ? 0 : total / pairs;
}

// A subspace of 16 directions out of 24: cells lie in few, plus `outside`.
TestCells nearly_flat(Shape shape, float outside, std::uint32_t seed) {
  TestCells cells = TestCells::random(shape, Precision::kFloat32, seed);
  cells.change([&](Index, Index, Index, float* cell) {
    for (Index d = 12; d < shape.depth; ++d) cell[d] *= outside;
    for (Index d = 0; d + 1 < shape.depth; ++d) cell[d] += 0.3F * cell[d + 1];
  });
  return cells;
}

Subspace flat_subspace() {
  const TestCells query = nearly_flat({1, 64, 64, 24}, 0.01F, 1);
  const TestCells bank = nearly_flat({1, 64, 64, 24}, 0.01F, 2);
  Query asked;
  asked.cells = query.cells();
  asked.candidates = {0};
  return Subspace::choose(bank.bank(), asked);
}

}  // namespace

TEST(bounds_hold_for_random_cells) {
  for_each_screen([](const Level& level) {
    for (const HyperpatchSize size :
         {HyperpatchSize{1, 1}, HyperpatchSize{2, 2}, HyperpatchSize{3, 2}}) {
      for (const Index depth : {1, 7, 64, 130}) {
        for (const Precision precision : kAllPrecisions) {
          const TestCells query = TestCells::random({1, 4, 9, depth}, precision, 3);
          const TestCells bank = TestCells::random({1, 5, 37, depth}, precision, 4);
          const double mean = check_bounds(query, bank, size, level, Subspace(depth));
          CHECK(mean < (level.screen.per_word == 4   ? 0.05
                        : level.screen.per_word == 2 ? 1e-3
                                                     : 1e-4));
        }
      }
    }
  });
}

TEST(bounds_hold_for_all_magnitudes) {
  const Subspace flat = flat_subspace();
  CHECK_EQUAL(flat.kept(), 16);
  const float ranges[][2] = {{-17, -13}, {-17, 15}, {-15, -14}, {14, 15}, {-1, 1}, {-10, 15}};
  for_each_screen([&](const Level& level) {
    for (const bool within : {false, true}) {
      for (const auto& range : ranges) {
        for (const float outside : {0.0F, 0.01F, 1.0F}) {
          TestCells query = nearly_flat({1, 3, 9, 24}, outside, 5);
          TestCells bank = nearly_flat({1, 4, 35, 24}, outside, 6);
          scale(query, 7, range[0], range[1], within);
          scale(bank, 8, range[0], range[1], within);
          for (const HyperpatchSize size : {HyperpatchSize{1, 1}, HyperpatchSize{2, 2}}) {
            check_bounds(query, bank, size, level, Subspace(24));
            check_bounds(query, bank, size, level, flat);
          }
        }
      }
    }
  });
}

TEST(bounds_are_small_in_a_subspace_that_fits) {
  const Subspace flat = flat_subspace();
  for_each_screen([&](const Level& level) {
    const TestCells query = nearly_flat({1, 4, 9, 24}, 0.01F, 9);
    const TestCells bank = nearly_flat({1, 4, 35, 24}, 0.01F, 10);
    CHECK(check_bounds(query, bank, {2, 2}, level, flat) < 0.05);
  });
}

TEST(bounds_hold_with_zero_cells) {
  for_each_screen([](const Level& level) {
    TestCells query = TestCells::random({1, 4, 9, 10}, Precision::kFloat32, 11);
    TestCells bank = TestCells::random({1, 5, 37, 10}, Precision::kFloat32, 12);
    const auto clear = [](Index, Index row, Index col, float* cell) {
      if (row < 2 || col % 3 == 0) std::fill_n(cell, 10, 0.0F);
    };
    query.change(clear);
    bank.change(clear);
    for (const HyperpatchSize size : {HyperpatchSize{1, 1}, HyperpatchSize{2, 2}}) {
      check_bounds(query, bank, size, level, Subspace(10));
    }
  });
}

TEST(bounds_hold_for_copies_of_the_query) {
  for_each_screen([](const Level& level) {
    TestCells query = TestCells::random({1, 3, 12, 50}, Precision::kFloat32, 13);
    TestCells bank({1, 3, 12, 50}, Precision::kFloat32);
    bank.change([&](Index, Index row, Index col, float* cell) {
      for (Index d = 0; d < 50; ++d)
        cell[d] = query.cell(0, row, col)[d] * (col % 2 ? -3.7F : 1e9F);
    });
    check_bounds(query, bank, {1, 1}, level, Subspace(50));
    check_bounds(query, bank, {2, 2}, level, Subspace(50));
  });
}

TEST(room_at_the_end_is_never_a_hit) {
  for_each_screen([](const Level& level) {
    const TestCells query = TestCells::random({1, 2, 2, 5}, Precision::kFloat32, 14);
    const TestCells bank = TestCells::random({1, 4, 70, 5}, Precision::kFloat32, 15);
    for (const Index first : {0, 3}) {
      for (const Index count : {1, 31, 32, 33, 66}) {
        Screened screened(query, bank, {2, 2}, first, count, 1, level, Subspace(5));
        CHECK(screened.tile.fold_count() >= count &&
              screened.tile.fold_count() < count + kFoldStep);
        CHECK_EQUAL(screened.tile.first(), first);
        for (const std::vector<bool>& row : screened.hits()) {
          for (Index c = 0; c < screened.tile.fold_count(); ++c) {
            CHECK(row[static_cast<std::size_t>(c)] == (c < count));
          }
        }
      }
    }
  });
}

TEST(only_the_first_copies_are_hits) {
  for (const Precision precision : kAllPrecisions) {
    const TestCells pattern = TestCells::random({1, 1, 2, 5}, precision, 16);
    const TestCells query = TestCells::random({1, 2, 2, 5}, precision, 17);
    TestCells bank({1, 6, 40, 5}, precision);
    std::mt19937 generator(18);
    std::vector<int> cell_kinds;
    bank.change([&](Index, Index, Index, float* cell) {
      cell_kinds.push_back(static_cast<int>(generator() % 2));
      std::copy_n(pattern.cell(0, 0, cell_kinds.back()), 5, cell);
    });
    const auto kind = [&](Index row, Index col) {
      return cell_kinds[static_cast<std::size_t>(row * 40 + col)];
    };
    for_each_screen([&](const Level& level) {
      for (const int copies : {1, 2, 5, 100}) {
        for (const Index first : {0, 7}) {
          Screened screened(query, bank, {2, 2}, first, 32, copies, level, Subspace(5));
          int seen[16] = {};
          const std::vector<std::vector<bool>> hits = screened.hits();
          for (Index row = 0; row < 5; ++row) {
            for (Index c = 0; c < 32; ++c) {
              const Index col = first + c;
              const int number = kind(row, col) + 2 * kind(row, col + 1) + 4 * kind(row + 1, col) +
                                 8 * kind(row + 1, col + 1);
              const bool kept = seen[number]++ < copies;
              CHECK(hits[static_cast<std::size_t>(row)][static_cast<std::size_t>(c)] == kept);
            }
          }
        }
      }
    });
  }
}

// Cells of the same integers are copies where their norms are the same, too.
TEST(other_norms_are_no_copies) {
  const TestCells pattern = TestCells::random({1, 1, 1, 5}, Precision::kInt8, 19);
  const TestCells query = TestCells::random({1, 2, 2, 5}, Precision::kFloat32, 20);
  TestCells bank({1, 2, 33, 5}, Precision::kInt8);
  bank.change([&](Index, Index row, Index col, float* cell) {
    // One long cell, so that two hyperpatches differ from all the others.
    const float by = row == 0 && col == 9 ? 4.0F : 1.0F;
    for (Index d = 0; d < 5; ++d) cell[d] = by * pattern.cell(0, 0, 0)[d];
  });
  for_each_screen([&](const Level& level) {
    Screened screened(query, bank, {2, 2}, 0, 32, 1, level, Subspace(5));
    const std::vector<bool> hits = screened.hits().front();
    for (std::size_t c = 0; c < 32; ++c) CHECK(hits[c] == (c == 0 || c == 8 || c == 9));
  });
}

TEST(fast_screen_of_very_deep_cells_is_the_float_one) {
  for (const SimdLevel level : supported_simd_levels()) {
    const Kernels& table = kernels(level);
    CHECK(&fast_screen(table, 65536) == &table.fast);
    CHECK(&fast_screen(table, 65537) == &table.floats);
  }
}
