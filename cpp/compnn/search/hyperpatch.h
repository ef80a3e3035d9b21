// Hyperpatches: windows of h x w cells, compared by the cosine of the angle between them.
#pragma once

#include <algorithm>

#include "compnn/bank/cells.h"
#include "compnn/base/index.h"

namespace compnn {

struct HyperpatchSize {
  Index height = 2, width = 2;

  Index rows(const Cells& cells) const { return cells.rows - height + 1; }
  Index cols(const Cells& cells) const { return cells.cols - width + 1; }
  // Hyperpatches of an image; 0 where it is too small.
  Index count(const Cells& cells) const {
    return std::max<Index>(0, rows(cells)) * std::max<Index>(0, cols(cells));
  }
};

// 1 / norm of the hyperpatch at (row, col), or 0 where the norm is zero: such a hyperpatch has no
// direction, and is no match.
float inverse_norm(const Cells& cells, HyperpatchSize size, Index row, Index col);

// Whether the hyperpatches at two places are the same, number by number.
bool same_hyperpatches(const Cells& a, Index a_row, Index a_col, const Cells& b, Index b_row,
                       Index b_col, HyperpatchSize size);

}  // namespace compnn
