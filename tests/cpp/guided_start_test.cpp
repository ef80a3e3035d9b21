#include "compnn/search/guided_start.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "check.h"
#include "compnn/search/exhaustive.h"
#include "compnn/search/hyperpatch_match.h"
#include "test_cells.h"

using namespace compnn;
using namespace compnn::test;

namespace {

constexpr Index kEverything = 1 << 20;
constexpr int kAllLists = 1 << 10;  // as many probes as there can be codes, and more
constexpr std::size_t kAll = 1000;

// A few waves, each along a direction of its own, and noise: neighbouring cells are alike, and lie
// in `rank` directions.
TestCells smooth_cells(Shape shape, Index rank, float noise, std::uint32_t seed) {
  TestCells cells(shape, Precision::kFloat32);
  std::mt19937 of_waves(1), generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> directions(static_cast<std::size_t>(rank * shape.depth));
  for (float& number : directions) number = normal(of_waves);
  std::vector<float> phases(static_cast<std::size_t>(rank * shape.images));
  for (float& phase : phases) phase = 10 * normal(generator);
  cells.change([&](Index image, Index row, Index col, float* cell) {
    for (Index d = 0; d < shape.depth; ++d) cell[d] = noise * normal(generator);
    for (Index r = 0; r < rank; ++r) {
      const auto wave = static_cast<float>(r), y = static_cast<float>(row);
      const float along = y * std::cos(wave) + static_cast<float>(col) * std::sin(wave);
      const float weight =
          std::sin(0.3F * along + phases[static_cast<std::size_t>(image * rank + r)]);
      for (Index d = 0; d < shape.depth; ++d) {
        cell[d] += weight * directions[static_cast<std::size_t>(r * shape.depth + d)];
      }
    }
  });
  return cells;
}

TestQuery query_of(const Cells& cells, const TestCells& bank, HyperpatchSize size) {
  TestQuery asked;
  asked.cells = cells;
  asked.candidates = all_images(bank);
  asked.hyperpatch = size;
  return asked;
}

struct Asked {
  Index most_places = kEverything;
  int probes = kAllLists;
  std::uint64_t seed = 0;
  int threads = 1;
};

// The places for each position of the query, row by row.
using Suggestions = std::vector<std::vector<Match>>;

Suggestions suggest(const TestCells& bank, const TestQuery& query, const Asked& asked,
                    std::size_t most = kAll) {
  const CellBank cells = bank.bank();
  ThreadPool pool(asked.threads);
  Progress progress(1, nullptr);
  const QueryNumbers numbers(query, pool, progress);
  const Subspace subspace = Subspace::choose(cells, query);
  const GuidedStart start(cells, query, numbers, subspace, asked.most_places, asked.probes,
                          asked.seed, pool, progress);
  Suggestions all;
  for (Index row = 0; row < query.hyperpatch.rows(query.cells); ++row) {
    for (Index col = 0; col < query.hyperpatch.cols(query.cells); ++col) {
      start.places(row, col, most, all.emplace_back());
    }
  }
  return all;
}

bool same_match(const Match& a, const Match& b) {
  return a.similarity == b.similarity && a.same_place(b);
}

bool same_suggestions(const Suggestions& a, const Suggestions& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& some, const auto& same) {
    return std::equal(some.begin(), some.end(), same.begin(), same.end(), same_match);
  });
}

void check_valid(const Suggestions& suggestions, const TestCells& bank, const TestQuery& query,
                 std::size_t most) {
  for (const std::vector<Match>& places : suggestions) {
    CHECK(places.size() <= most);
    CHECK(std::is_sorted(places.begin(), places.end(), better));
    std::set<std::tuple<int, int, int>> different;
    for (const Match& place : places) {
      CHECK(std::binary_search(query.candidates.begin(), query.candidates.end(), place.image));
      CHECK(place.row >= 0 && place.row + query.hyperpatch.height <= bank.shape().rows);
      CHECK(place.col >= 0 && place.col + query.hyperpatch.width <= bank.shape().cols);
      CHECK(std::isfinite(place.similarity));
      different.insert({place.image, place.row, place.col});
    }
    CHECK_EQUAL(different.size(), places.size());
  }
}

// What estimates may be off by: 8 bits, 16 bits and floats do half of that.
double rounding_error() {
  const int per_word = kernels().fast.per_word;
  return per_word == 4 ? 0.01 : per_word == 2 ? 2e-4 : 1e-6;
}

// Share of every `step`th position whose first place is the nearest of all.
double share_of_nearest(const TestCells& query, const TestCells& bank, const TestQuery& asked,
                        Index step, int probes = kAllLists) {
  Asked how;
  how.probes = probes;
  const Suggestions suggestions = suggest(bank, asked, how, 1);
  const Index cols = asked.hyperpatch.cols(asked.cells);
  int nearest = 0, total = 0;
  for (Index i = 0; i < static_cast<Index>(suggestions.size()); i += step, ++total) {
    const Match& first = suggestions[static_cast<std::size_t>(i)].at(0);
    nearest +=
        first.same_place(brute_force(query, i / cols, i % cols, bank, asked).front().place) ? 1 : 0;
  }
  return static_cast<double>(nearest) / total;
}

// Largest difference of an estimate, times the one factor that fits its position best, from the
// true cosine: the query's own scale is left out of estimates.
double largest_error(const TestCells& query, const TestCells& bank, const TestQuery& asked) {
  const Index cols = asked.hyperpatch.cols(asked.cells);
  const Suggestions suggestions = suggest(bank, asked, {});
  double largest = 0;
  for (Index i = 0; i < static_cast<Index>(suggestions.size()); ++i) {
    std::vector<double> cosines;
    double products = 0, squares = 0;
    for (const Match& place : suggestions[static_cast<std::size_t>(i)]) {
      const auto estimate = static_cast<double>(place.similarity);
      cosines.push_back(cosine(query, i / cols, i % cols, bank, place, asked.hyperpatch));
      products += estimate * cosines.back();
      squares += estimate * estimate;
    }
    const double factor = products / squares;
    CHECK(factor > 0);
    for (std::size_t k = 0; k < cosines.size(); ++k) {
      const auto estimate =
          static_cast<double>(suggestions[static_cast<std::size_t>(i)][k].similarity);
      largest = std::max(largest, std::fabs(factor * estimate - cosines[k]));
    }
  }
  return largest;
}

using Places = std::set<std::pair<int, int>>;

// The places of each image that are in the lists: each hyperpatch of a bank whose hyperpatches all
// differ, asked for as a query, finds itself if it is.
std::vector<Places> sampled(const TestCells& bank, HyperpatchSize size, Index most_places,
                            std::uint64_t seed) {
  std::vector<Places> of_images;
  for (const std::int32_t image : all_images(bank)) {
    const TestQuery asked = query_of(bank.bank().image(image), bank, size);
    const Index cols = size.cols(asked.cells);
    Asked how;
    how.most_places = most_places;
    how.seed = seed;
    const Suggestions suggestions = suggest(bank, asked, how, 1);
    Places& places = of_images.emplace_back();
    for (Index i = 0; i < static_cast<Index>(suggestions.size()); ++i) {
      const Match& first = suggestions[static_cast<std::size_t>(i)].front();
      if (first.image == image && first.row == i / cols && first.col == i % cols) {
        places.emplace(first.row, first.col);
      }
    }
  }
  return of_images;
}

}  // namespace

TEST(first_place_is_the_nearest_of_all_nearly_everywhere) {
  const TestCells random_query = TestCells::random({1, 13, 13, 24}, Precision::kFloat16, 1);
  const TestCells random_bank = TestCells::random({3, 26, 25, 24}, Precision::kFloat16, 2);
  const TestCells smooth_query = smooth_cells({1, 13, 13, 24}, 6, 0.1F, 3);
  const TestCells smooth_bank = smooth_cells({3, 26, 25, 24}, 6, 0.1F, 4);
  for (const HyperpatchSize size : {HyperpatchSize{1, 1}, {2, 2}, {1, 3}}) {
    const TestQuery random = query_of(random_query.cells(), random_bank, size);
    const TestQuery smooth = query_of(smooth_query.cells(), smooth_bank, size);
    // 8 bits find 97 % or more of them, 16 bits and floats all.
    CHECK(share_of_nearest(random_query, random_bank, random, 1) > 0.94);
    CHECK(share_of_nearest(smooth_query, smooth_bank, smooth, 1) > 0.94);
    CHECK(largest_error(random_query, random_bank, random) < rounding_error());
    CHECK(largest_error(smooth_query, smooth_bank, smooth) < rounding_error());
  }
}

TEST(first_place_is_the_nearest_of_all_nearly_everywhere_in_a_subspace) {
  const TestCells query = smooth_cells({1, 40, 40, 32}, 8, 0.1F, 5);
  const TestCells bank = smooth_cells({2, 40, 41, 32}, 8, 0.1F, 6);
  const TestQuery asked = query_of(query.cells(), bank, {2, 2});
  CHECK_EQUAL(Subspace::choose(bank.bank(), asked).kept(), 16);
  CHECK(share_of_nearest(query, bank, asked, 17) > 0.88);  // 94 % with 8 bits, else 98 %
  CHECK(largest_error(query, bank, asked) < rounding_error() + 0.004);
}

TEST(few_lists_hold_the_nearest) {
  const TestCells query = smooth_cells({1, 24, 25, 16}, 3, 0.05F, 17);
  const TestCells bank = smooth_cells({4, 50, 51, 16}, 3, 0.05F, 18);
  const TestQuery asked = query_of(query.cells(), bank, {2, 2});  // 19 lists
  // 97 % of those that all lists hold; of lists drawn at random it would be 2 in 19.
  CHECK(share_of_nearest(query, bank, asked, 13, 2) >
        0.85 * share_of_nearest(query, bank, asked, 13));
}

TEST(one_place_of_each_block_of_a_large_bank) {
  const TestCells bank = TestCells::random({3, 17, 25, 12}, Precision::kFloat32, 7);
  const struct {
    Index most_places;
    int tall, wide;
  } cases[] = {{kEverything, 1, 1}, {3 * 16 * 24, 1, 1}, {288, 2, 2}, {192, 2, 3}};
  for (const auto& c : cases) {
    for (const Places& places : sampled(bank, {2, 2}, c.most_places, 1)) {
      Places blocks;
      for (const auto& [row, col] : places) blocks.emplace(row / c.tall, col / c.wide);
      const int number = (16 + c.tall - 1) / c.tall * ((24 + c.wide - 1) / c.wide);
      CHECK_EQUAL(static_cast<int>(blocks.size()), number);
      CHECK_EQUAL(static_cast<int>(places.size()), number);
    }
  }
}

TEST(sample_is_about_as_large_as_asked_and_the_seed_decides_it) {
  const TestCells bank = TestCells::random({3, 17, 25, 12}, Precision::kFloat32, 8);
  for (const Index most_places : {1151, 1000, 600, 250, 100, 50, 20}) {
    const std::vector<Places> places = sampled(bank, {2, 2}, most_places, 1);
    std::size_t total = 0;
    for (const Places& of_image : places) total += of_image.size();
    const double share = static_cast<double>(total) / static_cast<double>(most_places);
    CHECK(share > 0.75 && share < 1.25);
    CHECK(places == sampled(bank, {2, 2}, most_places, 1));
    if (total == 3 * 16 * 24) continue;  // all of them
    CHECK(places != sampled(bank, {2, 2}, most_places, 2));
    CHECK(places[0] != places[1]);
  }
}

TEST(places_are_valid_different_sorted_and_no_more_than_asked) {
  const TestCells query = TestCells::random({1, 9, 10, 12}, Precision::kBfloat16, 8);
  const TestCells bank = TestCells::random({5, 24, 25, 12}, Precision::kInt8, 9);
  for (const HyperpatchSize size : {HyperpatchSize{1, 1}, {2, 2}, {3, 1}}) {
    TestQuery asked = query_of(query.cells(), bank, size);
    asked.candidates = {0, 2, 3};
    for (const Index most_places : {kEverything, Index{700}, Index{40}}) {
      for (const int probes : {1, 2, kAllLists}) {
        Asked how;
        how.most_places = most_places;
        how.probes = probes;
        const Suggestions all = suggest(bank, asked, how);
        check_valid(all, bank, asked, kAll);
        // A list may be empty, but not all of them.
        for (const auto& places : all) CHECK(probes < kAllLists || !places.empty());
        for (const std::size_t most : {std::size_t{1}, std::size_t{3}}) {
          const Suggestions some = suggest(bank, asked, how, most);
          check_valid(some, bank, asked, most);
          for (std::size_t i = 0; i < all.size(); ++i) {
            CHECK_EQUAL(some[i].size(), std::min(most, all[i].size()));
            CHECK(std::equal(some[i].begin(), some[i].end(), all[i].begin(), same_match));
          }
        }
      }
    }
  }
}

TEST(same_for_any_number_of_threads) {
  const TestCells query = smooth_cells({1, 21, 22, 24}, 6, 0.1F, 10);
  const TestCells bank = smooth_cells({3, 26, 25, 24}, 6, 0.1F, 11);
  const TestQuery asked = query_of(query.cells(), bank, {2, 2});
  for (const Index most_places : {kEverything, Index{900}}) {
    Asked how;
    how.most_places = most_places;
    how.probes = 2;
    const Suggestions one = suggest(bank, asked, how);
    for (const int threads : {2, 5}) {
      how.threads = threads;
      CHECK(same_suggestions(one, suggest(bank, asked, how)));
    }
  }
}

TEST(zero_hyperpatches_have_estimates_of_zero) {
  TestCells query = TestCells::random({1, 9, 10, 12}, Precision::kFloat32, 12);
  TestCells bank = TestCells::random({3, 20, 21, 12}, Precision::kFloat32, 13);
  const auto clear = [](Index image, Index row, Index, float* cell) {
    if (image == 1 || row < 2) std::fill_n(cell, 12, 0.0F);
  };
  query.change(clear);
  bank.change(clear);
  const TestQuery asked = query_of(query.cells(), bank, {2, 2});
  const Suggestions suggestions = suggest(bank, asked, {});
  check_valid(suggestions, bank, asked, kAll);
  for (std::size_t i = 0; i < suggestions.size(); ++i) {
    for (const Match& place : suggestions[i]) {
      if (i < 9 || place.image == 1 || place.row == 0) CHECK_EQUAL(place.similarity, 0.0F);
    }
    if (i >= 18) CHECK(suggestions[i].front().similarity > 0);
  }
  TestQuery of_zeros = asked;
  of_zeros.candidates = {1};
  check_valid(suggest(bank, of_zeros, {}), bank, of_zeros, kAll);
}

TEST(smallest_searches) {
  const TestCells query = TestCells::random({1, 4, 5, 3}, Precision::kFloat32, 14);
  for (const Index images : {1, 70}) {
    const TestCells bank = TestCells::random({images, 4, 5, 3}, Precision::kFloat32, 15);
    for (const HyperpatchSize size : {HyperpatchSize{4, 5}, {4, 1}, {1, 1}}) {
      TestQuery asked = query_of(query.cells(), bank, size);
      for (const Index most_places : {Index{1}, Index{7}, kEverything}) {
        Asked how;
        how.most_places = most_places;
        check_valid(suggest(bank, asked, how), bank, asked, kAll);
      }
      // More matches than a start has places: all there are.
      const Index places = images * size.rows(asked.cells) * size.cols(asked.cells);
      asked.matches = static_cast<int>(std::min<Index>(places, 30));
      asked.num_threads = 1;
      const Field field = hyperpatch_match(bank.bank(), asked, {}, nullptr);
      for (Index row = 0; row < field.rows; ++row) {
        for (Index col = 0; col < field.cols; ++col) {
          for (int k = 0; k < field.matches; ++k) {
            const Match& match = field.at(row, col)[k];
            CHECK_NEAR(match.similarity, cosine(query, row, col, bank, match, size), 1e-6);
            CHECK(k == 0 || better(field.at(row, col)[k - 1], match));
          }
        }
      }
    }
  }
}

TEST(fast_search_finds_a_copy_of_the_query) {
  // The second bank is more than the quickest search sorts into lists.
  for (const Shape shape : {Shape{3, 24, 25, 12}, Shape{20, 45, 46, 12}}) {
    const TestCells bank = TestCells::random(shape, Precision::kFloat16, 16);
    const std::int32_t copied = 2;
    TestQuery asked = query_of(bank.bank().image(copied), bank, {2, 2});
    asked.num_threads = 2;
    for (const int effort : {1, 4}) {
      HyperPatchMatchOptions options;
      options.effort = effort;
      const Field field = hyperpatch_match(bank.bank(), asked, options, nullptr);
      for (std::int32_t row = 0; row < field.rows; ++row) {
        for (std::int32_t col = 0; col < field.cols; ++col) {
          CHECK(field.at(row, col)->same_place({0, copied, row, col}));
          CHECK_NEAR(field.at(row, col)->similarity, 1.0, 1e-6);
        }
      }
    }
  }
}
