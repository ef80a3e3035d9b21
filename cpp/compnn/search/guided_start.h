// Good places to start HyperPatch-Match from: hyperpatches of the bank are sorted into lists by the
// nearest of a few hundred codes, and each hyperpatch of the query is compared with the lists of
// its nearest codes, in 8 bits and few directions.
#pragma once

#include <cstdint>
#include <vector>

#include "compnn/search/bank_sample.h"
#include "compnn/search/codebook.h"
#include "compnn/search/query.h"
#include "compnn/search/unit_vectors.h"

namespace compnn {

class GuidedStart {
 public:
  // About `most_places` hyperpatches of the candidates are sorted into lists (of more, a sample),
  // and `probes` lists are searched for each hyperpatch of the query. Counts as kSteps for each row
  // of these in the progress. The bank, the query and the subspace outlive this.
  static constexpr Index kSteps = 4;
  GuidedStart(const CellBank& bank, const Query& query, const QueryNumbers& numbers,
              const Subspace& subspace, Index most_places, int probes, std::uint64_t seed,
              ThreadPool& pool, Progress& progress);

  // Appends the most promising places for the query's hyperpatch at (row, col), best first and no
  // more than `most`; their similarities are estimates.
  void places(Index row, Index col, std::size_t most, std::vector<Match>& places) const;

 private:
  void probe(ThreadPool& pool, Progress& progress);
  void scan_list(Index code, Index begin, Index end);

  VectorFormat format_;
  Index rows_, cols_;
  UnitVectors query_vectors_;
  BankSample sample_;
  Codebook codebook_;
  Index probes_;
  // Of each code the sample's numbers in its list, and (position, probe) of those who look it up.
  AlignedVector<std::int32_t> list_begins_, list_, visit_begins_, visits_;
  std::vector<float> found_scores_;
  std::vector<std::int32_t> found_;
};

}  // namespace compnn
