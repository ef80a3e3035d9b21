#include "compnn/simd/level.h"

#include <cstdlib>
#include <stdexcept>

namespace compnn {
namespace {

SimdLevel choose_level() {
  const std::vector<SimdLevel> supported = supported_simd_levels();
  const char* wanted = std::getenv("COMPNN_SIMD");
  if (wanted == nullptr || *wanted == '\0') return supported.back();
  std::string names;
  for (SimdLevel level : supported) {
    if (to_string(level) == wanted) return level;
    names += (names.empty() ? "" : ", ") + to_string(level);
  }
  throw std::invalid_argument("COMPNN_SIMD=" + std::string(wanted) +
                              " is not supported here; choose one of: " + names);
}

}  // namespace

std::string to_string(SimdLevel level) {
  switch (level) {
    case SimdLevel::kAvx512Vnni:
      return "avx512vnni";
    case SimdLevel::kAvx512:
      return "avx512";
    case SimdLevel::kAvx2:
      return "avx2";
    case SimdLevel::kBaseline:
      break;
  }
  return "baseline";
}

std::vector<SimdLevel> supported_simd_levels() {
  std::vector<SimdLevel> levels = {SimdLevel::kBaseline};
#if COMPNN_X86
  __builtin_cpu_init();
  // The kernels are compiled for x86-64-v3 and -v4; these features stand for the whole levels.
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2")) {
    levels.push_back(SimdLevel::kAvx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
      levels.push_back(SimdLevel::kAvx512);
      if (__builtin_cpu_supports("avx512vnni")) levels.push_back(SimdLevel::kAvx512Vnni);
    }
  }
#endif
  return levels;
}

SimdLevel simd_level() {
  static const SimdLevel level = choose_level();
  return level;
}

}  // namespace compnn
