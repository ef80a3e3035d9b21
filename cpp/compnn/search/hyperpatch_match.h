// HyperPatch-Match: approximate search, a PatchMatch over a set of images (paper section 3.2).
#pragma once

#include <cstdint>
#include <vector>

#include "compnn/base/thread_pool.h"
#include "compnn/search/field.h"
#include "compnn/search/query.h"
#include "compnn/search/subspace.h"

namespace compnn {

// kFast starts at places that a codebook suggests (GuidedStart) and searches around them for a few
// rounds; kPaper starts at random and draws from all candidates for many.
enum class Schedule { kFast, kPaper };

constexpr int kMostEffort = 8;

// As iterations: 8 rounds of kFast, 1024 of kPaper.
constexpr int kUsual = -1;

struct HyperPatchMatchOptions {
  Schedule schedule = Schedule::kFast;
  int effort = 4;                    // of kFast, from 1 (quick) to kMostEffort (near exact)
  int iterations = kUsual;           // rounds of propagation and random search after the start
  std::uint64_t seed = 0;            // of the random start and the random search
  bool stop_when_unchanged = false;  // end after the first round that improves nothing

  // Throws std::invalid_argument for a negative number of iterations that is not kUsual, or when
  // there is no such effort.
  void check() const;
};

// After the start, each round offers every position the matches of two of its neighbours, shifted
// (above and left in odd rounds, below and right in even ones), and hyperpatches drawn at random:
// from windows around the best match, which shrink, or from all candidates. A round reads the field
// of the round before, so that the result is the same, bit for bit, for any number of threads.
// Candidates in several bases are one list: similarities in all of them are comparable.
// Throws std::invalid_argument for a request that does not fit, Cancelled when the monitor says so.
Field hyperpatch_match(const CellBank& bank, const Request& request,
                       const HyperPatchMatchOptions& options, const Monitor& monitor);

// The query in one basis, and what a search has computed of it.
struct PreparedQuery {
  const Query& query;
  const QueryNumbers& numbers;
  const Subspace& subspace;
};

// The same, as a part of a search that has checked its request: for a query in each basis that
// candidates are of.
Field hyperpatch_match(const CellBank& bank, const std::vector<PreparedQuery>& queries,
                       const HyperPatchMatchOptions& options, ThreadPool& pool,
                       const Monitor& monitor);

}  // namespace compnn
