// The formats that banks store numbers in, by their definitions, number by number.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "compnn/bank/cells.h"

namespace compnn::test {

constexpr Precision kAllPrecisions[] = {Precision::kFloat32, Precision::kFloat16,
                                        Precision::kBfloat16, Precision::kInt8};

// The value of a binary format with a sign, then so many bits of exponent and of fraction.
inline double binary_value(std::uint32_t bits, int exponent_bits, int fraction_bits) {
  const int most = (1 << exponent_bits) - 1, bias = most / 2;
  const int exponent = static_cast<int>(bits >> fraction_bits) & most;
  const int one = 1 << fraction_bits, fraction = static_cast<int>(bits) & (one - 1);
  const double sign = (bits >> (exponent_bits + fraction_bits) & 1U) != 0 ? -1 : 1;
  if (exponent == most) {
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
  return sign * std::ldexp(one + fraction, exponent - bias - fraction_bits);
}

inline double value_of(Half x) { return binary_value(x.bits, 5, 10); }
inline double value_of(Bfloat16 x) { return binary_value(x.bits, 8, 7); }

// The nearest number of the format that is no infinity, of two equally near ones the even one.
template <typename T>
T nearest(float number, std::uint16_t largest) {
  const double magnitude = static_cast<double>(std::fabs(number));
  // Without their sign, bits are in the order of the numbers: between `low` and `low + 1`.
  std::uint16_t low = 0, high = largest;
  while (high - low > 1) {
    const auto middle = static_cast<std::uint16_t>((low + high) / 2);
    (value_of(T{middle}) <= magnitude ? low : high) = middle;
  }
  const double below = magnitude - value_of(T{low}), above = value_of(T{high}) - magnitude;
  const bool up = above < below || (above == below && low % 2 == 1);
  const std::uint16_t sign = std::signbit(number) ? 0x8000 : 0;
  return T{static_cast<std::uint16_t>((up ? high : low) | sign)};
}

inline Half half_of(float number) { return nearest<Half>(number, 0x7bff); }
inline Bfloat16 bfloat16_of(float number) { return nearest<Bfloat16>(number, 0x7f7f); }

inline float norm_of(const float* cell, Index depth) {
  double square = 0;
  for (Index d = 0; d < depth; ++d) square += static_cast<double>(cell[d]) * cell[d];
  return static_cast<float>(std::sqrt(square));
}

// A cell of integers: its direction, and the norm of the cell before it was rounded.
struct IntegerCell {
  std::vector<std::int8_t> integers;
  float norm = 0;

  IntegerCell(const float* cell, Index depth) : integers(static_cast<std::size_t>(depth)) {
    float largest = 0;
    for (Index d = 0; d < depth; ++d) largest = std::max(largest, std::fabs(cell[d]));
    if (largest < 1e-18F) return;
    const float factor = 127 / largest;
    std::transform(cell, cell + depth, integers.begin(), [factor](float number) {
      return static_cast<std::int8_t>(std::nearbyint(number * factor));
    });
    norm = norm_of(cell, depth);
  }

  // The numbers that it stands for.
  void widen(float* to) const {
    double square = 0;
    for (const int integer : integers) square += integer * integer;
    const float scale =
        square == 0 ? 0.0F : static_cast<float>(static_cast<double>(norm) / std::sqrt(square));
    std::transform(integers.begin(), integers.end(), to,
                   [scale](int integer) { return static_cast<float>(integer) * scale; });
  }
};

}  // namespace compnn::test
