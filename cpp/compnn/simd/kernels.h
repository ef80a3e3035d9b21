// The inner loops of the engine, one table of them per instruction set.
#pragma once

#include <cstdint>

#include "compnn/base/bfloat16.h"
#include "compnn/base/float16.h"
#include "compnn/base/index.h"
#include "compnn/simd/level.h"

namespace compnn {

// Products of query cells with bank cells, of numbers in a format that is as fast as the
// instruction set allows. A cell is `words(depth)` words of 32 bits; each number x of it stands as
// an integer i (or as itself) with x = scale * i + what was rounded away.
struct ScreenKernels {
  int per_word;       // numbers in a word: 4 (8 bits), 2 (16 bits) or 1 (float)
  int query_block;    // query cells that are multiplied together
  int bank_block;     // bank cells of a panel: word w of cell c of a panel is at w * bank_block + c
  std::int32_t flip;  // a word of a bank cell is that of the same query cell, xor this
  float rounding;     // share of the norms' product that the sums of a product of depth 1 may lose

  Index words(Index depth) const { return (depth + per_word - 1) / per_word; }

  // Converts a cell. Its words go to words[w * stride]. Sets the scale, and an upper bound of the
  // norm of what was rounded away. For the query, `correction` is set to what multiply() needs; the
  // bank's cells are converted with correction = nullptr.
  void (*convert)(const float* numbers, Index depth, std::int32_t* words, Index stride,
                  float* scale, float* residual, std::int32_t* correction);

  // products[q * product_stride + c], for query_block query cells (each `words` words, one after
  // the other) and the bank cells of `panels` panels (each words * bank_block words).
  void (*multiply)(const std::int32_t* query, const float* query_scales,
                   const std::int32_t* corrections, const std::int32_t* bank,
                   const float* bank_scales, Index words, Index panels, float* products,
                   Index product_stride);
};

// One query hyperpatch's last row of cells against a row of bank hyperpatches.
struct ScreenFold {
  const float* products;       // cell products of the query cell with the bank row's cells
  Index product_stride;        // from one query cell's products to the next one's
  int width;                   // w of the hyperpatch: cells along the diagonal
  const float* const* rows;    // sums of the h - 1 cell rows above, newest first
  int num_rows;                // h - 1
  const float* inverse_norms;  // of the bank's hyperpatches; nullptr: the sums are not yet whole
  const float* residuals;      // share of a bank hyperpatch's norm that was rounded away
  const float* missing;        // share of its norm in directions that were left out
  float residual_weight;       // what a residual of 1 may add to a score
  float missing_weight;        // what missing all may add to a score
  float most_error;            // what residuals and missing may add to any score of the row
  float threshold;             // scores that cannot reach this are of no interest
  Index count;                 // bank hyperpatches in the row, a multiple of kFoldStep
};

constexpr Index kFoldStep = 32;

constexpr Index kDeepestInteger = 65536;

// Of count numbers that are stored as T.
template <typename T>
struct NumberKernels {
  // Conversions; narrow() rounds to nearest even.
  void (*widen)(const T* from, float* to, Index count);
  void (*narrow)(const float* from, T* to, Index count);

  // Dot product.
  float (*dot)(const float* a, const T* b, Index count);

  // Adds to *dot the dot product, and to *square that of b with itself, both in double precision.
  void (*exact_dot)(const float* a, const T* b, Index count, double* dot, double* square);
};

// Of count integers, which stand for numbers once they are multiplied by a scale.
struct IntegerKernels {
  void (*widen)(const std::int8_t* from, float scale, float* to, Index count);
  // Rounds from[i] * factor, which must be within [-127, 127], to nearest even.
  void (*narrow)(const float* from, float factor, std::int8_t* to, Index count);
  float (*dot)(const float* a, const std::int8_t* b, Index count);
  // Sum of squares.
  std::int64_t (*square)(const std::int8_t* numbers, Index count);
};

struct Kernels {
  NumberKernels<Half> half;
  NumberKernels<Bfloat16> bfloat16;
  IntegerKernels int8;

  // to (cells x depth) = transpose of the first `cells` columns of from (depth x stride). Returns
  // the largest magnitude; infinity or NaN if there is one of these among the numbers.
  float (*transpose)(const float* from, Index stride, Index depth, Index cells, float* to);

  // As those of NumberKernels.
  float (*dot)(const float* a, const float* b, Index count);
  void (*exact_dot)(const float* a, const float* b, Index count, double* dot, double* square);

  // Largest of the magnitudes of count numbers, none of which is NaN.
  float (*largest_magnitude)(const float* numbers, Index count);

  // coordinates (cells x directions) = cells (cells x depth) * directions (directions x depth)^T.
  void (*project)(const float* cells, Index count, Index depth, const float* directions,
                  Index num_directions, float* coordinates);

  // row_sums[c] = sum over b < width of products[b * product_stride + b + c]: the contribution of
  // one row of cells to the dot products of hyperpatches. scores[c] = (sum of the rows' sums) *
  // inverse_norms[c], and hits lists, ascending, the c whose scores[c] + residual_weight *
  // residuals[c] + missing_weight * missing[c] reaches the threshold; other scores need not be set.
  // Returns the number of hits.
  // Fuses what would be four passes over the products, while they are in cache. row_sums may be the
  // oldest of the rows.
  Index (*fold)(const ScreenFold& fold, float* row_sums, float* scores, std::int32_t* hits);

  // Where products[c] of one of the rows r (row_stride apart) is larger than best[c], puts it there
  // and first + r into index[c]; count is a multiple of kFoldStep.
  void (*keep_best)(const float* products, Index rows, Index row_stride, Index count,
                    std::int32_t first, float* best, std::int32_t* index);

  // Place of the largest of count numbers, the first of equal ones.
  Index (*largest)(const float* numbers, Index count);

  // Of these, the later ones are slower and round less; where the instruction set gains nothing by
  // one, it is the same as the next. fast and fine are integers, whose sums may overflow for cells
  // of more than kDeepestInteger numbers.
  ScreenKernels fast, fine, floats;
};

// The kernels of a level, which must be supported by this processor.
const Kernels& kernels(SimdLevel level);

// The kernels of simd_level().
const Kernels& kernels();

}  // namespace compnn
