#include <memory>

#include "arrays.h"
#include "compnn/bank/cell_bank.h"

namespace compnn::bindings {

void BindBank(py::module_& m) {
  py::class_<CellBank>(m, "CellBank")
      .def_static("open", &CellBank::open, py::arg("activations_path"), py::arg("norms_path"))
      .def_static(
          "from_arrays",
          [](py::array cells, py::array norms) {
            need(cells.ndim() == 4, "cells must have the shape (N, H, W, D)");
            const Cells first = cells_of(cells, norms);
            using Arrays = std::pair<py::array, py::array>;
            // The bank may be freed by a thread that does not hold the GIL.
            const std::shared_ptr<const void> owner(new Arrays(std::move(cells), std::move(norms)),
                                                    [](Arrays* arrays) {
                                                      const py::gil_scoped_acquire gil;
                                                      delete arrays;
                                                    });
            const py::ssize_t images = static_cast<const Arrays*>(owner.get())->first.shape(0);
            return CellBank(first, images, owner);
          },
          py::arg("cells"), py::arg("norms"))
      .def_property_readonly("shape",
                             [](const CellBank& bank) {
                               return py::make_tuple(bank.images(), bank.rows(), bank.cols(),
                                                     bank.depth());
                             })
      .def_property_readonly(
          "dtype", [](const CellBank& bank) { return py::dtype(dtype_of(bank.precision())); });
}

}  // namespace compnn::bindings
