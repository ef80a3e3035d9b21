// How the exhaustive search cuts its work: tiles whose products stay in the cache of a core. The
// result does not depend on the cut.
#pragma once

#include <cstdint>
#include <vector>

#include "compnn/search/query.h"

namespace compnn {

// `count` items in parts of about equal size, none larger than `largest`.
struct Split {
  Split(Index count_, Index largest) : count(count_), parts((count_ + largest - 1) / largest) {}

  Index begin(Index part) const { return count * part / parts; }
  Index end(Index part) const { return begin(part + 1); }
  Index size(Index part) const { return end(part) - begin(part); }

  Index count, parts;
};

// Bank hyperpatches that are searched together: some columns of an image.
struct Tile {
  std::int32_t image;
  Index col, cols;
};

struct TilePlan {
  TilePlan(const CellBank& bank, const Query& query, Index words, int threads)
      : query_rows(query.hyperpatch.rows(query.cells), kQueryRows),
        query_cols(query.hyperpatch.cols(query.cells), kCols) {
    Index bytes = 0;
    for (const std::int32_t image : query.candidates) {
      const Cells cells = bank.image(image);
      const Split parts = cut(cells, query.hyperpatch);
      for (Index part = 0; part < parts.parts; ++part) {
        const Index tile = cells.rows * (parts.size(part) + query.hyperpatch.width - 1) * words *
                           Index{sizeof(std::int32_t)};
        bytes += tile;
        const auto number = static_cast<Index>(tiles.size());
        if (number == 0 || (bytes > kGroupBytes && number - groups.back() >= threads)) {
          groups.push_back(number);
          bytes = tile;
        }
        tiles.push_back({image, parts.begin(part), parts.size(part)});
      }
    }
    groups.push_back(static_cast<Index>(tiles.size()));
  }

  // How the columns of hyperpatches of an image are cut into tiles.
  static Split cut(const Cells& cells, HyperpatchSize size) { return {size.cols(cells), kCols}; }

  // A taller strip wastes less on the h - 1 rows of cells at its edge; a lower one leaves more of
  // the cache to the bank.
  static constexpr Index kQueryRows = 32, kCols = 128;
  // Converted tiles in memory.
  static constexpr Index kGroupBytes = Index{16} << 20;

  Split query_rows, query_cols;  // of query hyperpatches: strips, and parts of strips
  std::vector<Tile> tiles;
  // Where groups of tiles begin, which are converted, then searched; and the end of the last.
  std::vector<Index> groups;
};

}  // namespace compnn
