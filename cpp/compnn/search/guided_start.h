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
  // Unit vectors as words of the fast format, one after the other, in rows for multiply().
  struct Vectors {
    AlignedVector<std::int32_t> words, corrections;
    AlignedVector<float> scales;
    void resize(Index count, Index words_each, Index block);
    // Copies vector `from` of others.
    void copy(Index to, const Vectors& others, Index from, Index words_each);
  };

  // A place in an image of the bank.
  struct Place {
    std::int32_t row, col;
  };

  // How each image is cut into blocks, bands x across, from each of which one place is taken.
  void cut_images(Index most_places);
  void convert_query(const QueryNumbers& numbers, ThreadPool& pool, Progress& progress);
  void convert_bank(std::uint64_t seed, ThreadPool& pool, Progress& progress);
  // Chooses the places of the candidate number `candidate`, and makes vectors of them.
  void choose_places(Index candidate, std::uint64_t seed);
  void convert_places(Index candidate);
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
  const Subspace& subspace_;
  Index rows_, cols_, dimensions_, words_;
  Index probes_, codes_ = 1, code_cells_ = 0;  // codes, and these in whole panels
  Index bands_ = 1, across_ = 1;
  AlignedVector<Place> sample_;  // bands x across of each candidate
  Vectors query_vectors_, bank_vectors_;
  AlignedVector<std::int32_t> code_words_;
  AlignedVector<float> code_scales_;
  std::vector<std::int32_t> list_begins_, list_;     // of each code, and the sample's numbers in it
  std::vector<std::int32_t> visit_begins_, visits_;  // of each code, and (position, probe) of those
  std::vector<float> found_scores_;
  std::vector<std::int32_t> found_;
};

}  // namespace compnn
