#include "compnn/search/hyperpatch_match.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
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

// Zero hyperpatches that are drawn for a place in a list before it stays empty for now.
constexpr int kRedraws = 32;

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
  HyperPatchMatch(const CellBank& bank, const std::vector<PreparedQuery>& queries,
                  std::uint64_t seed)
      : bank_(bank),
        queries_(queries),
        size_(queries.front().query.hyperpatch),
        matches_(queries.front().query.matches),
        seed_(seed),
        rows_(size_.rows(queries.front().query.cells)),
        cols_(size_.cols(queries.front().query.cells)),
        query_of_basis_(static_cast<std::size_t>(bank.bases())),
        field_(rows_, cols_, matches_),
        previous_(rows_, cols_, matches_),
        changed_(static_cast<std::size_t>(rows_ * cols_), 0),
        previous_changed_(changed_) {
    for (std::size_t i = 0; i < queries.size(); ++i) {
      const std::vector<std::int32_t>& images = queries[i].query.candidates;
      query_of_basis_[static_cast<std::size_t>(bank.basis(images.front()))] = i;
      candidates_.insert(candidates_.end(), images.begin(), images.end());
      std::vector<float>& inverse_norms = inverse_norms_.emplace_back();
      for (Index row = 0; row < rows_; ++row) {
        for (Index col = 0; col < cols_; ++col) {
          inverse_norms.push_back(inverse_norm(queries[i].query.cells, size_, row, col));
        }
      }
    }
    std::sort(candidates_.begin(), candidates_.end());
  }

  Index rows() const { return rows_; }

  // Fills a row with the places that the starts, one for each basis, suggest.
  void start_row(Index row, const std::vector<std::unique_ptr<const GuidedStart>>& starts) {
    std::vector<Match> places;
    for (Index col = 0; col < cols_; ++col) {
      Match* best = field_.at(row, col);
      for (const auto& start : starts) {
        start->places(row, col, kGuided + static_cast<std::size_t>(matches_), places);
        for (const Match& place : places) offer(row, col, place, best);
      }
      const Match* end =
          std::find_if(best, best + matches_, [](const Match& m) { return !m.exists(); });
      fill(row, col, static_cast<int>(end - best));
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
      std::copy_n(previous_.at(row, col), matches_, best);
      bool changed = propagate(row, col, step, 0, round, best);
      changed |= propagate(row, col, 0, step, round, best);
      CounterRandom random(seed_, static_cast<std::uint64_t>(round), position(row, col));
      for (int draws = 0; draws < kDraws; ++draws) {
        const bool is_near = window > 0 && best[0].exists();
        const Match drawn = is_near ? draw_near(random, best[0], window) : draw(random);
        changed |= offer(row, col, drawn, best);
      }
      changed_[position(row, col)] = changed ? round : previous_changed_[position(row, col)];
      row_changed |= changed;
    }
    return row_changed;
  }

  Field take_field() {
    if (!is_of_several_bases()) {
      scale_by_query_norms(field_, queries_.front().query);
      scale_by_shares(field_, queries_.front().query);
    }
    std::replace_if(
        field_.best.begin(), field_.best.end(), [](const Match& m) { return !m.exists(); },
        kNoMatch);
    return std::move(field_);
  }

 private:
  std::size_t position(Index row, Index col) const {
    return static_cast<std::size_t>(row * cols_ + col);
  }

  bool is_of_several_bases() const { return queries_.size() > 1; }
  // The number of the query that an image is compared with.
  std::size_t query_of(std::int32_t image) const {
    return is_of_several_bases() ? query_of_basis_[static_cast<std::size_t>(bank_.basis(image))]
                                 : 0;
  }
  Index match_rows(std::int32_t image) const { return bank_.rows(image) - size_.height + 1; }
  Index match_cols(std::int32_t image) const { return bank_.cols(image) - size_.width + 1; }

  // Offers the matches of the neighbour at (row + down, col + right), shifted back.
  bool propagate(Index row, Index col, Index down, Index right, int round, Match* best) {
    const Index other_row = row + down, other_col = col + right;
    if (other_row < 0 || other_row >= rows_ || other_col < 0 || other_col >= cols_) return false;
    // The same matches were offered two rounds ago, when this neighbour was last asked.
    if (previous_changed_[position(other_row, other_col)] < round - 2) return false;
    bool changed = false;
    const Match* offers = previous_.at(other_row, other_col);
    for (int k = 0; k < matches_; ++k) {
      Match match = offers[k];
      if (!match.exists()) break;
      match.row -= static_cast<std::int32_t>(down);
      match.col -= static_cast<std::int32_t>(right);
      if (match.row < 0 || match.row >= match_rows(match.image) || match.col < 0 ||
          match.col >= match_cols(match.image)) {
        continue;
      }
      changed |= offer(row, col, match, best);
    }
    return changed;
  }

  // Fills up a position with random matches, all different, as far as such are drawn; it has the
  // first `filled` already.
  void fill(Index row, Index col, int filled) {
    if (is_zero(row, col)) return;
    CounterRandom random(seed_, 0, position(row, col));
    for (int k = filled; k < matches_; ++k) {
      Match match = draw(random);
      int redraws = 0;
      while (true) {
        if (score(row, col, match)) {
          if (insert_match(field_.at(row, col), k + 1, match)) break;
          step(match);
        } else {
          if (redraws++ == kRedraws) return;
          match = draw(random);
        }
      }
    }
  }

  // Whether the query's hyperpatch has no direction in any basis.
  bool is_zero(Index row, Index col) const {
    return std::all_of(inverse_norms_.begin(), inverse_norms_.end(),
                       [&](const auto& norms) { return norms[position(row, col)] == 0; });
  }

  Match draw_near(CounterRandom& random, Match match, Index window) const {
    const auto move = [&](std::int32_t& place, Index end) {
      const auto side = static_cast<std::uint64_t>(2 * window + 1);
      const Index moved = place + static_cast<Index>(random.below(side)) - window;
      place = static_cast<std::int32_t>(std::clamp<Index>(moved, 0, end - 1));
    };
    move(match.row, match_rows(match.image));
    move(match.col, match_cols(match.image));
    return match;
  }

  Match draw(CounterRandom& random) const {
    const auto below = [&random](Index bound) {
      return random.below(static_cast<std::uint64_t>(bound));
    };
    Match match;
    match.image = candidates_[below(static_cast<Index>(candidates_.size()))];
    match.row = static_cast<std::int32_t>(below(match_rows(match.image)));
    match.col = static_cast<std::int32_t>(below(match_cols(match.image)));
    return match;
  }

  // The next hyperpatch in the order of image, row, column; after the last comes the first.
  void step(Match& match) const {
    if (++match.col < match_cols(match.image)) return;
    match.col = 0;
    if (++match.row < match_rows(match.image)) return;
    match.row = 0;
    const auto next = std::upper_bound(candidates_.begin(), candidates_.end(), match.image);
    match.image = next == candidates_.end() ? candidates_.front() : *next;
  }

  // Puts a match into a position's best if it belongs there; returns whether they changed.
  bool offer(Index row, Index col, Match match, Match* best) const {
    const float needed = best[matches_ - 1].similarity;
    return score(row, col, match, needed) && insert_match(best, matches_, match);
  }

  // Similarity; in one basis without what scales all similarities of a position alike. Returns
  // false where one of both is zero, and, without having read all cells, when it is surely less
  // than `needed`: by Cauchy-Schwarz, the cells that are left add no more than the product of their
  // norms.
  bool score(Index row, Index col, Match& match,
             float needed = -std::numeric_limits<float>::infinity()) const {
    const Cells cells = bank_.image(match.image);
    const std::size_t number = query_of(match.image);
    const PreparedQuery& prepared = queries_[number];
    const float inverse = inverse_norm(cells, size_, match.row, match.col);
    const float inverse_of_query = inverse_norms_[number][position(row, col)];
    if (inverse == 0 || inverse_of_query == 0) return false;
    float factor = 1, share = 1;
    if (is_of_several_bases()) {
      factor = inverse_of_query;
      const float* shares = prepared.query.share;
      if (shares != nullptr) share = shares[position(row, col)];
    }
    float sum = 0;
    for (Index a = 0; a < size_.height; ++a) {
      sum += cells.dot(kernels_, prepared.numbers.at(row + a, col), match.row + a, match.col,
                       size_.width);
      float rest = 0;
      for (Index left = a + 1; left < size_.height; ++left) {
        rest += row_norm(prepared.query.cells, row + left, col) *
                row_norm(cells, match.row + left, match.col);
      }
      // The factor covers the rounding of norms and sums.
      constexpr float kSafety = 1.0001F;
      const float most = kSafety * (std::abs(sum) + rest) * inverse * factor * share;
      if (a + 1 < size_.height && most < needed) return false;
    }
    float similarity = sum * inverse * factor;
    // Arrays that were not packed may hold anything; a match must have a place in the order.
    if (!std::isfinite(similarity)) similarity = 0;
    if (is_of_several_bases()) similarity = std::clamp(similarity, -1.0F, 1.0F) * share;
    match.similarity = similarity;
    return true;
  }

  // Norm of one row of cells of a hyperpatch.
  float row_norm(const Cells& cells, Index row, Index col) const {
    const float* norms = cells.norms + row * cells.cols + col;
    float sum = 0;
    for (Index b = 0; b < size_.width; ++b) sum += norms[b] * norms[b];
    return std::sqrt(sum);
  }

  const CellBank& bank_;
  const std::vector<PreparedQuery>& queries_;
  const Kernels& kernels_ = kernels();
  HyperpatchSize size_;
  int matches_;
  std::uint64_t seed_;
  Index rows_, cols_;
  std::vector<std::int32_t> candidates_;           // in all bases
  std::vector<std::size_t> query_of_basis_;        // its number
  std::vector<std::vector<float>> inverse_norms_;  // of each query's hyperpatches
  Field field_, previous_;
  std::vector<int> changed_, previous_changed_;  // the round that last changed each position
};

}  // namespace

Field hyperpatch_match(const CellBank& bank, const Request& request,
                       const HyperPatchMatchOptions& options, const Monitor& monitor) {
  const std::vector<Query> queries = request.in_bases(bank);
  options.check();
  ThreadPool pool(request.num_threads);
  Progress unwatched(0, nullptr);
  const bool fast = options.schedule == Schedule::kFast;
  std::vector<QueryNumbers> numbers;
  std::vector<Subspace> subspaces;
  for (const Query& query : queries) {
    numbers.emplace_back(query, pool, unwatched);
    subspaces.push_back(fast ? Subspace::choose(bank, query) : Subspace(query.cells.depth));
  }
  std::vector<PreparedQuery> prepared;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    prepared.push_back({queries[i], numbers[i], subspaces[i]});
  }
  return widened(hyperpatch_match(bank, prepared, options, pool, monitor), request.matches);
}

Field hyperpatch_match(const CellBank& bank, const std::vector<PreparedQuery>& queries,
                       const HyperPatchMatchOptions& options, ThreadPool& pool,
                       const Monitor& monitor) {
  HyperPatchMatch match(bank, queries, options.seed);
  const bool fast = options.schedule == Schedule::kFast;
  const int usual = fast ? kFastRounds : kPaperRounds;
  const int rounds = options.iterations == kUsual ? usual : options.iterations;
  const Index guided = fast ? GuidedStart::kSteps * static_cast<Index>(queries.size()) : 0;
  Progress progress((rounds + Index{1} + guided) * match.rows(), monitor);
  if (fast) {
    // A codebook is of vectors along the same directions: each basis has its own, of as large a
    // share of its hyperpatches as the others.
    const Spend& spend = kSpend[options.effort - 1];
    Index all = 0;
    for (const PreparedQuery& one : queries) all += hyperpatches(bank, one.query);
    std::vector<std::unique_ptr<const GuidedStart>> starts;
    for (const PreparedQuery& one : queries) {
      const Index places = std::max<Index>(1, spend.places * hyperpatches(bank, one.query) / all);
      starts.push_back(std::make_unique<const GuidedStart>(bank, one.query, one.numbers,
                                                           one.subspace, places, spend.probes,
                                                           options.seed, pool, progress));
    }
    pool.run(
        match.rows(),
        [&](Index row, int) {
          match.start_row(row, starts);
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
  return match.take_field();
}

}  // namespace compnn
