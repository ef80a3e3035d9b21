// Banks of images of many sizes, in one shard or in many.
#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "check.h"
#include "exact_reference.h"
#include "test_cells.h"

using namespace compnn;
using namespace compnn::test;

namespace {

using Generator = std::mt19937;

Index between(Generator& generator, int low, int high) {
  return std::uniform_int_distribution<int>(low, high)(generator);
}

std::vector<ImageSize> random_sizes(Generator& generator, Index images, int rows, int cols) {
  std::vector<ImageSize> sizes;
  for (Index i = 0; i < images; ++i) {
    sizes.push_back({between(generator, 1, rows), between(generator, 1, cols)});
  }
  // Some are one cell high or wide.
  sizes[static_cast<std::size_t>(between(generator, 0, static_cast<int>(images) - 1))].rows = 1;
  sizes[static_cast<std::size_t>(between(generator, 0, static_cast<int>(images) - 1))].cols = 1;
  return sizes;
}

// Asks for no more matches than there are.
TestQuery query_of(const TestCells& query, const TestCells& bank, HyperpatchSize size,
                   Index matches) {
  TestQuery asked;
  asked.cells = query.cells();
  asked.candidates = all_images(bank);
  asked.hyperpatch = size;
  asked.num_threads = 1;
  asked.matches = static_cast<int>(std::min(matches, hyperpatches(bank.bank(), asked)));
  return asked;
}

bool uses_subspace(const TestCells& bank, const TestQuery& asked) {
  const Query query = asked.request().in_bases(bank.bank()).front();
  return Subspace::choose(bank.bank(), query).kept() < bank.shape().depth;
}

// Cells of few directions, so that products are along few of them and codes exclude much.
void make_low_rank(TestCells& cells, std::uint32_t seed) {
  constexpr Index kRank = 5;
  const Index depth = cells.shape().depth;
  Generator of_directions(5), generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> directions(static_cast<std::size_t>(kRank * depth));
  for (float& number : directions) number = normal(of_directions);
  cells.change([&](Index, Index, Index, float* cell) {
    for (Index d = 0; d < depth; ++d) cell[d] = 1e-2F * normal(generator);
    for (Index r = 0; r < kRank; ++r) {
      const float weight = normal(generator);
      for (Index d = 0; d < depth; ++d) {
        cell[d] += weight * directions[static_cast<std::size_t>(r * depth + d)];
      }
    }
  });
}

}  // namespace

TEST(random_sizes_equal_the_reference) {
  Generator generator(1);
  for (std::uint32_t trial = 0; trial < 120; ++trial) {
    const Precision precision = kAllPrecisions[trial % 4];
    const HyperpatchSize size{between(generator, 1, 3), between(generator, 1, 3)};
    const Index depth = between(generator, 1, 40);
    const TestCells query = TestCells::random(
        {1, between(generator, 3, 9), between(generator, 3, 12), depth}, precision, trial);
    std::vector<ImageSize> sizes = random_sizes(generator, between(generator, 1, 9), 9, 14);
    sizes.push_back({3, 3});
    const TestCells bank = TestCells::random(std::move(sizes), depth, precision, trial + 1000);
    TestQuery asked = query_of(query, bank, size, between(generator, 1, 8));
    if (trial % 3 == 0) {
      const auto drop = [&](std::int32_t) { return generator() % 2 == 0; };
      std::vector<std::int32_t>& all = asked.candidates;
      all.erase(std::remove_if(all.begin(), all.end() - 1, drop), all.end() - 1);
      asked.matches = 1;
    }
    check_exactness(query, bank, asked, {1, 2, 5});
  }
}

// Tiles of one image and of another may be in a group, strips meet both.
TEST(wide_and_narrow_images) {
  const TestCells query = TestCells::random({1, 40, 140, 3}, Precision::kFloat32, 2);
  const TestCells bank = TestCells::random(
      {{4, 310}, {2, 2}, {1, 400}, {37, 3}, {3, 129}, {2, 130}}, 3, Precision::kFloat32, 3);
  check_exactness(query, bank, query_of(query, bank, {2, 2}, 3), {1, 3});
  check_exactness(query, bank, query_of(query, bank, {1, 2}, 1), {2});
}

// Images of so few pairs that all are computed in double, beside others.
TEST(tiny_and_large_images) {
  const TestCells query = TestCells::random({1, 4, 4, 6}, Precision::kFloat16, 4);
  const TestCells bank = TestCells::random({{2, 2}, {3, 2}, {40, 41}, {1, 9}, {2, 3}, {2, 2}}, 6,
                                           Precision::kFloat16, 5);
  check_exactness(query, bank, query_of(query, bank, {2, 2}, 1), {1, 3});
  check_exactness(query, bank, query_of(query, bank, {2, 2}, 30), {1, 3});
  // More matches than the large one has hyperpatches.
  const TestCells few =
      TestCells::random({{2, 2}, {4, 5}, {3, 2}, {2, 3}}, 6, Precision::kFloat16, 6);
  check_exactness(query, few, query_of(query, few, {2, 2}, 100), {1, 3});
}

// Large enough that a guess, a subspace and codes are tried.
TEST(large_searches_of_many_sizes) {
  Generator generator(6);
  for (const Precision precision : kAllPrecisions) {
    TestCells query({1, 46, 47, 24}, precision);
    std::vector<ImageSize> sizes = random_sizes(generator, 14, 40, 40);
    sizes.push_back({44, 42});
    sizes.push_back({2, 2});
    TestCells bank(std::move(sizes), 24, precision);
    make_low_rank(query, 7);
    make_low_rank(bank, 8);
    const TestQuery asked = query_of(query, bank, {2, 2}, 2);
    CHECK(uses_subspace(bank, asked));
    check_exactness(query, bank, asked, {2});
  }
}

// Copies in images of other sizes are found in the order of their places.
TEST(duplicates_in_images_of_many_sizes) {
  const TestCells query = TestCells::random({1, 5, 6, 12}, Precision::kFloat32, 9);
  const TestCells pattern = TestCells::random({1, 3, 2, 12}, Precision::kFloat32, 10);
  TestCells bank({{5, 3}, {1, 7}, {9, 29}, {2, 2}, {4, 140}}, 12, Precision::kFloat32);
  bank.change([&](Index, Index row, Index col, float* cell) {
    std::copy_n(pattern.cell(0, row % 3, col % 2), 12, cell);
  });
  for (const int matches : {1, 3, 50}) {
    check_exactness(query, bank, query_of(query, bank, {2, 2}, matches));
    check_exactness(query, bank, query_of(query, bank, {1, 1}, matches));
  }
}

TEST(zero_hyperpatches_match_nothing_of_any_size) {
  TestCells query = TestCells::random({1, 4, 4, 6}, Precision::kFloat32, 11);
  query.change([](Index, Index row, Index, float* cell) {
    if (row < 2) std::fill_n(cell, 6, 0.0F);
  });
  const TestCells bank =
      TestCells::random({{1, 9}, {2, 3}, {2, 1}, {3, 3}}, 6, Precision::kFloat32, 12);
  const TestQuery asked = query_of(query, bank, {2, 2}, 5);
  const Field field = exhaustive_search(bank.bank(), asked, nullptr);
  for (Index col = 0; col < 3; ++col) {
    for (int k = 0; k < 5; ++k) {
      CHECK_EQUAL(field.at(0, col)[k].similarity, 0.0F);
      CHECK(field.at(0, col)[k].same_place(kNoMatch));
    }
  }
  check_exactness(query, bank, asked);
}

TEST(shards_do_not_change_a_bit) {
  Generator generator(13);
  for (const Precision precision : kAllPrecisions) {
    TestCells query({1, 30, 31, 20}, precision);
    TestCells bank(random_sizes(generator, 12, 34, 36), 20, precision);
    make_low_rank(query, 14);
    make_low_rank(bank, 15);
    TestQuery asked = query_of(query, bank, {2, 2}, 3);
    const Field exact = exhaustive_search(bank.bank(), asked, nullptr);
    HyperPatchMatchOptions paper;
    paper.schedule = Schedule::kPaper;
    paper.iterations = 30;
    const Field found = hyperpatch_match(bank.bank(), asked, {}, nullptr);
    const Field by_paper = hyperpatch_match(bank.bank(), asked, paper, nullptr);
    for (const Index shards : {2, 5, 12}) {
      const CellBank cut = bank.bank(shards);
      asked.num_threads = static_cast<int>(shards) / 2;
      CHECK(same_fields(exact, exhaustive_search(cut, asked, nullptr)));
      CHECK(same_fields(found, hyperpatch_match(cut, asked, {}, nullptr)));
      CHECK(same_fields(by_paper, hyperpatch_match(cut, asked, paper, nullptr)));
    }
  }
}

// Images that are too small for a hyperpatch are as good as no candidates.
TEST(images_that_are_too_small_change_nothing) {
  const TestCells query = TestCells::random({1, 12, 13, 8}, Precision::kFloat32, 16);
  const TestCells bank = TestCells::random({{1, 50}, {20, 21}, {40, 1}, {1, 1}, {18, 3}, {2, 1}}, 8,
                                           Precision::kFloat32, 17);
  TestQuery all = query_of(query, bank, {2, 2}, 3), some = all;
  some.candidates = {1, 4};
  CHECK(same_fields(exhaustive_search(bank.bank(), all, nullptr),
                    exhaustive_search(bank.bank(), some, nullptr)));
  CHECK(same_fields(hyperpatch_match(bank.bank(), all, {}, nullptr),
                    hyperpatch_match(bank.bank(), some, {}, nullptr)));
  all.matches = 19 * 20 + 17 * 2;
  CHECK_EQUAL(exhaustive_search(bank.bank(), all, nullptr).matches, all.matches);
  const Field whole = exhaustive_search(bank.bank(), all, nullptr);
  all.matches += 3;
  for (const Field& field : {exhaustive_search(bank.bank(), all, nullptr),
                             hyperpatch_match(bank.bank(), all, {}, nullptr)}) {
    CHECK_EQUAL(field.matches, whole.matches + 3);
    for (Index row = 0; row < whole.rows; ++row) {
      for (Index col = 0; col < whole.cols; ++col) {
        const Match *found = field.at(row, col), *end = found + whole.matches;
        CHECK(std::all_of(found, end, [](const Match& match) { return match.exists(); }));
        CHECK(std::all_of(end, end + 3, [](const Match& match) {
          return match.same_place(kNoMatch) && match.similarity == 0;
        }));
      }
    }
  }
}
