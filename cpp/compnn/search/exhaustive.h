// Exact search: every hyperpatch of the query against every one of the candidate images.
#pragma once

#include "compnn/base/thread_pool.h"
#include "compnn/search/field.h"
#include "compnn/search/query.h"

namespace compnn {

// The dot product of two h x w hyperpatches is the sum of the h * w products of their cells, and
// neighbouring hyperpatches share cells: each pair of cells is multiplied once, in cache-sized
// tiles, and the products are summed along the diagonals (docs/design.md). The paper searches
// SegNet this way (section 3.2). Same result, bit for bit, for any number of threads.
// Where several hyperpatches are equally similar, which of them is found is not specified.
// Candidates in several bases are searched basis by basis, and the best of all are kept.
// Throws std::invalid_argument for a request that does not fit, Cancelled when the monitor says so.
Field exhaustive_search(const CellBank& bank, const Request& request, const Monitor& monitor);

}  // namespace compnn
