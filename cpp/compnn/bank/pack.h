// From a network's layout (D, H, W) in float to a bank's: (H, W, D), rounded, with cell norms.
#pragma once

#include "compnn/base/float16.h"
#include "compnn/base/index.h"

namespace compnn {

// Norms, and products of them, must stay within float: numbers above this are refused.
constexpr float kLargestActivation = 1e16F;

// activations: depth x cells; packed: cells x depth; norms: cells, the L2 norms of the packed
// (rounded) cells. Throws NotFinite for NaN or infinity, OutOfRange for numbers that round
// to more than float16's 65504, or beyond kLargestActivation; the outputs are then unspecified.
void pack_activations(const float* activations, Index depth, Index cells, Half* packed,
                      float* norms);
void pack_activations(const float* activations, Index depth, Index cells, float* packed,
                      float* norms);

}  // namespace compnn
