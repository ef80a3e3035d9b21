#include "compnn/search/screen.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <unordered_map>

namespace compnn {
namespace {

std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15U;
  return hash ^ (hash >> 29);
}

std::uint64_t hash_of(const char* bytes, Index count) {
  std::uint64_t hash = 0;
  Index i = 0;
  for (; i + 8 <= count; i += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes + i, sizeof word);
    hash = mix(hash, word);
  }
  for (; i < count; ++i) hash = mix(hash, static_cast<unsigned char>(bytes[i]));
  return hash;
}

}  // namespace

float norm_of(const float* numbers, Index stride, HyperpatchSize size) {
  double sum = 0;
  for (Index a = 0; a < size.height; ++a) {
    for (Index b = 0; b < size.width; ++b) {
      const double number = static_cast<double>(numbers[a * stride + b]);
      sum += number * number;
    }
  }
  return static_cast<float>(std::sqrt(sum));
}

const ScreenKernels& fast_screen(const Kernels& kernels, Index depth) {
  return depth <= kDeepestInteger ? kernels.fast : kernels.floats;
}

const ScreenKernels& fine_screen(const Kernels& kernels, Index depth) {
  return depth <= kDeepestInteger ? kernels.fine : kernels.floats;
}

ScreenedQuery::ScreenedQuery(const Query& query, const ScreenKernels& screen,
                             const Subspace& subspace)
    : query_(query),
      screen_(screen),
      subspace_(subspace),
      words_(screen.words(subspace.kept())),
      cells_(query.cells.cols + screen.query_block),
      cols_(query.hyperpatch.cols(query.cells)),
      cell_words_(static_cast<std::size_t>(query.cells.rows * cells_ * words_)),
      corrections_(static_cast<std::size_t>(query.cells.rows * cells_)),
      scales_(corrections_.size()),
      residuals_(corrections_.size()),
      missing_(corrections_.size()),
      bounds_(static_cast<std::size_t>(query.hyperpatch.rows(query.cells) * cols_)) {}

void ScreenedQuery::convert_row(Index row, const float* numbers) {
  std::vector<float> projected;
  const Index kept = subspace_.kept();
  const float* coordinates = subspace_.project(kernels(), numbers, query_.cells.cols, projected);
  for (Index col = 0; col < query_.cells.cols; ++col) {
    const auto cell = static_cast<std::size_t>(row * cells_ + col);
    const float* from = coordinates + col * kept;
    screen_.convert(from, kept, cell_words_.data() + (row * cells_ + col) * words_, 1,
                    &scales_[cell], &residuals_[cell], &corrections_[cell]);
    missing_[cell] =
        subspace_.missing(query_.cells.norms[row * query_.cells.cols + col], from, kernels());
  }
  const Index room = row * cells_ + query_.cells.cols, room_cells = cells_ - query_.cells.cols;
  std::fill_n(cell_words_.data() + room * words_, room_cells * words_, 0);
  std::fill_n(corrections_.data() + room, room_cells, 0);
  std::fill_n(scales_.data() + room, room_cells, 0.0F);
}

void ScreenedQuery::bound_row(Index row) {
  const float slack = kScreenSlack + screen_.rounding * static_cast<float>(query_.cells.depth);
  for (Index col = 0; col < cols_; ++col) {
    const float inverse = inverse_norm(query_.cells, query_.hyperpatch, row, col);
    const float residual =
        norm_of(residuals_.data() + row * cells_ + col, cells_, query_.hyperpatch) * inverse;
    const float missing = norm_of(missing_.data() + row * cells_ + col, cells_, query_.hyperpatch);
    bounds_[static_cast<std::size_t>(row * cols_ + col)] =
        inverse == 0 ? Bound{0, 0, 0, 0}
                     : Bound{1 / inverse, (1 + residual) / inverse, missing, residual + slack};
  }
}

void ScreenedTile::fill(const Cells& cells, std::int32_t image, Index first, Index count,
                        HyperpatchSize size, int copies, const Kernels& kernels,
                        const ScreenKernels& screen, const Subspace& subspace) {
  image_ = image;
  first_ = first;
  rows_ = cells.rows;
  words_ = screen.words(subspace.kept());
  const Index used = count + size.width - 1;
  row_cells_ = rounded_up(used, screen.bank_block);
  panels_ = row_cells_ / screen.bank_block;
  fold_count_ = rounded_up(count, kFoldStep);
  // Cells and hyperpatches that only fill up a row, or are zero: their products are zeros, and no
  // bound reaches any threshold.
  cell_words_.assign(static_cast<std::size_t>(rows_ * row_cells_ * words_), 0);
  scales_.assign(static_cast<std::size_t>(rows_ * row_cells_), 0.0F);
  cell_residuals_.assign(scales_.size(), 0.0F);
  cell_missing_.assign(scales_.size(), 0.0F);
  const Index match_rows = rows_ - size.height + 1;
  inverse_norms_.assign(static_cast<std::size_t>(match_rows * fold_count_), 0.0F);
  residuals_.assign(inverse_norms_.size(), -std::numeric_limits<float>::infinity());
  missing_.assign(inverse_norms_.size(), 0.0F);

  most_residuals_.assign(static_cast<std::size_t>(match_rows), 0.0F);
  most_missing_.assign(most_residuals_.size(), 0.0F);

  const Index kept = subspace.kept();
  std::vector<float> projected, numbers(static_cast<std::size_t>(used * cells.depth));
  for (Index row = 0; row < rows_; ++row) {
    cells.widen(kernels, row, first, used, numbers.data());
    const float* coordinates = subspace.project(kernels, numbers.data(), used, projected);
    for (Index c = 0; c < used; ++c) {
      const Index panel = c / screen.bank_block;
      const auto cell = static_cast<std::size_t>(row * row_cells_ + c);
      const float* from = coordinates + c * kept;
      cell_missing_[cell] =
          subspace.missing(cells.norms[row * cells.cols + first + c], from, kernels);
      screen.convert(from, kept,
                     cell_words_.data() + (row * row_cells_ + panel * screen.bank_block) * words_ +
                         c % screen.bank_block,
                     screen.bank_block, &scales_[cell], &cell_residuals_[cell], nullptr);
    }
  }
  for (Index row = 0; row < match_rows; ++row) {
    for (Index c = 0; c < count; ++c) {
      const float inverse = inverse_norm(cells, size, row, first + c);
      const auto place = static_cast<std::size_t>(row * fold_count_ + c);
      if (inverse == 0) continue;  // no match: as what fills up a row
      inverse_norms_[place] = inverse;
      residuals_[place] =
          norm_of(cell_residuals_.data() + row * row_cells_ + c, row_cells_, size) * inverse;
      missing_[place] =
          norm_of(cell_missing_.data() + row * row_cells_ + c, row_cells_, size) * inverse;
      float &residual = most_residuals_[static_cast<std::size_t>(row)],
            &missing = most_missing_[static_cast<std::size_t>(row)];
      residual = std::max(residual, residuals_[place]);
      missing = std::max(missing, missing_[place]);
    }
  }
  drop_copies(cells, count, size, copies);
}

void ScreenedTile::drop_copies(const Cells& cells, Index count, HyperpatchSize size, int copies) {
  const Index cell_bytes = cells.cell_bytes();
  const auto* bytes = static_cast<const char*>(cells.numbers);
  const auto at = [&](Index row, Index col) {
    return bytes + (row * cells.cols + first_ + col) * cell_bytes;
  };
  const Index used = count + size.width - 1;
  std::vector<std::uint64_t> hashes(static_cast<std::size_t>(rows_ * used));
  for (Index row = 0; row < rows_; ++row) {
    for (Index c = 0; c < used; ++c) {
      hashes[static_cast<std::size_t>(row * used + c)] = hash_of(at(row, c), cell_bytes);
    }
  }
  struct Seen {
    Index row, col;
    int times;
  };
  std::unordered_map<std::uint64_t, Seen> seen;
  seen.reserve(static_cast<std::size_t>((rows_ - size.height + 1) * count));
  for (Index row = 0; row + size.height <= rows_; ++row) {
    for (Index c = 0; c < count; ++c) {
      std::uint64_t hash = 0;
      for (Index a = 0; a < size.height; ++a) {
        for (Index b = 0; b < size.width; ++b) {
          hash = mix(hash, hashes[static_cast<std::size_t>((row + a) * used + c + b)]);
        }
      }
      const auto [entry, is_new] = seen.try_emplace(hash, Seen{row, c, 1});
      if (is_new) continue;
      Seen& first = entry->second;
      const bool same =
          same_hyperpatches(cells, row, first_ + c, cells, first.row, first_ + first.col, size);
      if (!same || ++first.times <= copies) continue;
      const auto place = static_cast<std::size_t>(row * fold_count_ + c);
      inverse_norms_[place] = missing_[place] = 0;
      residuals_[place] = -std::numeric_limits<float>::infinity();
    }
  }
}

}  // namespace compnn
