#include "compnn/search/guided_start.h"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "compnn/search/screen.h"
#include "compnn/search/sort_by_key.h"

namespace compnn {
namespace {

constexpr Index kMostCodes = 512, kPlacesPerCode = 512;
// Parts of a list, of each of which the best is remembered.
constexpr Index kParts = 4;
// Hyperpatches of the query that are compared with a list at a time.
constexpr Index kVisitors = 128;
constexpr float kLowest = -std::numeric_limits<float>::infinity();

}  // namespace

GuidedStart::GuidedStart(const CellBank& bank, const Query& query, const QueryNumbers& numbers,
                         const Subspace& subspace, Index most_places, int probes,
                         std::uint64_t seed, ThreadPool& pool, Progress& progress)
    : format_(query.hyperpatch, subspace,
              fast_screen(kernels(),
                          query.cells.depth * query.hyperpatch.height * query.hyperpatch.width)),
      rows_(query.hyperpatch.rows(query.cells)),
      cols_(query.hyperpatch.cols(query.cells)),
      query_vectors_(format_.of_query(query, numbers, pool, progress)),
      sample_(bank, format_, query.candidates, most_places, seed, pool, progress),
      codebook_(format_, sample_.vectors(), sample_.size(),
                std::min(kMostCodes, sample_.size() / kPlacesPerCode), pool, progress),
      probes_(std::min<Index>(probes, codebook_.size())) {
  progress.add(2 * rows_);
  const Codebook::Nearest nearest =
      codebook_.nearest(sample_.vectors(), sample_.size(), 1, pool, progress);
  sort_by_key(nearest.codes, codebook_.size(), list_begins_, list_);
  progress.add(rows_);
  probe(pool, progress);
  progress.add(rows_);
}

void GuidedStart::probe(ThreadPool& pool, Progress& progress) {
  const Codebook::Nearest nearest =
      codebook_.nearest(query_vectors_, rows_ * cols_, probes_, pool, progress);
  sort_by_key(nearest.codes, codebook_.size(), visit_begins_, visits_);
  found_.assign(nearest.codes.size() * kParts, -1);
  found_scores_.assign(found_.size(), kLowest);
  pool.run(
      codebook_.size(),
      [&](Index code, int) {
        const Index begin = visit_begins_[static_cast<std::size_t>(code)];
        const Index end = visit_begins_[static_cast<std::size_t>(code) + 1];
        if (begin < end) scan_list(code, begin, end);
      },
      progress);
}

void GuidedStart::scan_list(Index code, Index begin, Index end) {
  const Index list_begin = list_begins_[static_cast<std::size_t>(code)];
  const Index count = list_begins_[static_cast<std::size_t>(code) + 1] - list_begin;
  if (count == 0) return;
  const ScreenKernels& screen = format_.screen();
  const Index words = format_.words();
  // The list's vectors, one after the other.
  UnitVectors list;
  list.resize(count, words, screen.query_block);
  for (Index i = 0; i < count; ++i) {
    list.copy(i, sample_.vectors(), list_[static_cast<std::size_t>(list_begin + i)], words);
  }
  AlignedVector<std::int32_t> panels(static_cast<std::size_t>(kVisitors * words));
  const AlignedVector<float> ones(static_cast<std::size_t>(kVisitors), 1.0F);
  AlignedVector<float> products(static_cast<std::size_t>(screen.query_block * kVisitors));
  AlignedVector<float> best(static_cast<std::size_t>(kVisitors));
  AlignedVector<std::int32_t> index(best.size());
  for (Index first = begin; first < end; first += kVisitors) {
    const Index visitors = std::min(kVisitors, end - first);
    for (Index i = 0; i < visitors; ++i) {
      const Index position = visits_[static_cast<std::size_t>(first + i)] / probes_;
      const std::int32_t* from = query_vectors_.words.data() + position * words;
      std::int32_t* to =
          panels.data() + i / screen.bank_block * screen.bank_block * words + i % screen.bank_block;
      for (Index w = 0; w < words; ++w) to[w * screen.bank_block] = from[w] ^ screen.flip;
    }
    const Index lanes = rounded_up(visitors, kFoldStep);
    const Index used_panels = rounded_up(visitors, screen.bank_block) / screen.bank_block;
    for (Index part = 0; part < kParts; ++part) {
      std::fill(best.begin(), best.end(), kLowest);
      std::fill(index.begin(), index.end(), -1);
      const Index blocks = rounded_up(count, screen.query_block) / screen.query_block;
      for (Index block = blocks * part / kParts; block < blocks * (part + 1) / kParts; ++block) {
        const Index row = block * screen.query_block;
        screen.multiply(list.words.data() + row * words, list.scales.data() + row,
                        list.corrections.data() + row, panels.data(), ones.data(), words,
                        used_panels, products.data(), kVisitors);
        format_.kernels().keep_best(
            products.data(), std::min<Index>(screen.query_block, count - row), kVisitors, lanes,
            static_cast<std::int32_t>(row), best.data(), index.data());
      }
      for (Index i = 0; i < visitors; ++i) {
        const auto lane = static_cast<std::size_t>(i);
        if (index[lane] < 0) continue;
        const Index slot = visits_[static_cast<std::size_t>(first + i)] * kParts + part;
        found_[static_cast<std::size_t>(slot)] =
            list_[static_cast<std::size_t>(list_begin + index[lane])];
        const Index position = visits_[static_cast<std::size_t>(first + i)] / probes_;
        found_scores_[static_cast<std::size_t>(slot)] =
            best[lane] * query_vectors_.scales[static_cast<std::size_t>(position)];
      }
    }
  }
}

void GuidedStart::places(Index row, Index col, std::size_t most, std::vector<Match>& places) const {
  places.clear();
  const Index slots = probes_ * kParts, first = (row * cols_ + col) * slots;
  for (Index slot = first; slot < first + slots; ++slot) {
    const std::int32_t found = found_[static_cast<std::size_t>(slot)];
    if (found < 0) continue;
    places.push_back(sample_.place(found));
    places.back().similarity = found_scores_[static_cast<std::size_t>(slot)];
  }
  std::sort(places.begin(), places.end(), better);
  places.resize(std::min(places.size(), most));
}

}  // namespace compnn
