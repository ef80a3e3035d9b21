// Hyperpatches as unit vectors along few directions and in few bits: the product of two is nearly
// their similarity, and how far it may be off is known (docs/design.md).
#pragma once

#include <cstdint>
#include <vector>

#include "compnn/base/aligned.h"
#include "compnn/base/thread_pool.h"
#include "compnn/search/query.h"
#include "compnn/search/subspace.h"
#include "compnn/simd/kernels.h"

namespace compnn {

struct UnitVectors {
  // Words of the screen's format, a vector after the other, in whole blocks for multiply().
  AlignedVector<std::int32_t> words, corrections;
  // The scale is 0 where nothing is left of a hyperpatch.
  AlignedVector<float> scales;
  // Upper bounds of the norms of what was rounded away, and of what lies in other directions.
  AlignedVector<float> residuals, missing;

  // Leaves the vectors to whoever makes them; those that only fill up the last block are zeros.
  void resize(Index count, Index words_each, Index block);
  // Copies vector `from` of others.
  void copy(Index to, const UnitVectors& others, Index from, Index words_each);
};

// How the hyperpatches of a search become vectors.
class VectorFormat {
 public:
  // The screen's kernels and the subspace outlive this.
  VectorFormat(HyperpatchSize size, const Subspace& subspace, const ScreenKernels& screen)
      : screen_(screen), size_(size), subspace_(subspace) {}

  const Kernels& kernels() const { return kernels_; }
  const ScreenKernels& screen() const { return screen_; }
  HyperpatchSize size() const { return size_; }
  Index dimensions() const { return size_.height * size_.width * subspace_.kept(); }
  Index words() const { return screen_.words(dimensions()); }
  // What a product of two vectors may lose besides what their bounds say.
  float slack() const;

  // Cells along the directions, and what they were made of.
  struct ProjectedCells {
    std::vector<float> numbers, norms;   // to be filled before project()
    std::vector<float> missing;          // upper bounds of each cell's norm in other directions
    const float* coordinates = nullptr;  // cells x kept
    std::vector<float> projected, vector;
  };
  void project(const float* numbers, Index count, ProjectedCells& cells) const;

  // Makes vector `at` of the hyperpatch whose rows begin at cells `first`, first + stride, ...
  void convert(ProjectedCells& cells, Index first, Index stride, float inverse_norm,
               UnitVectors& vectors, Index at) const;

  // The vectors of the query's hyperpatches, row by row.
  UnitVectors of_query(const Query& query, const QueryNumbers& numbers, ThreadPool& pool,
                       Progress& progress) const;

 private:
  const Kernels& kernels_ = compnn::kernels();
  const ScreenKernels& screen_;
  HyperpatchSize size_;
  const Subspace& subspace_;
};

}  // namespace compnn
