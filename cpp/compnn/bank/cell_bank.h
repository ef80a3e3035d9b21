// The cells of one layer for every training image: the part of a bank that a search reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "compnn/bank/cells.h"

namespace compnn {

// Cells of many images, one after the other, and the L2 norm of each.
struct Shard {
  const void* numbers = nullptr;
  const float* norms = nullptr;
  Precision precision = Precision::kFloat32;
  Index count = 0, depth = 0;
  // The directions that the cells are coordinates along, by number; only cells of one basis can be
  // compared with one another.
  Index basis = 0;
};

// Where the cells of an image are: rows x cols of them, from cell `first` of a shard.
struct ImagePlace {
  Index shard = 0, first = 0, rows = 0, cols = 0;
};

class CellBank {
 public:
  // A bank over arrays that somebody else, or `owner`, keeps alive.
  // Throws std::invalid_argument when images are not within their shards, shards differ in
  // precision, those of a basis in depth, or a basis below another one has no shard.
  CellBank(std::vector<Shard> shards, const std::vector<ImagePlace>& images,
           std::shared_ptr<const void> owner = nullptr);

  Index images() const { return static_cast<Index>(images_.size()); }
  Precision precision() const { return shards_.front().precision; }
  Index bases() const { return static_cast<Index>(depths_.size()); }
  // Of the cells of a basis.
  Index depth(Index basis) const { return depths_[static_cast<std::size_t>(basis)]; }

  Index rows(Index image) const { return place(image).rows; }
  Index cols(Index image) const { return place(image).cols; }
  Index basis(Index image) const { return shard(image).basis; }
  Cells image(Index index) const {
    const Place& from = place(index);
    const Shard& shard = shards_[static_cast<std::size_t>(from.shard)];
    Cells cells;
    cells.numbers = static_cast<const std::byte*>(shard.numbers) +
                    from.first * shard.depth * bytes_per_number(shard.precision);
    cells.norms = shard.norms + from.first;
    cells.precision = shard.precision;
    cells.rows = from.rows;
    cells.cols = from.cols;
    cells.depth = shard.depth;
    return cells;
  }

  // Asks the system to read an image's part of the files, without waiting for it.
  void read_ahead(Index index) const;
  // Reads and maps an image's part of the files at once, instead of page by page when they are
  // first touched, where the system can.
  void map(Index index) const;

 private:
  // An ImagePlace, in less room: there may be millions.
  struct Place {
    Index first;
    std::int32_t shard, rows, cols;
  };

  void check_shards();
  const Place& place(Index image) const { return images_[static_cast<std::size_t>(image)]; }
  const Shard& shard(Index image) const {
    return shards_[static_cast<std::size_t>(place(image).shard)];
  }
  void advise(Index index, int advice) const;

  std::vector<Shard> shards_;
  std::vector<Index> depths_;  // of each basis
  std::vector<Place> images_;
  std::shared_ptr<const void> owner_;
};

}  // namespace compnn
