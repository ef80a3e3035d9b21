// Small banks and queries in memory, and slow references in double precision for the searches.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "compnn/bank/cell_bank.h"
#include "compnn/search/field.h"
#include "compnn/search/query.h"
#include "storage_reference.h"

namespace compnn::test {

struct Shape {
  Index images, rows, cols, depth;
};

// Owns the cells of some images; change() rounds numbers and brings the norms up to date. Its
// numbers are those that the stored ones stand for.
class TestCells {
 public:
  TestCells(Shape shape, Precision precision)
      : shape_(shape),
        precision_(precision),
        numbers_(static_cast<std::size_t>(shape.images * shape.rows * shape.cols * shape.depth)),
        stored_(numbers_.size() * static_cast<std::size_t>(bytes_per_number(precision))),
        norms_(numbers_.size() / static_cast<std::size_t>(shape.depth)) {}

  static TestCells random(Shape shape, Precision precision, std::uint32_t seed) {
    TestCells cells(shape, precision);
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    cells.change([&](Index, Index, Index, float* cell) {
      for (Index d = 0; d < shape.depth; ++d) cell[d] = normal(generator);
    });
    return cells;
  }

  // Calls change(image, row, col, numbers) for each cell.
  template <typename Change>
  void change(Change change) {
    float* cell = numbers_.data();
    for (Index image = 0; image < shape_.images; ++image) {
      for (Index row = 0; row < shape_.rows; ++row) {
        for (Index col = 0; col < shape_.cols; ++col, cell += shape_.depth) {
          change(image, row, col, cell);
        }
      }
    }
    for (std::size_t i = 0; i < norms_.size(); ++i) norms_[i] = round(static_cast<Index>(i));
  }

  const float* cell(Index image, Index row, Index col) const {
    return numbers_.data() + ((image * shape_.rows + row) * shape_.cols + col) * shape_.depth;
  }

  Cells cells() const {
    Cells view;
    view.numbers = stored_.data();
    view.norms = norms_.data();
    view.precision = precision_;
    view.rows = shape_.rows;
    view.cols = shape_.cols;
    view.depth = shape_.depth;
    return view;
  }

  CellBank bank() const { return CellBank(cells(), shape_.images); }
  const Shape& shape() const { return shape_; }
  const std::vector<float>& norms() const { return norms_; }
  std::size_t bytes() const { return stored_.size(); }

 private:
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
    for (std::int32_t r = 0; r + asked.hyperpatch.height <= bank.shape().rows; ++r) {
      for (std::int32_t c = 0; c + asked.hyperpatch.width <= bank.shape().cols; ++c) {
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
