// Synthetic activations like those of a CNN.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "compnn/bank/cell_bank.h"
#include "compnn/bank/pack.h"

namespace compnn::benchmarks {

// Random numbers at the knots of a grid, bilinear between them, cut off below zero.
inline std::vector<float> blobs(Index rows, Index cols, Index step, std::mt19937& generator) {
  std::normal_distribution<float> normal;
  const Index width = cols / step + 2;
  std::vector<float> knots(static_cast<std::size_t>((rows / step + 2) * width)), values;
  for (float& knot : knots) knot = normal(generator);
  for (Index row = 0; row < rows; ++row) {
    const float y = static_cast<float>(row % step) / static_cast<float>(step);
    for (Index col = 0; col < cols; ++col) {
      const float x = static_cast<float>(col % step) / static_cast<float>(step);
      const float* knot = knots.data() + row / step * width + col / step;
      const float top = knot[0] + x * (knot[1] - knot[0]);
      const float bottom = knot[width] + x * (knot[width + 1] - knot[width]);
      values.push_back(std::max(0.0F, top + y * (bottom - top)));
    }
  }
  return values;
}

// Images of float16 cells, smooth and of low rank: patterns of blobs, finer and weaker from one to
// the next, each along a direction of its own, and a little noise.
inline CellBank synthetic_bank(Index images, Index rows, Index cols, Index depth) {
  constexpr Index kPatterns = 64;
  struct Memory {
    std::vector<Half> numbers;
    std::vector<float> norms;
  };
  const Index cells = rows * cols;
  const auto memory = std::make_shared<Memory>();
  memory->numbers.resize(static_cast<std::size_t>(images * cells * depth));
  memory->norms.resize(static_cast<std::size_t>(images * cells));

  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  std::vector<float> directions(static_cast<std::size_t>(kPatterns * depth));
  for (float& number : directions) number = normal(generator);
  std::vector<float> activations(static_cast<std::size_t>(depth * cells));  // (D, H, W)
  for (Index image = 0; image < images; ++image) {
    for (float& number : activations) number = 0.05F * normal(generator);
    for (Index pattern = 0; pattern < kPatterns; ++pattern) {
      const Index step = 16 - pattern / 5;
      const std::vector<float> values = blobs(rows, cols, step, generator);
      for (Index d = 0; d < depth; ++d) {
        const float weight = directions[static_cast<std::size_t>(pattern * depth + d)] /
                             std::sqrt(static_cast<float>(pattern + 1));
        float* to = activations.data() + d * cells;
        for (Index cell = 0; cell < cells; ++cell) {
          to[cell] += weight * values[static_cast<std::size_t>(cell)];
        }
      }
    }
    Unpacked from{};
    from.activations = activations.data();
    from.depth = from.kept = depth;
    from.cells = cells;
    pack_activations(from, Precision::kFloat16, memory->numbers.data() + image * cells * depth,
                     memory->norms.data() + image * cells);
  }
  Shard shard;
  shard.numbers = memory->numbers.data();
  shard.norms = memory->norms.data();
  shard.precision = Precision::kFloat16;
  shard.count = images * cells;
  shard.depth = depth;
  std::vector<ImagePlace> places;
  for (Index image = 0; image < images; ++image) places.push_back({0, image * cells, rows, cols});
  return CellBank({shard}, places, memory);
}

}  // namespace compnn::benchmarks
