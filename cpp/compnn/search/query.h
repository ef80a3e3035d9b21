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

// The query's cells in one basis of a bank, rounded and along directions like those of the bank.
struct QueryCells {
  Cells cells;
  // For each hyperpatch what its similarities are multiplied by, in [0, 1]: as much of it as lies
  // in the basis. nullptr: all does.
  const float* share = nullptr;
};

// What is searched in one basis.
struct Query : QueryCells {
  // Bank images to search, all of that basis and none too small for a hyperpatch; ascending, each
  // once.
  std::vector<std::int32_t> candidates;
  HyperpatchSize hyperpatch;
  int matches = 1;  // best matches kept for each hyperpatch, no more than all candidates have
};

// What a search is asked.
struct Request {
  std::vector<QueryCells> query;         // in each basis of the bank
  std::vector<std::int32_t> candidates;  // ascending, each once
  HyperpatchSize hyperpatch;
  int matches = 1;       // may be more than there are
  int num_threads = -1;  // -1: all processors

  // The queries in those bases that candidates are of. Candidates that are too small for a
  // hyperpatch are left out. Throws std::invalid_argument naming what does not fit the bank.
  std::vector<Query> in_bases(const CellBank& bank) const;
};

// Hyperpatches of all candidates.
Index hyperpatches(const CellBank& bank, const Query& query);

// The query's cells as floats: they themselves where they are that, else copies.
class QueryNumbers {
 public:
  QueryNumbers(const Query& query, ThreadPool& pool, Progress& progress);
  QueryNumbers(QueryNumbers&&) = default;

  // Of the cell at (row, col), and of those that follow it.
  const float* at(Index row, Index col) const { return numbers_ + cells_.offset(row, col); }

 private:
  Cells cells_;
  AlignedVector<float> copies_;
  const float* numbers_;
};

// The field with `matches` for each hyperpatch, at least as many as it has: the further are none.
Field widened(Field field, int matches);

// HyperPatch-Match leaves out the factor 1 / norm of the query's hyperpatch, which does not change
// what is best; this puts it in, and keeps rounding from leaving [-1, 1].
void scale_by_query_norms(Field& field, const Query& query);

// Multiplies similarities by the query's shares.
void scale_by_shares(Field& field, const Query& query);

}  // namespace compnn
