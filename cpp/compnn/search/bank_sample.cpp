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
    : bank_(bank),
      format_(format),
      images_(std::move(images)),
      match_rows_(bank.rows() - format.size().height + 1),
      match_cols_(bank.cols() - format.size().width + 1) {
  const auto count = static_cast<Index>(images_.size());
  const auto rows = static_cast<double>(match_rows_), cols = static_cast<double>(match_cols_);
  const double all = static_cast<double>(count) * rows * cols;
  const double area = std::max(1.0, all / static_cast<double>(most));
  const auto tall = std::min(static_cast<Index>(std::sqrt(area)), match_rows_);
  bands_ = static_cast<Index>(std::lround(rows / static_cast<double>(tall)));
  const double wide = area * static_cast<double>(bands_) / rows;
  across_ = std::clamp<Index>(static_cast<Index>(std::lround(cols / wide)), 1, match_cols_);
  places_.resize(static_cast<std::size_t>(count * bands_ * across_));
  vectors_.resize(size(), format.words(), format.screen().query_block);
  pool.run(
      count,
      [&](Index image, int) {
        choose_places(image, seed);
        convert_places(image);
      },
      progress);
}

void BankSample::choose_places(Index image, std::uint64_t seed) {
  const auto number = static_cast<std::uint64_t>(images_[static_cast<std::size_t>(image)]);
  CounterRandom random(seed, ~std::uint64_t{0}, number);
  Place* const first = places_.data() + image * bands_ * across_;
  Place* place = first;
  for (Index band = 0; band < bands_; ++band) {
    const Index row = match_rows_ * band / bands_, rows = match_rows_ * (band + 1) / bands_ - row;
    for (Index part = 0; part < across_; ++part, ++place) {
      const Index col = match_cols_ * part / across_;
      const Index cols = match_cols_ * (part + 1) / across_ - col;
      *place = {static_cast<std::int32_t>(row), static_cast<std::int32_t>(col)};
      if (rows * cols > 1) {
        place->row += static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(rows)));
        place->col += static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(cols)));
      }
    }
  }
  // In the order in which they are read: those of a row together.
  if (bands_ == match_rows_) return;
  std::sort(first, place, [](const Place& a, const Place& b) {
    return a.row != b.row ? a.row < b.row : a.col < b.col;
  });
}

void BankSample::convert_places(Index image) {
  const HyperpatchSize size = format_.size();
  const Index depth = bank_.depth();
  const std::int32_t number = images_[static_cast<std::size_t>(image)];
  if (bands_ == match_rows_ && across_ == match_cols_) bank_.map(number);
  const Cells cells = bank_.image(number);
  VectorFormat::ProjectedCells projected;
  const Index end = (image + 1) * bands_ * across_;
  for (Index at = image * bands_ * across_; at < end;) {
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
