#include "compnn/search/unit_vectors.h"

#include <algorithm>
#include <cmath>

#include "compnn/search/screen.h"

namespace compnn {

void UnitVectors::resize(Index count, Index words_each, Index block) {
  const Index rounded = rounded_up(count, block);
  words.resize(static_cast<std::size_t>(rounded * words_each));
  std::fill(words.begin() + count * words_each, words.end(), 0);
  corrections.resize(static_cast<std::size_t>(rounded));
  std::fill(corrections.begin() + count, corrections.end(), 0);
  for (AlignedVector<float>* each : {&scales, &residuals, &missing}) {
    each->resize(corrections.size());
    std::fill(each->begin() + count, each->end(), 0.0F);
  }
}

void UnitVectors::copy(Index to, const UnitVectors& others, Index from, Index words_each) {
  std::copy_n(others.words.data() + from * words_each, words_each, words.data() + to * words_each);
  const auto at = static_cast<std::size_t>(to), other = static_cast<std::size_t>(from);
  corrections[at] = others.corrections[other];
  scales[at] = others.scales[other];
  residuals[at] = others.residuals[other];
  missing[at] = others.missing[other];
}

float VectorFormat::slack() const {
  return kScreenSlack + screen_.rounding * static_cast<float>(dimensions());
}

void VectorFormat::project(const float* numbers, Index count, ProjectedCells& cells) const {
  cells.coordinates = subspace_.project(kernels_, numbers, count, cells.projected);
  cells.missing.resize(static_cast<std::size_t>(count));
  for (Index i = 0; i < count; ++i) {
    cells.missing[static_cast<std::size_t>(i)] =
        subspace_.missing(cells.norms[static_cast<std::size_t>(i)],
                          cells.coordinates + i * subspace_.kept(), kernels_);
  }
}

void VectorFormat::convert(ProjectedCells& cells, Index first, Index stride, float inverse_norm,
                           UnitVectors& vectors, Index at) const {
  const Index kept = subspace_.kept();
  cells.vector.clear();
  for (Index a = 0; a < size_.height; ++a) {
    const float* from = cells.coordinates + (first + a * stride) * kept;
    cells.vector.insert(cells.vector.end(), from, from + size_.width * kept);
  }
  for (float& number : cells.vector) number *= inverse_norm;
  const auto place = static_cast<std::size_t>(at);
  screen_.convert(cells.vector.data(), dimensions(), vectors.words.data() + at * words(), 1,
                  &vectors.scales[place], &vectors.residuals[place], &vectors.corrections[place]);
  vectors.missing[place] = norm_of(cells.missing.data() + first, stride, size_) * inverse_norm;
}

UnitVectors VectorFormat::of_query(const Query& query, const QueryNumbers& numbers,
                                   ThreadPool& pool, Progress& progress) const {
  const Index rows = size_.rows(query.cells), cols = size_.cols(query.cells);
  const Index row_cells = query.cells.cols;
  UnitVectors vectors;
  vectors.resize(rows * cols, words(), screen_.query_block);
  pool.run(
      rows,
      [&](Index row, int) {
        ProjectedCells cells;
        const float* norms = query.cells.norms + row * row_cells;
        cells.norms.assign(norms, norms + size_.height * row_cells);
        project(numbers.at(row, 0), size_.height * row_cells, cells);
        for (Index col = 0; col < cols; ++col) {
          convert(cells, col, row_cells, inverse_norm(query.cells, size_, row, col), vectors,
                  row * cols + col);
        }
      },
      progress);
  return vectors;
}

}  // namespace compnn
