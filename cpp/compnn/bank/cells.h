// The activations of one image at one layer, as they lie in memory.
#pragma once

#include <algorithm>

#include "compnn/base/float16.h"
#include "compnn/base/index.h"
#include "compnn/simd/kernels.h"

namespace compnn {

enum class Precision { kFloat16, kFloat32 };

inline Index bytes_per_number(Precision precision) {
  return precision == Precision::kFloat16 ? 2 : 4;
}

// A view: rows x cols cells of `depth` numbers, channel-last, and the L2 norm of each cell.
struct Cells {
  const void* numbers = nullptr;
  const float* norms = nullptr;
  Precision precision = Precision::kFloat32;
  Index rows = 0, cols = 0, depth = 0;

  Index offset(Index row, Index col) const { return (row * cols + col) * depth; }

  // Copies `count` neighbouring cells of a row to float.
  void widen(const Kernels& kernels, Index row, Index col, Index count, float* to) const {
    const Index numbers_to_copy = count * depth;
    if (precision == Precision::kFloat16) {
      kernels.widen(static_cast<const Half*>(numbers) + offset(row, col), to, numbers_to_copy);
    } else {
      const float* from = static_cast<const float*>(numbers) + offset(row, col);
      std::copy(from, from + numbers_to_copy, to);
    }
  }

  // Dot product of `count` neighbouring cells of a row with as many float cells.
  float dot(const Kernels& kernels, const float* other, Index row, Index col, Index count) const {
    if (precision == Precision::kFloat16) {
      return kernels.dot_half(other, static_cast<const Half*>(numbers) + offset(row, col),
                              count * depth);
    }
    return kernels.dot(other, static_cast<const float*>(numbers) + offset(row, col), count * depth);
  }
};

}  // namespace compnn
