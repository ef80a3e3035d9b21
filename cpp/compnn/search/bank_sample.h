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
    return {0, place.image, place.row, place.col};
  }

 private:
  struct Place {
    std::int32_t image, row, col;
  };
  // How an image is cut into blocks, and where its places begin.
  struct Grid {
    Index match_rows, match_cols;
    Index bands, across;
    Index begin;

    Index end() const { return begin + bands * across; }
  };

  // Cuts each image into blocks of about `area` hyperpatches.
  void make_grids(double area);
  // Chooses the places of the image number `number`, and makes vectors of them.
  void choose_places(std::size_t number, std::uint64_t seed);
  void convert_places(std::size_t number);

  const CellBank& bank_;
  const VectorFormat& format_;
  std::vector<std::int32_t> images_;
  std::vector<Grid> grids_;  // of each image
  AlignedVector<Place> places_;
  UnitVectors vectors_;
};

}  // namespace compnn
