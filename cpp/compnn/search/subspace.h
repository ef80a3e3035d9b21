// The few directions in which the cells of a search have nearly all of their length: a screen that
// looks only at these is faster, and knows how much it misses.
#pragma once

#include <vector>

#include "compnn/search/query.h"
#include "compnn/simd/kernels.h"

namespace compnn {

class Subspace {
 public:
  // All directions.
  explicit Subspace(Index depth) : depth_(depth), kept_(depth) {}

  // The main directions of a sample of the query's and the candidates' cells, without those that
  // together hold no more than kMissing of the cells' squared length; all directions, if finding
  // them would take a noticeable part of an exhaustive search.
  static Subspace choose(const CellBank& bank, const Query& query);

  // What is missing of a product is about this share of it; measured to be a good trade of the time
  // of the products for that of what they cannot exclude.
  static constexpr double kMissing = 0.02;

  Index kept() const { return kept_; }

  // Coordinates (cells x kept) of cells (cells x depth); returns these themselves if all directions
  // are kept.
  const float* project(const Kernels& kernels, const float* cells, Index count,
                       std::vector<float>& coordinates) const;

  // Upper bound of the norm of what project() leaves out of a cell.
  float missing(float norm, const float* coordinates, const Kernels& kernels) const;

 private:
  Index depth_, kept_;
  std::vector<float> directions_;  // (kept x depth), orthonormal; empty if all are kept
};

}  // namespace compnn
