// Hyperpatches of some of the bank's images as unit vectors: all of them or, of many, one in each
// block of a grid.
#pragma once

#include <cstdint>
#include <vector>

#include "compnn/bank/cell_bank.h"
#include "compnn/search/field.h"
#include "compnn/search/unit_vectors.h"

namespace compnn {

class BankSample {
 public:
  // About `most` hyperpatches of the images, or all if there are no more. The bank and the format
  // outlive this.
  BankSample(const CellBank& bank, const VectorFormat& format, std::vector<std::int32_t> images,
             Index most, std::uint64_t seed, ThreadPool& pool, Progress& progress);

  Index size() const { return static_cast<Index>(places_.size()); }
  const UnitVectors& vectors() const { return vectors_; }
  // Where a hyperpatch is, with a similarity of 0. They are in the order of their places.
  Match place(Index number) const {
    const Place& place = places_[static_cast<std::size_t>(number)];
    const Index image = number / (bands_ * across_);
    return {0, images_[static_cast<std::size_t>(image)], place.row, place.col};
  }

 private:
  struct Place {
    std::int32_t row, col;
  };

  // Chooses the places of the image number `image`, and makes vectors of them.
  void choose_places(Index image, std::uint64_t seed);
  void convert_places(Index image);

  const CellBank& bank_;
  const VectorFormat& format_;
  std::vector<std::int32_t> images_;
  Index match_rows_, match_cols_;
  Index bands_, across_;  // blocks that an image is cut into
  AlignedVector<Place> places_;
  UnitVectors vectors_;
};

}  // namespace compnn
