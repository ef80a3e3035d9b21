// The exhaustive search where hyperpatches lie in clusters: their angles to the codes of a codebook
// show of most pairs, without a look at them, that they are not similar (docs/design.md).
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "compnn/search/bank_sample.h"
#include "compnn/search/code_lists.h"
#include "compnn/search/codebook.h"
#include "compnn/search/exact_field.h"
#include "compnn/search/query.h"
#include "compnn/search/unit_vectors.h"

namespace compnn {

class PrunedSearch {
 public:
  // Whether the vectors of such a search have room in memory, and take little of its time.
  static bool is_worth_trying(const CellBank& bank, const Query& query, const VectorFormat& format);

  // All of these outlive this. The better the matches that the field has already, the more is
  // excluded.
  PrunedSearch(const CellBank& bank, const Query& query, const QueryNumbers& numbers,
               const VectorFormat& format, ExactField& field, ThreadPool& pool, Progress& progress);

  // What is to be expected, from a sample: products of vectors, and those of them that do not
  // exclude a match, for each pair of hyperpatches.
  struct Estimate {
    double products, survivors;
  };
  Estimate estimate();

  // How many of the candidates from number `first` on fit into memory at a time.
  Index group_size(Index first) const;

  // Offers the field all places of the candidates number [first, first + count) that may be among
  // the best, and counts as `units` of progress. Returns false when that was given up, since too
  // many could not be excluded.
  bool search(Index first, Index count, Index units);

 private:
  // Lists whose vectors stand in panels for multiply(), those of a code from begins[code] on.
  struct Panels {
    std::vector<Index> begins;
    AlignedVector<std::int32_t> words;
    AlignedVector<float> scales, residuals, missing;
    AlignedVector<float> most_residual, most_missing;  // of each list
  };
  // Positions of the query that look at a list, by list and by how many of its parts they look at:
  // those of number code * kParts + p look at kParts - p.
  struct Visits {
    std::vector<Index> begins;
    AlignedVector<std::int32_t> positions;
  };
  // What is searched together.
  struct Group {
    const BankSample& sample;
    const CodeLists& lists;
    const Panels& panels;
  };
  struct Scratch;

  // Calls visit(position, code, parts) for what a block of positions must look at.
  template <typename Visit>
  void plan_block(const CodeLists& lists, Index first, AlignedVector<float>& cosines,
                  const Visit& visit) const;
  Visits plan(const CodeLists& lists, Index first, Index end) const;
  Panels make_panels(const BankSample& sample, const CodeLists& lists) const;
  void fill_panels(const BankSample& sample, const CodeLists& lists, Index code,
                   Panels& panels) const;
  bool is_zero(const Match& place) const;
  bool are_equal(const Match& a, const Match& b) const;
  void scan(const Group& group, const Visits& visits, Index code, Index begin, Index end);
  // Calls survived(position) for those of which some of the list survive, in scratch.
  template <typename Survived>
  void scan_block(const Group& group, Index code, Index parts, const std::int32_t* positions,
                  Index count, Scratch& scratch, const Survived& survived) const;
  // Offers those of a position's survivors that may be among its best.
  void offer(const Group& group, Index position, Scratch& scratch);

  float needed(Index position) const {
    return field_.needed(position / field_.cols(), position % field_.cols());
  }

  const CellBank& bank_;
  const Query& query_;
  ExactField& field_;
  ThreadPool& pool_;
  Progress& progress_;
  const VectorFormat& format_;
  Index positions_;
  UnitVectors query_vectors_;
  BankSample sample_;
  Codebook codebook_;
  std::atomic<Index> offers_{0};
  Index most_offers_ = 0;
};

}  // namespace compnn
