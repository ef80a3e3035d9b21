// A few hundred directions that hyperpatches lie around: the means of spherical k-means.
#pragma once

#include <cstdint>
#include <vector>

#include "compnn/search/unit_vectors.h"

namespace compnn {

class Codebook {
 public:
  // About so many products of vectors are computed for each code.
  static constexpr Index kTraining = 4096, kRounds = 4, kProducts = kTraining * kRounds;

  // Of no more than `codes` codes, trained on some of `count` vectors. The format outlives this.
  Codebook(const VectorFormat& format, const UnitVectors& vectors, Index count, Index codes,
           ThreadPool& pool, Progress& progress);

  Index size() const { return codes_; }
  // Cosines in a row of cosines(): of the codes, and some zeros.
  Index row_size() const { return row_size_; }

  // Cosines of a block of vectors (screen().query_block) from `first` with all codes, a row each.
  // A code is a unit vector, or zero, as it is stored: only what the vectors lost is unknown.
  void cosines(const UnitVectors& vectors, Index first, float* cosines) const;

  // The nearest codes of vectors, and the cosines with these.
  struct Nearest {
    AlignedVector<std::int32_t> codes;
    AlignedVector<float> cosines;
  };
  // Of each of `count` vectors the `number` nearest, nearest first.
  Nearest nearest(const UnitVectors& vectors, Index count, Index number, ThreadPool& pool,
                  Progress& progress) const;

 private:
  void pack(const std::vector<float>& codes);

  const VectorFormat& format_;
  Index codes_, row_size_;
  AlignedVector<std::int32_t> words_;
  AlignedVector<float> scales_;
};

}  // namespace compnn
