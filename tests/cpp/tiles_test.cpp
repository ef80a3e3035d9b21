#include "compnn/search/tiles.h"

#include <algorithm>
#include <vector>

#include "check.h"
#include "test_cells.h"

using namespace compnn;
using compnn::test::ImageSize;
using compnn::test::TestCells;

TEST(split_covers_everything_exactly_once) {
  for (Index count = 1; count <= 300; ++count) {
    for (const Index largest : {1, 2, 7, 16, 128, 256, 1000}) {
      const Split split(count, largest);
      CHECK_EQUAL(split.begin(0), 0);
      CHECK_EQUAL(split.end(split.parts - 1), count);
      for (Index part = 0; part < split.parts; ++part) {
        CHECK(split.size(part) >= 1 && split.size(part) <= largest);
        CHECK(split.size(part) >= count / split.parts);  // about equal
        if (part > 0) CHECK_EQUAL(split.begin(part), split.end(part - 1));
      }
    }
  }
}

TEST(plan_covers_query_and_bank) {
  const TestCells bank({{20, 301}, {7, 9}, {3, 2}, {5, 130}}, 2, Precision::kFloat32);
  const TestCells cells({1, 40, 260, 2}, Precision::kFloat32);
  Query query;
  query.cells = cells.cells();
  query.candidates = {0, 2, 3};
  query.hyperpatch = {3, 2};
  const TilePlan plan(bank.bank(), query, 1, 1);
  CHECK_EQUAL(plan.query_rows.count, 38);
  CHECK_EQUAL(plan.query_cols.count, 259);
  CHECK(plan.query_rows.parts > 1 && plan.query_cols.parts > 1);
  CHECK_EQUAL(plan.groups.front(), 0);
  CHECK_EQUAL(plan.groups.back(), static_cast<Index>(plan.tiles.size()));
  auto tile = plan.tiles.begin();
  for (const std::int32_t image : query.candidates) {
    Index col = 0;
    for (; tile != plan.tiles.end() && tile->image == image; ++tile) {
      CHECK_EQUAL(tile->col, col);
      CHECK(tile->cols >= 1 && tile->cols <= TilePlan::kCols);
      col += tile->cols;
    }
    CHECK_EQUAL(col, bank.cols(image) - 1);
  }
  CHECK(tile == plan.tiles.end());
}

TEST(groups_fit_memory_and_give_each_thread_a_tile) {
  std::vector<ImageSize> sizes;
  for (Index i = 0; i < 64; ++i) sizes.push_back({2 + i * 7 % 17, 1 + i * 5 % 13});
  const TestCells equal({64, 9, 9, 4}, Precision::kFloat32);
  const TestCells many(sizes, 4, Precision::kFloat32);
  for (const TestCells* bank : {&equal, &many}) {
    Query query;
    query.cells = equal.cells();
    query.candidates = compnn::test::all_images(*bank);
    query.hyperpatch = {2, 1};
    for (const int threads : {1, 2, 7}) {
      for (const Index words : {1, 100, 3000, 30000, 1000000}) {
        const TilePlan plan(bank->bank(), query, words, threads);
        const auto bytes_of = [&](Index first, Index end) {
          Index bytes = 0;
          for (Index i = first; i < end; ++i) {
            const Tile& tile = plan.tiles[static_cast<std::size_t>(i)];
            bytes += bank->rows(tile.image) * tile.cols * words * Index{sizeof(std::int32_t)};
          }
          return bytes;
        };
        for (std::size_t group = 0; group + 1 < plan.groups.size(); ++group) {
          const Index first = plan.groups[group], end = plan.groups[group + 1];
          CHECK(first < end);
          CHECK(bytes_of(first, end) <= TilePlan::kGroupBytes || end - first <= threads);
          // It has no room for one more.
          const bool is_last = group + 2 == plan.groups.size();
          CHECK(is_last || bytes_of(first, end + 1) > TilePlan::kGroupBytes);
        }
      }
    }
  }
}

// The cut of the products may not know the number of threads; how many tiles are converted at a
// time may.
TEST(tiles_ignore_the_number_of_threads) {
  const TestCells bank({30, 9, 300, 4}, Precision::kFloat32);
  Query query;
  query.cells = bank.cells();
  query.candidates = compnn::test::all_images(bank);
  const TilePlan one(bank.bank(), query, 4, 1), seven(bank.bank(), query, 4, 7);
  CHECK_EQUAL(one.query_rows.parts, seven.query_rows.parts);
  CHECK_EQUAL(one.query_cols.parts, seven.query_cols.parts);
  CHECK(std::equal(one.tiles.begin(), one.tiles.end(), seven.tiles.begin(), seven.tiles.end(),
                   [](const Tile& a, const Tile& b) {
                     return a.image == b.image && a.col == b.col && a.cols == b.cols;
                   }));
}
