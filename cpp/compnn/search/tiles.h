// How the exhaustive search cuts its work: tiles whose products stay in the cache of a core.
#pragma once

#include <algorithm>

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

// The cut depends on the sizes alone, never on the number of threads: floating-point sums, and so
// the results, are the same for all.
struct TilePlan {
  TilePlan(const CellBank& bank, const Query& query)
      : query_rows(query.hyperpatch.rows(query.cells), kQueryRows),
        query_cols(query.hyperpatch.cols(query.cells), kQueryCols),
        bank_rows(bank.rows() - query.hyperpatch.height + 1),
        bank_cols(bank.cols() - query.hyperpatch.width + 1, kBankCols),
        image_groups(static_cast<Index>(query.candidates.size()), images_per_task(bank)) {}

  // Rows of bank hyperpatches that are multiplied together, for a part of bank_cols.
  Index band_rows(Index bank_cells, Index strip_rows) const {
    return std::clamp<Index>(kBankCols / bank_cells, 1, bank_rows + strip_rows - 1);
  }

  static constexpr Index kQueryRows = 16, kQueryCols = 128, kBankCols = 256;

  Split query_rows, query_cols;  // of query hyperpatches: strips, and parts of strips
  Index bank_rows;
  Split bank_cols;     // of bank hyperpatches
  Split image_groups;  // of candidate images: one task takes a group

 private:
  // Enough work for a task to be worth its bookkeeping.
  Index images_per_task(const CellBank& bank) const {
    constexpr double kWork = 3e7;
    const double work = static_cast<double>(std::min(query_rows.count, kQueryRows)) *
                        static_cast<double>(std::min(query_cols.count, kQueryCols)) *
                        static_cast<double>(bank.rows() * bank.cols() * bank.depth());
    return std::max<Index>(1, static_cast<Index>(kWork / work));
  }
};

}  // namespace compnn
