#include "compnn/bank/cell_bank.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <optional>
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

std::optional<Precision> precision_of(const std::string& descr) {
  if (descr == "<f4") return Precision::kFloat32;
  if (descr == "<f2") return Precision::kFloat16;
  if (descr == "<u2") return Precision::kBfloat16;
  if (descr == "|i1") return Precision::kInt8;
  return std::nullopt;
}

}  // namespace

CellBank CellBank::open(const std::string& activations_path, const std::string& norms_path) {
  const auto files = std::make_shared<const Files>(activations_path, norms_path);
  const NpyFile& activations = files->activations;
  const NpyFile& norms = files->norms;
  const std::vector<Index>& shape = activations.shape();
  const std::optional<Precision> precision = precision_of(activations.descr());
  if (shape.size() != 4 || !precision) {
    throw FileError(activations_path +
                    ": activations must be float32, float16, uint16 (bfloat16) or int8 "
                    "(N, H, W, D)");
  }
  if (norms.descr() != "<f4" || norms.shape() != std::vector<Index>(shape.begin(), --shape.end())) {
    throw FileError(norms_path + ": norms must be float32 (N, H, W), one for each cell of " +
                    activations_path);
  }
  Cells first;
  first.numbers = activations.data();
  first.norms = static_cast<const float*>(norms.data());
  first.precision = *precision;
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
  cells.numbers =
      static_cast<const std::byte*>(first_.numbers) + index * step * first_.cell_bytes();
  cells.norms += index * step;
  return cells;
}

void CellBank::advise(Index index, int advice) const {
  static const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const Cells cells = image(index);
  const Index count = cells.rows * cells.cols;
  const auto give = [&](const void* from, Index bytes) {
    const auto begin = reinterpret_cast<std::uintptr_t>(from);
    const std::uintptr_t start = begin / page * page;
    // Only a hint: where it is refused, pages are read when they are touched.
    static_cast<void>(madvise(reinterpret_cast<void*>(start),
                              begin + static_cast<std::uintptr_t>(bytes) - start, advice));
  };
  give(cells.numbers, count * cells.cell_bytes());
  give(cells.norms, count * Index{sizeof(float)});
}

void CellBank::read_ahead(Index index) const { advise(index, MADV_WILLNEED); }

void CellBank::map([[maybe_unused]] Index index) const {
#if defined(MADV_POPULATE_READ)
  advise(index, MADV_POPULATE_READ);
#endif
}

}  // namespace compnn
