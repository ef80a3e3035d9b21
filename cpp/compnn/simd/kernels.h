// The inner loops of the engine, one table of them per instruction set.
#pragma once

#include "compnn/base/float16.h"
#include "compnn/base/index.h"
#include "compnn/simd/level.h"

namespace compnn {

// One query column of a tile against one bank row: what fold_diagonal() adds up.
struct DiagonalFold {
  const float* products;       // cell products of the query cell with the bank row's cells
  Index product_stride;        // from one query cell's products to the next one's
  int width;                   // w of the hyperpatch: cells along the diagonal
  const float* const* rows;    // sums of the h - 1 cell rows above, oldest first
  int num_rows;                // h - 1
  const float* inverse_norms;  // of the bank's hyperpatches; nullptr: the sums are not yet whole
  Index count;                 // bank hyperpatches in the row
};

struct Kernels {
  // Conversions of count numbers; narrow() rounds to nearest even.
  void (*widen)(const Half* from, float* to, Index count);
  void (*narrow)(const float* from, Half* to, Index count);

  // to (cells x depth) = transpose of the first `cells` columns of from (depth x stride). Returns
  // the largest magnitude; infinity or NaN if there is one of these among the numbers.
  float (*transpose)(const float* from, Index stride, Index depth, Index cells, float* to);

  // Dot product of count numbers.
  float (*dot)(const float* a, const float* b, Index count);
  float (*dot_half)(const float* a, const Half* b, Index count);

  // products (queries x cells, row-major) = query (queries x depth) * bank (cells x depth)^T.
  void (*cell_products)(const float* query, Index queries, const float* bank, Index cells,
                        Index depth, float* products);

  // row_sums[c] = sum over b < width of products[b * product_stride + b + c]: the contribution of
  // one row of cells to the dot products of hyperpatches. scores[c] = (sum of the rows' sums) *
  // inverse_norms[c]. Returns the largest score. Fuses what would be three passes over the
  // products, while they are in cache; row_sums may be nullptr when h = 1.
  float (*fold_diagonal)(const DiagonalFold& fold, float* row_sums, float* scores);
};

// The kernels of a level, which must be supported by this processor.
const Kernels& kernels(SimdLevel level);

// The kernels of simd_level().
const Kernels& kernels();

}  // namespace compnn
