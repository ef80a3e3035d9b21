#include "arrays.h"
#include "compnn/bank/pack.h"

namespace compnn::bindings {

void BindPack(py::module_& m) {
  m.def(
      "pack_activations",
      [](const py::array& activations, py::array cells, py::array norms) {
        need(is_float(activations) && activations.ndim() == 3,
             "activations must be float32 with the shape (D, H, W)");
        need_contiguous(activations, "activations");
        need(cells.ndim() == 3 && cells.shape(0) == activations.shape(1) &&
                 cells.shape(1) == activations.shape(2) && cells.shape(2) == activations.shape(0),
             "cells must have the shape (H, W, D)");
        cells_of(cells, norms);
        const auto* from = static_cast<const float*>(activations.data());
        const Index depth = activations.shape(0);
        const Index count = activations.shape(1) * activations.shape(2);
        void* to = cells.mutable_data();
        auto* to_norms = static_cast<float*>(norms.mutable_data());
        const bool half = is_half(cells);
        const py::gil_scoped_release release;
        if (half) {
          pack_activations(from, depth, count, static_cast<Half*>(to), to_norms);
        } else {
          pack_activations(from, depth, count, static_cast<float*>(to), to_norms);
        }
      },
      py::arg("activations"), py::arg("cells"), py::arg("norms"));
}

}  // namespace compnn::bindings
