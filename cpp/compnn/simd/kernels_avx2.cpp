// The kernels for AVX2 with FMA and F16C (x86-64-v3).
#define COMPNN_VECTOR_BYTES 32
#define COMPNN_KERNELS kAvx2Kernels
// Eigen's templates under a name of their own: the linker must not merge functions that were
// compiled for different instruction sets.
#define Eigen CompnnEigenAvx2
#include "compnn/simd/kernels_impl.h"
