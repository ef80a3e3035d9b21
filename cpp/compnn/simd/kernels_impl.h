// The kernels, written once in vectors of COMPNN_VECTOR_BYTES; each kernels_*.cpp includes this
// file and is compiled for its instruction set. Everything here has internal linkage.

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "compnn/simd/kernels.h"

#if defined(__SSE4_1__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace compnn {
namespace {

typedef float Floats __attribute__((vector_size(COMPNN_VECTOR_BYTES)));
typedef std::int32_t Bits __attribute__((vector_size(COMPNN_VECTOR_BYTES)));
constexpr Index kLanes = COMPNN_VECTOR_BYTES / sizeof(float);

inline Floats load(const float* from) {
  Floats x;
  std::memcpy(&x, from, sizeof x);
  return x;
}

inline void store(Floats x, float* to) { std::memcpy(to, &x, sizeof x); }

// Lanes of the first (upper: second) halves of a and b, alternating.
inline Floats interleave(Floats a, Floats b, bool upper) {
  Bits lanes;
  for (Index i = 0; i < kLanes; ++i) {
    lanes[i] = static_cast<int>(i / 2 + (upper ? kLanes / 2 : 0) + (i % 2) * kLanes);
  }
#if defined(__clang__)
  Floats x;
  for (Index i = 0; i < kLanes; ++i) x[i] = lanes[i] < kLanes ? a[lanes[i]] : b[lanes[i] - kLanes];
  return x;
#else
  return __builtin_shuffle(a, b, lanes);
#endif
}

inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }

#include "compnn/simd/storage_impl.h"

float transpose(const float* from, Index stride, Index depth, Index cells, float* to) {
  // As integers, magnitudes are ordered like the numbers, with infinity and NaN above all.
  constexpr std::int32_t kMagnitude = 0x7fffffff;
  Bits most = {};
  std::int32_t largest = 0;
  const auto copy_one = [&](Index channel, Index cell) {
    const float number = from[channel * stride + cell];
    std::int32_t bits;
    std::memcpy(&bits, &number, sizeof bits);
    largest = std::max(largest, bits & kMagnitude);
    to[cell * depth + channel] = number;
  };
  Index cell = 0;
  for (; cell + kLanes <= cells; cell += kLanes) {
    Index channel = 0;
    for (; channel + kLanes <= depth; channel += kLanes) {
      Floats rows[kLanes], shuffled[kLanes];
      for (Index i = 0; i < kLanes; ++i) {
        rows[i] = load(from + (channel + i) * stride + cell);
        Bits bits;
        std::memcpy(&bits, &rows[i], sizeof bits);
        bits &= kMagnitude;
        most = bits > most ? bits : most;
      }
      // Interleaving row i with row i + kLanes / 2, log2(kLanes) times over, transposes.
      for (Index step = 1; step < kLanes; step *= 2) {
        for (Index i = 0; i < kLanes / 2; ++i) {
          shuffled[2 * i] = interleave(rows[i], rows[i + kLanes / 2], false);
          shuffled[2 * i + 1] = interleave(rows[i], rows[i + kLanes / 2], true);
        }
        std::copy(shuffled, shuffled + kLanes, rows);
      }
      for (Index i = 0; i < kLanes; ++i) store(rows[i], to + (cell + i) * depth + channel);
    }
    for (; channel < depth; ++channel) {
      for (Index i = 0; i < kLanes; ++i) copy_one(channel, cell + i);
    }
  }
  for (; cell < cells; ++cell) {
    for (Index channel = 0; channel < depth; ++channel) copy_one(channel, cell);
  }
  for (Index lane = 0; lane < kLanes; ++lane) largest = std::max(largest, most[lane]);
  float magnitude;
  std::memcpy(&magnitude, &largest, sizeof magnitude);
  return magnitude;
}

void project(const float* cells, Index count, Index depth, const float* directions,
             Index num_directions, float* coordinates) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Matrix> from(cells, count, depth), to(directions, num_directions, depth);
  Eigen::Map<Matrix>(coordinates, count, num_directions).noalias() = from * to.transpose();
}

#include "compnn/simd/screen_impl.h"

}  // namespace

template <typename T>
constexpr NumberKernels<T> number_kernels() {
  return {widen<T>, narrow<T>, dot<T>, exact_dot<T>};
}

extern const Kernels COMPNN_KERNELS;
const Kernels COMPNN_KERNELS = {
    number_kernels<Half>(),
    number_kernels<Bfloat16>(),
    {widen_integers, narrow_integers, dot<std::int8_t>, square_integers},
    transpose,
    dot<float>,
    exact_dot<float>,
    largest_magnitude,
    project,
    fold,
    keep_best,
    largest,
    kFastScreen,
    kFineScreen,
    kFloatScreen,
};

}  // namespace compnn
