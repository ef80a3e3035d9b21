#include <pybind11/stl.h>

#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "arrays.h"
#include "compnn/bank/cell_bank.h"

namespace compnn::bindings {
namespace {

using ShardArrays = std::tuple<py::array, py::array, Index>;  // cells, norms, basis

Shard shard_of(const ShardArrays& arrays) {
  const auto& [cells, norms, basis] = arrays;
  need(cells.ndim() == 2, "a shard's cells must have the shape (n, K)");
  Shard shard;
  shard.precision = precision_of_cells(cells);
  need_norms(norms, cells);
  shard.numbers = cells.data();
  shard.norms = static_cast<const float*>(norms.data());
  shard.count = cells.shape(0);
  shard.depth = cells.shape(1);
  shard.basis = basis;
  return shard;
}

std::vector<ImagePlace> places_of(const py::array& images) {
  need(images.dtype().kind() == 'i' && images.itemsize() == 8 && images.ndim() == 2 &&
           images.shape(1) == 4,
       "images must be int64 with the shape (N, 4)");
  need_contiguous(images, "images");
  std::vector<ImagePlace> places;
  places.reserve(static_cast<std::size_t>(images.shape(0)));
  const auto* row = static_cast<const std::int64_t*>(images.data());
  for (py::ssize_t i = 0; i < images.shape(0); ++i, row += 4) {
    places.push_back({row[0], row[1], row[2], row[3]});
  }
  return places;
}

}  // namespace

void BindBank(py::module_& m) {
  py::class_<CellBank>(m, "CellBank")
      .def(py::init([](std::vector<ShardArrays> arrays, const py::array& images) {
             std::vector<Shard> shards;
             for (const ShardArrays& each : arrays) shards.push_back(shard_of(each));
             using Arrays = std::vector<ShardArrays>;
             // The bank may be freed by a thread that does not hold the GIL.
             const std::shared_ptr<const void> owner(new Arrays(std::move(arrays)),
                                                     [](Arrays* kept) {
                                                       const py::gil_scoped_acquire gil;
                                                       delete kept;
                                                     });
             return CellBank(std::move(shards), places_of(images), owner);
           }),
           py::arg("shards"), py::arg("images"))
      .def_property_readonly("images", &CellBank::images)
      .def_property_readonly(
          "dtype", [](const CellBank& bank) { return py::dtype(dtype_of(bank.precision())); });
}

}  // namespace compnn::bindings
