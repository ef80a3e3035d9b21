// The kernels for the lowest instruction set that the binary supports.
#define COMPNN_VECTOR_BYTES 16
#define COMPNN_KERNELS kBaselineKernels
// Eigen's templates under a name of their own: the linker must not merge functions that were
// compiled for different instruction sets.
#define Eigen CompnnEigenBaseline
#include "compnn/simd/kernels_impl.h"
