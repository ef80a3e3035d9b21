// The kernels for AVX-512 (x86-64-v4).
#define COMPNN_VECTOR_BYTES 64
#define COMPNN_KERNELS kAvx512Kernels
// Eigen's templates under a name of their own: the linker must not merge functions that were
// compiled for different instruction sets.
#define Eigen CompnnEigenAvx512
#include "compnn/simd/kernels_impl.h"
