#include "compnn/bank/pack.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <sstream>
#include <type_traits>
#include <vector>

#include "compnn/base/error.h"
#include "compnn/simd/kernels.h"

namespace compnn {
namespace {

// Cells packed at a time, so that they stay in the cache; products of matrices want more of them.
constexpr Index kBlock = 32, kProjectedBlock = 256;

void check(float largest, float limit) {
  if (!std::isfinite(largest)) throw NotFinite("activations hold NaN or infinity");
  if (largest > limit) {
    std::ostringstream message;
    message << "activations reach " << largest << ", the limit is " << limit;
    throw OutOfRange(message.str());
  }
}

// Rounds a block of cells; returns what they have become in `cells`.
void round(const Kernels& k, float* cells, Index count, Half* packed) {
  k.half.narrow(cells, packed, count);
  k.half.widen(packed, cells, count);
}
void round(const Kernels& k, float* cells, Index count, Bfloat16* packed) {
  k.bfloat16.narrow(cells, packed, count);
  k.bfloat16.widen(packed, cells, count);
}
void round(const Kernels&, const float* cells, Index count, float* packed) {
  std::copy_n(cells, count, packed);
}

// Returns the norm, which is zero where all integers are.
float round_to_integers(const Kernels& k, const float* cell, Index depth, std::int8_t* packed) {
  const float largest = k.largest_magnitude(cell, depth);
  const bool vanishes = largest < kSmallestNorm;
  k.int8.narrow(cell, vanishes ? 0.0F : 127 / largest, packed, depth);
  return vanishes ? 0.0F : std::sqrt(k.dot(cell, cell, depth));
}

template <typename T>
void pack(const Unpacked& from, T* packed, float* norms, float* lost) {
  constexpr bool kIntegers = std::is_same_v<T, std::int8_t>;
  // The largest float that rounds to a finite float16 is just below 65520.
  const float limit = std::is_same_v<T, Half> ? std::nextafter(65520.0F, 0.0F) : kLargestActivation;
  const Kernels& k = kernels();
  const bool project = from.directions != nullptr;
  const Index most = project ? kProjectedBlock : kBlock;
  std::vector<float> block(static_cast<std::size_t>(most * from.depth));
  std::vector<float> coordinates(project ? static_cast<std::size_t>(most * from.kept) : 0);
  for (Index first = 0; first < from.cells; first += most) {
    const Index count = std::min(most, from.cells - first);
    check(k.transpose(from.activations + first, from.cells, from.depth, count, block.data()),
          project ? kLargestActivation : limit);
    float* cells = block.data();
    if (project) {
      k.project(block.data(), count, from.depth, from.directions, from.kept, coordinates.data());
      cells = coordinates.data();
      check(k.largest_magnitude(cells, count * from.kept), limit);
    }
    for (Index i = 0; lost != nullptr && i < count; ++i) {
      const float *whole = block.data() + i * from.depth, *cell = cells + i * from.kept;
      const float square = k.dot(whole, whole, from.depth);
      lost[first + i] = project ? std::max(0.0F, square - k.dot(cell, cell, from.kept)) : 0.0F;
    }
    T* to = packed + first * from.kept;
    if constexpr (!kIntegers) round(k, cells, count * from.kept, to);
    for (Index i = 0; i < count; ++i) {
      const float* cell = cells + i * from.kept;
      if constexpr (kIntegers) {
        norms[first + i] = round_to_integers(k, cell, from.kept, to + i * from.kept);
      } else {
        norms[first + i] = std::sqrt(k.dot(cell, cell, from.kept));
      }
    }
  }
}

}  // namespace

void pack_activations(const Unpacked& from, Precision precision, void* packed, float* norms,
                      float* lost) {
  switch (precision) {
    case Precision::kFloat32:
      return pack(from, static_cast<float*>(packed), norms, lost);
    case Precision::kFloat16:
      return pack(from, static_cast<Half*>(packed), norms, lost);
    case Precision::kBfloat16:
      return pack(from, static_cast<Bfloat16*>(packed), norms, lost);
    case Precision::kInt8:
      return pack(from, static_cast<std::int8_t*>(packed), norms, lost);
  }
}

}  // namespace compnn
