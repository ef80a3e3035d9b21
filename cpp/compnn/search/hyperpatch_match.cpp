#include "compnn/search/hyperpatch_match.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "compnn/base/random.h"
#include "compnn/search/guided_start.h"
#include "compnn/simd/kernels.h"

namespace compnn {

void HyperPatchMatchOptions::check() const {
  if (iterations < 0 && iterations != kUsual) {
    throw std::invalid_argument("iterations must be at least 0, not " + std::to_string(iterations));
  }
  if (effort < 1 || effort > kMostEffort) {
    throw std::invalid_argument("effort must be 1 to " + std::to_string(kMostEffort) + ", not " +
                                std::to_string(effort));
  }
}

namespace {

// Hyperpatches drawn for a position in a round. Positions whose neighbours have not changed skip
// them, so that a round costs about as much as one of two propagations and one draw.
constexpr int kDraws = 2;

// What the guided start may spend, by effort: places of the bank that are sorted into lists, and
// lists that are searched for a hyperpatch.
struct Spend {
  Index places;
  int probes;
};
constexpr Spend kSpend[kMostEffort] = {{1 << 15, 2}, {1 << 16, 2},  {1 << 17, 4},  {1 << 18, 4},
                                       {1 << 18, 8}, {1 << 19, 12}, {1 << 20, 16}, {1 << 21, 24}};
constexpr int kFastRounds = 8, kPaperRounds = 1024;
// Places of the guided start whose similarity is computed in full.
constexpr std::size_t kGuided = 4;
// Largest distance of the first round's draws from the best match; halved in each round.
constexpr Index kWindow = 8;

class HyperPatchMatch {
 public:
  HyperPatchMatch(const CellBank& bank, const Query& query, const QueryNumbers& numbers,
                  std::uint64_t seed)
      : bank_(bank),
        query_(query),
        numbers_(numbers),
        seed_(seed),
        rows_(query.hyperpatch.rows(query.cells)),
        cols_(query.hyperpatch.cols(query.cells)),
        match_rows_(bank.rows() - query.hyperpatch.height + 1),
        match_cols_(bank.cols() - query.hyperpatch.width + 1),
        field_(rows_, cols_, query.matches),
        previous_(rows_, cols_, query.matches),
        changed_(static_cast<std::size_t>(rows_ * cols_), 0),
        previous_changed_(changed_) {}

  Index rows() const { return rows_; }

  // Fills a row with the places that `start` suggests.
  void start_row(Index row, const GuidedStart& start) {
    std::vector<Match> places;
    for (Index col = 0; col < cols_; ++col) {
      start.places(row, col, kGuided + static_cast<std::size_t>(query_.matches), places);
      Match* best = field_.at(row, col);
      for (const Match& place : places) offer(row, col, place, best);
      const auto filled = std::min<std::size_t>(places.size(), query_.matches);
      fill(row, col, static_cast<int>(filled));
    }
  }

  // Fills a row with random matches.
  void start_row(Index row) {
    for (Index col = 0; col < cols_; ++col) fill(row, col, 0);
  }

  void start_round() {
    std::swap(field_, previous_);
    std::swap(changed_, previous_changed_);
  }

  // One round at a row of positions, with draws from all candidates, or, with a window, no further
  // than that from the best match; returns whether a match changed.
  bool improve_row(Index row, int round, Index window) {
    const Index step = round % 2 == 1 ? -1 : 1;
    bool row_changed = false;
    for (Index col = 0; col < cols_; ++col) {
      Match* best = field_.at(row, col);
      std::copy_n(previous_.at(row, col), query_.matches, best);
      bool changed = propagate(row, col, step, 0, round, best);
      changed |= propagate(row, col, 0, step, round, best);
      CounterRandom random(seed_, static_cast<std::uint64_t>(round), position(row, col));
      for (int draws = 0; draws < kDraws; ++draws) {
        const Match drawn = window > 0 ? draw_near(random, best[0], window) : draw(random);
        changed |= offer(row, col, drawn, best);
      }
      changed_[position(row, col)] = changed ? round : previous_changed_[position(row, col)];
      row_changed |= changed;
    }
    return row_changed;
  }

  Field take_field() { return std::move(field_); }

 private:
  std::size_t position(Index row, Index col) const {
    return static_cast<std::size_t>(row * cols_ + col);
  }

  // Offers the matches of the neighbour at (row + down, col + right), shifted back.
  bool propagate(Index row, Index col, Index down, Index right, int round, Match* best) {
    const Index other_row = row + down, other_col = col + right;
    if (other_row < 0 || other_row >= rows_ || other_col < 0 || other_col >= cols_) return false;
    // The same matches were offered two rounds ago, when this neighbour was last asked.
    if (previous_changed_[position(other_row, other_col)] < round - 2) return false;
    bool changed = false;
    const Match* offers = previous_.at(other_row, other_col);
    for (int k = 0; k < query_.matches; ++k) {
      Match match = offers[k];
      match.row -= static_cast<std::int32_t>(down);
      match.col -= static_cast<std::int32_t>(right);
      if (match.row < 0 || match.row >= match_rows_ || match.col < 0 || match.col >= match_cols_) {
        continue;
      }
      changed |= offer(row, col, match, best);
    }
    return changed;
  }

  // Fills up a position with random matches, all different; it has the first `filled` already.
  void fill(Index row, Index col, int filled) {
    CounterRandom random(seed_, 0, position(row, col));
    for (int k = filled; k < query_.matches; ++k) {
      Match match = draw(random);
      score(row, col, match);
      while (!insert_match(field_.at(row, col), k + 1, match)) {
        step(match);
        score(row, col, match);
      }
    }
  }

  Match draw_near(CounterRandom& random, Match match, Index window) const {
    const auto move = [&](std::int32_t& place, Index end) {
      const auto side = static_cast<std::uint64_t>(2 * window + 1);
      const Index moved = place + static_cast<Index>(random.below(side)) - window;
      place = static_cast<std::int32_t>(std::clamp<Index>(moved, 0, end - 1));
    };
    move(match.row, match_rows_);
    move(match.col, match_cols_);
    return match;
  }

  Match draw(CounterRandom& random) const {
    const auto below = [&random](Index bound) {
      return random.below(static_cast<std::uint64_t>(bound));
    };
    Match match;
    match.image = query_.candidates[below(static_cast<Index>(query_.candidates.size()))];
    match.row = static_cast<std::int32_t>(below(match_rows_));
    match.col = static_cast<std::int32_t>(below(match_cols_));
    return match;
  }

  // The next hyperpatch in the order of image, row, column; after the last comes the first.
  void step(Match& match) const {
    if (++match.col < match_cols_) return;
    match.col = 0;
    if (++match.row < match_rows_) return;
    match.row = 0;
    const auto next =
        std::upper_bound(query_.candidates.begin(), query_.candidates.end(), match.image);
    match.image = next == query_.candidates.end() ? query_.candidates.front() : *next;
  }

  // Puts a match into a position's best if it belongs there; returns whether they changed.
  bool offer(Index row, Index col, Match match, Match* best) const {
    const float needed = best[query_.matches - 1].similarity;
    return score(row, col, match, needed) && insert_match(best, query_.matches, match);
  }

  // Similarity, without the factor 1 / norm of the query's hyperpatch. Returns false, without
  // having read all cells, when it is surely less than `needed`: by Cauchy-Schwarz, the cells that
  // are left add no more than the product of their norms.
  bool score(Index row, Index col, Match& match,
             float needed = -std::numeric_limits<float>::infinity()) const {
    const Cells cells = bank_.image(match.image);
    const HyperpatchSize size = query_.hyperpatch;
    const float inverse = inverse_norm(cells, size, match.row, match.col);
    float sum = 0;
    for (Index a = 0; a < size.height; ++a) {
      sum += cells.dot(kernels_, numbers_.at(row + a, col), match.row + a, match.col, size.width);
      float rest = 0;
      for (Index left = a + 1; left < size.height; ++left) {
        rest +=
            row_norm(query_.cells, row + left, col) * row_norm(cells, match.row + left, match.col);
      }
      // The factor covers the rounding of norms and sums.
      constexpr float kSafety = 1.0001F;
      if (a + 1 < size.height && kSafety * (std::abs(sum) + rest) * inverse < needed) return false;
    }
    const float similarity = sum * inverse;
    // Arrays that were not packed may hold anything; a match must have a place in the order.
    match.similarity = std::isfinite(similarity) ? similarity : 0.0F;
    return true;
  }

  // Norm of one row of cells of a hyperpatch.
  float row_norm(const Cells& cells, Index row, Index col) const {
    const float* norms = cells.norms + row * cells.cols + col;
    float sum = 0;
    for (Index b = 0; b < query_.hyperpatch.width; ++b) sum += norms[b] * norms[b];
    return std::sqrt(sum);
  }

  const CellBank& bank_;
  const Query& query_;
  const QueryNumbers& numbers_;
  const Kernels& kernels_ = kernels();
  std::uint64_t seed_;
  Index rows_, cols_, match_rows_, match_cols_;
  Field field_, previous_;
  std::vector<int> changed_, previous_changed_;  // the round that last changed each position
};

}  // namespace

Field hyperpatch_match(const CellBank& bank, const Query& query,
                       const HyperPatchMatchOptions& options, const Monitor& monitor) {
  query.check(bank);
  options.check();
  ThreadPool pool(query.num_threads);
  Progress unwatched(0, nullptr);
  const QueryNumbers numbers(query, pool, unwatched);
  const bool fast = options.schedule == Schedule::kFast;
  const Subspace subspace = fast ? Subspace::choose(bank, query) : Subspace(bank.depth());
  return hyperpatch_match(bank, query, numbers, subspace, options, pool, monitor);
}

Field hyperpatch_match(const CellBank& bank, const Query& query, const QueryNumbers& numbers,
                       const Subspace& subspace, const HyperPatchMatchOptions& options,
                       ThreadPool& pool, const Monitor& monitor) {
  HyperPatchMatch match(bank, query, numbers, options.seed);
  const bool fast = options.schedule == Schedule::kFast;
  const int usual = fast ? kFastRounds : kPaperRounds;
  const int rounds = options.iterations == kUsual ? usual : options.iterations;
  const Index steps = rounds + Index{1} + (fast ? GuidedStart::kSteps : 0);
  Progress progress(steps * match.rows(), monitor);
  if (fast) {
    const Spend& spend = kSpend[options.effort - 1];
    const GuidedStart start(bank, query, numbers, subspace, spend.places, spend.probes,
                            options.seed, pool, progress);
    pool.run(
        match.rows(),
        [&](Index row, int) {
          match.start_row(row, start);
          progress.add(1);
        },
        progress);
  } else {
    pool.run(
        match.rows(),
        [&](Index row, int) {
          match.start_row(row);
          progress.add(1);
        },
        progress);
  }
  for (int round = 1; round <= rounds; ++round) {
    match.start_round();
    const Index window = fast ? std::max<Index>(1, kWindow >> std::min(round - 1, 8)) : 0;
    std::atomic<bool> changed{false};
    pool.run(
        match.rows(),
        [&](Index row, int) {
          if (match.improve_row(row, round, window)) changed = true;
          progress.add(1);
        },
        progress);
    if (options.stop_when_unchanged && !changed) break;
  }
  Field field = match.take_field();
  scale_by_query_norms(field, query);
  return field;
}

}  // namespace compnn
