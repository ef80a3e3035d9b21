#include "compnn/search/tiles.h"

#include <vector>

#include "check.h"
#include "test_cells.h"

using namespace compnn;
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
  const TestCells bank({3, 20, 301, 2}, Precision::kFloat32);
  const TestCells cells({1, 40, 260, 2}, Precision::kFloat32);
  Query query;
  query.cells = cells.cells();
  query.candidates = {0, 2};
  query.hyperpatch = {3, 2};
  const TilePlan plan(bank.bank(), query, 1, 1);
  CHECK_EQUAL(plan.query_rows.count, 38);
  CHECK_EQUAL(plan.query_cols.count, 259);
  CHECK_EQUAL(plan.bank_cols.count, 300);
  CHECK(plan.query_rows.parts > 1 && plan.query_cols.parts > 1 && plan.bank_cols.parts > 1);
  CHECK_EQUAL(plan.tiles, 2 * plan.bank_cols.parts);
  CHECK_EQUAL(plan.groups.count, plan.tiles);
}

TEST(groups_fit_memory_and_give_each_thread_a_tile) {
  const TestCells bank({64, 9, 9, 4}, Precision::kFloat32);
  Query query;
  query.cells = bank.cells();
  query.candidates = compnn::test::all_images(bank);
  for (const int threads : {1, 2, 7}) {
    for (const Index words : {1, 100, 3000, 30000, 1000000}) {
      const TilePlan plan(bank.bank(), query, words, threads);
      const Index bytes = 9 * 9 * words * Index{sizeof(std::int32_t)};
      for (Index group = 0; group < plan.groups.parts; ++group) {
        const Index size = plan.groups.size(group);
        CHECK(size * bytes <= TilePlan::kGroupBytes || size <= threads);
      }
      const bool all_fit = plan.tiles * bytes <= TilePlan::kGroupBytes;
      if (all_fit) CHECK_EQUAL(plan.groups.parts, 1);
    }
  }
}

// The cut of the products may not know the number of threads; how many tiles are converted at a
// time may.
TEST(tiles_ignore_the_number_of_threads) {
  const TestCells bank({30, 9, 9, 4}, Precision::kFloat32);
  Query query;
  query.cells = bank.cells();
  query.candidates = compnn::test::all_images(bank);
  const TilePlan one(bank.bank(), query, 4, 1), seven(bank.bank(), query, 4, 7);
  CHECK_EQUAL(one.tiles, seven.tiles);
  CHECK_EQUAL(one.query_rows.parts, seven.query_rows.parts);
  CHECK_EQUAL(one.query_cols.parts, seven.query_cols.parts);
  CHECK_EQUAL(one.bank_cols.parts, seven.bank_cols.parts);
}
