#include "compnn/simd/kernels.h"

namespace compnn {

extern const Kernels kBaselineKernels;
#if COMPNN_X86
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx512VnniKernels;
#endif

const Kernels& kernels(SimdLevel level) {
  switch (level) {
#if COMPNN_X86
    case SimdLevel::kAvx512Vnni:
      return kAvx512VnniKernels;
    case SimdLevel::kAvx512:
      return kAvx512Kernels;
    case SimdLevel::kAvx2:
      return kAvx2Kernels;
#endif
    default:
      return kBaselineKernels;
  }
}

const Kernels& kernels() { return kernels(simd_level()); }

}  // namespace compnn
