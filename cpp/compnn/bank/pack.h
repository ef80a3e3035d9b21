// From a network's layout (D, H, W) in float to a bank's: (H, W, K), rounded, with cell norms.
#pragma once

#include "compnn/bank/cells.h"
#include "compnn/base/index.h"

namespace compnn {

// Norms, and products of them, must stay within float: numbers above this are refused.
constexpr float kLargestActivation = 1e16F;

// What is packed: activations (depth x cells), as their coordinates along `directions`
// (kept x depth), or as they are (nullptr, kept = depth).
struct Unpacked {
  const float* activations;
  Index depth, cells;
  const float* directions = nullptr;
  Index kept;
};

// packed: cells x kept numbers of the precision; norms: cells, the L2 norms of the packed (rounded)
// cells, or for integers of the cells before they are rounded. Throws NotFinite for NaN or
// infinity, OutOfRange for numbers that round to more than float16's 65504, or beyond
// kLargestActivation; the outputs are then unspecified. `lost`, if given: cells, how much of each
// one's squared length is in none of the directions.
void pack_activations(const Unpacked& from, Precision precision, void* packed, float* norms,
                      float* lost = nullptr);

}  // namespace compnn
