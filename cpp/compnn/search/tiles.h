// How the exhaustive search cuts its work: tiles whose products stay in the cache of a core. The
// result does not depend on the cut.
#pragma once

#include <algorithm>
#include <cstdint>

#include "compnn/search/query.h"

namespace compnn {

// `count` items in parts of about equal size, none larger than `largest`.
struct Split {
  Split(Index count_, Index largest) : count(count_), parts((count_ + largest - 1) / largest) {}

  Index begin(Index part) const { return count * part / parts; }
  Index end(Index part) const { return begin(part + 1); }
  Index size(Index part) const { return end(part) - begin(part); }

  Index count, parts;
};

struct TilePlan {
  TilePlan(const CellBank& bank, const Query& query, Index words, int threads)
      : query_rows(query.hyperpatch.rows(query.cells), kQueryRows),
        query_cols(query.hyperpatch.cols(query.cells), kCols),
        bank_cols(bank.cols() - query.hyperpatch.width + 1, kCols),
        tiles(static_cast<Index>(query.candidates.size()) * bank_cols.parts),
        groups(tiles, tiles_at_a_time(bank, query, words, threads)) {}

  // A taller strip wastes less on the h - 1 rows of cells at its edge; a lower one leaves more of
  // the cache to the bank.
  static constexpr Index kQueryRows = 32, kCols = 128;
  // Converted tiles in memory.
  static constexpr Index kGroupBytes = Index{16} << 20;

  Split query_rows, query_cols;  // of query hyperpatches: strips, and parts of strips
  Split bank_cols;               // of bank hyperpatches
  Index tiles;                   // a tile is a part of the columns of an image
  Split groups;                  // tiles that are converted, then searched

 private:
  Index tiles_at_a_time(const CellBank& bank, const Query& query, Index words, int threads) const {
    const Index cells = bank.rows() * (bank_cols.size(0) + query.hyperpatch.width - 1);
    const Index bytes = cells * words * Index{sizeof(std::int32_t)};
    return std::max<Index>(threads, kGroupBytes / std::max<Index>(1, bytes));
  }
};

}  // namespace compnn
