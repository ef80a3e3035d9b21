#include "compnn/search/codebook.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "compnn/search/screen.h"

namespace compnn {
namespace {

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

Codebook::Codebook(const VectorFormat& format, const UnitVectors& vectors, Index count, Index codes,
                   ThreadPool& pool, Progress& progress)
    : format_(format),
      codes_(std::clamp<Index>(codes, 1, count)),
      row_size_(rounded_up(codes_, format.screen().bank_block)) {
  const ScreenKernels& screen = format.screen();
  const Index words = format.words(), dimensions = format.dimensions();
  const Index used = std::min(count, kTraining), padded = words * screen.per_word;
  UnitVectors training;
  training.resize(used, words, screen.query_block);
  AlignedVector<float> numbers(static_cast<std::size_t>(used * padded));
  constexpr Index kVectorsPerTask = 256;
  pool.run(
      rounded_up(used, kVectorsPerTask) / kVectorsPerTask,
      [&](Index task, int) {
        const Index end = std::min(used, (task + 1) * kVectorsPerTask);
        for (Index i = task * kVectorsPerTask; i < end; ++i) {
          training.copy(i, vectors, i * count / used, words);
          const float scale = training.scales[static_cast<std::size_t>(i)];
          for (Index w = 0; w < words; ++w) {
            float* to = numbers.data() + i * padded + w * screen.per_word;
            unpack(training.words[static_cast<std::size_t>(i * words + w)], screen.per_word, to);
            for (int k = 0; k < screen.per_word; ++k) to[k] *= scale;
          }
        }
      },
      progress);
  std::vector<float> means(static_cast<std::size_t>(codes_ * dimensions));
  for (Index code = 0; code < codes_; ++code) {
    const float* from = numbers.data() + code * used / codes_ * padded;
    std::copy_n(from, dimensions, means.data() + code * dimensions);
  }
  pack(means);
  for (Index round = 0; round < kRounds; ++round) {
    const Nearest found = nearest(training, used, 1, pool, progress);
    std::fill(means.begin(), means.end(), 0.0F);
    for (Index i = 0; i < used; ++i) {
      float* mean = means.data() + found.codes[static_cast<std::size_t>(i)] * dimensions;
      const float* vector = numbers.data() + i * padded;
      for (Index d = 0; d < dimensions; ++d) mean[d] += vector[d];
    }
    for (Index code = 0; code < codes_; ++code) {
      float* mean = means.data() + code * dimensions;
      const float norm = std::sqrt(format.kernels().dot(mean, mean, dimensions));
      // A code that nothing is nearest to begins anew, elsewhere.
      const float* again = numbers.data() + (code * 7919 + round * 104729) % used * padded;
      if (norm < 1e-6F)
        std::copy_n(again, dimensions, mean);
      else
        std::for_each(mean, mean + dimensions, [&](float& x) { x /= norm; });
    }
    pack(means);
  }
}

void Codebook::pack(const std::vector<float>& codes) {
  const ScreenKernels& screen = format_.screen();
  const Index words = format_.words(), dimensions = format_.dimensions();
  words_.assign(static_cast<std::size_t>(row_size_ * words), 0);
  scales_.assign(static_cast<std::size_t>(row_size_), 0);
  std::vector<std::int32_t> packed(static_cast<std::size_t>(words));
  for (Index code = 0; code < codes_; ++code) {
    float scale, residual;
    std::int32_t correction;
    screen.convert(codes.data() + code * dimensions, dimensions, packed.data(), 1, &scale,
                   &residual, &correction);
    double square = 0;
    const Index panel = code / screen.bank_block * screen.bank_block;
    for (Index w = 0; w < words; ++w) {
      const std::int32_t word = packed[static_cast<std::size_t>(w)];
      float numbers[4] = {};
      unpack(word, screen.per_word, numbers);
      for (const float number : numbers) square += static_cast<double>(number) * number;
      const Index at = panel * words + w * screen.bank_block + code % screen.bank_block;
      words_[static_cast<std::size_t>(at)] = word ^ screen.flip;
    }
    const bool vanishes = scale == 0 || !(square > 0);
    scales_[static_cast<std::size_t>(code)] =
        vanishes ? 0.0F : static_cast<float>(1 / std::sqrt(square));
  }
}

void Codebook::cosines(const UnitVectors& vectors, Index first, float* cosines) const {
  const ScreenKernels& screen = format_.screen();
  screen.multiply(vectors.words.data() + first * format_.words(), vectors.scales.data() + first,
                  vectors.corrections.data() + first, words_.data(), scales_.data(),
                  format_.words(), row_size_ / screen.bank_block, cosines, row_size_);
}

Codebook::Nearest Codebook::nearest(const UnitVectors& vectors, Index count, Index number,
                                    ThreadPool& pool, Progress& progress) const {
  Nearest found;
  found.codes.resize(static_cast<std::size_t>(count * number));
  found.cosines.resize(found.codes.size());
  const Index block_size = format_.screen().query_block;
  const Index blocks = rounded_up(count, block_size) / block_size;
  constexpr Index kBlocksPerTask = 64;
  pool.run(
      rounded_up(blocks, kBlocksPerTask) / kBlocksPerTask,
      [&](Index task, int) {
        AlignedVector<float> rows(static_cast<std::size_t>(block_size * row_size_));
        const Index end = std::min(blocks, (task + 1) * kBlocksPerTask);
        for (Index block = task * kBlocksPerTask; block < end; ++block) {
          const Index first = block * block_size;
          cosines(vectors, first, rows.data());
          for (Index i = first; i < std::min(count, first + block_size); ++i) {
            float* row = rows.data() + (i - first) * row_size_;
            for (Index n = 0; n < number; ++n) {
              const Index code = format_.kernels().largest(row, codes_);
              const auto at = static_cast<std::size_t>(i * number + n);
              found.codes[at] = static_cast<std::int32_t>(code);
              found.cosines[at] = row[code];
              row[code] = -std::numeric_limits<float>::infinity();
            }
          }
        }
      },
      progress);
  return found;
}

}  // namespace compnn
