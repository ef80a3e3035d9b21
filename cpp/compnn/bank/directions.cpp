#include "compnn/bank/directions.h"

#include <Eigen/Dense>
#include <algorithm>

#include "compnn/bank/cells.h"

namespace compnn {
namespace {

using RowMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

}  // namespace

std::vector<float> main_directions(const float* cells, Index count, Index depth, double missing,
                                   Index step) {
  // In double: directions must be orthonormal, and short moments are not to drown in rounding.
  Eigen::MatrixXd units =
      Eigen::Map<const RowMatrix>(cells, count, depth).transpose().cast<double>();
  for (Index i = 0; i < count; ++i) {
    const double norm = units.col(i).norm();
    if (norm > kSmallestNorm) units.col(i) /= norm;
  }
  if (!units.allFinite()) return {};
  Eigen::MatrixXd moments = Eigen::MatrixXd::Zero(depth, depth);
  moments.selfadjointView<Eigen::Lower>().rankUpdate(units);
  return directions_of_moments(moments.data(), depth, missing, step);
}

std::vector<float> directions_of_moments(const double* moments, Index depth, double missing,
                                         Index step) {
  const Eigen::Map<const Eigen::MatrixXd> matrix(moments, depth, depth);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(matrix);
  if (solver.info() != Eigen::Success) return {};
  const Eigen::VectorXd& lengths = solver.eigenvalues();  // ascending
  const double limit = missing * lengths.sum();
  double left = 0;
  Index left_out = 0;
  while (left_out < depth) {
    left += std::max(0.0, lengths[left_out]);
    if (left > limit) break;
    ++left_out;
  }
  const Index kept = (depth - left_out + step - 1) / step * step;
  if (kept >= depth || kept == 0) return {};
  std::vector<float> directions(static_cast<std::size_t>(kept * depth));
  Eigen::Map<RowMatrix>(directions.data(), kept, depth) =
      solver.eigenvectors().rightCols(kept).transpose().cast<float>();
  return directions;
}

}  // namespace compnn
