// What both searches are asked: whose hyperpatches, among which images, how many matches.
#pragma once

#include <cstdint>
#include <vector>

#include "compnn/bank/cell_bank.h"
#include "compnn/base/aligned.h"
#include "compnn/base/thread_pool.h"
#include "compnn/search/field.h"
#include "compnn/search/hyperpatch.h"

namespace compnn {

struct Query {
  Cells cells;                           // of the query image
  std::vector<std::int32_t> candidates;  // bank images to search, ascending, each once
  HyperpatchSize hyperpatch;
  int matches = 1;       // best matches kept for each hyperpatch
  int num_threads = -1;  // -1: all processors

  // Throws std::invalid_argument naming what does not fit the bank.
  void check(const CellBank& bank) const;
};

// The query's cells as floats: they themselves where they are that, else copies.
class QueryNumbers {
 public:
  QueryNumbers(const Query& query, ThreadPool& pool, Progress& progress);

  // Of the cell at (row, col), and of those that follow it.
  const float* at(Index row, Index col) const { return numbers_ + cells_.offset(row, col); }

 private:
  Cells cells_;
  AlignedVector<float> copies_;
  const float* numbers_;
};

// HyperPatch-Match leaves out the factor 1 / norm of the query's hyperpatch, which does not change
// what is best; this puts it in, and keeps rounding from leaving [-1, 1].
void scale_by_query_norms(Field& field, const Query& query);

}  // namespace compnn
