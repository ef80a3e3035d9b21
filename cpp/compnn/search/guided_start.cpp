#include "compnn/search/guided_start.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <numeric>

#include "compnn/base/random.h"
#include "compnn/search/screen.h"

namespace compnn {
namespace {

constexpr Index kMostCodes = 512, kPlacesPerCode = 512;
constexpr Index kTraining = 4096, kTrainingRounds = 4;
// Parts of a list, of each of which the best is remembered.
constexpr Index kParts = 4;
// Hyperpatches of the query that are compared with a list at a time.
constexpr Index kVisitors = 128;
constexpr float kLowest = -std::numeric_limits<float>::infinity();

// Numbers 0, 1, ... of things, sorted by their keys in [0, keys): those of key k are
// order[begins[k]] ... order[begins[k + 1] - 1], ascending.
void sort_by_key(const std::vector<std::int32_t>& key_of, Index keys,
                 std::vector<std::int32_t>& begins, std::vector<std::int32_t>& order) {
  begins.assign(static_cast<std::size_t>(keys + 1), 0);
  for (const std::int32_t key : key_of) ++begins[static_cast<std::size_t>(key) + 1];
  std::partial_sum(begins.begin(), begins.end(), begins.begin());
  std::vector<std::int32_t> next(begins.begin(), begins.end() - 1);
  order.resize(key_of.size());
  for (std::size_t i = 0; i < key_of.size(); ++i) {
    const std::int32_t place = next[static_cast<std::size_t>(key_of[i])]++;
    order[static_cast<std::size_t>(place)] = static_cast<std::int32_t>(i);
  }
}

// The numbers in a word.
void unpack(std::int32_t word, int per_word, float* numbers) {
  if (per_word == 1) {
    std::memcpy(numbers, &word, sizeof word);
    return;
  }
  const int bits = 32 / per_word;
  for (int i = 0; i < per_word; ++i) {
    const auto shifted = static_cast<std::uint32_t>(word) << (32 - bits * (i + 1));
    numbers[i] = static_cast<float>(static_cast<std::int32_t>(shifted) >> (32 - bits));
  }
}

}  // namespace

void GuidedStart::Vectors::resize(Index count, Index words_each, Index block) {
  const Index rounded = rounded_up(count, block);
  words.resize(static_cast<std::size_t>(rounded * words_each));
  corrections.resize(static_cast<std::size_t>(rounded));
  scales.resize(corrections.size());
  // Those that only fill up the last block are zeros; the others are set by whoever has them.
  std::fill(words.begin() + count * words_each, words.end(), 0);
  std::fill(corrections.begin() + count, corrections.end(), 0);
  std::fill(scales.begin() + count, scales.end(), 0.0F);
}

void GuidedStart::Vectors::copy(Index to, const Vectors& others, Index from, Index words_each) {
  std::copy_n(others.words.data() + from * words_each, words_each, words.data() + to * words_each);
  const auto at = static_cast<std::size_t>(to), other = static_cast<std::size_t>(from);
  corrections[at] = others.corrections[other];
  scales[at] = others.scales[other];
}

GuidedStart::GuidedStart(const CellBank& bank, const Query& query, const QueryNumbers& numbers,
                         const Subspace& subspace, Index most_places, int probes,
                         std::uint64_t seed, ThreadPool& pool, Progress& progress)
    : bank_(bank),
      query_(query),
      screen_(
          fast_screen(kernels_, bank.depth() * query.hyperpatch.height * query.hyperpatch.width)),
      subspace_(subspace),
      rows_(query.hyperpatch.rows(query.cells)),
      cols_(query.hyperpatch.cols(query.cells)),
      dimensions_(query.hyperpatch.height * query.hyperpatch.width * subspace_.kept()),
      words_(screen_.words(dimensions_)) {
  cut_images(most_places);
  const auto places = static_cast<Index>(sample_.size());
  codes_ = std::clamp<Index>(places / kPlacesPerCode, 1, kMostCodes);
  code_cells_ = rounded_up(codes_, screen_.bank_block);
  probes_ = std::min<Index>(probes, codes_);
  convert_query(numbers, pool, progress);
  convert_bank(seed, pool, progress);
  progress.add(rows_);
  train_codes(pool, progress);
  progress.add(rows_);
  sort_into_lists(pool, progress);
  progress.add(rows_);
  probe(pool, progress);
  progress.add(rows_);
}

void GuidedStart::cut_images(Index most_places) {
  const Index match_rows = bank_.rows() - query_.hyperpatch.height + 1;
  const Index match_cols = bank_.cols() - query_.hyperpatch.width + 1;
  const auto images = static_cast<Index>(query_.candidates.size());
  const double all = static_cast<double>(images) * static_cast<double>(match_rows) *
                     static_cast<double>(match_cols);
  const double area = std::max(1.0, all / static_cast<double>(most_places));
  const auto tall = std::min(static_cast<Index>(std::sqrt(area)), match_rows);
  bands_ =
      static_cast<Index>(std::lround(static_cast<double>(match_rows) / static_cast<double>(tall)));
  const double wide = area * static_cast<double>(bands_) / static_cast<double>(match_rows);
  across_ = std::clamp<Index>(
      static_cast<Index>(std::lround(static_cast<double>(match_cols) / wide)), 1, match_cols);
  sample_.resize(static_cast<std::size_t>(images * bands_ * across_));
}

void GuidedStart::choose_places(Index candidate, std::uint64_t seed) {
  const Index match_rows = bank_.rows() - query_.hyperpatch.height + 1;
  const Index match_cols = bank_.cols() - query_.hyperpatch.width + 1;
  const std::int32_t image = query_.candidates[static_cast<std::size_t>(candidate)];
  CounterRandom random(seed, ~std::uint64_t{0}, static_cast<std::uint64_t>(image));
  Place* const first = sample_.data() + candidate * bands_ * across_;
  Place* place = first;
  for (Index band = 0; band < bands_; ++band) {
    const Index row = match_rows * band / bands_, rows = match_rows * (band + 1) / bands_ - row;
    for (Index part = 0; part < across_; ++part, ++place) {
      const Index col = match_cols * part / across_;
      const Index cols = match_cols * (part + 1) / across_ - col;
      *place = {static_cast<std::int32_t>(row), static_cast<std::int32_t>(col)};
      if (rows * cols > 1) {
        place->row += static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(rows)));
        place->col += static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(cols)));
      }
    }
  }
  // In the order in which they are read: those of a row together.
  if (bands_ == match_rows) return;
  std::sort(first, place, [](const Place& a, const Place& b) {
    return a.row != b.row ? a.row < b.row : a.col < b.col;
  });
}

void GuidedStart::convert(std::vector<float>& vector, float inverse, Vectors& vectors,
                          Index at) const {
  for (float& number : vector) number *= inverse;
  float residual;
  const auto place = static_cast<std::size_t>(at);
  screen_.convert(vector.data(), dimensions_, vectors.words.data() + at * words_, 1,
                  &vectors.scales[place], &residual, &vectors.corrections[place]);
}

void GuidedStart::convert_query(const QueryNumbers& numbers, ThreadPool& pool, Progress& progress) {
  const HyperpatchSize size = query_.hyperpatch;
  const Index kept = subspace_.kept(), cells = query_.cells.cols;
  query_vectors_.resize(rows_ * cols_, words_, screen_.query_block);
  pool.run(
      rows_,
      [&](Index row, int) {
        std::vector<float> projected, vector;
        const float* coordinates =
            subspace_.project(kernels_, numbers.at(row, 0), size.height * cells, projected);
        for (Index col = 0; col < cols_; ++col) {
          vector.clear();
          for (Index a = 0; a < size.height; ++a) {
            const float* from = coordinates + (a * cells + col) * kept;
            vector.insert(vector.end(), from, from + size.width * kept);
          }
          convert(vector, inverse_norm(query_.cells, size, row, col), query_vectors_,
                  row * cols_ + col);
        }
      },
      progress);
}

void GuidedStart::convert_bank(std::uint64_t seed, ThreadPool& pool, Progress& progress) {
  bank_vectors_.resize(static_cast<Index>(sample_.size()), words_, screen_.query_block);
  pool.run(
      static_cast<Index>(query_.candidates.size()),
      [&](Index candidate, int) {
        choose_places(candidate, seed);
        convert_places(candidate);
      },
      progress);
}

void GuidedStart::convert_places(Index candidate) {
  const HyperpatchSize size = query_.hyperpatch;
  const Index kept = subspace_.kept(), depth = bank_.depth();
  const Cells cells = bank_.image(query_.candidates[static_cast<std::size_t>(candidate)]);
  const Index begin = candidate * bands_ * across_, end = begin + bands_ * across_;
  std::vector<float> numbers, projected, vector;
  for (Index at = begin; at < end;) {
    const std::int32_t row = sample_[static_cast<std::size_t>(at)].row;
    Index row_end = at;
    while (row_end < end && sample_[static_cast<std::size_t>(row_end)].row == row) ++row_end;
    // Whole rows of cells where most are needed, else those that are.
    const bool whole = (row_end - at) * size.width >= cells.cols;
    const Index run = whole ? cells.cols : size.width;
    const Index runs = whole ? 1 : row_end - at;
    numbers.resize(static_cast<std::size_t>(size.height * runs * run * depth));
    for (Index a = 0; a < size.height; ++a) {
      for (Index i = 0; i < runs; ++i) {
        const Index col = whole ? 0 : sample_[static_cast<std::size_t>(at + i)].col;
        cells.widen(kernels_, row + a, col, run, numbers.data() + (a * runs + i) * run * depth);
      }
    }
    const float* coordinates =
        subspace_.project(kernels_, numbers.data(), size.height * runs * run, projected);
    for (Index i = at; i < row_end; ++i) {
      const Index col = sample_[static_cast<std::size_t>(i)].col;
      vector.clear();
      for (Index a = 0; a < size.height; ++a) {
        const Index first = whole ? a * run + col : (a * runs + i - at) * run;
        const float* from = coordinates + first * kept;
        vector.insert(vector.end(), from, from + size.width * kept);
      }
      convert(vector, inverse_norm(cells, size, row, col), bank_vectors_, i);
    }
    at = row_end;
  }
}

void GuidedStart::pack_codes(const std::vector<float>& codes) {
  code_words_.assign(static_cast<std::size_t>(code_cells_ * words_), 0);
  code_scales_.assign(static_cast<std::size_t>(code_cells_), 0);
  for (Index code = 0; code < codes_; ++code) {
    const Index panel = code / screen_.bank_block * screen_.bank_block;
    float residual;
    screen_.convert(codes.data() + code * dimensions_, dimensions_,
                    code_words_.data() + panel * words_ + code % screen_.bank_block,
                    screen_.bank_block, &code_scales_[static_cast<std::size_t>(code)], &residual,
                    nullptr);
  }
}

// Spherical k-means on a sample.
void GuidedStart::train_codes(ThreadPool& pool, Progress& progress) {
  const auto places = static_cast<Index>(sample_.size());
  const Index count = std::min(places, kTraining);
  Vectors training;
  training.resize(count, words_, screen_.query_block);
  AlignedVector<float> vectors(static_cast<std::size_t>(count * words_ * screen_.per_word));
  const Index padded = words_ * screen_.per_word;
  constexpr Index kVectorsPerTask = 256;
  pool.run(
      rounded_up(count, kVectorsPerTask) / kVectorsPerTask,
      [&](Index task, int) {
        const Index end = std::min(count, (task + 1) * kVectorsPerTask);
        for (Index i = task * kVectorsPerTask; i < end; ++i) {
          const Index from = i * places / count;
          training.copy(i, bank_vectors_, from, words_);
          const float scale = training.scales[static_cast<std::size_t>(i)];
          for (Index w = 0; w < words_; ++w) {
            float* numbers = vectors.data() + i * padded + w * screen_.per_word;
            unpack(training.words[static_cast<std::size_t>(i * words_ + w)], screen_.per_word,
                   numbers);
            for (int k = 0; k < screen_.per_word; ++k) numbers[k] *= scale;
          }
        }
      },
      progress);
  std::vector<float> codes(static_cast<std::size_t>(codes_ * dimensions_));
  for (Index code = 0; code < codes_; ++code) {
    const float* from = vectors.data() + code * count / codes_ * padded;
    std::copy_n(from, dimensions_, codes.data() + code * dimensions_);
  }
  pack_codes(codes);
  for (Index round = 0; round < kTrainingRounds; ++round) {
    const std::vector<std::int32_t> nearest = nearest_codes(training, count, 1, pool, progress);
    std::fill(codes.begin(), codes.end(), 0.0F);
    for (Index i = 0; i < count; ++i) {
      float* code = codes.data() + nearest[static_cast<std::size_t>(i)] * dimensions_;
      const float* vector = vectors.data() + i * padded;
      for (Index d = 0; d < dimensions_; ++d) code[d] += vector[d];
    }
    for (Index code = 0; code < codes_; ++code) {
      float* mean = codes.data() + code * dimensions_;
      const float norm = std::sqrt(kernels_.dot(mean, mean, dimensions_));
      // A code that nothing is nearest to begins anew, elsewhere.
      const float* again = vectors.data() + (code * 7919 + round * 104729) % count * padded;
      if (norm < 1e-6F)
        std::copy_n(again, dimensions_, mean);
      else
        std::for_each(mean, mean + dimensions_, [&](float& x) { x /= norm; });
    }
    pack_codes(codes);
  }
}

std::vector<std::int32_t> GuidedStart::nearest_codes(const Vectors& vectors, Index count,
                                                     Index number, ThreadPool& pool,
                                                     Progress& progress) const {
  std::vector<std::int32_t> nearest(static_cast<std::size_t>(count * number));
  const Index blocks = rounded_up(count, screen_.query_block) / screen_.query_block;
  constexpr Index kBlocksPerTask = 64;
  pool.run(
      rounded_up(blocks, kBlocksPerTask) / kBlocksPerTask,
      [&](Index task, int) {
        std::vector<float> products(static_cast<std::size_t>(screen_.query_block * code_cells_));
        const Index end = std::min(blocks, (task + 1) * kBlocksPerTask);
        for (Index block = task * kBlocksPerTask; block < end; ++block) {
          const Index first = block * screen_.query_block;
          screen_.multiply(vectors.words.data() + first * words_, vectors.scales.data() + first,
                           vectors.corrections.data() + first, code_words_.data(),
                           code_scales_.data(), words_, code_cells_ / screen_.bank_block,
                           products.data(), code_cells_);
          for (Index i = first; i < std::min(count, first + screen_.query_block); ++i) {
            float* row = products.data() + (i - first) * code_cells_;
            for (Index n = 0; n < number; ++n) {
              const Index code = kernels_.largest(row, codes_);
              nearest[static_cast<std::size_t>(i * number + n)] = static_cast<std::int32_t>(code);
              row[code] = kLowest;
            }
          }
        }
      },
      progress);
  return nearest;
}

void GuidedStart::sort_into_lists(ThreadPool& pool, Progress& progress) {
  const auto places = static_cast<Index>(sample_.size());
  sort_by_key(nearest_codes(bank_vectors_, places, 1, pool, progress), codes_, list_begins_, list_);
}

void GuidedStart::probe(ThreadPool& pool, Progress& progress) {
  const std::vector<std::int32_t> code_of =
      nearest_codes(query_vectors_, rows_ * cols_, probes_, pool, progress);
  sort_by_key(code_of, codes_, visit_begins_, visits_);
  found_.assign(code_of.size() * kParts, -1);
  found_scores_.assign(found_.size(), kLowest);
  pool.run(
      codes_,
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
  // The list's vectors, one after the other.
  Vectors list;
  list.resize(count, words_, screen_.query_block);
  for (Index i = 0; i < count; ++i) {
    list.copy(i, bank_vectors_, list_[static_cast<std::size_t>(list_begin + i)], words_);
  }
  AlignedVector<std::int32_t> panels(static_cast<std::size_t>(kVisitors * words_));
  const AlignedVector<float> ones(static_cast<std::size_t>(kVisitors), 1.0F);
  AlignedVector<float> products(static_cast<std::size_t>(screen_.query_block * kVisitors));
  AlignedVector<float> best(static_cast<std::size_t>(kVisitors));
  AlignedVector<std::int32_t> index(best.size());
  for (Index first = begin; first < end; first += kVisitors) {
    const Index visitors = std::min(kVisitors, end - first);
    for (Index i = 0; i < visitors; ++i) {
      const Index position = visits_[static_cast<std::size_t>(first + i)] / probes_;
      const std::int32_t* from = query_vectors_.words.data() + position * words_;
      std::int32_t* to = panels.data() + i / screen_.bank_block * screen_.bank_block * words_ +
                         i % screen_.bank_block;
      for (Index w = 0; w < words_; ++w) to[w * screen_.bank_block] = from[w] ^ screen_.flip;
    }
    const Index lanes = rounded_up(visitors, kFoldStep);
    const Index used_panels = rounded_up(visitors, screen_.bank_block) / screen_.bank_block;
    for (Index part = 0; part < kParts; ++part) {
      std::fill(best.begin(), best.end(), kLowest);
      std::fill(index.begin(), index.end(), -1);
      const Index blocks = rounded_up(count, screen_.query_block) / screen_.query_block;
      for (Index block = blocks * part / kParts; block < blocks * (part + 1) / kParts; ++block) {
        const Index row = block * screen_.query_block;
        screen_.multiply(list.words.data() + row * words_, list.scales.data() + row,
                         list.corrections.data() + row, panels.data(), ones.data(), words_,
                         used_panels, products.data(), kVisitors);
        kernels_.keep_best(products.data(), std::min<Index>(screen_.query_block, count - row),
                           kVisitors, lanes, static_cast<std::int32_t>(row), best.data(),
                           index.data());
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
    const Place& place = sample_[static_cast<std::size_t>(found)];
    const Index candidate = found / (bands_ * across_);
    places.push_back({found_scores_[static_cast<std::size_t>(slot)],
                      query_.candidates[static_cast<std::size_t>(candidate)], place.row,
                      place.col});
  }
  std::sort(places.begin(), places.end(), better);
  places.resize(std::min(places.size(), most));
}

}  // namespace compnn
