// Cells in a fast format (ScreenKernels), and bounds of what that does to similarities: what the
// exhaustive search excludes candidates by (docs/design.md has the proof).
#pragma once

#include <cstdint>
#include <vector>

#include "compnn/base/aligned.h"
#include "compnn/search/query.h"
#include "compnn/search/subspace.h"
#include "compnn/simd/kernels.h"

namespace compnn {

// The kernels' fast and fine format, or floats where integer sums of so many products might
// overflow.
const ScreenKernels& fast_screen(const Kernels& kernels, Index depth);
const ScreenKernels& fine_screen(const Kernels& kernels, Index depth);

// Covers the rounding of norms, of the sums of cell products, and of the bounds themselves.
constexpr float kScreenSlack = 2e-5F;

// Norm of h x w numbers, one for each cell, of which `stride` are in a row.
float norm_of(const float* numbers, Index stride, HyperpatchSize size);

// `count` in whole blocks.
inline Index rounded_up(Index count, Index block) { return (count + block - 1) / block * block; }

// The query's cells, with room at the end of each row for the last block.
class ScreenedQuery {
 public:
  ScreenedQuery(const Query& query, const ScreenKernels& screen, const Subspace& subspace);

  // Converts a row of cells from their numbers.
  void convert_row(Index row, const float* numbers);
  // Bounds a row of hyperpatches, whose rows of cells have been converted.
  void bound_row(Index row);

  Index words() const { return words_; }
  const std::int32_t* cell_words(Index row, Index col) const {
    return cell_words_.data() + (row * cells_ + col) * words_;
  }
  const float* scales(Index row, Index col) const { return scales_.data() + row * cells_ + col; }
  const std::int32_t* corrections(Index row, Index col) const {
    return corrections_.data() + row * cells_ + col;
  }

  // Of the hyperpatch at (row, col). With S the dot product that the kernels give divided by the
  // bank hyperpatch's norm, and r and m the latter's residual and what is missing of it, the true
  // similarity differs from S / norm by no more than (r * residual_weight + m * missing_weight) /
  // norm + slack. The norm is 0 for a zero hyperpatch.
  struct Bound {
    float norm, residual_weight, missing_weight, slack;
  };
  const Bound& bound(Index row, Index col) const {
    return bounds_[static_cast<std::size_t>(row * cols_ + col)];
  }

 private:
  const Query& query_;
  const ScreenKernels& screen_;
  const Subspace& subspace_;
  Index words_, cells_, cols_;  // words of a cell, cells of a row with its room, hyperpatches
  AlignedVector<std::int32_t> cell_words_, corrections_;
  AlignedVector<float> scales_, residuals_, missing_;
  std::vector<Bound> bounds_;
};

// Columns [first, first + count) of hyperpatches of a bank image.
class ScreenedTile {
 public:
  // Of hyperpatches that are equal, number by number, only the first `copies` are kept; the others
  // can never be a hit.
  void fill(const Cells& cells, std::int32_t image, Index first, Index count, HyperpatchSize size,
            int copies, const Kernels& kernels, const ScreenKernels& screen,
            const Subspace& subspace);

  std::int32_t image() const { return image_; }
  Index first() const { return first_; }
  Index rows() const { return rows_; }              // of cells
  Index panels() const { return panels_; }          // of a row of cells
  Index row_cells() const { return row_cells_; }    // in these panels
  Index fold_count() const { return fold_count_; }  // hyperpatches of a row, with their room

  const std::int32_t* row_words(Index row) const {
    return cell_words_.data() + row * row_cells_ * words_;
  }
  const float* scales(Index row) const { return scales_.data() + row * row_cells_; }
  const float* inverse_norms(Index row) const { return inverse_norms_.data() + row * fold_count_; }
  const float* residuals(Index row) const { return residuals_.data() + row * fold_count_; }
  const float* missing(Index row) const { return missing_.data() + row * fold_count_; }
  // The largest of a row.
  float most_residual(Index row) const { return most_residuals_[static_cast<std::size_t>(row)]; }
  float most_missing(Index row) const { return most_missing_[static_cast<std::size_t>(row)]; }

 private:
  void drop_copies(const Cells& cells, Index count, HyperpatchSize size, int copies);

  std::int32_t image_ = -1;
  Index first_ = 0, rows_ = 0, words_ = 0, panels_ = 0, row_cells_ = 0, fold_count_ = 0;
  AlignedVector<std::int32_t> cell_words_;
  AlignedVector<float> scales_, cell_residuals_, cell_missing_;
  AlignedVector<float> inverse_norms_, residuals_, missing_;
  std::vector<float> most_residuals_, most_missing_;
};

}  // namespace compnn
