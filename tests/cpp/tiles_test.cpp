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
  const TilePlan plan(bank.bank(), query);
  CHECK_EQUAL(plan.query_rows.count, 38);
  CHECK_EQUAL(plan.query_cols.count, 259);
  CHECK_EQUAL(plan.bank_rows, 18);
  CHECK_EQUAL(plan.bank_cols.count, 300);
  CHECK_EQUAL(plan.image_groups.count, 2);
  CHECK(plan.query_rows.parts > 1 && plan.query_cols.parts > 1 && plan.bank_cols.parts > 1);
  for (Index bank_cells = 1; bank_cells <= 300; ++bank_cells) {
    const Index rows = plan.band_rows(bank_cells, 16);
    CHECK(rows >= 1 && rows <= plan.bank_rows + 15);
  }
}

// The cut may not know the number of threads: floating-point sums would depend on it.
TEST(plan_ignores_the_number_of_threads) {
  const TestCells bank({30, 9, 9, 4}, Precision::kFloat32);
  Query query;
  query.cells = bank.cells();
  query.candidates = compnn::test::all_images(bank);
  query.num_threads = 1;
  const TilePlan one(bank.bank(), query);
  query.num_threads = 7;
  const TilePlan seven(bank.bank(), query);
  CHECK_EQUAL(one.image_groups.parts, seven.image_groups.parts);
  CHECK_EQUAL(one.query_rows.parts, seven.query_rows.parts);
  CHECK_EQUAL(one.bank_cols.parts, seven.bank_cols.parts);
}
