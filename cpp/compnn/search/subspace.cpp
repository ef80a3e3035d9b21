#include "compnn/search/subspace.h"

#include <algorithm>
#include <cmath>

#include "compnn/bank/directions.h"
#include "compnn/base/random.h"

namespace compnn {
namespace {

constexpr Index kSample = 2048;
constexpr Index kStep = 16;

// Other orthonormal directions of the same subspace (kept x depth), each a mixture of all: a cosine
// transform between random signs. Along the main directions a few numbers of a cell are much larger
// than the others; along these all are alike, so that integers lose less.
void mix_directions(std::vector<float>& directions, Index kept, Index depth) {
  constexpr double kPi = 3.14159265358979323846;
  CounterRandom random(0, 0, 0);
  const auto sign = [&] { return random.below(2) == 0 ? 1.0 : -1.0; };
  std::vector<double> signs(static_cast<std::size_t>(kept)), mixed(static_cast<std::size_t>(depth));
  for (double& each : signs) each = sign();
  const std::vector<float> main = directions;
  for (Index i = 0; i < kept; ++i) {
    const double length = sign() * std::sqrt((i == 0 ? 1.0 : 2.0) / static_cast<double>(kept));
    std::fill(mixed.begin(), mixed.end(), 0.0);
    for (Index j = 0; j < kept; ++j) {
      const double turn = kPi * (static_cast<double>(j) + 0.5) * static_cast<double>(i);
      const double share =
          length * signs[static_cast<std::size_t>(j)] * std::cos(turn / static_cast<double>(kept));
      const float* from = main.data() + j * depth;
      for (Index d = 0; d < depth; ++d) {
        mixed[static_cast<std::size_t>(d)] += share * static_cast<double>(from[d]);
      }
    }
    std::copy(mixed.begin(), mixed.end(), directions.begin() + i * depth);
  }
}

}  // namespace

Subspace Subspace::choose(const CellBank& bank, const Query& query) {
  const Kernels& table = kernels();
  const Index depth = query.cells.depth;
  Subspace all(depth);
  std::vector<Index> ends;  // of each candidate's cells, among those of all
  for (const std::int32_t image : query.candidates) {
    ends.push_back((ends.empty() ? 0 : ends.back()) + bank.rows(image) * bank.cols(image));
  }
  const auto product = [](Index a, Index b) {
    return static_cast<double>(a) * static_cast<double>(b);
  };
  const double search = product(query.cells.rows, query.cells.cols) * product(ends.back(), depth);
  const double directions = product(depth, depth) * static_cast<double>(kSample + 20 * depth);
  if (depth <= kStep || directions > 0.02 * search) return all;

  // A column each, so that their second moments are a product of rows.
  std::vector<float> sample(static_cast<std::size_t>(depth * kSample));
  std::vector<float> cell_numbers(static_cast<std::size_t>(depth));
  for (Index i = 0; i < kSample; ++i) {
    // Half of them from the query, and of both every so many cells.
    const bool from_query = i % 2 == 0;
    const Index cells = from_query ? query.cells.rows * query.cells.cols : ends.back();
    const auto cell =
        static_cast<Index>(static_cast<double>(i) / kSample * static_cast<double>(cells));
    Cells from = query.cells;
    Index within = cell;
    if (!from_query) {
      const auto end = std::upper_bound(ends.begin(), ends.end(), cell);
      from = bank.image(query.candidates[static_cast<std::size_t>(end - ends.begin())]);
      within = cell - (*end - from.rows * from.cols);
    }
    from.widen(table, within / from.cols, within % from.cols, 1, cell_numbers.data());
    const float norm = from.norms[within];
    const float inverse = norm > kSmallestNorm ? 1 / norm : 0;
    for (Index d = 0; d < depth; ++d) {
      sample[static_cast<std::size_t>(d * kSample + i)] =
          cell_numbers[static_cast<std::size_t>(d)] * inverse;
    }
  }
  std::vector<float> moments(static_cast<std::size_t>(depth * depth));
  table.project(sample.data(), depth, kSample, sample.data(), depth, moments.data());
  Subspace subspace(depth);
  if (!std::all_of(moments.begin(), moments.end(), [](float x) { return std::isfinite(x); })) {
    return subspace;
  }
  const std::vector<double> in_double(moments.begin(), moments.end());
  subspace.directions_ = directions_of_moments(in_double.data(), depth, kMissing, kStep);
  if (!subspace.directions_.empty()) {
    subspace.kept_ = static_cast<Index>(subspace.directions_.size()) / depth;
    mix_directions(subspace.directions_, subspace.kept_, depth);
  }
  return subspace;
}

const float* Subspace::project(const Kernels& kernels, const float* cells, Index count,
                               std::vector<float>& coordinates) const {
  if (directions_.empty()) return cells;
  coordinates.resize(static_cast<std::size_t>(count * kept_));
  kernels.project(cells, count, depth_, directions_.data(), kept_, coordinates.data());
  return coordinates.data();
}

float Subspace::missing(float norm, const float* coordinates, const Kernels& kernels) const {
  if (directions_.empty()) return 0;
  // The second factor covers the rounding of both squares.
  const float square = norm * norm, kept = kernels.dot(coordinates, coordinates, kept_);
  return std::sqrt(std::max(0.0F, square - kept) + 1e-5F * square);
}

}  // namespace compnn
