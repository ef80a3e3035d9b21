#include "compnn/search/exhaustive.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.h"
#include "compnn/base/error.h"
#include "compnn/search/tiles.h"
#include "test_cells.h"

using namespace compnn;
using namespace compnn::test;

namespace {

TestQuery query_of(const TestCells& query, const TestCells& bank, HyperpatchSize hyperpatch,
                   int matches) {
  TestQuery asked;
  asked.cells = query.cells();
  asked.candidates = all_images(bank);
  asked.hyperpatch = hyperpatch;
  asked.matches = matches;
  asked.num_threads = 1;
  return asked;
}

// Similarities as brute force finds them, and places, each once, that have them.
void check_against_brute_force(const TestCells& query, const TestCells& bank,
                               const TestQuery& asked) {
  const Field field = exhaustive_search(bank.bank(), asked, nullptr);
  CHECK_EQUAL(field.rows, query.shape().rows - asked.hyperpatch.height + 1);
  CHECK_EQUAL(field.cols, query.shape().cols - asked.hyperpatch.width + 1);
  for (Index row = 0; row < field.rows; ++row) {
    for (Index col = 0; col < field.cols; ++col) {
      const std::vector<Reference> expected = brute_force(query, row, col, bank, asked);
      const Match* best = field.at(row, col);
      for (int k = 0; k < field.matches; ++k) {
        const Reference& reference = expected[static_cast<std::size_t>(k)];
        CHECK_NEAR(best[k].similarity, reference.similarity, 1e-5);
        const auto found =
            std::find_if(expected.begin(), expected.end(),
                         [&](const Reference& one) { return one.place.same_place(best[k]); });
        CHECK(found != expected.end());
        if (found == expected.end()) continue;
        CHECK_NEAR(best[k].similarity, found->similarity, 1e-5);
        for (int other = 0; other < k; ++other) CHECK(!best[other].same_place(best[k]));
        CHECK(k == 0 || best[k - 1].similarity >= best[k].similarity);
      }
    }
  }
  for (const int threads : {2, 5}) {
    TestQuery again = asked;
    again.num_threads = threads;
    CHECK(same_fields(field, exhaustive_search(bank.bank(), again, nullptr)));
  }
}

}  // namespace

TEST(random_shapes_equal_brute_force) {
  std::mt19937 generator(1);
  const auto between = [&](int low, int high) {
    return low + static_cast<int>(generator() % static_cast<std::uint32_t>(high - low + 1));
  };
  for (std::uint32_t trial = 0; trial < 40; ++trial) {
    const HyperpatchSize hyperpatch{between(1, 3), between(1, 3)};
    const Index depth = between(1, 40);
    const Precision precision = kAllPrecisions[trial % 4];
    const TestCells query =
        TestCells::random({1, between(3, 9), between(3, 12), depth}, precision, trial);
    const TestCells bank = TestCells::random({between(1, 6), between(3, 10), between(3, 11), depth},
                                             precision, trial + 1000);
    TestQuery asked = query_of(query, bank, hyperpatch, between(1, 5));
    if (trial % 3 == 0) {  // a subset
      std::vector<std::int32_t>& all = asked.candidates;
      const auto drop = [&](std::int32_t) { return generator() % 2 == 0; };
      all.erase(std::remove_if(all.begin(), all.end() - 1, drop), all.end() - 1);
    }
    const Index hyperpatches = static_cast<Index>(asked.candidates.size()) *
                               (bank.shape().rows - hyperpatch.height + 1) *
                               (bank.shape().cols - hyperpatch.width + 1);
    asked.matches = static_cast<int>(std::min<Index>(asked.matches, hyperpatches));
    check_against_brute_force(query, bank, asked);
  }
}

TEST(wide_banks_and_queries_are_cut_into_column_parts) {
  for (const Index width : {1, 2, 3}) {
    const TestCells query = TestCells::random({1, 3, 140, 3}, Precision::kFloat32, 3);
    const TestCells bank = TestCells::random({2, 4, 310, 3}, Precision::kFloat32, 4);
    check_against_brute_force(query, bank, query_of(query, bank, {3, width}, 2));
  }
}

TEST(tall_queries_are_cut_into_strips) {
  const TestCells query = TestCells::random({1, 40, 3, 5}, Precision::kFloat16, 5);
  const TestCells bank = TestCells::random({2, 37, 3, 5}, Precision::kFloat16, 6);
  check_against_brute_force(query, bank, query_of(query, bank, {2, 2}, 3));
}

TEST(a_hyperpatch_may_fill_the_activation) {
  const TestCells query = TestCells::random({1, 3, 3, 7}, Precision::kFloat32, 7);
  const TestCells bank = TestCells::random({5, 3, 3, 7}, Precision::kFloat32, 8);
  check_against_brute_force(query, bank, query_of(query, bank, {3, 3}, 5));
}

TEST(many_images_make_many_groups) {
  constexpr Index kDepth = 1000;
  TestCells query({1, 3, 3, kDepth}, Precision::kFloat32);
  TestCells bank({100, 13, 13, kDepth}, Precision::kFloat32);
  std::minstd_rand generator(9);
  const auto fill = [&](Index, Index, Index, float* cell) {
    for (Index d = 0; d < kDepth; ++d) {
      cell[d] = static_cast<float>(static_cast<int>(generator() % 2001) - 1000);
    }
  };
  query.change(fill);
  bank.change(fill);
  const TestQuery asked = query_of(query, bank, {2, 2}, 2);
  // The most compact format has four numbers in a word.
  CHECK(TilePlan(bank.bank(), asked, kDepth / 4, 5).groups.size() > 2);
  check_against_brute_force(query, bank, asked);
}

TEST(zero_hyperpatches_match_nothing) {
  TestCells query = TestCells::random({1, 6, 6, 9}, Precision::kFloat32, 11);
  TestCells bank = TestCells::random({3, 6, 6, 9}, Precision::kFloat32, 12);
  query.change([](Index, Index row, Index, float* cell) {
    if (row < 3) std::fill_n(cell, 9, 0.0F);
  });
  bank.change([](Index image, Index, Index col, float* cell) {
    if (image == 1 || col > 2) std::fill_n(cell, 9, 0.0F);
  });
  const TestQuery asked = query_of(query, bank, {2, 2}, 4);
  const Field field = exhaustive_search(bank.bank(), asked, nullptr);
  for (int k = 0; k < 4; ++k) {
    for (Index col = 0; col < field.cols; ++col) {
      CHECK_EQUAL(field.at(0, col)[k].similarity, 0.0F);
      CHECK(field.at(0, col)[k].same_place(kNoMatch));
      const Match& match = field.at(4, col)[k];
      CHECK((match.image == 0 || match.image == 2) && match.col < 3);
      CHECK_NEAR(match.similarity, cosine(query, 4, col, bank, match, {2, 2}), 1e-5);
    }
  }
}

TEST(duplicate_images_give_the_lowest_image) {
  const TestCells query = TestCells::random({1, 5, 6, 33}, Precision::kFloat16, 13);
  TestCells bank = TestCells::random({6, 5, 6, 33}, Precision::kFloat16, 14);
  bank.change([&](Index image, Index row, Index col, float* cell) {
    if (image >= 3) std::copy_n(bank.cell(image - 3, row, col), 33, cell);
  });
  check_against_brute_force(query, bank, query_of(query, bank, {2, 2}, 3));
}

// Integers tell a cell's direction only: side by side, cells of other norms have another one.
TEST(hyperpatches_of_the_same_integers_differ_by_their_norms) {
  const TestCells pattern = TestCells::random({1, 2, 2, 9}, Precision::kInt8, 19);
  const auto scaled_pattern = [&](Index row, Index col, float by, float* cell) {
    for (Index d = 0; d < 9; ++d) cell[d] = by * pattern.cell(0, row % 2, col % 2)[d];
  };
  // From the first hyperpatch to the last, the upper left cell becomes shorter.
  TestCells bank({1, 2, 20, 9}, Precision::kInt8);
  bank.change([&](Index, Index row, Index col, float* cell) {
    const auto exponent = static_cast<int>(row == 0 && col % 2 == 0 ? -col / 2 : 0);
    scaled_pattern(row, col, std::ldexp(1.0F, exponent), cell);
  });
  const auto* integers = static_cast<const std::int8_t*>(bank.cells().numbers);
  for (Index i = 0; i < 40; ++i) {
    const Index same = i / 20 * 20 + i % 2;
    CHECK(std::memcmp(integers + 9 * i, integers + 9 * same, 9) == 0);
  }
  TestCells query({1, 2, 20, 9}, Precision::kFloat32);
  query.change([&](Index, Index row, Index col, float* cell) {
    std::copy_n(bank.cell(0, row, col), 9, cell);
  });
  const TestQuery asked = query_of(query, bank, {2, 2}, 1);
  check_against_brute_force(query, bank, asked);
  const Field field = exhaustive_search(bank.bank(), asked, nullptr);
  for (std::int32_t place = 0; place < 10; ++place) {
    CHECK(field.at(0, place)->same_place({0, 0, 0, place}));
    CHECK_NEAR(field.at(0, place)->similarity, 1, 1e-6);
  }
}

// The same hyperpatches at other rows and columns meet other parts of tiles and of vectors.
TEST(duplicates_within_images_are_found_once_each) {
  for (const Index depth : {7, 64, 257}) {
    const TestCells query = TestCells::random({1, 4, 5, depth}, Precision::kFloat32, 15);
    const TestCells pattern = TestCells::random({1, 2, 3, depth}, Precision::kFloat32, 16);
    TestCells bank({2, 9, 29, depth}, Precision::kFloat32);
    bank.change([&](Index, Index row, Index col, float* cell) {
      std::copy_n(pattern.cell(0, row % 2, col % 3), depth, cell);
    });
    check_against_brute_force(query, bank, query_of(query, bank, {2, 2}, 2));
    check_against_brute_force(query, bank, query_of(query, bank, {1, 1}, 3));
  }
}

TEST(a_copy_of_the_query_is_found_at_similarity_one) {
  const TestCells query = TestCells::random({1, 6, 7, 50}, Precision::kFloat32, 17);
  TestCells bank = TestCells::random({3, 8, 9, 50}, Precision::kFloat32, 18);
  bank.change([&](Index image, Index row, Index col, float* cell) {
    if (image == 2 && row > 1 && col > 1) std::copy_n(query.cell(0, row - 2, col - 2), 50, cell);
  });
  const Field field = exhaustive_search(bank.bank(), query_of(query, bank, {2, 2}, 1), nullptr);
  for (std::int32_t row = 0; row < 5; ++row) {
    for (std::int32_t col = 0; col < 6; ++col) {
      const Match& match = *field.at(row, col);
      CHECK(match.same_place({0, 2, row + 2, col + 2}));
      CHECK_NEAR(match.similarity, 1, 1e-6);
      CHECK(match.similarity <= 1);
    }
  }
}

// A task of this search lasts too long to be waited for: cancelling must reach into it.
TEST(monitor_ends_a_long_search_soon) {
  const TestCells query = TestCells::random({1, 40, 40, 64}, Precision::kFloat32, 19);
  const TestCells bank({60, 48, 48, 64}, Precision::kFloat32);
  TestQuery asked = query_of(query, bank, {2, 2}, 1);
  asked.num_threads = 2;
  const auto search_for_ever = [&](const Monitor& monitor) {
    for (int i = 0; i < 10000; ++i) exhaustive_search(bank.bank(), asked, monitor);
  };
  const auto start = std::chrono::steady_clock::now();
  CHECK_THROWS(search_for_ever([](double) { return false; }), Cancelled, "cancelled");
  CHECK_THROWS(search_for_ever([](double) -> bool { throw std::logic_error("my error"); }),
               std::logic_error, "my error");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(30));
}

TEST(wrong_queries_are_refused) {
  const TestCells cells = TestCells::random({1, 4, 5, 3}, Precision::kFloat32, 21);
  const TestCells deeper = TestCells::random({1, 4, 5, 4}, Precision::kFloat32, 22);
  const TestCells bank = TestCells::random({2, 4, 5, 3}, Precision::kFloat32, 23);
  const auto expect = [&](auto change, const char* part) {
    TestQuery asked = query_of(cells, bank, {2, 2}, 1);
    change(asked);
    CHECK_THROWS(exhaustive_search(bank.bank(), asked, nullptr), std::invalid_argument, part);
  };
  expect([&](TestQuery& q) { q.cells = deeper.cells(); }, "4 channels, the bank's 3");
  expect([](TestQuery& q) { q.hyperpatch = {0, 2}; }, "hyperpatch of 0x2");
  expect([](TestQuery& q) { q.hyperpatch = {5, 2}; }, "hyperpatch of 5x2");
  expect([](TestQuery& q) { q.hyperpatch = {2, 6}; }, "does not fit the query's 4x5 cells");
  expect([](TestQuery& q) { q.candidates = {}; }, "no candidate");
  expect([](TestQuery& q) { q.candidates = {0, 2}; }, "candidate 2 is outside the bank's 2");
  expect([](TestQuery& q) { q.candidates = {-1}; }, "candidate -1");
  expect([](TestQuery& q) { q.candidates = {1, 0}; }, "ascend");
  expect([](TestQuery& q) { q.candidates = {1, 1}; }, "ascend");
  expect([](TestQuery& q) { q.matches = 0; }, "matches must be at least 1, not 0");
  expect([](TestQuery& q) { q.matches = -1; }, "matches must be at least 1, not -1");
  expect([](TestQuery& q) { q.num_threads = 0; }, "num_threads");
  const TestCells large = TestCells::random({1, 5, 9, 3}, Precision::kFloat32, 24);
  expect(
      [&](TestQuery& q) {
        q.cells = large.cells();
        q.hyperpatch = {5, 6};
      },
      "a hyperpatch of 5x6 cells fits none of the candidates");
}
