// Small banks and queries in memory, and slow references in double precision for the searches.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "compnn/bank/cell_bank.h"
#include "compnn/search/exhaustive.h"
#include "compnn/search/field.h"
#include "compnn/search/hyperpatch_match.h"
#include "compnn/search/query.h"
#include "storage_reference.h"

namespace compnn::test {

struct Shape {
  Index images, rows, cols, depth;
};

struct ImageSize {
  Index rows, cols;
};

// Owns the cells of some images; change() rounds numbers and brings the norms up to date. Its
// numbers are those that the stored ones stand for.
class TestCells {
 public:
  TestCells(Shape shape, Precision precision)
      : TestCells(std::vector<ImageSize>(static_cast<std::size_t>(shape.images),
                                         {shape.rows, shape.cols}),
                  shape.depth, precision) {
    shape_ = shape;
  }

  // Images of many sizes.
  TestCells(std::vector<ImageSize> sizes, Index depth, Precision precision)
      : shape_{static_cast<Index>(sizes.size()), 0, 0, depth},
        sizes_(std::move(sizes)),
        precision_(precision) {
    for (const ImageSize& size : sizes_) begins_.push_back(begins_.back() + size.rows * size.cols);
    norms_.resize(static_cast<std::size_t>(begins_.back()));
    numbers_.resize(norms_.size() * static_cast<std::size_t>(depth));
    stored_.resize(numbers_.size() * static_cast<std::size_t>(bytes_per_number(precision)));
  }

  static TestCells random(Shape shape, Precision precision, std::uint32_t seed) {
    TestCells cells(shape, precision);
    cells.randomize(seed);
    return cells;
  }
  static TestCells random(std::vector<ImageSize> sizes, Index depth, Precision precision,
                          std::uint32_t seed) {
    TestCells cells(std::move(sizes), depth, precision);
    cells.randomize(seed);
    return cells;
  }

  // Calls change(image, row, col, numbers) for each cell.
  template <typename Change>
  void change(Change change) {
    float* cell = numbers_.data();
    for (Index image = 0; image < shape_.images; ++image) {
      for (Index row = 0; row < rows(image); ++row) {
        for (Index col = 0; col < cols(image); ++col, cell += shape_.depth) {
          change(image, row, col, cell);
        }
      }
    }
    for (std::size_t i = 0; i < norms_.size(); ++i) norms_[i] = round(static_cast<Index>(i));
  }

  const float* cell(Index image, Index row, Index col) const {
    return numbers_.data() + (begin(image) + row * cols(image) + col) * shape_.depth;
  }

  // Those of the first image.
  Cells cells() const {
    Cells view;
    view.numbers = stored_.data();
    view.norms = norms_.data();
    view.precision = precision_;
    view.rows = rows(0);
    view.cols = cols(0);
    view.depth = shape_.depth;
    return view;
  }

  // The cells of images [first, end), and where those of an image are in it.
  Shard shard(Index first, Index end) const {
    Shard shard;
    shard.numbers = stored_.data() + begin(first) * cells().cell_bytes();
    shard.norms = norms_.data() + begin(first);
    shard.precision = precision_;
    shard.count = begin(end) - begin(first);
    shard.depth = shape_.depth;
    return shard;
  }
  ImagePlace place(Index image, Index shard, Index first) const {
    return {shard, begin(image) - begin(first), rows(image), cols(image)};
  }

  // A bank of so many shards.
  CellBank bank(Index shards = 1) const {
    std::vector<Shard> all;
    std::vector<ImagePlace> places;
    for (Index i = 0; i < shards; ++i) {
      const Index first = shape_.images * i / shards, end = shape_.images * (i + 1) / shards;
      all.push_back(shard(first, end));
      for (Index image = first; image < end; ++image) places.push_back(place(image, i, first));
    }
    return CellBank(all, places);
  }

  // Rows and columns are those of images that are all of one size.
  const Shape& shape() const { return shape_; }
  Index rows(Index image) const { return sizes_[static_cast<std::size_t>(image)].rows; }
  Index cols(Index image) const { return sizes_[static_cast<std::size_t>(image)].cols; }
  const std::vector<float>& norms() const { return norms_; }

 private:
  void randomize(std::uint32_t seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    change([&](Index, Index, Index, float* cell) {
      for (Index d = 0; d < shape_.depth; ++d) cell[d] = normal(generator);
    });
  }

  Index begin(Index image) const { return begins_[static_cast<std::size_t>(image)]; }

  // Stores a cell, replaces its numbers by the rounded ones, and returns its norm.
  float round(Index index) {
    const Index depth = shape_.depth;
    float* cell = numbers_.data() + index * depth;
    std::byte* to = stored_.data() + index * depth * bytes_per_number(precision_);
    switch (precision_) {
      case Precision::kFloat32:
        std::memcpy(to, cell, static_cast<std::size_t>(depth) * sizeof(float));
        break;
      case Precision::kFloat16:
        round_each(cell, to, half_of);
        break;
      case Precision::kBfloat16:
        round_each(cell, to, bfloat16_of);
        break;
      case Precision::kInt8: {
        const IntegerCell rounded(cell, depth);
        std::memcpy(to, rounded.integers.data(), rounded.integers.size());
        rounded.widen(cell);
        return rounded.norm;
      }
    }
    return norm_of(cell, depth);
  }

  template <typename T>
  void round_each(float* cell, std::byte* to, T (*rounded)(float)) {
    for (Index d = 0; d < shape_.depth; ++d) {
      const T number = rounded(cell[d]);
      std::memcpy(to + d * static_cast<Index>(sizeof number), &number, sizeof number);
      cell[d] = static_cast<float>(value_of(number));
    }
  }

  Shape shape_;
  std::vector<ImageSize> sizes_;
  std::vector<Index> begins_{0};  // of each image's cells, and the end
  Precision precision_;
  std::vector<float> numbers_;
  std::vector<std::byte> stored_;
  std::vector<float> norms_;
};

inline std::vector<std::int32_t> all_images(const TestCells& bank) {
  std::vector<std::int32_t> candidates(static_cast<std::size_t>(bank.shape().images));
  std::iota(candidates.begin(), candidates.end(), 0);
  return candidates;
}

// A query in the only basis of a bank.
struct TestQuery : Query {
  int num_threads = -1;

  Request request() const { return {{*this}, candidates, hyperpatch, matches, num_threads}; }
};

inline Field exhaustive_search(const CellBank& bank, const TestQuery& query,
                               const Monitor& monitor) {
  return compnn::exhaustive_search(bank, query.request(), monitor);
}

inline Field hyperpatch_match(const CellBank& bank, const TestQuery& query,
                              const HyperPatchMatchOptions& options, const Monitor& monitor) {
  return compnn::hyperpatch_match(bank, query.request(), options, monitor);
}

// Cosine similarity of two hyperpatches, in double; 0 where a norm is 0.
inline double cosine(const TestCells& query, Index row, Index col, const TestCells& bank,
                     const Match& place, HyperpatchSize size) {
  double dot = 0, query_square = 0, bank_square = 0;
  for (Index a = 0; a < size.height; ++a) {
    const float* q = query.cell(0, row + a, col);
    const float* b = bank.cell(place.image, place.row + a, place.col);
    for (Index i = 0; i < size.width * bank.shape().depth; ++i) {
      dot += static_cast<double>(q[i]) * b[i];
      query_square += static_cast<double>(q[i]) * q[i];
      bank_square += static_cast<double>(b[i]) * b[i];
    }
  }
  if (query_square == 0 || bank_square == 0) return 0;
  return dot / std::sqrt(query_square) / std::sqrt(bank_square);
}

struct Reference {
  double similarity;
  Match place;
};

// Every hyperpatch of the candidates, best first; equal ones in the order of their places.
inline std::vector<Reference> brute_force(const TestCells& query, Index row, Index col,
                                          const TestCells& bank, const Query& asked) {
  std::vector<Reference> all;
  for (const std::int32_t image : asked.candidates) {
    for (std::int32_t r = 0; r + asked.hyperpatch.height <= bank.rows(image); ++r) {
      for (std::int32_t c = 0; c + asked.hyperpatch.width <= bank.cols(image); ++c) {
        const Match place{0, image, r, c};
        all.push_back({cosine(query, row, col, bank, place, asked.hyperpatch), place});
      }
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const Reference& a, const Reference& b) {
    return a.similarity > b.similarity;
  });
  return all;
}

inline bool same_fields(const Field& a, const Field& b) {
  return a.rows == b.rows && a.cols == b.cols && a.matches == b.matches &&
         std::equal(a.best.begin(), a.best.end(), b.best.begin(), b.best.end(),
                    [](const Match& x, const Match& y) {
                      return x.similarity == y.similarity && x.same_place(y);
                    });
}

}  // namespace compnn::test
