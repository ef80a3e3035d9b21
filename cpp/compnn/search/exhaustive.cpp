#include "compnn/search/exhaustive.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

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
        const Cells cells = bank.image(image);
        for (Index row = 0; row < field.rows(); ++row) {
          for (Index col = 0; col < field.cols(); ++col) {
            for (Index r = 0; r < query.hyperpatch.rows(cells); ++r) {
              for (Index c = 0; c < query.hyperpatch.cols(cells); ++c) {
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
  // The field may want more matches than these candidates have hyperpatches.
  Query guessed = query;
  guessed.matches = static_cast<int>(std::min<Index>(query.matches, hyperpatches(bank, query)));
  const auto report = [&](double) {
    progress.report();
    return !progress.cancelled();
  };
  const Field guess = hyperpatch_match(bank, {{guessed, numbers, subspace}}, quick, pool, report);
  pool.run(field.rows(), [&](Index row, int) { field.offer_row(row, guess); }, progress);
}

// What is done for a pair of hyperpatches, in multiplications of 8 bits: those of a product, and
// what is done with it; more for a pair that the product does not exclude.
double cost_of_product(Index words) { return 4 * static_cast<double>(words) + 64; }
constexpr double kCostOfSurvivor = 60000;
// Estimates are rough, and pruning must pay.
constexpr double kClearly = 0.8;

// Searches candidates for as long as pruning pays, and returns how many it searched; they count as
// strip_units() of progress.
Index search_pruned(const CellBank& bank, const Query& query, const QueryNumbers& numbers,
                    const Subspace& subspace, ExactField& field, ThreadPool& pool,
                    Progress& progress) {
  const Index depth = query.cells.depth, cells = query.hyperpatch.height * query.hyperpatch.width;
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
    const Index size = best->group_size(searched);
    if (!best->search(searched, size, strip_units(bank, query, searched, size))) break;
    searched += size;
  }
  return searched;
}

// In cache-sized parts, after a look at what can be excluded from the beginning.
void search_products(const CellBank& bank, const Query& query, const QueryNumbers& numbers,
                     const Subspace& subspace, ExactField& field, ThreadPool& pool,
                     Progress& progress) {
  const Index pairs = field.rows() * field.cols() * hyperpatches(bank, query);
  Index searched = 0;
  if (pairs > kManyPairs) {
    offer_guess(bank, query, numbers, subspace, field, pool, progress);
    searched = search_pruned(bank, query, numbers, subspace, field, pool, progress);
  }
  if (searched == static_cast<Index>(query.candidates.size())) return;
  Query rest = query;
  rest.candidates.erase(rest.candidates.begin(), rest.candidates.begin() + searched);
  search_in_strips(bank, rest, numbers, subspace, field, pool, progress);
}

Field search_basis(const CellBank& bank, const Query& query, ThreadPool& pool,
                   const Monitor& monitor) {
  const Index positions = query.hyperpatch.count(query.cells);
  Query small = query, large = query;
  small.candidates.clear();
  large.candidates.clear();
  for (const std::int32_t image : query.candidates) {
    const Index pairs = positions * query.hyperpatch.count(bank.image(image));
    (pairs <= kFewPairs ? small : large).candidates.push_back(image);
  }
  const auto number = [](const Query& some) { return static_cast<Index>(some.candidates.size()); };
  Progress progress(number(small) + strip_units(bank, large, 0, number(large)), monitor);
  const QueryNumbers numbers(query, pool, progress);
  ExactField field(bank, query, numbers);
  pool.run(field.rows(), [&](Index row, int) { field.prepare_row(row); }, progress);
  search_all_pairs(bank, small, field, pool, progress);
  if (number(large) > 0) {
    const Subspace subspace = Subspace::choose(bank, large);
    search_products(bank, large, numbers, subspace, field, pool, progress);
  }
  Field found = field.take();
  scale_by_shares(found, query);
  return found;
}

// Of each position the best of all fields; fewer where there are not so many.
Field merged(const std::vector<Field>& fields, int matches) {
  Field best(fields.front().rows, fields.front().cols, matches);
  std::vector<Match> all;
  for (Index row = 0; row < best.rows; ++row) {
    for (Index col = 0; col < best.cols; ++col) {
      all.clear();
      for (const Field& field : fields) {
        std::copy_if(field.at(row, col), field.at(row, col) + field.matches,
                     std::back_inserter(all), [](const Match& match) { return match.exists(); });
      }
      all.resize(std::max(all.size(), static_cast<std::size_t>(matches)));
      std::partial_sort(all.begin(), all.begin() + matches, all.end(), better);
      Match* to = best.at(row, col);
      std::copy_n(all.begin(), matches, to);
      std::replace_if(
          to, to + matches, [](const Match& match) { return !match.exists(); }, kNoMatch);
    }
  }
  return best;
}

}  // namespace

Field exhaustive_search(const CellBank& bank, const Request& request, const Monitor& monitor) {
  std::vector<Query> queries = request.in_bases(bank);
  ThreadPool pool(request.num_threads);
  std::vector<double> costs;
  for (Query& query : queries) {
    const Index places = hyperpatches(bank, query);
    query.matches = static_cast<int>(std::min<Index>(request.matches, places));
    costs.push_back(static_cast<double>(places) * static_cast<double>(query.cells.depth));
  }
  const double all = std::accumulate(costs.begin(), costs.end(), 0.0);
  double done = 0;
  std::vector<Field> fields;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    const double share = costs[i] / all;
    Monitor part;
    if (monitor) part = [&](double fraction) { return monitor(done + share * fraction); };
    fields.push_back(search_basis(bank, queries[i], pool, part));
    done += share;
  }
  if (fields.size() == 1) return widened(std::move(fields.front()), request.matches);
  return merged(fields, request.matches);
}

}  // namespace compnn
