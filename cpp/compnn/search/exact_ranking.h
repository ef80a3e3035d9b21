// Settles near ties of a field in double precision.
#pragma once

#include "compnn/base/thread_pool.h"
#include "compnn/search/field.h"
#include "compnn/search/query.h"

namespace compnn {

// Similarities in float are wrong by some 1e-7, which decides between matches that are nearly the
// same: where an image is searched that is in the bank, a hyperpatch may miss itself for one that
// differs in a shade. This computes the similarities of the field again, in double (products of
// floats are exact in it), and offers every position the matches of its four neighbours, shifted,
// in one sweep down and one up; a match is replaced only by a better one. It takes about as long
// as comparing each position with ten hyperpatches.
void rank_exactly(const CellBank& bank, const Query& query, Field& field, Progress& progress);

}  // namespace compnn
