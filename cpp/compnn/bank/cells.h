// The activations of one image at one layer, as they lie in memory.
#pragma once

#include <cstddef>

#include "compnn/base/index.h"
#include "compnn/simd/kernels.h"

namespace compnn {

// Norms below this count as zero: the squares of such numbers vanish in float.
constexpr float kSmallestNorm = 1e-18F;

// How the numbers of cells are stored. Those of kInt8 are integers in [-127, 127]: a cell's
// direction, whose length is its norm.
enum class Precision { kFloat32, kFloat16, kBfloat16, kInt8 };

inline Index bytes_per_number(Precision precision) {
  switch (precision) {
    case Precision::kFloat32:
      return 4;
    case Precision::kInt8:
      return 1;
    default:
      return 2;
  }
}

// A view: rows x cols cells of `depth` numbers, channel-last, and the L2 norm of each cell.
struct Cells {
  const void* numbers = nullptr;
  const float* norms = nullptr;
  Precision precision = Precision::kFloat32;
  Index rows = 0, cols = 0, depth = 0;

  Index offset(Index row, Index col) const { return (row * cols + col) * depth; }
  Index cell_bytes() const { return depth * bytes_per_number(precision); }

  // Copies `count` neighbouring cells of a row to float.
  void widen(const Kernels& kernels, Index row, Index col, Index count, float* to) const;

  // Dot product of `count` neighbouring cells of a row with as many float cells.
  float dot(const Kernels& kernels, const float* other, Index row, Index col, Index count) const;

  // Adds that dot product to *dot, and to *square that of the cells with themselves, both in double
  // precision.
  void exact_dot(const Kernels& kernels, const float* other, Index row, Index col, Index count,
                 double* dot, double* square) const;

 private:
  template <typename T>
  const T* at(Index row, Index col) const {
    return static_cast<const T*>(numbers) + offset(row, col);
  }
  // What the integers of a cell are multiplied by.
  float scale(const Kernels& kernels, Index row, Index col) const;
};

}  // namespace compnn
