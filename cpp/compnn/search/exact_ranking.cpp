#include "compnn/search/exact_ranking.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "compnn/base/error.h"
#include "compnn/simd/kernels.h"

namespace compnn {
namespace {

double dot_in_double(const std::vector<float>& a, const std::vector<float>& b) {
  // Four sums at a time hide the latency of the additions.
  double sums[4] = {};
  const std::size_t whole = a.size() / 4 * 4;
  for (std::size_t i = 0; i < whole; i += 4) {
    for (std::size_t lane = 0; lane < 4; ++lane) {
      sums[lane] += static_cast<double>(a[i + lane]) * b[i + lane];
    }
  }
  for (std::size_t i = whole; i < a.size(); ++i) sums[0] += static_cast<double>(a[i]) * b[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

class ExactRanking {
 public:
  ExactRanking(const CellBank& bank, const Query& query, Field& field)
      : bank_(bank),
        query_(query),
        field_(field),
        match_rows_(bank.rows() - query.hyperpatch.height + 1),
        match_cols_(bank.cols() - query.hyperpatch.width + 1),
        exact_(field.best.size()),
        query_numbers_(static_cast<std::size_t>(query.hyperpatch.height * query.hyperpatch.width *
                                                bank.depth())),
        match_numbers_(query_numbers_.size()) {}

  // Not divided among threads: a position takes what the one before it has found.
  void run(Progress& progress) {
    for (Index row = 0; row < field_.rows; ++row) {
      report(progress);
      for (Index col = 0; col < field_.cols; ++col) {
        take(row, col);
        compute_again(row, col);
        offer_neighbour(row, col, -1, 0);
        offer_neighbour(row, col, 0, -1);
      }
    }
    for (Index row = field_.rows - 1; row >= 0; --row) {
      report(progress);
      for (Index col = field_.cols - 1; col >= 0; --col) {
        take(row, col);
        offer_neighbour(row, col, 1, 0);
        offer_neighbour(row, col, 0, 1);
      }
    }
    for (std::size_t i = 0; i < exact_.size(); ++i) {
      field_.best[i].similarity = static_cast<float>(exact_[i]);
    }
  }

 private:
  static void report(Progress& progress) {
    progress.report();
    if (progress.cancelled()) throw Cancelled();
  }

  void read(const Cells& cells, Index row, Index col, std::vector<float>& numbers) const {
    const HyperpatchSize size = query_.hyperpatch;
    for (Index a = 0; a < size.height; ++a) {
      cells.widen(kernels_, row + a, col, size.width,
                  numbers.data() + a * size.width * bank_.depth());
    }
  }

  // Makes (row, col) the position that the functions below work on.
  void take(Index row, Index col) {
    read(query_.cells, row, col, query_numbers_);
    const bool zero = inverse_norm(query_.cells, query_.hyperpatch, row, col) == 0;
    query_square_ = zero ? 0 : dot_in_double(query_numbers_, query_numbers_);
    best_ = field_.at(row, col);
    exact_best_ = exact_.data() + (best_ - field_.best.data());
  }

  double similarity(const Match& match) {
    const Cells cells = bank_.image(match.image);
    if (query_square_ == 0 || inverse_norm(cells, query_.hyperpatch, match.row, match.col) == 0) {
      return 0;
    }
    read(cells, match.row, match.col, match_numbers_);
    const double square = dot_in_double(match_numbers_, match_numbers_);
    const double product = dot_in_double(query_numbers_, match_numbers_);
    return std::clamp(product / std::sqrt(query_square_ * square), -1.0, 1.0);
  }

  // Sorts the position's matches by their exact similarities.
  void compute_again(Index row, Index col) {
    const std::vector<Match> found(field_.at(row, col), field_.at(row, col) + field_.matches);
    for (int k = 0; k < field_.matches; ++k) insert(found[static_cast<std::size_t>(k)], k);
  }

  void offer_neighbour(Index row, Index col, Index down, Index right) {
    const Index other_row = row + down, other_col = col + right;
    if (other_row < 0 || other_row >= field_.rows || other_col < 0 || other_col >= field_.cols) {
      return;
    }
    const Match* offers = field_.at(other_row, other_col);
    for (int k = 0; k < field_.matches; ++k) {
      Match match = offers[k];
      match.row -= static_cast<std::int32_t>(down);
      match.col -= static_cast<std::int32_t>(right);
      const auto same = [&match](const Match& other) { return match.same_place(other); };
      if (match.row >= 0 && match.row < match_rows_ && match.col >= 0 && match.col < match_cols_ &&
          std::none_of(best_, best_ + field_.matches, same)) {
        insert(match, field_.matches);
      }
    }
  }

  // Puts a match into the first `count` of the position, which are sorted; the list grows by one
  // until it is full.
  void insert(const Match& match, int count) {
    const double exact = similarity(match);
    const auto goes_before = [&](int k) {
      if (exact != exact_best_[k]) return exact > exact_best_[k];
      Match equal = best_[k];
      equal.similarity = match.similarity;
      return better(match, equal);
    };
    int place = count;
    while (place > 0 && goes_before(place - 1)) --place;
    if (place == field_.matches) return;
    for (int k = std::min(count, field_.matches - 1); k > place; --k) {
      best_[k] = best_[k - 1];
      exact_best_[k] = exact_best_[k - 1];
    }
    best_[place] = match;
    exact_best_[place] = exact;
  }

  const CellBank& bank_;
  const Query& query_;
  Field& field_;
  const Kernels& kernels_ = kernels();
  Index match_rows_, match_cols_;
  std::vector<double> exact_;  // similarity of each match of the field
  std::vector<float> query_numbers_, match_numbers_;
  double query_square_ = 0;
  Match* best_ = nullptr;
  double* exact_best_ = nullptr;
};

}  // namespace

void rank_exactly(const CellBank& bank, const Query& query, Field& field, Progress& progress) {
  ExactRanking(bank, query, field).run(progress);
}

}  // namespace compnn
