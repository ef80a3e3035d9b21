#include "compnn/search/bank_sample.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "compnn/base/random.h"
#include "compnn/search/hyperpatch.h"

namespace compnn {

BankSample::BankSample(const CellBank& bank, const VectorFormat& format,
                       std::vector<std::int32_t> images, Index most, std::uint64_t seed,
                       ThreadPool& pool, Progress& progress)
    : bank_(bank), format_(format), images_(std::move(images)) {
  Index all = 0;
  for (const std::int32_t image : images_) all += format.size().count(bank.image(image));
  make_grids(std::max(1.0, static_cast<double>(all) / static_cast<double>(most)));
  places_.resize(static_cast<std::size_t>(grids_.back().end()));
  vectors_.resize(size(), format.words(), format.screen().query_block);
  pool.run(
      static_cast<Index>(images_.size()),
      [&](Index i, int) {
        const auto number = static_cast<std::size_t>(i);
        choose_places(number, seed);
        convert_places(number);
      },
      progress);
}

void BankSample::make_grids(double area) {
  Index begin = 0;
  for (const std::int32_t image : images_) {
    const Cells cells = bank_.image(image);
    Grid grid{format_.size().rows(cells), format_.size().cols(cells), 0, 0, begin};
    const auto rows = static_cast<double>(grid.match_rows);
    const auto cols = static_cast<double>(grid.match_cols);
    const auto tall = std::min(static_cast<Index>(std::sqrt(area)), grid.match_rows);
    grid.bands = static_cast<Index>(std::lround(rows / static_cast<double>(tall)));
    const double wide = area * static_cast<double>(grid.bands) / rows;
    grid.across =
        std::clamp<Index>(static_cast<Index>(std::lround(cols / wide)), 1, grid.match_cols);
    grids_.push_back(grid);
    begin = grid.end();
  }
}

void BankSample::choose_places(std::size_t number, std::uint64_t seed) {
  const Grid& grid = grids_[number];
  const std::int32_t image = images_[number];
  CounterRandom random(seed, ~std::uint64_t{0}, static_cast<std::uint64_t>(image));
  Place* const first = places_.data() + grid.begin;
  Place* place = first;
  for (Index band = 0; band < grid.bands; ++band) {
    const Index row = grid.match_rows * band / grid.bands;
    const Index rows = grid.match_rows * (band + 1) / grid.bands - row;
    for (Index part = 0; part < grid.across; ++part, ++place) {
      const Index col = grid.match_cols * part / grid.across;
      const Index cols = grid.match_cols * (part + 1) / grid.across - col;
      *place = {image, static_cast<std::int32_t>(row), static_cast<std::int32_t>(col)};
      if (rows * cols > 1) {
        place->row += static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(rows)));
        place->col += static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(cols)));
      }
    }
  }
  // In the order in which they are read: those of a row together.
  if (grid.bands == grid.match_rows) return;
  std::sort(first, place, [](const Place& a, const Place& b) {
    return a.row != b.row ? a.row < b.row : a.col < b.col;
  });
}

void BankSample::convert_places(std::size_t number) {
  const HyperpatchSize size = format_.size();
  const Grid& grid = grids_[number];
  if (grid.bands == grid.match_rows && grid.across == grid.match_cols) bank_.map(images_[number]);
  const Cells cells = bank_.image(images_[number]);
  const Index depth = cells.depth;
  VectorFormat::ProjectedCells projected;
  const Index end = grid.end();
  for (Index at = grid.begin; at < end;) {
    const Index row = places_[static_cast<std::size_t>(at)].row;
    const auto col_of = [&](Index i) { return Index{places_[static_cast<std::size_t>(i)].col}; };
    Index row_end = at;
    while (row_end < end && places_[static_cast<std::size_t>(row_end)].row == row) ++row_end;
    // Whole rows of cells where most are needed, else those that are.
    const bool whole = (row_end - at) * size.width >= cells.cols;
    const Index run = whole ? cells.cols : size.width;
    const Index runs = whole ? 1 : row_end - at;
    const Index count = size.height * runs * run;
    projected.numbers.resize(static_cast<std::size_t>(count * depth));
    projected.norms.resize(static_cast<std::size_t>(count));
    for (Index a = 0; a < size.height; ++a) {
      for (Index i = 0; i < runs; ++i) {
        const Index col = whole ? 0 : col_of(at + i), to = (a * runs + i) * run;
        cells.widen(format_.kernels(), row + a, col, run, projected.numbers.data() + to * depth);
        std::copy_n(cells.norms + (row + a) * cells.cols + col, run, projected.norms.data() + to);
      }
    }
    format_.project(projected.numbers.data(), count, projected);
    for (Index i = at; i < row_end; ++i) {
      const Index first = whole ? col_of(i) : (i - at) * run;
      format_.convert(projected, first, runs * run, inverse_norm(cells, size, row, col_of(i)),
                      vectors_, i);
    }
    at = row_end;
  }
}

}  // namespace compnn
