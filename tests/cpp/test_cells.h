// Small banks and queries in memory, and slow references in double precision for the searches.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "compnn/bank/cell_bank.h"
#include "compnn/search/field.h"
#include "compnn/search/query.h"
#include "compnn/simd/kernels.h"

namespace compnn::test {

struct Shape {
  Index images, rows, cols, depth;
};

// Owns the cells of some images; change() rounds numbers and brings the norms up to date.
class TestCells {
 public:
  TestCells(Shape shape, Precision precision)
      : shape_(shape),
        precision_(precision),
        numbers_(static_cast<std::size_t>(shape.images * shape.rows * shape.cols * shape.depth)),
        halves_(numbers_.size()),
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
    const Index count = static_cast<Index>(numbers_.size());
    if (precision_ == Precision::kFloat16) {
      const Kernels& slow = kernels(SimdLevel::kBaseline);
      slow.narrow(numbers_.data(), halves_.data(), count);
      slow.widen(halves_.data(), numbers_.data(), count);
    }
    for (std::size_t i = 0; i < norms_.size(); ++i) {
      const auto first = numbers_.begin() + static_cast<std::ptrdiff_t>(i) * shape_.depth;
      const double square = std::inner_product(first, first + shape_.depth, first, 0.0);
      norms_[i] = static_cast<float>(std::sqrt(square));
    }
  }

  const float* cell(Index image, Index row, Index col) const {
    return numbers_.data() + ((image * shape_.rows + row) * shape_.cols + col) * shape_.depth;
  }

  Cells cells() const {
    Cells view;
    view.numbers = precision_ == Precision::kFloat16 ? static_cast<const void*>(halves_.data())
                                                     : static_cast<const void*>(numbers_.data());
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

 private:
  Shape shape_;
  Precision precision_;
  std::vector<float> numbers_;
  std::vector<Half> halves_;
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
