#include "compnn/search/exhaustive.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "compnn/search/exact_field.h"
#include "compnn/search/hyperpatch_match.h"
#include "compnn/search/pruned_search.h"
#include "compnn/search/screen.h"
#include "compnn/search/strip_search.h"
#include "compnn/simd/kernels.h"

namespace compnn {
namespace {

// Blocks of so few hyperpatches would be mostly padding: all pairs are computed in double. Global
// descriptors, one to an image, are such a case.
constexpr Index kFewPairs = 64;
// From so many on, a guess and a codebook are a small part of the search.
constexpr Index kManyPairs = Index{1} << 24;

void search_all_pairs(const CellBank& bank, const Query& query, ExactField& field, ThreadPool& pool,
                      Progress& progress) {
  pool.run(
      static_cast<Index>(query.candidates.size()),
      [&](Index i, int) {
        const std::int32_t image = query.candidates[static_cast<std::size_t>(i)];
        for (Index row = 0; row < field.rows(); ++row) {
          for (Index col = 0; col < field.cols(); ++col) {
            for (Index r = 0; r + query.hyperpatch.height <= bank.rows(); ++r) {
              for (Index c = 0; c + query.hyperpatch.width <= bank.cols(); ++c) {
                field.offer(row, col, image, r, c);
              }
            }
          }
        }
        progress.add(1);
      },
      progress);
}

// What HyperPatch-Match finds in a moment excludes most candidates from the beginning.
void offer_guess(const CellBank& bank, const Query& query, const QueryNumbers& numbers,
                 const Subspace& subspace, ExactField& field, ThreadPool& pool,
                 Progress& progress) {
  HyperPatchMatchOptions quick;
  quick.effort = 1;
  quick.iterations = 3;
  const Field guess = hyperpatch_match(bank, query, numbers, subspace, quick, pool, [&](double) {
    progress.report();
    return !progress.cancelled();
  });
  pool.run(field.rows(), [&](Index row, int) { field.offer_row(row, guess); }, progress);
}

// What is done for a pair of hyperpatches, in multiplications of 8 bits: those of a product, and
// what is done with it; more for a pair that the product does not exclude.
double cost_of_product(Index words) { return 4 * static_cast<double>(words) + 64; }
constexpr double kCostOfSurvivor = 60000;
// Estimates are rough, and pruning must pay.
constexpr double kClearly = 0.8;

// Searches candidates for as long as pruning pays, and returns how many it searched; each counts as
// `units` of progress.
Index search_pruned(const CellBank& bank, const Query& query, const QueryNumbers& numbers,
                    const Subspace& subspace, ExactField& field, ThreadPool& pool, Index units,
                    Progress& progress) {
  const Index depth = bank.depth(), cells = query.hyperpatch.height * query.hyperpatch.width;
  const Subspace everything(depth);
  const VectorFormat formats[] = {
      {query.hyperpatch, subspace, fast_screen(kernels(), cells * depth)},
      {query.hyperpatch, everything, fine_screen(kernels(), cells * depth)}};
  const double fast = cost_of_product(fast_screen(kernels(), depth).words(subspace.kept()));
  const double fine = cost_of_product(fine_screen(kernels(), depth).words(depth));
  std::unique_ptr<PrunedSearch> best;
  double least = 0;
  for (const VectorFormat& format : formats) {
    if (!PrunedSearch::is_worth_trying(bank, query, format)) break;
    auto tried =
        std::make_unique<PrunedSearch>(bank, query, numbers, format, field, pool, progress);
    const PrunedSearch::Estimate estimate = tried->estimate();
    const double products = estimate.products * cost_of_product(format.words());
    const double survivors = estimate.survivors * kCostOfSurvivor;
    // The search in strips has as many survivors, or is fine itself.
    if (&format == formats) least = kClearly * std::min(fast + survivors, fine);
    if (products + survivors < least) {
      least = products + survivors;
      best = std::move(tried);
    }
    // The fine format is for where products of the fast one exclude little.
    if (survivors < 2 * products) break;
  }
  if (!best) return 0;
  const auto candidates = static_cast<Index>(query.candidates.size());
  Index searched = 0;
  while (searched < candidates) {
    const Index size = std::min(best->group_size(), candidates - searched);
    if (!best->search(searched, size, size * units)) break;
    searched += size;
  }
  return searched;
}

}  // namespace

Field exhaustive_search(const CellBank& bank, const Query& query, const Monitor& monitor) {
  query.check(bank);
  const Cells& cells = query.cells;
  const HyperpatchSize size = query.hyperpatch;
  const Index pairs = size.rows(cells) * size.cols(cells) * (bank.rows() - size.height + 1) *
                      (bank.cols() - size.width + 1);
  ThreadPool pool(query.num_threads);
  const Subspace subspace =
      pairs > kFewPairs ? Subspace::choose(bank, query) : Subspace(bank.depth());
  const Index units = strip_units(bank, query, subspace, pool.size());
  const auto candidates = static_cast<Index>(query.candidates.size());
  Progress progress(units * candidates, monitor);

  const QueryNumbers numbers(query, pool, progress);
  ExactField field(bank, query, numbers);
  pool.run(field.rows(), [&](Index row, int) { field.prepare_row(row); }, progress);
  if (pairs <= kFewPairs) {
    search_all_pairs(bank, query, field, pool, progress);
    return field.take();
  }
  Index searched = 0;
  if (pairs * candidates > kManyPairs) {
    offer_guess(bank, query, numbers, subspace, field, pool, progress);
    searched = search_pruned(bank, query, numbers, subspace, field, pool, units, progress);
  }
  if (searched < candidates) {
    Query rest = query;
    rest.candidates.erase(rest.candidates.begin(), rest.candidates.begin() + searched);
    search_in_strips(bank, rest, numbers, subspace, field, pool, progress);
  }
  return field.take();
}

}  // namespace compnn
