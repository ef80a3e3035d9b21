#include "compnn/search/exact_field.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace compnn {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();

}  // namespace

ExactField::ExactField(const CellBank& bank, const Query& query, const QueryNumbers& numbers)
    : bank_(bank),
      query_(query),
      numbers_(numbers),
      field_(query.hyperpatch.rows(query.cells), query.hyperpatch.cols(query.cells), query.matches),
      exact_(field_.best.size(), kNone),
      squares_(static_cast<std::size_t>(field_.rows * field_.cols)),
      needed_(squares_.size()),
      row_mutexes_(static_cast<std::size_t>(field_.rows)) {}

void ExactField::prepare_row(Index row) {
  for (Index col = 0; col < field_.cols; ++col) {
    double dot = 0, square = 0;
    for (Index a = 0; a < query_.hyperpatch.height; ++a) {
      const float* from = numbers_.at(row + a, col);
      kernels_.exact_dot(from, from, query_.hyperpatch.width * query_.cells.depth, &dot, &square);
    }
    const bool zero = inverse_norm(query_.cells, query_.hyperpatch, row, col) == 0;
    squares_[position(row, col)] = zero ? 0 : square;
    needed_[position(row, col)] = -2;
  }
}

double ExactField::similarity(Index row, Index col, const Cells& cells, Index match_row,
                              Index match_col) const {
  const double query_square = squares_[position(row, col)];
  double dot = 0, square = 0;
  for (Index a = 0; a < query_.hyperpatch.height; ++a) {
    cells.exact_dot(kernels_, numbers_.at(row + a, col), match_row + a, match_col,
                    query_.hyperpatch.width, &dot, &square);
  }
  return std::clamp(dot / std::sqrt(query_square * square), -1.0, 1.0);
}

void ExactField::offer(Index row, Index col, std::int32_t image, Index match_row, Index match_col) {
  if (squares_[position(row, col)] == 0) return;
  const Cells cells = bank_.image(image);
  if (inverse_norm(cells, query_.hyperpatch, match_row, match_col) == 0) return;
  const double exact = similarity(row, col, cells, match_row, match_col);
  const Match match{0, image, static_cast<std::int32_t>(match_row),
                    static_cast<std::int32_t>(match_col)};
  const int count = query_.matches;
  Match* best = field_.at(row, col);
  double* exact_best = exact_.data() + (best - field_.best.data());
  const auto goes_before = [&](int k) {
    if (exact != exact_best[k]) return exact > exact_best[k];
    Match other = best[k];
    other.similarity = 0;
    return better(match, other);
  };

  const std::lock_guard<std::mutex> lock(row_mutexes_[static_cast<std::size_t>(row)]);
  const auto is_listed = [&](const Match& other) { return match.same_place(other); };
  if (std::any_of(best, best + count, is_listed)) return;
  int place = count;
  while (place > 0 && goes_before(place - 1)) --place;
  if (place == count) return;
  std::copy_backward(best + place, best + count - 1, best + count);
  std::copy_backward(exact_best + place, exact_best + count - 1, exact_best + count);
  best[place] = match;
  exact_best[place] = exact;
  if (exact_best[count - 1] != kNone) {
    // Rounded down: equal ones may still come before, by their place.
    const auto last = static_cast<float>(exact_best[count - 1]);
    needed_[position(row, col)] = std::nextafter(last, -2.0F);
  }
}

void ExactField::offer_row(Index row, const Field& found) {
  for (Index col = 0; col < found.cols; ++col) {
    for (int k = 0; k < found.matches; ++k) {
      const Match& match = found.at(row, col)[k];
      if (match.exists()) offer(row, col, match.image, match.row, match.col);
    }
  }
}

Field ExactField::take() {
  for (std::size_t i = 0; i < exact_.size(); ++i) {
    Match& match = field_.best[i];
    if (match.exists()) {
      match.similarity = static_cast<float>(exact_[i]);
    } else {
      match = kNoMatch;
    }
  }
  return std::move(field_);
}

}  // namespace compnn
