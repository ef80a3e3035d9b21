#include <pybind11/stl.h>

#include <algorithm>
#include <optional>

#include "arrays.h"
#include "compnn/bank/directions.h"
#include "compnn/bank/pack.h"

namespace compnn::bindings {

void BindPack(py::module_& m) {
  m.def(
      "pack_activations",
      [](const py::array& activations, py::array cells, py::array norms,
         const std::optional<py::array>& directions, std::optional<py::array> lost) {
        need(is_float(activations) && activations.ndim() == 3,
             "activations must be float32 with the shape (D, H, W)");
        need_contiguous(activations, "activations");
        Unpacked from{};
        from.activations = static_cast<const float*>(activations.data());
        from.depth = activations.shape(0);
        from.cells = activations.shape(1) * activations.shape(2);
        from.kept = from.depth;
        if (directions) {
          need(is_float(*directions) && directions->ndim() == 2 &&
                   directions->shape(1) == from.depth,
               "directions must be float32 with the shape (K, D)");
          need_contiguous(*directions, "directions");
          from.directions = static_cast<const float*>(directions->data());
          from.kept = directions->shape(0);
        }
        need(cells.ndim() == 3 && cells.shape(0) == activations.shape(1) &&
                 cells.shape(1) == activations.shape(2) && cells.shape(2) == from.kept,
             "cells must have the shape (H, W, D), or (H, W, K) with directions");
        const Precision precision = cells_of(cells, norms).precision;
        float* to_lost = nullptr;
        if (lost) {
          need_norms(*lost, cells, "lost");
          to_lost = static_cast<float*>(lost->mutable_data());
        }
        void* to = cells.mutable_data();
        auto* to_norms = static_cast<float*>(norms.mutable_data());
        const py::gil_scoped_release release;
        pack_activations(from, precision, to, to_norms, to_lost);
      },
      py::arg("activations"), py::arg("cells"), py::arg("norms"),
      py::arg("directions") = py::none(), py::arg("lost") = py::none());
  m.def(
      "main_directions",
      [](const py::array& cells, double missing, Index step) {
        need(is_float(cells) && cells.ndim() == 2, "cells must be float32 with the shape (n, D)");
        need_contiguous(cells, "cells");
        need(missing >= 0 && missing < 1, "missing must be in [0, 1)");
        need(step >= 1, "step must be at least 1");
        const Index depth = cells.shape(1);
        const std::vector<float> found = [&] {
          const auto* from = static_cast<const float*>(cells.data());
          const py::gil_scoped_release release;
          return main_directions(from, cells.shape(0), depth, missing, step);
        }();
        const Index kept = depth == 0 ? 0 : static_cast<Index>(found.size()) / depth;
        py::array_t<float> directions({kept, depth});
        std::copy(found.begin(), found.end(), directions.mutable_data());
        return directions;
      },
      py::arg("cells"), py::kw_only(), py::arg("missing"), py::arg("step"));
}

}  // namespace compnn::bindings
