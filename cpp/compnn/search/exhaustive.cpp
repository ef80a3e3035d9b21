#include "compnn/search/exhaustive.h"

#include <mutex>
#include <utility>
#include <vector>

#include "compnn/search/exact_ranking.h"
#include "compnn/search/tiles.h"
#include "compnn/simd/kernels.h"

namespace compnn {
namespace {

using Floats = std::vector<float>;

void grow(Floats& floats, Index count) {
  if (static_cast<Index>(floats.size()) < count) floats.resize(static_cast<std::size_t>(count));
}

// What one thread needs to search one strip of query hyperpatches in one image after another.
class StripSearch {
 public:
  StripSearch(const CellBank& bank, const Query& query, const TilePlan& plan)
      : bank_(bank), query_(query), plan_(plan) {}

  // Takes query hyperpatches [row, row + rows) x [col, col + cols).
  void start(Index row, Index rows, Index col, Index cols) {
    rows_ = rows;
    cols_ = cols;
    query_cells_ = cols + query_.hyperpatch.width - 1;
    const Index cell_rows = rows + query_.hyperpatch.height - 1;
    const Index row_size = query_cells_ * bank_.depth();
    grow(query_numbers_, cell_rows * row_size);
    for (Index r = 0; r < cell_rows; ++r) {
      query_.cells.widen(kernels_, row + r, col, query_cells_,
                         query_numbers_.data() + r * row_size);
    }
    best_ = Field(rows, cols, query_.matches);
  }

  // Compares the strip with columns [first, first + count) of hyperpatches of an image.
  void search(std::int32_t image, Index first, Index count, const Progress& progress) {
    image_ = image;
    cells_ = bank_.image(image);
    bank_first_ = first;
    bank_count_ = count;
    bank_cells_ = count + query_.hyperpatch.width - 1;
    grow(inverse_norms_, plan_.bank_rows * count);
    for (Index r = 0; r < plan_.bank_rows; ++r) {
      for (Index c = 0; c < count; ++c) {
        inverse_norms_[static_cast<std::size_t>(r * count + c)] =
            inverse_norm(cells_, query_.hyperpatch, r, first + c);
      }
    }
    // A band is a set of neighbouring diagonals of the (query row, bank row) plane; its number is
    // the bank row that meets the strip's first row.
    const Index band_rows = plan_.band_rows(bank_cells_, rows_);
    for (Index band = 1 - rows_; band < plan_.bank_rows; band += band_rows) {
      if (progress.cancelled()) return;
      search_band(band, band_rows);
    }
  }

  // Matches with similarities that still lack the factor 1 / norm of the query's hyperpatch.
  const Field& best() const { return best_; }

 private:
  // Walks down the band: query cell row t meets bank cell rows band + t ... band + t + band_rows.
  void search_band(Index band, Index band_rows) {
    const Index height = query_.hyperpatch.height;
    const Index cell_rows = rows_ + height - 1;
    const Index row_size = bank_cells_ * bank_.depth();
    const Index first_row = std::max<Index>(0, band);
    const Index end_row = std::min(cells_.rows, band + cell_rows - 1 + band_rows);
    grow(bank_numbers_, (end_row - first_row) * row_size);
    for (Index r = first_row; r < end_row; ++r) {
      cells_.widen(kernels_, r, bank_first_, bank_cells_,
                   bank_numbers_.data() + (r - first_row) * row_size);
    }
    grow(products_, query_cells_ * band_rows * bank_cells_);
    grow(row_sums_, height * band_rows * cols_ * bank_count_);
    grow(scores_, bank_count_);

    for (Index t = 0; t < cell_rows; ++t) {
      const Index begin = std::max<Index>(0, -(band + t));
      const Index end = std::min(band_rows, cells_.rows - (band + t));
      if (begin >= end) continue;
      kernels_.cell_products(query_numbers_.data() + t * query_cells_ * bank_.depth(), query_cells_,
                             bank_numbers_.data() + (band + t + begin - first_row) * row_size,
                             (end - begin) * bank_cells_, bank_.depth(), products_.data());
      for (Index k = begin; k < end; ++k) {
        fold_row(t, band + t + k, k, band_rows, k - begin, (end - begin) * bank_cells_);
      }
    }
  }

  // Query cell row t against bank cell row `bank_row`, the k-th of its band: adds their products
  // along the diagonals and, where hyperpatches end in these rows, keeps the best matches.
  void fold_row(Index t, Index bank_row, Index k, Index band_rows, Index product_row,
                Index product_stride) {
    const Index height = query_.hyperpatch.height;
    const Index query_row = t - (height - 1);
    const Index match_row = bank_row - (height - 1);
    const bool whole = query_row >= 0 && match_row >= 0;

    DiagonalFold fold{};
    fold.product_stride = product_stride;
    fold.width = static_cast<int>(query_.hyperpatch.width);
    fold.num_rows = static_cast<int>(height - 1);
    fold.count = bank_count_;
    if (whole) fold.inverse_norms = inverse_norms_.data() + match_row * bank_count_;
    rows_above_.resize(static_cast<std::size_t>(height - 1));
    fold.rows = rows_above_.data();

    for (Index j = 0; j < cols_; ++j) {
      fold.products = products_.data() + j * product_stride + product_row * bank_cells_;
      for (Index a = 1; a < height; ++a) {
        rows_above_[static_cast<std::size_t>(a - 1)] = row_sums(t + a, k, band_rows, j);
      }
      const float most = kernels_.fold_diagonal(fold, row_sums(t, k, band_rows, j), scores_.data());
      if (whole) keep(query_row, j, match_row, most);
    }
  }

  // The sums of cell row t; rows t - height + 1 ... t are kept, so t + 1 is the oldest.
  float* row_sums(Index t, Index k, Index band_rows, Index j) {
    const Index slot = t % query_.hyperpatch.height;
    return row_sums_.data() + ((slot * band_rows + k) * cols_ + j) * bank_count_;
  }

  void keep(Index query_row, Index query_col, Index match_row, float most) {
    Match* best = best_.at(query_row, query_col);
    const Match& last = best[query_.matches - 1];
    Match match{most, image_, static_cast<std::int32_t>(match_row), 0};
    if (!better(match, last)) return;
    for (Index c = 0; c < bank_count_; ++c) {
      match.similarity = scores_[static_cast<std::size_t>(c)];
      if (match.similarity < last.similarity) continue;
      match.col = static_cast<std::int32_t>(bank_first_ + c);
      insert_match(best, query_.matches, match);
    }
  }

  const CellBank& bank_;
  const Query& query_;
  const TilePlan& plan_;
  const Kernels& kernels_ = kernels();

  Index rows_ = 0, cols_ = 0, query_cells_ = 0;  // of the strip
  Floats query_numbers_;
  Field best_{0, 0, 1};

  std::int32_t image_ = 0;
  Cells cells_;
  Index bank_first_ = 0, bank_count_ = 0, bank_cells_ = 0;
  Floats inverse_norms_, bank_numbers_, products_, row_sums_, scores_;
  std::vector<const float*> rows_above_;
};

}  // namespace

Field exhaustive_search(const CellBank& bank, const Query& query, const Monitor& monitor) {
  query.check(bank);
  const TilePlan plan(bank, query);
  const Index strips = plan.query_rows.parts * plan.query_cols.parts;
  Progress progress(strips * plan.image_groups.count * plan.bank_cols.parts, monitor);
  ThreadPool pool(query.num_threads);
  std::vector<StripSearch> searches(static_cast<std::size_t>(pool.size()),
                                    StripSearch(bank, query, plan));
  Field field(plan.query_rows.count, plan.query_cols.count, query.matches);
  std::mutex field_mutex;

  const auto search_strip = [&](Index task, int thread) {
    const Index group = task / strips;
    const Index strip_row = task % strips / plan.query_cols.parts;
    const Index strip_col = task % strips % plan.query_cols.parts;
    const Index row = plan.query_rows.begin(strip_row), col = plan.query_cols.begin(strip_col);
    const Index rows = plan.query_rows.size(strip_row), cols = plan.query_cols.size(strip_col);
    StripSearch& search = searches[static_cast<std::size_t>(thread)];
    search.start(row, rows, col, cols);
    for (Index i = plan.image_groups.begin(group); i < plan.image_groups.end(group); ++i) {
      for (Index part = 0; part < plan.bank_cols.parts; ++part) {
        search.search(query.candidates[static_cast<std::size_t>(i)], plan.bank_cols.begin(part),
                      plan.bank_cols.size(part), progress);
        progress.add(1);
      }
    }
    const std::lock_guard<std::mutex> lock(field_mutex);
    for (Index r = 0; r < rows; ++r) {
      for (Index c = 0; c < cols; ++c) {
        const Match* found = search.best().at(r, c);
        for (int k = 0; k < query.matches; ++k) {
          insert_match(field.at(row + r, col + c), query.matches, found[k]);
        }
      }
    }
  };
  pool.run(strips * plan.image_groups.parts, search_strip, progress);
  rank_exactly(bank, query, field, progress);
  return field;
}

}  // namespace compnn
