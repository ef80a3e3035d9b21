// Good places to start HyperPatch-Match from: hyperpatches of the bank are sorted into lists by the
// nearest of a few hundred codes, and each hyperpatch of the query is compared with the lists of
// its nearest codes, in 8 bits and few directions.
#pragma once

#include <cstdint>
#include <vector>

#include "compnn/base/aligned.h"
#include "compnn/base/thread_pool.h"
#include "compnn/search/query.h"
#include "compnn/search/subspace.h"
#include "compnn/simd/kernels.h"

namespace compnn {

class GuidedStart {
 public:
  // About `most_places` hyperpatches of the candidates are sorted into lists (of more, a sample),
  // and `probes` lists are searched for each hyperpatch of the query, whose cells as floats are
  // `numbers`. Counts as kSteps for each row of these in the progress.
  static constexpr Index kSteps = 4;
  GuidedStart(const CellBank& bank, const Query& query, const float* numbers, Index most_places,
              int probes, std::uint64_t seed, ThreadPool& pool, Progress& progress);

  // Appends the most promising places for the query's hyperpatch at (row, col), best first and no
  // more than `most`; their similarities are estimates.
  void places(Index row, Index col, std::size_t most, std::vector<Match>& places) const;

 private:
  // Unit vectors as words of the fast format, one after the other, in rows for multiply().
  struct Vectors {
    AlignedVector<std::int32_t> words, corrections;
    AlignedVector<float> scales;
    void resize(Index count, Index words_each, Index block);
  };

  void choose_places(Index most_places, std::uint64_t seed);
  void convert_query(const float* numbers, ThreadPool& pool, Progress& progress);
  void convert_bank(ThreadPool& pool, Progress& progress);
  void train_codes(ThreadPool& pool, Progress& progress);
  void sort_into_lists(ThreadPool& pool, Progress& progress);
  void probe(ThreadPool& pool, Progress& progress);

  // Makes a hyperpatch's coordinates a unit vector, and that the vectors' number `at`.
  void convert(std::vector<float>& vector, float inverse_norm, Vectors& vectors, Index at) const;
  void pack_codes(const std::vector<float>& codes);
  // The `number` nearest codes of each of `count` vectors, nearest first.
  std::vector<std::int32_t> nearest_codes(const Vectors& vectors, Index count, Index number,
                                          ThreadPool& pool, Progress& progress) const;
  void scan_list(Index code, Index begin, Index end);

  const CellBank& bank_;
  const Query& query_;
  const Kernels& kernels_ = kernels();
  const ScreenKernels& screen_;
  Subspace subspace_;
  Index rows_, cols_, dimensions_, words_;
  Index probes_, codes_ = 1, code_cells_ = 0;  // codes, and these in whole panels
  std::vector<Match> sample_;                  // places of the bank, by image
  Vectors query_vectors_, bank_vectors_;
  AlignedVector<std::int32_t> code_words_;
  AlignedVector<float> code_scales_;
  std::vector<std::int32_t> list_begins_, list_;     // of each code, and the sample's numbers in it
  std::vector<std::int32_t> visit_begins_, visits_;  // of each code, and (position, probe) of those
  std::vector<float> found_scores_;
  std::vector<std::int32_t> found_;
};

}  // namespace compnn
