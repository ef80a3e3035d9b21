#include "compnn/bank/cell_bank.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "compnn/bank/npy_file.h"
#include "compnn/base/error.h"

namespace compnn {
namespace {

struct Files {
  Files(const std::string& activations_path, const std::string& norms_path)
      : activations(activations_path), norms(norms_path) {}

  NpyFile activations, norms;
};

}  // namespace

CellBank CellBank::open(const std::string& activations_path, const std::string& norms_path) {
  const auto files = std::make_shared<const Files>(activations_path, norms_path);
  const NpyFile& activations = files->activations;
  const NpyFile& norms = files->norms;
  const std::vector<Index>& shape = activations.shape();
  if (shape.size() != 4 || activations.descr() == "|u1") {
    throw FileError(activations_path + ": activations must be float16 or float32 (N, H, W, D)");
  }
  if (norms.descr() != "<f4" || norms.shape() != std::vector<Index>(shape.begin(), --shape.end())) {
    throw FileError(norms_path + ": norms must be float32 (N, H, W), one for each cell of " +
                    activations_path);
  }
  Cells first;
  first.numbers = activations.data();
  first.norms = static_cast<const float*>(norms.data());
  first.precision = activations.descr() == "<f2" ? Precision::kFloat16 : Precision::kFloat32;
  first.rows = shape[1];
  first.cols = shape[2];
  first.depth = shape[3];
  return CellBank(first, shape[0], files);
}

CellBank::CellBank(const Cells& first, Index images, std::shared_ptr<const void> owner)
    : first_(first), images_(images), owner_(std::move(owner)) {}

Cells CellBank::image(Index index) const {
  Cells cells = first_;
  const Index step = first_.rows * first_.cols;
  cells.numbers = static_cast<const std::byte*>(first_.numbers) +
                  index * step * first_.depth * bytes_per_number(first_.precision);
  cells.norms += index * step;
  return cells;
}

}  // namespace compnn
