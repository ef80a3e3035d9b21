#include "compnn/bank/pack.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "compnn/base/error.h"
#include "compnn/simd/kernels.h"

namespace compnn {
namespace {

constexpr Index kBlock = 16;  // cells transposed at a time: one cache line of each channel

void check_block(const std::vector<float>& block, std::size_t count, float limit) {
  float largest = 0;
  bool finite = true;
  for (std::size_t i = 0; i < count; ++i) {
    const float magnitude = std::fabs(block[i]);
    finite &= magnitude <= 3.4028235e38F;  // false for NaN too
    largest = std::max(largest, magnitude);
  }
  if (!finite) throw NotFinite("activations hold NaN or infinity");
  if (largest > limit) {
    throw OutOfRange("activations reach " + std::to_string(largest) + ", the limit is " +
                     std::to_string(limit));
  }
}

template <typename T>
void pack(const float* activations, Index depth, Index cells, T* packed, float* norms) {
  constexpr bool kNarrow = std::is_same_v<T, Half>;
  // The largest number that rounds to a finite float16.
  const float limit = kNarrow ? 65519.996F : kLargestActivation;
  const Kernels& k = kernels();
  std::vector<float> block(static_cast<std::size_t>(kBlock * depth));
  for (Index first = 0; first < cells; first += kBlock) {
    const Index count = std::min(kBlock, cells - first);
    for (Index channel = 0; channel < depth; ++channel) {
      const float* from = activations + channel * cells + first;
      for (Index cell = 0; cell < count; ++cell) {
        block[static_cast<std::size_t>(cell * depth + channel)] = from[cell];
      }
    }
    check_block(block, static_cast<std::size_t>(count * depth), limit);
    T* to = packed + first * depth;
    if constexpr (kNarrow) {
      k.narrow(block.data(), to, count * depth);
      k.widen(to, block.data(), count * depth);
    } else {
      std::copy_n(block.data(), count * depth, to);
    }
    for (Index cell = 0; cell < count; ++cell) {
      const float* numbers = block.data() + cell * depth;
      norms[first + cell] = std::sqrt(k.dot(numbers, numbers, depth));
    }
  }
}

}  // namespace

void pack_activations(const float* activations, Index depth, Index cells, Half* packed,
                      float* norms) {
  pack(activations, depth, cells, packed, norms);
}

void pack_activations(const float* activations, Index depth, Index cells, float* packed,
                      float* norms) {
  pack(activations, depth, cells, packed, norms);
}

}  // namespace compnn
