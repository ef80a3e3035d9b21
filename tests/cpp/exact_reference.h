// What an exact search must find: similarities of all pairs in double precision, and which
// hyperpatches are exactly as similar to everything.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <numeric>
#include <optional>
#include <vector>

#include "check.h"
#include "compnn/search/exhaustive.h"
#include "compnn/search/hyperpatch.h"
#include "compnn/search/hyperpatch_match.h"
#include "compnn/search/pruned_search.h"
#include "compnn/search/screen.h"
#include "compnn/search/subspace.h"
#include "test_cells.h"

namespace compnn::test {

inline double dot_in_double(const float* a, const float* b, Index count) {
  double sums[4] = {};
  Index i = 0;
  for (; i + 4 <= count; i += 4) {
    for (Index lane = 0; lane < 4; ++lane) {
      sums[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
    }
  }
  for (; i < count; ++i) sums[0] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

class ExactReference {
 public:
  ExactReference(const TestCells& query, const TestCells& bank, const TestQuery& asked)
      : query_(query), bank_(bank), asked_(asked) {
    const HyperpatchSize size = asked.hyperpatch;
    for (const std::int32_t image : asked.candidates) {
      for (std::int32_t row = 0; row + size.height <= bank.rows(image); ++row) {
        for (std::int32_t col = 0; col + size.width <= bank.cols(image); ++col) {
          const Match place{0, image, row, col};
          if (norm(bank, place) > 0) places_.push_back(place);  // others match nothing
        }
      }
    }
    find_equals();
    for (const Match& place : places_) norms_.push_back(norm(bank, place));
    multiply_cells();
  }

  // Compares the field with the reference: similarities, their order, and places. Differences
  // below kRounding count as none; among hyperpatches that are equal, or powers of two of one
  // another, those with lowest places must be found.
  void check(const Field& field) const {
    const HyperpatchSize size = asked_.hyperpatch;
    CHECK_EQUAL(field.rows, query_.shape().rows - size.height + 1);
    CHECK_EQUAL(field.cols, query_.shape().cols - size.width + 1);
    CHECK_EQUAL(field.matches, asked_.matches);
    std::vector<Index> order;
    for (Index row = 0; row < field.rows; ++row) {
      for (Index col = 0; col < field.cols; ++col) {
        const std::vector<double> similarities = all_similarities(row, col);
        order.resize(places_.size());
        std::iota(order.begin(), order.end(), 0);
        const auto last = order.begin() + std::min<Index>(field.matches, number_of_places());
        std::partial_sort(order.begin(), last, order.end(), [&](Index a, Index b) {
          const double x = similarities[at(a)], y = similarities[at(b)];
          return x != y ? x > y : a < b;
        });
        const bool is_zero = norm(query_, position(row, col)) == 0;
        check_position(field.at(row, col), similarities, order, is_zero ? 0 : number_of_places());
      }
    }
  }

 private:
  static constexpr double kRounding = 1e-13;

  Index number_of_places() const { return static_cast<Index>(places_.size()); }
  static Match position(Index row, Index col) {
    return {0, 0, static_cast<std::int32_t>(row), static_cast<std::int32_t>(col)};
  }
  static std::size_t at(Index i) { return static_cast<std::size_t>(i); }

  double norm(const TestCells& cells, const Match& place) const {
    double square = 0;
    for (Index a = 0; a < asked_.hyperpatch.height; ++a) {
      const float* from = cells.cell(place.image, place.row + a, place.col);
      square += dot_in_double(from, from, asked_.hyperpatch.width * cells.shape().depth);
    }
    const double root = std::sqrt(square);
    return root < static_cast<double>(kSmallestNorm) ? 0 : root;
  }

  // For each place the last one before it that is as similar to everything; -1 for none.
  void find_equals() {
    std::map<std::vector<float>, Index> last;
    const Index width = asked_.hyperpatch.width * bank_.shape().depth;
    for (std::size_t i = 0; i < places_.size(); ++i) {
      std::vector<float> numbers;
      for (Index a = 0; a < asked_.hyperpatch.height; ++a) {
        const float* from = bank_.cell(places_[i].image, places_[i].row + a, places_[i].col);
        numbers.insert(numbers.end(), from, from + width);
      }
      float largest = 0;
      for (const float number : numbers) largest = std::max(largest, std::fabs(number));
      int exponent = 0;
      std::frexp(largest, &exponent);
      // Adding 0 makes -0 to 0.
      for (float& number : numbers) number = std::ldexp(number, -exponent) + 0.0F;
      const auto [entry, is_new] = last.try_emplace(std::move(numbers), static_cast<Index>(i));
      equal_before_.push_back(is_new ? -1 : entry->second);
      entry->second = static_cast<Index>(i);
    }
  }

  // Of each cell of the query with all cells of the candidates.
  void multiply_cells() {
    const Index depth = bank_.shape().depth;
    for (const std::int32_t image : asked_.candidates) {
      begins_.resize(static_cast<std::size_t>(image) + 1);
      begins_.back() = all_cells_;
      all_cells_ += bank_.rows(image) * bank_.cols(image);
    }
    const Index query_cells = query_.shape().rows * query_.shape().cols;
    for (Index q = 0; q < query_cells; ++q) {
      const float* cell = query_.cell(0, 0, 0) + q * depth;
      for (const std::int32_t image : asked_.candidates) {
        for (Index c = 0; c < bank_.rows(image) * bank_.cols(image); ++c) {
          products_.push_back(dot_in_double(cell, bank_.cell(image, 0, 0) + c * depth, depth));
        }
      }
    }
  }

  std::vector<double> all_similarities(Index row, Index col) const {
    const double query_norm = norm(query_, position(row, col));
    std::vector<double> similarities(places_.size());
    if (query_norm == 0) return similarities;
    for (std::size_t i = 0; i < places_.size(); ++i) {
      const Match& place = places_[i];
      const Index bank_cols = bank_.cols(place.image);
      const Index first = begins_[at(place.image)] + place.row * bank_cols + place.col;
      double dot = 0;
      for (Index a = 0; a < asked_.hyperpatch.height; ++a) {
        for (Index b = 0; b < asked_.hyperpatch.width; ++b) {
          const Index query_cell = (row + a) * query_.shape().cols + col + b;
          dot += products_[at(query_cell * all_cells_ + first + a * bank_cols + b)];
        }
      }
      similarities[i] = dot / query_norm / norms_[i];
    }
    return similarities;
  }

  void check_position(const Match* best, const std::vector<double>& similarities,
                      const std::vector<Index>& order, Index exist) const {
    std::vector<Index> found;
    for (Index k = 0; k < asked_.matches; ++k) {
      if (k >= exist) {
        CHECK(best[k].same_place(kNoMatch));
        CHECK_EQUAL(best[k].similarity, 0.0F);
        continue;
      }
      const auto place = std::lower_bound(
          places_.begin(), places_.end(), best[k],
          [](const Match& a, Match b) { return better(a, {0, b.image, b.row, b.col}); });
      const bool exists = place != places_.end() && place->same_place(best[k]);
      CHECK(exists);
      if (!exists) return;
      const Index number = place - places_.begin();
      const double similarity = similarities[at(number)];
      CHECK_NEAR(best[k].similarity, similarity, 1.2e-7);
      CHECK(std::fabs(static_cast<double>(best[k].similarity)) <= 1);
      CHECK_NEAR(similarity, similarities[at(order[at(k)])], kRounding);
      CHECK(std::find(found.begin(), found.end(), number) == found.end());
      const Index lower = equal_before_[at(number)];
      CHECK(lower < 0 || std::find(found.begin(), found.end(), lower) != found.end());
      found.push_back(number);
    }
  }

  const TestCells& query_;
  const TestCells& bank_;
  const TestQuery& asked_;
  std::vector<Match> places_;
  std::vector<Index> equal_before_;
  std::vector<Index> begins_;  // of the cells of each image, in a row of products
  Index all_cells_ = 0;
  std::vector<double> norms_, products_;
};

// The field of a search that excludes by codes what it can, though that may not pay here; of all
// candidates in two groups, from what HyperPatch-Match finds. None where the search gives up.
inline std::optional<Field> pruned_field(const CellBank& bank, const TestQuery& asked, bool fine) {
  ThreadPool pool(asked.num_threads);
  Progress progress(1, nullptr);
  const Query query = asked.request().in_bases(bank).front();
  const QueryNumbers numbers(query, pool, progress);
  ExactField field(bank, query, numbers);
  const Field guess = hyperpatch_match(bank, asked, {}, nullptr);
  for (Index row = 0; row < field.rows(); ++row) {
    field.prepare_row(row);
    field.offer_row(row, guess);
  }
  const Subspace subspace = fine ? Subspace(query.cells.depth) : Subspace::choose(bank, query);
  const Index cells = query.cells.depth * query.hyperpatch.height * query.hyperpatch.width;
  const VectorFormat format(query.hyperpatch, subspace,
                            fine ? fine_screen(kernels(), cells) : fast_screen(kernels(), cells));
  PrunedSearch search(bank, query, numbers, format, field, pool, progress);
  const auto all = static_cast<Index>(query.candidates.size()), half = (all + 1) / 2;
  if (!search.search(0, half, 0)) return std::nullopt;
  if (half < all && !search.search(half, all - half, 0)) return std::nullopt;
  return field.take();
}

// Searches with several numbers of threads and in both ways, and compares with the reference and
// with one another.
inline Field check_exactness(const TestCells& query, const TestCells& bank, TestQuery asked,
                             std::initializer_list<int> threads = {1, 3}) {
  asked.num_threads = *threads.begin();
  const Field field = exhaustive_search(bank.bank(), asked, nullptr);
  ExactReference(query, bank, asked).check(field);
  for (const int more : threads) {
    asked.num_threads = more;
    CHECK(same_fields(field, exhaustive_search(bank.bank(), asked, nullptr)));
  }
  for (const bool fine : {false, true}) {
    const std::optional<Field> pruned = pruned_field(bank.bank(), asked, fine);
    CHECK(!pruned || same_fields(field, *pruned));
  }
  return field;
}

}  // namespace compnn::test
