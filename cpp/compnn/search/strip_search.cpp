#include "compnn/search/strip_search.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <vector>

#include "compnn/search/screen.h"
#include "compnn/search/tiles.h"
#include "compnn/simd/kernels.h"

namespace compnn {
namespace {

// A hyperpatch of a tile that the screen could not exclude.
struct Survivor {
  std::int32_t row, col;  // position in the query
  std::int32_t match_row, match_col;
  float most;  // upper bound of its similarity
};

// What a strip of query hyperpatches is searched for: positions [row, row + rows) x
// [col, col + cols).
struct Strip {
  Index row, rows, col, cols;
};

// What one thread needs to search one strip in one tile after another. No two share a cache line.
class alignas(128) StripSearch {
 public:
  StripSearch(const Query& query, const Kernels& kernels, ExactField& field)
      : query_(query), kernels_(kernels), field_(field) {}

  // Offers the field all places of the tile that may be among the best of the strip. Returns false
  // when so many survive the screen that a finer one would be faster; then nothing is lost, and
  // the tile must be searched again with that one.
  bool search(const Strip& strip, const ScreenedQuery& screened, const ScreenedTile& tile,
              const ScreenKernels& screen, bool may_give_up, const Progress& progress) {
    strip_ = strip;
    screened_ = &screened;
    tile_ = &tile;
    screen_ = &screen;
    start();
    const Index match_rows = tile.rows() - query_.hyperpatch.height + 1;
    // The products of a band are those of one diagonal of the (query row, bank row) plane; its
    // number is the bank row that meets the strip's first row.
    for (Index band = 1 - strip.rows; band < match_rows; ++band) {
      if (progress.cancelled()) return true;
      search_band(band);
      if (static_cast<Index>(survivors_.size()) <= kMostSurvivors) continue;
      thin_out();
      const Index left = static_cast<Index>(survivors_.size());
      if (may_give_up && offers_ + left > pairs_ / kGiveUpShare + kMostSurvivors) return false;
      if (left > kMostSurvivors / 2) flush();
    }
    flush();
    return true;
  }

 private:
  // One survivor costs about as much as this many products.
  static constexpr Index kGiveUpShare = 300;
  static constexpr Index kMostSurvivors = 1 << 18;

  void start() {
    const auto positions = static_cast<std::size_t>(strip_.rows * strip_.cols);
    needed_.assign(positions, -2.0F);
    thresholds_.resize(positions);
    leaders_.assign(positions, Survivor{-1, 0, 0, 0, 0});
    lower_bounds_.assign(positions * static_cast<std::size_t>(query_.matches), -2.0F);
    offers_ = pairs_ = 0;
    survivors_.clear();
    read_thresholds();

    const HyperpatchSize size = query_.hyperpatch;
    product_stride_ =
        rounded_up(std::max(tile_->row_cells(), tile_->fold_count() + size.width - 1), kFoldStep);
    const Index product_rows = screen_->query_block + size.width - 1;
    products_.assign(static_cast<std::size_t>(product_rows * product_stride_), 0.0F);
    row_sums_.resize(
        static_cast<std::size_t>((size.height - 1) * strip_.cols * tile_->fold_count()));
    scores_.resize(static_cast<std::size_t>(tile_->fold_count()));
    hits_.resize(scores_.size());
    sums_above_.resize(static_cast<std::size_t>(size.height));
    row_of_sums_.resize(scores_.size());
  }

  std::size_t position(Index row, Index col) const {
    return static_cast<std::size_t>((row - strip_.row) * strip_.cols + col - strip_.col);
  }

  void need(Index row, Index col, float similarity) {
    const std::size_t at = position(row, col);
    const ScreenedQuery::Bound& bound = screened_->bound(row, col);
    needed_[at] = similarity;
    thresholds_[at] = bound.norm == 0 ? std::numeric_limits<float>::infinity()
                                      : (similarity - bound.slack) * bound.norm;
  }

  // Takes over what the field needs meanwhile.
  void read_thresholds() {
    for (Index row = strip_.row; row < strip_.row + strip_.rows; ++row) {
      for (Index col = strip_.col; col < strip_.col + strip_.cols; ++col) {
        need(row, col, std::max(needed_[position(row, col)], field_.needed(row, col)));
      }
    }
  }

  // Walks down the band: query cell row t of the strip meets bank cell row band + t.
  void search_band(Index band) {
    const Index height = query_.hyperpatch.height;
    const Index first = std::max<Index>(0, -band);
    const Index end = std::min(strip_.rows + height - 1, tile_->rows() - band);
    for (Index t = first; t < end; ++t) search_row(t, band + t, t - first >= height - 1);
  }

  // `whole`: with these rows, hyperpatches of the query and of the bank are complete.
  void search_row(Index t, Index bank_row, bool whole) {
    const HyperpatchSize size = query_.hyperpatch;
    const Index row = strip_.row + t;
    const Index cells = strip_.cols + size.width - 1;
    const Index carried = size.width - 1;  // rows of products of the block before
    // The next hyperpatch column whose products are not complete.
    Index col = 0;
    for (Index cell = 0; cell < cells; cell += screen_->query_block) {
      if (cell > 0 && carried > 0) {
        const float* last = products_.data() + screen_->query_block * product_stride_;
        std::copy_n(last, carried * product_stride_, products_.data());
      }
      screen_->multiply(screened_->cell_words(row, strip_.col + cell),
                        screened_->scales(row, strip_.col + cell),
                        screened_->corrections(row, strip_.col + cell), tile_->row_words(bank_row),
                        tile_->scales(bank_row), screened_->words(), tile_->panels(),
                        products_.data() + carried * product_stride_, product_stride_);
      const Index last_cell = std::min(cells, cell + screen_->query_block);
      for (; col + size.width <= last_cell; ++col) {
        fold(t, bank_row, col, products_.data() + (col - cell + carried) * product_stride_, whole);
      }
    }
  }

  void fold(Index t, Index bank_row, Index col, const float* products, bool whole) {
    const HyperpatchSize size = query_.hyperpatch;
    const Index row = strip_.row + t - (size.height - 1), match_row = bank_row - (size.height - 1);
    const Index count = tile_->fold_count();
    ScreenFold fold{};
    fold.products = products;
    fold.product_stride = product_stride_;
    fold.width = static_cast<int>(size.width);
    fold.num_rows = static_cast<int>(size.height - 1);
    fold.count = count;
    for (Index a = 1; a < size.height; ++a) {
      sums_above_[static_cast<std::size_t>(a - 1)] = row_sums(t - a, col);
    }
    fold.rows = sums_above_.data();
    float* sums = row_sums(t, col);
    if (!whole) {
      kernels_.fold(fold, sums, nullptr, nullptr);
      return;
    }
    const ScreenedQuery::Bound& bound = screened_->bound(row, strip_.col + col);
    fold.inverse_norms = tile_->inverse_norms(match_row);
    fold.residuals = tile_->residuals(match_row);
    fold.residual_weight = bound.residual_weight;
    fold.missing = tile_->missing(match_row);
    fold.missing_weight = bound.missing_weight;
    fold.most_error = bound.residual_weight * tile_->most_residual(match_row) +
                      bound.missing_weight * tile_->most_missing(match_row);
    fold.threshold = thresholds_[position(row, strip_.col + col)];
    const Index hits = kernels_.fold(fold, sums, scores_.data(), hits_.data());
    pairs_ += count;
    if (hits > 0) keep(row, strip_.col + col, match_row, fold, bound, hits);
  }

  // The sums of a row of cells against the bank row that it meets; the last h - 1 rows are kept,
  // and the oldest makes way for the newest as that is written.
  float* row_sums(Index t, Index col) {
    const Index height = query_.hyperpatch.height;
    if (height == 1) return row_of_sums_.data();
    const Index slot = height == 2 ? 0 : t % (height - 1);
    return row_sums_.data() + (slot * strip_.cols + col) * tile_->fold_count();
  }

  void keep(Index row, Index col, Index match_row, const ScreenFold& fold,
            const ScreenedQuery::Bound& bound, Index hits) {
    const std::size_t at = position(row, col);
    const float inverse = 1 / bound.norm;
    for (Index i = 0; i < hits; ++i) {
      const std::int32_t c = hits_[static_cast<std::size_t>(i)];
      const float error =
          fold.residual_weight * fold.residuals[c] + fold.missing_weight * fold.missing[c];
      const float score = scores_[static_cast<std::size_t>(c)];
      const float most = (score + error) * inverse + bound.slack;
      if (most < needed_[at]) continue;
      const Survivor survivor{static_cast<std::int32_t>(row), static_cast<std::int32_t>(col),
                              static_cast<std::int32_t>(match_row),
                              static_cast<std::int32_t>(tile_->first()) + c, most};
      survivors_.push_back(survivor);
      raise(at, survivor, (score - error) * inverse - bound.slack);
    }
  }

  // A survivor that is at least so similar may raise what others need.
  void raise(std::size_t at, const Survivor& survivor, float least) {
    const auto count = static_cast<std::size_t>(query_.matches);
    float* bounds = lower_bounds_.data() + at * count;
    if (least <= bounds[count - 1]) return;
    if (least > bounds[0]) leaders_[at] = survivor;
    std::size_t place = count - 1;
    for (; place > 0 && bounds[place - 1] < least; --place) bounds[place] = bounds[place - 1];
    bounds[place] = least;
    if (bounds[count - 1] > needed_[at]) need(survivor.row, survivor.col, bounds[count - 1]);
  }

  // Drops the survivors that what was found later excludes.
  void thin_out() {
    const auto excluded = [&](const Survivor& survivor) {
      return survivor.most < needed_[position(survivor.row, survivor.col)];
    };
    survivors_.erase(std::remove_if(survivors_.begin(), survivors_.end(), excluded),
                     survivors_.end());
  }

  // Offers the survivors to the field: of each position first the one that is surely best, which
  // mostly settles that others cannot be.
  void flush() {
    for (Survivor& leader : leaders_) {
      if (leader.row < 0) continue;
      offer(leader);
      if (query_.matches == 1) need(leader.row, leader.col, field_.needed(leader.row, leader.col));
    }
    for (const Survivor& survivor : survivors_) {
      const std::size_t at = position(survivor.row, survivor.col);
      const Survivor& leader = leaders_[at];
      const bool offered = leader.row >= 0 && leader.match_row == survivor.match_row &&
                           leader.match_col == survivor.match_col;
      if (offered || survivor.most < needed_[at] ||
          survivor.most < field_.needed(survivor.row, survivor.col)) {
        continue;
      }
      offer(survivor);
    }
    survivors_.clear();
    for (Survivor& leader : leaders_) leader.row = -1;
    read_thresholds();
  }

  void offer(const Survivor& survivor) {
    field_.offer(survivor.row, survivor.col, tile_->image(), survivor.match_row,
                 survivor.match_col);
    ++offers_;
  }

  const Query& query_;
  const Kernels& kernels_;
  ExactField& field_;
  Strip strip_{};
  const ScreenedQuery* screened_ = nullptr;
  const ScreenedTile* tile_ = nullptr;
  const ScreenKernels* screen_ = nullptr;

  // For each position of the strip: the similarity that a match needs, that as a score, the
  // survivor that is surely best, and lower bounds of the best similarities in the tile.
  std::vector<float> needed_, thresholds_;
  std::vector<Survivor> leaders_;
  std::vector<float> lower_bounds_;

  Index product_stride_ = 0;
  AlignedVector<float> products_, row_sums_, row_of_sums_, scores_;
  std::vector<std::int32_t> hits_;
  std::vector<const float*> sums_above_;
  std::vector<Survivor> survivors_;
  Index offers_ = 0, pairs_ = 0;
};

}  // namespace

Index strip_units(const CellBank& bank, const Query& query, Index first, Index count) {
  const Split rows(query.hyperpatch.rows(query.cells), TilePlan::kQueryRows);
  const Split cols = TilePlan::cut(query.cells, query.hyperpatch);
  Index tiles = 0;
  for (Index i = first; i < first + count; ++i) {
    const std::int32_t image = query.candidates[static_cast<std::size_t>(i)];
    tiles += TilePlan::cut(bank.image(image), query.hyperpatch).parts;
  }
  return rows.parts * cols.parts * tiles;
}

void search_in_strips(const CellBank& bank, const Query& query, const QueryNumbers& numbers,
                      const Subspace& subspace, ExactField& field, ThreadPool& pool,
                      Progress& progress) {
  const Kernels& table = kernels();
  const Index depth = query.cells.depth;
  const ScreenKernels& fast = fast_screen(table, depth);
  const ScreenKernels& fine = fine_screen(table, depth);
  const TilePlan plan(bank, query, fast.words(subspace.kept()), pool.size());
  const Subspace everything(depth);
  ScreenedQuery fast_query(query, fast, subspace), fine_query(query, fine, everything);
  const bool can_be_finer = fast.per_word > fine.per_word || subspace.kept() < depth;
  pool.run(
      query.cells.rows,
      [&](Index row, int) {
        fast_query.convert_row(row, numbers.at(row, 0));
        fine_query.convert_row(row, numbers.at(row, 0));
      },
      progress);
  pool.run(
      field.rows(),
      [&](Index row, int) {
        fast_query.bound_row(row);
        fine_query.bound_row(row);
      },
      progress);

  const auto tile_at = [&](Index number) -> const Tile& {
    return plan.tiles[static_cast<std::size_t>(number)];
  };
  const auto fill = [&](ScreenedTile& tile, Index number, const ScreenKernels& screen,
                        const Subspace& directions) {
    const Tile& from = tile_at(number);
    tile.fill(bank.image(from.image), from.image, from.col, from.cols, query.hyperpatch,
              query.matches, table, screen, directions);
  };
  const Index strips = plan.query_rows.parts * plan.query_cols.parts;
  std::vector<StripSearch> searches(static_cast<std::size_t>(pool.size()),
                                    StripSearch(query, table, field));
  std::vector<ScreenedTile> tiles, fine_tiles(static_cast<std::size_t>(pool.size()));
  std::atomic<Index> searched{0}, given_up{0};
  for (std::size_t group = 0; group + 1 < plan.groups.size(); ++group) {
    const Index first = plan.groups[group], end = plan.groups[group + 1], count = end - first;
    const Index next_end = group + 2 < plan.groups.size() ? plan.groups[group + 2] : end;
    for (Index next = end; next < next_end; ++next) bank.read_ahead(tile_at(next).image);
    tiles.resize(static_cast<std::size_t>(count));
    pool.run(
        count,
        [&](Index i, int) {
          bank.map(tile_at(first + i).image);
          fill(tiles[static_cast<std::size_t>(i)], first + i, fast, subspace);
        },
        progress);
    pool.run(
        strips * count,
        [&](Index task, int thread) {
          const Index part_row = task % strips / plan.query_cols.parts;
          const Index part_col = task % strips % plan.query_cols.parts;
          const Strip strip{plan.query_rows.begin(part_row), plan.query_rows.size(part_row),
                            plan.query_cols.begin(part_col), plan.query_cols.size(part_col)};
          const ScreenedTile& tile = tiles[static_cast<std::size_t>(task / strips)];
          StripSearch& search = searches[static_cast<std::size_t>(thread)];
          // Where the fast screen has mostly been in vain, it is not tried again.
          const bool try_fast = 2 * given_up <= searched;
          bool done = false;
          if (try_fast) {
            done = search.search(strip, fast_query, tile, fast, can_be_finer, progress);
            ++searched;
            if (!done) ++given_up;
          }
          if (!done) {
            ScreenedTile& fine_tile = fine_tiles[static_cast<std::size_t>(thread)];
            fill(fine_tile, first + task / strips, fine, everything);
            search.search(strip, fine_query, fine_tile, fine, false, progress);
          }
          progress.add(1);
        },
        progress);
  }
}

}  // namespace compnn
