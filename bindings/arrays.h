// NumPy arrays as the engine sees them, without copies.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <optional>
#include <string>
#include <vector>

#include "compnn/bank/cells.h"

namespace compnn::bindings {

namespace py = pybind11;

inline bool is_float(const py::array& array) {
  return array.dtype().kind() == 'f' && array.itemsize() == 4;
}

// NumPy has no bfloat16: its 16 bits are in a uint16.
inline std::optional<Precision> precision_of(const py::array& array) {
  const char kind = array.dtype().kind();
  const py::ssize_t bytes = array.itemsize();
  if (is_float(array)) return Precision::kFloat32;
  if (kind == 'f' && bytes == 2) return Precision::kFloat16;
  if (kind == 'u' && bytes == 2) return Precision::kBfloat16;
  if (kind == 'i' && bytes == 1) return Precision::kInt8;
  return std::nullopt;
}

inline const char* dtype_of(Precision precision) {
  switch (precision) {
    case Precision::kFloat16:
      return "float16";
    case Precision::kBfloat16:
      return "uint16";
    case Precision::kInt8:
      return "int8";
    default:
      return "float32";
  }
}

inline void need(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

// What the engine can read through a pointer.
inline void need_contiguous(const py::array& array, const std::string& name) {
  need((array.flags() & py::array::c_style) != 0, name + " must be C-contiguous");
  const bool aligned = (array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
  need(aligned, name + " must be aligned to its numbers");
  need(array.dtype().attr("isnative").cast<bool>(),
       name + " must be in the processor's byte order");
}

// Norms, or another number for each cell.
inline void need_norms(const py::array& norms, const py::array& cells,
                       const std::string& name = "norms") {
  need(is_float(norms) && norms.ndim() == cells.ndim() - 1,
       name + " must be float32 with one dimension less than cells");
  need_contiguous(norms, name);
  for (py::ssize_t i = 0; i < norms.ndim(); ++i) {
    need(norms.shape(i) == cells.shape(i), name + " must have one number for each cell");
  }
}

inline Precision precision_of_cells(const py::array& cells) {
  const std::optional<Precision> precision = precision_of(cells);
  need(precision.has_value(), "cells must be float32, float16, uint16 (bfloat16) or int8");
  need_contiguous(cells, "cells");
  return *precision;
}

// Cells of one image, (H, W, D).
inline Cells cells_of(const py::array& cells, const py::array& norms) {
  Cells view;
  view.precision = precision_of_cells(cells);
  need_norms(norms, cells);
  view.numbers = cells.data();
  view.norms = static_cast<const float*>(norms.data());
  view.rows = cells.shape(0);
  view.cols = cells.shape(1);
  view.depth = cells.shape(2);
  return view;
}

}  // namespace compnn::bindings
