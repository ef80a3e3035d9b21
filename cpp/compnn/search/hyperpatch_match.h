// HyperPatch-Match: approximate search, a PatchMatch over a set of images (paper section 3.2).
#pragma once

#include <cstdint>

#include "compnn/base/thread_pool.h"
#include "compnn/search/field.h"
#include "compnn/search/query.h"

namespace compnn {

struct HyperPatchMatchOptions {
  int iterations = 1024;             // rounds of propagation and random search
  std::uint64_t seed = 0;            // of the random start and the random search
  bool stop_when_unchanged = false;  // end after the first round that improves nothing

  // Throws std::invalid_argument for fewer than 0 iterations.
  void check() const;
};

// Starts at random; then each round offers every position the matches of two of its neighbours,
// shifted (above and left in odd rounds, below and right in even ones), and hyperpatches drawn
// from all candidates. A round reads the field of the round before, so that the result is the
// same, bit for bit, for any number of threads.
// Throws std::invalid_argument for a query that does not fit, Cancelled when the monitor says so.
Field hyperpatch_match(const CellBank& bank, const Query& query,
                       const HyperPatchMatchOptions& options, const Monitor& monitor);

}  // namespace compnn
