#include "compnn/search/subspace.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "check.h"
#include "test_cells.h"

using namespace compnn;
using namespace compnn::test;

namespace {

constexpr double kMissing = 0.02;

// Cells of a few directions, non-negative like those after a ReLU, and noise.
TestCells low_rank(Shape shape, Index rank, float noise, std::uint32_t seed) {
  TestCells cells(shape, Precision::kFloat32);
  std::mt19937 of_directions(1), generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> directions(static_cast<std::size_t>(rank * shape.depth));
  for (float& number : directions) number = std::fabs(normal(of_directions));
  cells.change([&](Index, Index, Index, float* cell) {
    for (Index d = 0; d < shape.depth; ++d) cell[d] = noise * normal(generator);
    for (Index r = 0; r < rank; ++r) {
      const float weight = std::fabs(normal(generator));
      for (Index d = 0; d < shape.depth; ++d) {
        cell[d] += weight * directions[static_cast<std::size_t>(r * shape.depth + d)];
      }
    }
  });
  return cells;
}

Query query_of(const TestCells& query, const TestCells& bank) {
  Query asked;
  asked.cells = query.cells();
  asked.candidates = all_images(bank);
  asked.hyperpatch = {1, 1};
  return asked;
}

// (depth x kept): row d is what becomes of the d-th unit vector.
std::vector<float> directions_of(const Subspace& subspace, Index depth) {
  std::vector<float> units(static_cast<std::size_t>(depth * depth)), coordinates;
  for (Index d = 0; d < depth; ++d) units[static_cast<std::size_t>(d * depth + d)] = 1;
  const float* projected = subspace.project(kernels(), units.data(), depth, coordinates);
  return std::vector<float>(projected, projected + depth * subspace.kept());
}

double dot(const float* a, const float* b, Index count) {
  double sum = 0;
  for (Index i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

void check_subspace(const TestCells& query, const TestCells& bank, Index most_kept) {
  const Index depth = bank.shape().depth;
  const Subspace subspace = Subspace::choose(bank.bank(), query_of(query, bank));
  const Index kept = subspace.kept();
  CHECK(kept < depth && kept >= 16 && kept <= most_kept && kept % 16 == 0);

  const std::vector<float> directions = directions_of(subspace, depth);
  // How far the product of the directions is from the unit matrix, by power iteration. missing(),
  // and the screen's slack, allow for no more.
  std::vector<double> deviation(static_cast<std::size_t>(kept * kept));
  for (Index i = 0; i < kept; ++i) deviation[static_cast<std::size_t>(i * kept + i)] = -1;
  for (Index d = 0; d < depth; ++d) {
    const float* row = directions.data() + d * kept;
    for (Index i = 0; i < kept; ++i) {
      for (Index j = 0; j < kept; ++j) {
        deviation[static_cast<std::size_t>(i * kept + j)] +=
            static_cast<double>(row[i]) * static_cast<double>(row[j]);
      }
    }
  }
  std::vector<double> vector(static_cast<std::size_t>(kept), 1);
  double largest = 0;
  for (int iteration = 0; iteration < 50; ++iteration) {
    std::vector<double> next(vector.size());
    double square = 0;
    for (std::size_t i = 0; i < next.size(); ++i) {
      const double* row = deviation.data() + i * next.size();
      next[i] = std::inner_product(vector.begin(), vector.end(), row, 0.0);
      square += next[i] * next[i];
    }
    largest =
        std::sqrt(square / std::inner_product(vector.begin(), vector.end(), vector.begin(), 0.0));
    for (std::size_t i = 0; i < next.size(); ++i) vector[i] = next[i] / std::sqrt(square);
  }
  CHECK_NEAR(largest, 0, 1e-5);

  // Of some cells of both: what is kept, what is missing, and what of products.
  std::vector<const float*> cells;
  std::vector<float> norms;
  for (const TestCells* from : {&query, &bank}) {
    const Index count = static_cast<Index>(from->norms().size());
    for (Index i = 0; i < count; i += std::max<Index>(1, count / 150)) {
      cells.push_back(from->cell(0, 0, 0) + i * depth);
      norms.push_back(from->norms()[static_cast<std::size_t>(i)]);
    }
  }
  std::vector<std::vector<float>> projected;
  std::vector<double> missing;
  double total = 0, all_kept = 0;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    std::vector<float> room;
    const float* coordinates = subspace.project(kernels(), cells[i], 1, room);
    projected.emplace_back(coordinates, coordinates + kept);
    const auto norm = static_cast<double>(norms[i]);
    missing.push_back(static_cast<double>(subspace.missing(norms[i], coordinates, kernels())));
    if (norm == 0) {
      CHECK_EQUAL(missing.back(), 0.0);
      continue;
    }
    double left_out = 0;
    for (Index d = 0; d < depth; ++d) {
      const double back = dot(coordinates, directions.data() + d * kept, kept);
      const double difference = static_cast<double>(cells[i][d]) - back;
      left_out += difference * difference;
    }
    CHECK(missing.back() >= std::sqrt(left_out));
    CHECK(missing.back() <= std::sqrt(left_out) + 0.005 * norm);
    total += 1;
    all_kept += 1 - left_out / (norm * norm);
  }
  CHECK(all_kept >= (1 - 1.5 * kMissing) * total);
  for (std::size_t i = 0; i < cells.size(); i += 2) {
    for (std::size_t j = 1; j < cells.size(); j += 2) {
      const double all = dot(cells[i], cells[j], depth);
      const double inside = dot(projected[i].data(), projected[j].data(), kept);
      const double norm = static_cast<double>(norms[i]) * static_cast<double>(norms[j]);
      CHECK(std::fabs(all - inside) <= missing[i] * missing[j] + 1e-5 * norm);
    }
  }
}

}  // namespace

TEST(keeps_few_directions_of_low_rank_cells) {
  for (const Index depth : {17, 32, 63}) {
    const TestCells query = low_rank({1, 70, 70, depth}, 4, 1e-3F, 2);
    const TestCells bank = low_rank({4, 40, 40, depth}, 4, 1e-3F, 3);
    check_subspace(query, bank, 16);
  }
}

// Integers with one scale for all numbers lose most where one number is much larger.
TEST(no_coordinate_is_much_larger_than_the_others) {
  const auto along_one = [](Index, Index, Index, float* cell) {
    for (Index d = 0; d < 64; ++d) cell[d] = 0.1F * cell[d] + 1;
  };
  TestCells query = TestCells::random({1, 40, 40, 64}, Precision::kFloat32, 1);
  TestCells bank = TestCells::random({9, 40, 40, 64}, Precision::kFloat32, 2);
  query.change(along_one);
  bank.change(along_one);
  const Subspace subspace = Subspace::choose(bank.bank(), query_of(query, bank));
  CHECK_EQUAL(subspace.kept(), 16);
  std::vector<float> room;
  const float* coordinates = subspace.project(kernels(), query.cell(0, 0, 0), 40, room);
  for (Index i = 0; i < 40; ++i, coordinates += 16) {
    const float norm = std::sqrt(kernels().dot(coordinates, coordinates, 16));
    CHECK(kernels().largest_magnitude(coordinates, 16) < 0.6F * norm);
  }
}

TEST(keeps_more_of_higher_rank) {
  const TestCells query = low_rank({1, 70, 70, 64}, 40, 2, 4);
  const TestCells bank = low_rank({4, 40, 40, 64}, 40, 2, 5);
  check_subspace(query, bank, 48);
}

TEST(is_orthonormal_at_larger_depths) {
  const TestCells query = low_rank({1, 90, 90, 256}, 30, 0.5F, 6);
  const TestCells bank = low_rank({12, 32, 32, 256}, 30, 0.5F, 7);
  check_subspace(query, bank, 240);
}

// The more directions, the more must be orthogonal to one another.
TEST(keeps_most_of_deep_cells) {
  TestCells query = TestCells::random({1, 90, 90, 256}, Precision::kFloat32, 19);
  TestCells bank = TestCells::random({12, 32, 32, 256}, Precision::kFloat32, 20);
  const auto flatten = [](Index, Index, Index, float* cell) {
    for (Index d = 208; d < 256; ++d) cell[d] *= 0.1F;
    for (Index d = 0; d + 1 < 256; ++d) cell[d] += 0.5F * cell[d + 1];
  };
  query.change(flatten);
  bank.change(flatten);
  check_subspace(query, bank, 240);
}

TEST(cells_of_all_lengths_and_zeros) {
  TestCells query = low_rank({1, 70, 70, 32}, 4, 1e-2F, 8);
  TestCells bank = low_rank({4, 40, 40, 32}, 4, 1e-2F, 9);
  std::mt19937 generator(10);
  for (TestCells* cells : {&query, &bank}) {
    cells->change([&](Index, Index row, Index col, float* cell) {
      const double exponent = static_cast<double>(generator() % 31) - 15;
      const auto by = row % 7 == 3 && col % 2 ? 0.0F : static_cast<float>(std::pow(10.0, exponent));
      for (Index d = 0; d < 32; ++d) cell[d] *= by;
    });
  }
  check_subspace(query, bank, 16);
}

TEST(keeps_all_when_that_does_not_pay) {
  const auto kept = [](const TestCells& query, const TestCells& bank) {
    return Subspace::choose(bank.bank(), query_of(query, bank)).kept();
  };
  // The search is small.
  CHECK_EQUAL(kept(low_rank({1, 9, 9, 32}, 4, 0, 11), low_rank({2, 9, 9, 32}, 4, 0, 12)), 32);
  // There is no direction to leave out.
  const Shape many{1, 70, 70, 32}, images{4, 40, 40, 32};
  CHECK_EQUAL(kept(TestCells::random(many, Precision::kFloat32, 13),
                   TestCells::random(images, Precision::kFloat32, 14)),
              32);
  // The cells are not deep.
  CHECK_EQUAL(kept(low_rank({1, 70, 70, 16}, 1, 0, 15), low_rank({4, 40, 40, 16}, 1, 0, 16)), 16);
}

TEST(all_directions_change_nothing) {
  const Subspace everything(7);
  CHECK_EQUAL(everything.kept(), 7);
  const float cell[7] = {1, 2, 3, 4, 5, 6, 7};
  std::vector<float> room;
  CHECK(everything.project(kernels(), cell, 1, room) == cell);
  CHECK_EQUAL(everything.missing(3.0F, cell, kernels()), 0.0F);
}

// How the candidates' cells are cut into shards, and the images into sizes, does not matter.
TEST(equal_choices_for_equal_searches) {
  const TestCells query = low_rank({1, 70, 70, 32}, 4, 1e-3F, 17);
  const TestCells bank = low_rank({4, 40, 40, 32}, 4, 1e-3F, 18);
  const Query asked = query_of(query, bank);
  const std::vector<float> expected = directions_of(Subspace::choose(bank.bank(), asked), 32);
  CHECK(directions_of(Subspace::choose(bank.bank(), asked), 32) == expected);
  CHECK(directions_of(Subspace::choose(bank.bank(3), asked), 32) == expected);
  const std::vector<ImagePlace> places = {{0, 0, 1, 100}, {0, 100, 30, 100}, {0, 3100, 33, 100}};
  Query other = asked;
  other.candidates = {0, 1, 2};
  const CellBank cut({bank.shard(0, 4)}, places);
  CHECK(directions_of(Subspace::choose(cut, other), 32) == expected);
}
