#include "compnn/bank/pack.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <type_traits>
#include <vector>

#include "compnn/base/error.h"
#include "compnn/simd/kernels.h"

namespace compnn {
namespace {

constexpr Index kBlock = 32;  // cells packed at a time, so that they stay in the cache

void check(float largest, float limit) {
  if (!std::isfinite(largest)) throw NotFinite("activations hold NaN or infinity");
  if (largest > limit) {
    std::ostringstream message;
    message << "activations reach " << largest << ", the limit is " << limit;
    throw OutOfRange(message.str());
  }
}

template <typename T>
void pack(const float* activations, Index depth, Index cells, T* packed, float* norms) {
  constexpr bool kNarrow = std::is_same_v<T, Half>;
  // The largest float that rounds to a finite float16 is just below 65520.
  const float limit = kNarrow ? std::nextafter(65520.0F, 0.0F) : kLargestActivation;
  const Kernels& k = kernels();
  std::vector<float> block(static_cast<std::size_t>(kBlock * depth));
  for (Index first = 0; first < cells; first += kBlock) {
    const Index count = std::min(kBlock, cells - first);
    check(k.transpose(activations + first, cells, depth, count, block.data()), limit);
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
