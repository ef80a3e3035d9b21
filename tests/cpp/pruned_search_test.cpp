// When the exhaustive search excludes by codes, and when it does not; that it is exact is shown
// with all the searches of check_exactness().
#include "compnn/search/pruned_search.h"

#include <algorithm>
#include <random>
#include <vector>

#include "check.h"
#include "compnn/base/error.h"
#include "compnn/search/exhaustive.h"
#include "compnn/search/screen.h"
#include "exact_reference.h"
#include "test_cells.h"

using namespace compnn;
using namespace compnn::test;

namespace {

// Cells around a few directions; `spread` is how far they are from these.
TestCells clustered_cells(Shape shape, float spread, std::uint32_t seed) {
  constexpr Index kClusters = 12;
  TestCells cells(shape, Precision::kFloat32);
  std::mt19937 of_clusters(3), generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> clusters(static_cast<std::size_t>(kClusters * shape.depth));
  for (float& number : clusters) number = normal(of_clusters);
  // Areas of 4 x 4 cells are of one cluster, so that hyperpatches are few, too.
  cells.change([&](Index image, Index row, Index col, float* cell) {
    const Index cluster = (image * 7 + row / 4 * 5 + col / 4 * 3) % kClusters;
    for (Index d = 0; d < shape.depth; ++d) {
      cell[d] = clusters[static_cast<std::size_t>(cluster * shape.depth + d)] +
                spread * normal(generator);
    }
  });
  return cells;
}

TestQuery query_of(const TestCells& query, const TestCells& bank, HyperpatchSize size) {
  TestQuery asked;
  asked.cells = query.cells();
  asked.candidates = all_images(bank);
  asked.hyperpatch = size;
  asked.num_threads = 2;
  return asked;
}

VectorFormat format_of(const Query& query, const Subspace& subspace) {
  return VectorFormat(query.hyperpatch, subspace, fast_screen(kernels(), 1));
}

// A pruned search and all that it needs; the field has no matches yet.
struct Search {
  Search(const TestCells& bank, const TestQuery& asked, const Monitor& monitor = nullptr)
      : cells(bank.bank()),
        query(asked),
        pool(asked.num_threads),
        progress(1, monitor),
        numbers(query, pool, progress),
        field(cells, query, numbers),
        subspace(Subspace::choose(cells, query)),
        format(format_of(query, subspace)),
        pruned(cells, query, numbers, format, field, pool, progress) {
    for (Index row = 0; row < field.rows(); ++row) field.prepare_row(row);
  }

  void offer(const Field& matches) {
    for (Index row = 0; row < field.rows(); ++row) field.offer_row(row, matches);
  }

  CellBank cells;
  const TestQuery& query;
  ThreadPool pool;
  Progress progress;
  QueryNumbers numbers;
  ExactField field;
  Subspace subspace;
  VectorFormat format;
  PrunedSearch pruned;
};

}  // namespace

TEST(excludes_most_where_cells_lie_in_clusters) {
  const TestCells query = clustered_cells({1, 40, 40, 24}, 0.1F, 1);
  const TestCells bank = clustered_cells({6, 30, 30, 24}, 0.1F, 2);
  for (const HyperpatchSize size : {HyperpatchSize{1, 1}, HyperpatchSize{2, 2}}) {
    const TestQuery asked = query_of(query, bank, size);
    Search search(bank, asked);
    // As long as nothing is known, all survives.
    CHECK(search.pruned.estimate().products >= 1);
    CHECK_NEAR(search.pruned.estimate().survivors, 1, 1e-12);
    search.offer(hyperpatch_match(bank.bank(), asked, {}, nullptr));
    const PrunedSearch::Estimate estimate = search.pruned.estimate();
    CHECK(estimate.products < 0.3);
    CHECK(estimate.survivors < 0.1);
  }
}

TEST(excludes_little_where_all_directions_are_alike) {
  const TestCells query = TestCells::random({1, 40, 40, 24}, Precision::kFloat32, 3);
  const TestCells bank = TestCells::random({6, 30, 30, 24}, Precision::kFloat32, 4);
  const TestQuery asked = query_of(query, bank, {2, 2});
  Search search(bank, asked);
  search.offer(hyperpatch_match(bank.bank(), asked, {}, nullptr));
  const PrunedSearch::Estimate estimate = search.pruned.estimate();
  CHECK(estimate.products > 0.9);
  CHECK(estimate.survivors < 0.1);
}

TEST(is_not_tried_where_vectors_need_too_much_room_or_time) {
  const TestCells query = TestCells::random({1, 130, 130, 24}, Precision::kFloat32, 5);
  const TestCells bank = TestCells::random({3, 130, 130, 24}, Precision::kFloat32, 6);
  const auto is_worth_trying = [&](const TestCells& cells, HyperpatchSize size) {
    const TestQuery asked = query_of(query, cells, size);
    const Subspace subspace(24);
    return PrunedSearch::is_worth_trying(cells.bank(), asked, format_of(asked, subspace));
  };
  CHECK(is_worth_trying(bank, {2, 2}));
  CHECK(!is_worth_trying(bank, {40, 40}));  // room
  CHECK(!is_worth_trying(bank, {8, 8}));    // time
  CHECK(!is_worth_trying(TestCells::random({1, 20, 20, 24}, Precision::kFloat32, 7), {2, 2}));
}

// Large enough that exhaustive_search() tries it.
TEST(a_search_that_excludes_most_is_exact) {
  const TestCells query = clustered_cells({1, 52, 50, 12}, 0.15F, 6);
  const TestCells bank = clustered_cells({9, 31, 30, 12}, 0.15F, 7);
  TestQuery asked = query_of(query, bank, {2, 2});
  Search search(bank, asked);
  search.offer(hyperpatch_match(bank.bank(), asked, {}, nullptr));
  CHECK(search.pruned.estimate().products < 0.2);
  check_exactness(query, bank, asked, {1, 2});
}

// Groups of candidates may be searched in any order, and again.
TEST(groups_in_any_order) {
  const TestCells query = clustered_cells({1, 20, 21, 12}, 0.2F, 8);
  const TestCells bank = clustered_cells({7, 15, 16, 12}, 0.2F, 9);
  const TestQuery asked = query_of(query, bank, {2, 2});
  const Field expected = exhaustive_search(bank.bank(), asked, nullptr);
  Search search(bank, asked);
  search.offer(hyperpatch_match(bank.bank(), asked, {}, nullptr));
  CHECK(search.pruned.search(5, 2, 0));
  CHECK(search.pruned.search(0, 1, 0));
  CHECK(search.pruned.search(1, 4, 0));
  CHECK(search.pruned.search(1, 6, 0));
  CHECK(same_fields(search.field.take(), expected));
}

// Of a few hundred thousand pairs that are nearly the same, no bound excludes any.
TEST(gives_up_among_near_duplicates) {
  const TestCells query = clustered_cells({1, 30, 30, 8}, 1e-6F, 10);
  const TestCells bank = clustered_cells({8, 30, 30, 8}, 1e-6F, 11);
  TestQuery asked = query_of(query, bank, {1, 1});
  Search search(bank, asked);
  search.offer(hyperpatch_match(bank.bank(), asked, {}, nullptr));
  CHECK(!search.pruned.search(0, 8, 0));
  check_exactness(query, bank, asked, {2});
}

TEST(monitor_ends_it) {
  const TestCells query = clustered_cells({1, 60, 60, 24}, 0.3F, 12);
  const TestCells bank = clustered_cells({20, 40, 40, 24}, 0.3F, 13);
  const TestQuery asked = query_of(query, bank, {2, 2});
  bool go_on = true;
  Search search(bank, asked, [&](double) { return go_on; });
  go_on = false;
  const auto search_for_ever = [&] {
    for (int i = 0; i < 10000; ++i) search.pruned.search(0, 20, 0);
  };
  CHECK_THROWS(search_for_ever(), Cancelled, "cancelled");
}
