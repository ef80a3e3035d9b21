// The kernels, written once in vectors of COMPNN_VECTOR_BYTES; each kernels_*.cpp includes this
// file and is compiled for its instruction set. Everything here has internal linkage.

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "compnn/simd/kernels.h"

#if defined(__AVX2__) || defined(__AVX512F__)
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

inline float to_float(Half x) {
  return static_cast<float>(Eigen::numext::bit_cast<Eigen::half>(x.bits));
}

inline Half to_half(float x) { return {Eigen::numext::bit_cast<std::uint16_t>(Eigen::half(x))}; }

// kLanes halves at once.
inline Floats load(const Half* from) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#elif defined(__F16C__)
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#elif defined(__ARM_NEON) && defined(__aarch64__)
  return vcvt_f32_f16(vld1_f16(reinterpret_cast<const __fp16*>(from)));
#else
  Floats x;
  for (Index i = 0; i < kLanes; ++i) x[i] = to_float(from[i]);
  return x;
#endif
}

inline void store(Floats x, Half* to) {
#if defined(__AVX512F__)
  const __m256i bits = _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bits);
#elif defined(__F16C__)
  const __m128i bits = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bits);
#elif defined(__ARM_NEON) && defined(__aarch64__)
  vst1_f16(reinterpret_cast<__fp16*>(to), vcvt_f16_f32(x));
#else
  for (Index i = 0; i < kLanes; ++i) to[i] = to_half(x[i]);
#endif
}

inline float value(float x) { return x; }
inline float value(Half x) { return to_float(x); }

void widen(const Half* from, float* to, Index count) {
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes) store(load(from + i), to + i);
  for (; i < count; ++i) to[i] = to_float(from[i]);
}

void narrow(const float* from, Half* to, Index count) {
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes) store(load(from + i), to + i);
  for (; i < count; ++i) to[i] = to_half(from[i]);
}

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

template <typename T>
float dot_of(const float* a, const T* b, Index count) {
  // Four sums at a time hide the latency of the additions.
  Floats s0 = {}, s1 = {}, s2 = {}, s3 = {};
  Index i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    s0 += load(a + i) * load(b + i);
    s1 += load(a + i + kLanes) * load(b + i + kLanes);
    s2 += load(a + i + 2 * kLanes) * load(b + i + 2 * kLanes);
    s3 += load(a + i + 3 * kLanes) * load(b + i + 3 * kLanes);
  }
  for (; i + kLanes <= count; i += kLanes) s0 += load(a + i) * load(b + i);
  const Floats sums = (s0 + s1) + (s2 + s3);
  float total = 0;
  for (Index lane = 0; lane < kLanes; ++lane) total += sums[lane];
  for (; i < count; ++i) total += a[i] * value(b[i]);
  return total;
}

float dot(const float* a, const float* b, Index count) { return dot_of(a, b, count); }
float dot_half(const float* a, const Half* b, Index count) { return dot_of(a, b, count); }

template <typename T>
void exact_dot_of(const float* a, const T* b, Index count, double* dot, double* square) {
  typedef double Doubles __attribute__((vector_size(2 * COMPNN_VECTOR_BYTES)));
  Doubles dots = {}, squares = {};
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Doubles x = __builtin_convertvector(load(a + i), Doubles);
    const Doubles y = __builtin_convertvector(load(b + i), Doubles);
    dots += x * y;
    squares += y * y;
  }
  for (Index lane = 0; lane < kLanes; ++lane) {
    *dot += dots[lane];
    *square += squares[lane];
  }
  for (; i < count; ++i) {
    const double y = static_cast<double>(value(b[i]));
    *dot += static_cast<double>(a[i]) * y;
    *square += y * y;
  }
}

void exact_dot(const float* a, const float* b, Index count, double* dot, double* square) {
  exact_dot_of(a, b, count, dot, square);
}
void exact_dot_half(const float* a, const Half* b, Index count, double* dot, double* square) {
  exact_dot_of(a, b, count, dot, square);
}

void project(const float* cells, Index count, Index depth, const float* directions,
             Index num_directions, float* coordinates) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Matrix> from(cells, count, depth), to(directions, num_directions, depth);
  Eigen::Map<Matrix>(coordinates, count, num_directions).noalias() = from * to.transpose();
}

#include "compnn/simd/screen_impl.h"

}  // namespace

extern const Kernels COMPNN_KERNELS;
const Kernels COMPNN_KERNELS = {
    widen,   narrow, transpose, dot,     dot_half,    exact_dot,   exact_dot_half,
    project, fold,   keep_best, largest, kFastScreen, kFineScreen, kFloatScreen,
};

}  // namespace compnn
