#include "compnn/bank/directions.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "check.h"

using namespace compnn;

namespace {

constexpr Index kCount = 400;

// Mixtures of `rank` vectors, and noise, in cells of many lengths.
std::vector<float> cells_of_rank(Index rank, Index depth, double noise, std::uint32_t seed = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<double> vectors(static_cast<std::size_t>(rank * depth));
  for (double& number : vectors) number = normal(generator);
  std::vector<float> cells;
  for (Index i = 0; i < kCount; ++i) {
    std::vector<double> cell(static_cast<std::size_t>(depth));
    for (double& number : cell) number = noise * normal(generator);
    for (Index r = 0; r < rank; ++r) {
      const double weight = normal(generator);
      for (Index d = 0; d < depth; ++d) {
        cell[static_cast<std::size_t>(d)] +=
            weight * vectors[static_cast<std::size_t>(r * depth + d)];
      }
    }
    const double length = std::pow(10.0, static_cast<double>(i % 9) - 4);
    for (const double number : cell) cells.push_back(static_cast<float>(length * number));
  }
  return cells;
}

std::vector<float> directions_of(const std::vector<float>& cells, Index depth, double missing,
                                 Index step) {
  const Index count = static_cast<Index>(cells.size()) / depth;
  return main_directions(cells.data(), count, depth, missing, step);
}

Index kept(const std::vector<float>& cells, Index depth, double missing, Index step) {
  return static_cast<Index>(directions_of(cells, depth, missing, step).size()) / depth;
}

double dot(const float* a, const float* b, Index count) {
  double sum = 0;
  for (Index i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

// (cells x directions), in double.
std::vector<double> coordinates_of(const std::vector<float>& cells, Index depth,
                                   const std::vector<float>& directions) {
  std::vector<double> coordinates;
  for (std::size_t c = 0; c < cells.size(); c += static_cast<std::size_t>(depth)) {
    for (std::size_t d = 0; d < directions.size(); d += static_cast<std::size_t>(depth)) {
      coordinates.push_back(dot(cells.data() + c, directions.data() + d, depth));
    }
  }
  return coordinates;
}

void check_orthonormal(const std::vector<float>& directions, Index depth) {
  const Index count = static_cast<Index>(directions.size()) / depth;
  for (Index a = 0; a < count; ++a) {
    for (Index b = 0; b <= a; ++b) {
      const double product =
          dot(directions.data() + a * depth, directions.data() + b * depth, depth);
      CHECK_NEAR(product, a == b ? 1 : 0, 1e-6);
    }
  }
}

}  // namespace

TEST(as_many_directions_as_the_rank_rounded_up) {
  for (const Index rank : {1, 4, 15, 16, 17, 30}) {
    for (const Index step : {1, 8, 16}) {
      const Index expected = (rank + step - 1) / step * step;
      for (const Index depth : {40, 77}) {
        CHECK_EQUAL(kept(cells_of_rank(rank, depth, 0), depth, 1e-9, step), expected);
      }
    }
  }
}

TEST(directions_are_orthonormal) {
  for (const Index depth : {17, 64, 200}) {
    for (const double noise : {0.0, 1e-3}) {
      const std::vector<float> directions =
          directions_of(cells_of_rank(10, depth, noise), depth, 1e-4, 16);
      CHECK_EQUAL(static_cast<Index>(directions.size()), 16 * depth);
      check_orthonormal(directions, depth);
    }
  }
}

// What the directions leave out of unit vectors is no more than was allowed, and one step fewer of
// them would leave out more.
TEST(leaves_out_as_much_as_is_allowed_and_no_more) {
  constexpr Index kDepth = 60, kStep = 4;
  const std::vector<float> cells = cells_of_rank(20, kDepth, 0.3);
  for (const double missing : {0.01, 0.05, 0.2, 0.6}) {
    const std::vector<float> directions = directions_of(cells, kDepth, missing, kStep);
    const Index count = static_cast<Index>(directions.size()) / kDepth;
    CHECK(count > kStep && count < kDepth && count % kStep == 0);
    if (count <= kStep) continue;
    const std::vector<double> coordinates = coordinates_of(cells, kDepth, directions);
    std::vector<double> lengths(static_cast<std::size_t>(count));  // second moments
    double left_out = 0;
    for (Index i = 0; i < kCount; ++i) {
      const float* cell = cells.data() + i * kDepth;
      const double square = dot(cell, cell, kDepth);
      double inside = 0;
      for (std::size_t k = 0; k < lengths.size(); ++k) {
        const double x = coordinates[static_cast<std::size_t>(i * count) + k];
        lengths[k] += x * x / square;
        inside += x * x / square;
      }
      left_out += 1 - inside;
    }
    CHECK(left_out <= missing * kCount * (1 + 1e-5));
    std::sort(lengths.begin(), lengths.end());
    for (Index k = 0; k < kStep; ++k) left_out += lengths[static_cast<std::size_t>(k)];
    CHECK(left_out > missing * kCount);
  }
}

TEST(cosines_stay_within_what_is_left_out) {
  constexpr Index kDepth = 48;
  constexpr double kMissing = 1e-5;
  const std::vector<float> cells = cells_of_rank(12, kDepth, 1e-3);
  const std::vector<float> directions = directions_of(cells, kDepth, kMissing, 16);
  CHECK_EQUAL(static_cast<Index>(directions.size()), 16 * kDepth);
  if (directions.size() != 16 * kDepth) return;
  const std::vector<double> coordinates = coordinates_of(cells, kDepth, directions);
  const auto cosine = [](const double* a, const double* b, Index count) {
    const auto product = [count](const double* x, const double* y) {
      return std::inner_product(x, x + count, y, 0.0);
    };
    return product(a, b) / std::sqrt(product(a, a) * product(b, b));
  };
  const std::vector<double> wide(cells.begin(), cells.end());
  double total = 0, pairs = 0;
  for (Index i = 0; i < kCount; ++i) {
    for (Index j = 0; j < i; ++j) {
      const double before = cosine(wide.data() + i * kDepth, wide.data() + j * kDepth, kDepth);
      const double after = cosine(coordinates.data() + i * 16, coordinates.data() + j * 16, 16);
      CHECK_NEAR(after, before, 100 * kMissing);  // cells differ in what they lack
      total += std::fabs(after - before);
      pairs += 1;
    }
  }
  CHECK(total / pairs < kMissing);
}

// A long cell counts no more than a short one.
TEST(lengths_of_cells_do_not_matter) {
  constexpr Index kDepth = 40;
  std::vector<float> cells = cells_of_rank(8, kDepth, 0);
  const std::vector<float> others = cells_of_rank(8, kDepth, 0, 2);
  // A tenth of the cells lie elsewhere; they are longer, or shorter, than all others.
  for (const float length : {1e10F, 1e-10F}) {
    for (std::size_t i = 0; i < cells.size() / 10; ++i) cells[i] = length * others[i];
    CHECK_EQUAL(kept(cells, kDepth, 1e-3, 1), 16);
    CHECK_EQUAL(kept(cells, kDepth, 0.2, 8), 8);
  }
}

TEST(zero_cells_are_ignored) {
  constexpr Index kDepth = 32;
  const std::vector<float> cells = cells_of_rank(6, kDepth, 0.05);
  std::vector<float> with_zeros = cells;
  with_zeros.resize(10 * cells.size(), 0.0F);
  CHECK(directions_of(with_zeros, kDepth, 0.02, 4).size() ==
        directions_of(cells, kDepth, 0.02, 4).size());
  CHECK(directions_of(std::vector<float>(100 * kDepth), kDepth, 0.02, 4).empty());
  CHECK(main_directions(nullptr, 0, kDepth, 0.02, 4).empty());
}

TEST(empty_where_there_is_none_to_leave_out) {
  const std::vector<float> full = cells_of_rank(48, 48, 1);
  CHECK(directions_of(full, 48, 1e-6, 1).empty());
  CHECK(directions_of(full, 48, 0, 1).empty());
  // Rounded up to a step, there would be as many as channels, or more.
  const std::vector<float> few = cells_of_rank(5, 16, 0);
  CHECK_EQUAL(kept(few, 16, 1e-9, 15), 15);
  CHECK(directions_of(few, 16, 1e-9, 16).empty());
  CHECK(directions_of(few, 16, 1e-9, 17).empty());
}

TEST(empty_for_what_is_not_finite) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const std::size_t place : {std::size_t{0}, std::size_t{4321}}) {
      std::vector<float> cells = cells_of_rank(3, 32, 0);
      cells[place] = bad;
      CHECK(directions_of(cells, 32, 1e-6, 4).empty());
    }
  }
}

TEST(same_cells_give_the_same_directions) {
  const std::vector<float> cells = cells_of_rank(9, 64, 1e-2);
  const std::vector<float> directions = directions_of(cells, 64, 0.02, 16);
  CHECK(!directions.empty() && directions == directions_of(cells, 64, 0.02, 16));
}
