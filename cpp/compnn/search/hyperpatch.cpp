#include "compnn/search/hyperpatch.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

namespace compnn {

float inverse_norm(const Cells& cells, HyperpatchSize size, Index row, Index col) {
  double sum = 0;
  for (Index a = 0; a < size.height; ++a) {
    const float* norms = cells.norms + (row + a) * cells.cols + col;
    for (Index b = 0; b < size.width; ++b) sum += static_cast<double>(norms[b]) * norms[b];
  }
  const double norm = std::sqrt(sum);
  return norm >= kSmallestNorm ? static_cast<float>(1.0 / norm) : 0.0F;
}

bool same_hyperpatches(const Cells& a, Index a_row, Index a_col, const Cells& b, Index b_row,
                       Index b_col, HyperpatchSize size) {
  const Index cell_bytes = a.cell_bytes();
  for (Index row = 0; row < size.height; ++row) {
    const Index here = (a_row + row) * a.cols + a_col, there = (b_row + row) * b.cols + b_col;
    // Cells of integers are the same only if their norms are, too.
    if (!std::equal(a.norms + here, a.norms + here + size.width, b.norms + there)) return false;
    if (std::memcmp(static_cast<const char*>(a.numbers) + here * cell_bytes,
                    static_cast<const char*>(b.numbers) + there * cell_bytes,
                    static_cast<std::size_t>(size.width * cell_bytes)) != 0) {
      return false;
    }
  }
  return true;
}

}  // namespace compnn
