// Which instruction set the kernels use.
#pragma once

#include <string>
#include <vector>

namespace compnn {

// Baseline is x86-64-v2, or what the compiler targets elsewhere (NEON on Arm).
enum class SimdLevel { kBaseline, kAvx2, kAvx512, kAvx512Vnni };

std::string to_string(SimdLevel level);

// The levels that this binary has and this processor runs, slowest first.
std::vector<SimdLevel> supported_simd_levels();

// The fastest supported level, or the one that the environment variable COMPNN_SIMD names
// ("baseline", "avx2", "avx512", "avx512vnni"); decided at the first call. Throws
// std::invalid_argument when the variable names a level that is unknown or not supported here.
SimdLevel simd_level();

}  // namespace compnn
