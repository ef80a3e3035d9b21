#include "compnn/bank/cells.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace compnn {

float Cells::scale(const Kernels& kernels, Index row, Index col) const {
  const std::int64_t square = kernels.int8.square(at<std::int8_t>(row, col), depth);
  if (square == 0) return 0;
  return static_cast<float>(norms[row * cols + col] / std::sqrt(static_cast<double>(square)));
}

void Cells::widen(const Kernels& kernels, Index row, Index col, Index count, float* to) const {
  const Index all = count * depth;
  switch (precision) {
    case Precision::kFloat32:
      std::copy_n(at<float>(row, col), all, to);
      return;
    case Precision::kFloat16:
      kernels.half.widen(at<Half>(row, col), to, all);
      return;
    case Precision::kBfloat16:
      kernels.bfloat16.widen(at<Bfloat16>(row, col), to, all);
      return;
    case Precision::kInt8:
      for (Index i = 0; i < count; ++i) {
        kernels.int8.widen(at<std::int8_t>(row, col + i), scale(kernels, row, col + i),
                           to + i * depth, depth);
      }
  }
}

float Cells::dot(const Kernels& kernels, const float* other, Index row, Index col,
                 Index count) const {
  const Index all = count * depth;
  switch (precision) {
    case Precision::kFloat32:
      return kernels.dot(other, at<float>(row, col), all);
    case Precision::kFloat16:
      return kernels.half.dot(other, at<Half>(row, col), all);
    case Precision::kBfloat16:
      return kernels.bfloat16.dot(other, at<Bfloat16>(row, col), all);
    case Precision::kInt8:
      break;
  }
  float sum = 0;
  for (Index i = 0; i < count; ++i) {
    sum += kernels.int8.dot(other + i * depth, at<std::int8_t>(row, col + i), depth) *
           scale(kernels, row, col + i);
  }
  return sum;
}

void Cells::exact_dot(const Kernels& kernels, const float* other, Index row, Index col, Index count,
                      double* dot, double* square) const {
  const Index all = count * depth;
  switch (precision) {
    case Precision::kFloat32:
      kernels.exact_dot(other, at<float>(row, col), all, dot, square);
      return;
    case Precision::kFloat16:
      kernels.half.exact_dot(other, at<Half>(row, col), all, dot, square);
      return;
    case Precision::kBfloat16:
      kernels.bfloat16.exact_dot(other, at<Bfloat16>(row, col), all, dot, square);
      return;
    case Precision::kInt8: {
      // The numbers are those that widen() gives, rounded to float.
      thread_local std::vector<float> wide;
      wide.resize(static_cast<std::size_t>(all));
      widen(kernels, row, col, count, wide.data());
      kernels.exact_dot(other, wide.data(), all, dot, square);
    }
  }
}

}  // namespace compnn
