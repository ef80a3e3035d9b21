// The kernels for AVX-512 with VNNI, the dot products of 8-bit integers.
#define COMPNN_VECTOR_BYTES 64
#define COMPNN_KERNELS kAvx512VnniKernels
// Eigen's templates under a name of their own: the linker must not merge functions that were
// compiled for different instruction sets.
#define Eigen CompnnEigenAvx512Vnni
#include "compnn/simd/kernels_impl.h"
