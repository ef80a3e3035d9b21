#include "compnn/search/pruned_search.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "compnn/search/hyperpatch.h"
#include "compnn/search/screen.h"

namespace compnn {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Hyperpatches for each code, that it is made from and that tell whether it is of use.
constexpr Index kSamplePerCode = 16;
constexpr Index kMostCodes = 512;
// A code's cosines with all of the bank cost as much as this many positions save.
constexpr Index kPositionsPerCode = 64;
// Vectors of a group of candidates, twice: as they are made, and in panels.
constexpr Index kGroupBytes = Index{128} << 20;
constexpr double kMostBytes = 1 << 29;
// Positions whose visits are planned at a time, and those of a task.
constexpr Index kPlanned = Index{1} << 14, kPlannedPerTask = 256;
constexpr Index kVisitsPerTask = 1024;
// Members that a block of visitors is multiplied with at a time.
constexpr Index kMembers = 512;
// One offer costs about as much as this many products.
constexpr Index kGiveUpShare = 300, kFewOffers = Index{1} << 18;

Index codes_for(Index positions) {
  return std::clamp<Index>(positions / kPositionsPerCode, 1, kMostCodes);
}

}  // namespace

struct PrunedSearch::Scratch {
  explicit Scratch(const VectorFormat& format)
      : words(static_cast<std::size_t>(format.screen().query_block * format.words())),
        corrections(static_cast<std::size_t>(format.screen().query_block)),
        scales(corrections.size()),
        products(static_cast<std::size_t>(format.screen().query_block * kMembers)),
        ones(static_cast<std::size_t>(kMembers), 1.0F),
        sums(ones.size()),
        scores(ones.size()),
        hits(ones.size()) {
    std::fill(words.begin(), words.end(), 0);
    std::fill(corrections.begin(), corrections.end(), 0);
    std::fill(scales.begin(), scales.end(), 0.0F);
  }

  AlignedVector<std::int32_t> words, corrections;  // of a block of visitors
  AlignedVector<float> scales, products;
  AlignedVector<float> ones, sums, scores;
  std::vector<std::int32_t> hits;
  std::vector<std::pair<float, Index>> survivors;  // (upper bound of the similarity, member)
  Index offers = 0;
};

bool PrunedSearch::is_worth_trying(const CellBank& bank, const Query& query,
                                   const VectorFormat& format) {
  const Index of_query = query.hyperpatch.rows(query.cells) * query.hyperpatch.cols(query.cells);
  Index of_image = 0;  // the most of one
  for (const std::int32_t image : query.candidates) {
    of_image = std::max(of_image, query.hyperpatch.count(bank.image(image)));
  }
  const auto vectors = static_cast<double>(of_query + 2 * of_image);
  const auto word_bytes = static_cast<double>(sizeof(std::int32_t));
  if (vectors * static_cast<double>(format.words()) * word_bytes > kMostBytes) return false;
  // Products of numbers to make the codes, and for the products of all cells.
  const Index codes = codes_for(of_query);
  const double for_codes = static_cast<double>(Codebook::kProducts * codes * format.dimensions());
  const Index kept = format.dimensions() / (query.hyperpatch.height * query.hyperpatch.width);
  const double for_cells =
      static_cast<double>(of_query * kept) * static_cast<double>(hyperpatches(bank, query));
  return for_codes < 0.05 * for_cells;
}

PrunedSearch::PrunedSearch(const CellBank& bank, const Query& query, const QueryNumbers& numbers,
                           const VectorFormat& format, ExactField& field, ThreadPool& pool,
                           Progress& progress)
    : bank_(bank),
      query_(query),
      field_(field),
      pool_(pool),
      progress_(progress),
      format_(format),
      positions_(field.rows() * field.cols()),
      query_vectors_(format_.of_query(query, numbers, pool, progress)),
      sample_(bank, format_, query.candidates, kSamplePerCode * codes_for(positions_), 0, pool,
              progress),
      codebook_(format_, sample_.vectors(), sample_.size(), codes_for(positions_), pool, progress) {
}

Index PrunedSearch::group_size(Index first) const {
  Index size = 0, bytes = 0;
  for (auto image = query_.candidates.begin() + first; image != query_.candidates.end(); ++image) {
    bytes += 2 * query_.hyperpatch.count(bank_.image(*image)) * format_.words() *
             Index{sizeof(std::int32_t)};
    if (size > 0 && bytes > kGroupBytes) break;
    ++size;
  }
  return size;
}

// With a and n the cosines of the position with a code and of what it needs, a member of the code's
// list can be so similar only if its own angle to the code is at least that of a less that of n: if
// its cosine is no more than a n + sqrt((1 - a^2) (1 - n^2)), or anything where a is at least n.
template <typename Visit>
void PrunedSearch::plan_block(const CodeLists& lists, Index first, AlignedVector<float>& cosines,
                              const Visit& visit) const {
  const Index end = std::min(positions_, first + format_.screen().query_block);
  const Index codes = codebook_.size();
  const float slack = format_.slack();
  const float* lowest = lists.lowest();
  codebook_.cosines(query_vectors_, first, cosines.data());
  for (Index position = first; position < end; ++position) {
    const auto at = static_cast<std::size_t>(position);
    if (query_vectors_.scales[at] == 0 && query_vectors_.missing[at] == 0) continue;
    const float error = query_vectors_.residuals[at] + slack;
    const float needs = std::max(-1.0F, needed(position));
    const float across = std::sqrt(std::max(0.0F, 1 - needs * needs));
    float* limits = cosines.data() + (position - first) * codebook_.row_size();
    for (Index code = 0; code < codes; ++code) {
      const float most = std::max(-1.0F, std::min(1.0F, limits[code] + error));
      const float limit = most * needs + std::sqrt((1 - most) * (1 + most)) * across + slack;
      limits[code] = most < needs ? limit : 2.0F;
    }
    for (Index code = 0; code < codes; ++code) {
      if (lowest[code] <= limits[code]) visit(position, code, lists.parts(code, limits[code]));
    }
  }
}

PrunedSearch::Estimate PrunedSearch::estimate() {
  const CodeLists lists(sample_, format_, codebook_, pool_, progress_);
  const Panels panels = make_panels(sample_, lists);
  const Group group{sample_, lists, panels};
  const Index block = format_.screen().query_block;
  // Every so many blocks of positions.
  constexpr Index kBlocks = 24;
  const Index step = std::max<Index>(1, positions_ / block / kBlocks) * block;
  const Index blocks = rounded_up(positions_, step) / step;
  std::atomic<Index> pairs{0}, multiplied{0}, survivors{0};
  pool_.run(
      blocks,
      [&](Index i, int) {
        AlignedVector<float> cosines(static_cast<std::size_t>(block * codebook_.row_size()));
        Scratch scratch(format_);
        plan_block(lists, i * step, cosines, [&](Index position, Index code, Index parts) {
          multiplied += lists.size(code, parts);
          const auto visitor = static_cast<std::int32_t>(position);
          scan_block(group, code, parts, &visitor, 1, scratch,
                     [&](Index) { survivors += static_cast<Index>(scratch.survivors.size()); });
        });
        pairs += std::min(block, positions_ - i * step) * sample_.size();
      },
      progress_);
  const auto all = static_cast<double>(pairs);
  // To find the codes takes some for each hyperpatch of the bank.
  const double for_codes = static_cast<double>(codebook_.size()) / static_cast<double>(positions_);
  return {static_cast<double>(multiplied) / all + for_codes, static_cast<double>(survivors) / all};
}

PrunedSearch::Visits PrunedSearch::plan(const CodeLists& lists, Index first, Index end) const {
  struct Visit {
    std::int32_t number, position;
  };
  const Index block = format_.screen().query_block;
  const Index per_task = rounded_up(kPlannedPerTask, block);
  const Index tasks = rounded_up(end - first, per_task) / per_task;
  const Index numbers = codebook_.size() * CodeLists::kParts;
  std::vector<std::vector<Visit>> found(static_cast<std::size_t>(tasks));
  // How many visits of each number a task found, then where it puts them.
  AlignedVector<std::int32_t> places(static_cast<std::size_t>(tasks * numbers));
  pool_.run(
      tasks,
      [&](Index task, int) {
        std::vector<Visit>& here = found[static_cast<std::size_t>(task)];
        std::int32_t* counts = places.data() + task * numbers;
        std::fill_n(counts, numbers, 0);
        AlignedVector<float> cosines(static_cast<std::size_t>(block * codebook_.row_size()));
        const Index from = first + task * per_task, to = std::min(end, from + per_task);
        for (Index i = from; i < to; i += block) {
          plan_block(lists, i, cosines, [&](Index position, Index code, Index parts) {
            const Index number = code * CodeLists::kParts + CodeLists::kParts - parts;
            here.push_back(
                {static_cast<std::int32_t>(number), static_cast<std::int32_t>(position)});
            ++counts[number];
          });
        }
      },
      progress_);
  Visits visits;
  visits.begins.resize(static_cast<std::size_t>(numbers + 1));
  Index total = 0;
  for (Index number = 0; number < numbers; ++number) {
    visits.begins[static_cast<std::size_t>(number)] = total;
    for (Index task = 0; task < tasks; ++task) {
      std::int32_t& place = places[static_cast<std::size_t>(task * numbers + number)];
      total += std::exchange(place, static_cast<std::int32_t>(total));
    }
  }
  visits.begins.back() = total;
  visits.positions.resize(static_cast<std::size_t>(total));
  pool_.run(
      tasks,
      [&](Index task, int) {
        std::int32_t* next = places.data() + task * numbers;
        for (const Visit& visit : found[static_cast<std::size_t>(task)]) {
          visits.positions[static_cast<std::size_t>(next[visit.number]++)] = visit.position;
        }
      },
      progress_);
  return visits;
}

PrunedSearch::Panels PrunedSearch::make_panels(const BankSample& sample,
                                               const CodeLists& lists) const {
  Panels panels;
  Index total = 0;
  for (Index code = 0; code < codebook_.size(); ++code) {
    panels.begins.push_back(total);
    total += rounded_up(lists.size(code), kFoldStep);
  }
  panels.words.resize(static_cast<std::size_t>(total * format_.words()));
  panels.scales.resize(static_cast<std::size_t>(total));
  panels.residuals.resize(panels.scales.size());
  panels.missing.resize(panels.scales.size());
  panels.most_residual.assign(static_cast<std::size_t>(codebook_.size()), 0.0F);
  panels.most_missing.assign(panels.most_residual.size(), 0.0F);
  pool_.run(
      codebook_.size(), [&](Index code, int) { fill_panels(sample, lists, code, panels); },
      progress_);
  return panels;
}

void PrunedSearch::fill_panels(const BankSample& sample, const CodeLists& lists, Index code,
                               Panels& panels) const {
  const ScreenKernels& screen = format_.screen();
  const UnitVectors& vectors = sample.vectors();
  const Index words = format_.words(), begin = panels.begins[static_cast<std::size_t>(code)];
  const Index size = lists.size(code), padded = rounded_up(size, kFoldStep);
  float& most_residual = panels.most_residual[static_cast<std::size_t>(code)];
  float& most_missing = panels.most_missing[static_cast<std::size_t>(code)];
  // Of hyperpatches that are equal, number by number, only the first are kept.
  struct Seen {
    Index member;
    int times;
  };
  std::vector<Seen> seen;
  for (Index i = 0; i < padded; ++i) {
    const Index panel = begin + i / screen.bank_block * screen.bank_block;
    std::int32_t* to = panels.words.data() + panel * words + i % screen.bank_block;
    const auto place = static_cast<std::size_t>(begin + i);
    if (i >= size) {
      // Only fills up the last panel: no bound reaches any threshold.
      for (Index w = 0; w < words; ++w) to[w * screen.bank_block] = 0;
      panels.scales[place] = panels.missing[place] = 0;
      panels.residuals[place] = -kInfinity;
      continue;
    }
    const Index in_list = lists.begin(code) + i, member = lists.member(in_list);
    const auto number = static_cast<std::size_t>(member);
    const std::int32_t* from = vectors.words.data() + member * words;
    for (Index w = 0; w < words; ++w) to[w * screen.bank_block] = from[w] ^ screen.flip;
    panels.scales[place] = vectors.scales[number];
    panels.missing[place] = vectors.missing[number];
    if (is_zero(sample.place(member))) {
      panels.residuals[place] = -kInfinity;
      continue;
    }
    panels.residuals[place] = vectors.residuals[number];
    most_residual = std::max(most_residual, vectors.residuals[number]);
    most_missing = std::max(most_missing, vectors.missing[number]);

    // Equal ones have equal angles.
    if (i > 0 && lists.low(in_list) != lists.low(in_list - 1)) seen.clear();
    constexpr std::size_t kCompared = 8;
    bool is_new = true;
    for (std::size_t k = seen.size(); k-- > 0 && k + kCompared >= seen.size();) {
      if (!are_equal(sample.place(seen[k].member), sample.place(member))) continue;
      is_new = false;
      if (++seen[k].times > query_.matches) panels.residuals[place] = -kInfinity;
      break;
    }
    if (is_new) seen.push_back({member, 1});
  }
}

bool PrunedSearch::is_zero(const Match& place) const {
  return inverse_norm(bank_.image(place.image), query_.hyperpatch, place.row, place.col) == 0;
}

bool PrunedSearch::are_equal(const Match& a, const Match& b) const {
  return same_hyperpatches(bank_.image(a.image), a.row, a.col, bank_.image(b.image), b.row, b.col,
                           query_.hyperpatch);
}

bool PrunedSearch::search(Index first, Index count, Index units) {
  const auto begin = query_.candidates.begin() + first, end = begin + count;
  for (auto next = end; next < query_.candidates.end() && next < end + count; ++next) {
    bank_.read_ahead(*next);
  }
  const BankSample sample(bank_, format_, {begin, end}, std::numeric_limits<Index>::max(), 0, pool_,
                          progress_);
  const CodeLists lists(sample, format_, codebook_, pool_, progress_);
  const Panels panels = make_panels(sample, lists);
  offers_ = 0;
  most_offers_ = positions_ * sample.size() / kGiveUpShare + kFewOffers;
  const Index planned = rounded_up(kPlanned, format_.screen().query_block);
  for (Index from = 0; from < positions_; from += planned) {
    const Index to = std::min(positions_, from + planned);
    const Visits visits = plan(lists, from, to);
    struct Task {
      Index code, begin, end;
    };
    std::vector<Task> tasks;
    for (Index code = 0; code < codebook_.size(); ++code) {
      const auto numbers = static_cast<std::size_t>(code * CodeLists::kParts);
      const Index last = visits.begins[numbers + CodeLists::kParts];
      for (Index at = visits.begins[numbers]; at < last; at += kVisitsPerTask) {
        tasks.push_back({code, at, std::min(last, at + kVisitsPerTask)});
      }
    }
    const Group group{sample, lists, panels};
    const Index begun = units * from / positions_, ended = units * to / positions_;
    const auto count_of_tasks = static_cast<Index>(tasks.size());
    const auto done = [&](Index i) { return (ended - begun) * i / count_of_tasks; };
    pool_.run(
        count_of_tasks,
        [&](Index i, int) {
          const Task& task = tasks[static_cast<std::size_t>(i)];
          scan(group, visits, task.code, task.begin, task.end);
          progress_.add(done(i + 1) - done(i));
        },
        progress_);
    if (offers_ > most_offers_) return false;
  }
  return true;
}

void PrunedSearch::scan(const Group& group, const Visits& visits, Index code, Index begin,
                        Index end) {
  const Index block = format_.screen().query_block;
  Scratch scratch(format_);
  for (Index parts = CodeLists::kParts; parts > 0; --parts) {
    const auto number = static_cast<std::size_t>((code + 1) * CodeLists::kParts - parts);
    const Index last = std::min(end, visits.begins[number + 1]);
    for (Index at = std::max(begin, visits.begins[number]); at < last; at += block) {
      if (offers_.load(std::memory_order_relaxed) > most_offers_) return;
      scan_block(group, code, parts, visits.positions.data() + at, std::min(block, last - at),
                 scratch, [&](Index position) { offer(group, position, scratch); });
    }
  }
  offers_ += scratch.offers;
}

template <typename Survived>
void PrunedSearch::scan_block(const Group& group, Index code, Index parts,
                              const std::int32_t* positions, Index count, Scratch& scratch,
                              const Survived& survived) const {
  const ScreenKernels& screen = format_.screen();
  const Panels& panels = group.panels;
  const Index words = format_.words();
  for (Index i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i), from = static_cast<std::size_t>(positions[i]);
    std::copy_n(query_vectors_.words.data() + positions[i] * words, words,
                scratch.words.data() + i * words);
    scratch.corrections[at] = query_vectors_.corrections[from];
    scratch.scales[at] = query_vectors_.scales[from];
  }
  const float slack = format_.slack();
  const Index begin = panels.begins[static_cast<std::size_t>(code)];
  const Index members = rounded_up(group.lists.size(code, parts), kFoldStep);
  for (Index first = 0; first < members; first += kMembers) {
    const Index here = begin + first;
    const Index width = std::min(kMembers, members - first);
    screen.multiply(scratch.words.data(), scratch.scales.data(), scratch.corrections.data(),
                    panels.words.data() + here * words, panels.scales.data() + here, words,
                    width / screen.bank_block, scratch.products.data(), kMembers);
    for (Index i = 0; i < count; ++i) {
      const auto position = static_cast<std::size_t>(positions[i]);
      const float residual = query_vectors_.residuals[position];
      const float needs = needed(positions[i]);
      ScreenFold fold{};
      fold.products = scratch.products.data() + i * kMembers;
      fold.width = 1;
      fold.inverse_norms = scratch.ones.data();
      fold.residuals = panels.residuals.data() + here;
      fold.residual_weight = 1 + residual;
      fold.missing = panels.missing.data() + here;
      fold.missing_weight = query_vectors_.missing[position];
      fold.most_error =
          fold.residual_weight * panels.most_residual[static_cast<std::size_t>(code)] +
          fold.missing_weight * panels.most_missing[static_cast<std::size_t>(code)];
      fold.threshold = needs - residual - slack;
      fold.count = width;
      const Index hits = format_.kernels().fold(fold, scratch.sums.data(), scratch.scores.data(),
                                                scratch.hits.data());
      if (hits == 0) continue;
      scratch.survivors.clear();
      for (Index h = 0; h < hits; ++h) {
        const Index c = scratch.hits[static_cast<std::size_t>(h)];
        const float most = scratch.scores[static_cast<std::size_t>(c)] +
                           fold.residual_weight * fold.residuals[c] +
                           fold.missing_weight * fold.missing[c] + residual + slack;
        scratch.survivors.emplace_back(most, group.lists.begin(code) + first + c);
      }
      survived(positions[i]);
    }
  }
}

void PrunedSearch::offer(const Group& group, Index position, Scratch& scratch) {
  // The most promising first: mostly that settles that others cannot be.
  std::sort(scratch.survivors.begin(), scratch.survivors.end(), std::greater<>());
  for (const auto& [most, member] : scratch.survivors) {
    if (most < needed(position)) return;
    const Match place = group.sample.place(group.lists.member(member));
    field_.offer(position / field_.cols(), position % field_.cols(), place.image, place.row,
                 place.col);
    ++scratch.offers;
  }
}

}  // namespace compnn
