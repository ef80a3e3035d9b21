// The nearest-neighbour field: for each hyperpatch of the query its best matches in the bank.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "compnn/base/index.h"

namespace compnn {

// Without an image it is none, and comes after all others.
struct Match {
  float similarity = -std::numeric_limits<float>::infinity();
  std::int32_t image = -1, row = -1, col = -1;

  bool exists() const { return image >= 0; }
  bool same_place(const Match& other) const {
    return image == other.image && row == other.row && col == other.col;
  }
};

// Higher similarity first; equal ones in the order of image, row, column. A total order, so that
// the best matches do not depend on the order in which they are found.
inline bool better(const Match& a, const Match& b) {
  if (a.similarity != b.similarity) return a.similarity > b.similarity;
  if (a.image != b.image) return a.image < b.image;
  if (a.row != b.row) return a.row < b.row;
  return a.col < b.col;
}

// Puts a match into a list of the `count` best, sorted, if it belongs there and its place is not
// there yet (a place always comes with the same similarity). Returns whether the list changed.
inline bool insert_match(Match* best, int count, const Match& match) {
  if (!better(match, best[count - 1])) return false;
  int place = count - 1;
  while (place > 0 && better(match, best[place - 1])) --place;
  if (place > 0 && match.same_place(best[place - 1])) return false;
  for (int i = place; i < count; ++i) {
    if (match.same_place(best[i])) return false;
  }
  std::copy_backward(best + place, best + count - 1, best + count);
  best[place] = match;
  return true;
}

// What stands in a field where there is no match.
constexpr Match kNoMatch{0, -1, -1, -1};

// The `matches` best of each of rows x cols query hyperpatches, best first. Where fewer exist, the
// rest is none: a hyperpatch of zeros has no direction, so that it matches nothing, and nothing
// matches it.
struct Field {
  Field(Index rows_, Index cols_, int matches_)
      : rows(rows_),
        cols(cols_),
        matches(matches_),
        best(static_cast<std::size_t>(rows_ * cols_ * matches_)) {}

  Match* at(Index row, Index col) {
    return best.data() + static_cast<std::size_t>((row * cols + col) * matches);
  }
  const Match* at(Index row, Index col) const {
    return best.data() + static_cast<std::size_t>((row * cols + col) * matches);
  }

  Index rows, cols;
  int matches;
  std::vector<Match> best;
};

}  // namespace compnn
