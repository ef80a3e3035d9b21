// The exhaustive search that multiplies all cells: strips of the query against tiles of the bank.
#pragma once

#include "compnn/search/exact_field.h"
#include "compnn/search/query.h"
#include "compnn/search/subspace.h"

namespace compnn {

// Offers the field all places of the query's candidates that may be among the best; counts as
// strip_units() of these in the progress.
void search_in_strips(const CellBank& bank, const Query& query, const QueryNumbers& numbers,
                      const Subspace& subspace, ExactField& field, ThreadPool& pool,
                      Progress& progress);

// Of the candidates number [first, first + count).
Index strip_units(const CellBank& bank, const Query& query, Index first, Index count);

}  // namespace compnn
