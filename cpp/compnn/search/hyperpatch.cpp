#include "compnn/search/hyperpatch.h"

#include <cmath>

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

}  // namespace compnn
