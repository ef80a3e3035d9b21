// NumPy arrays as the engine sees them, without copies.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "compnn/bank/cells.h"

namespace compnn::bindings {

namespace py = pybind11;

inline bool is_half(const py::array& array) {
  return array.dtype().kind() == 'f' && array.itemsize() == 2;
}

inline bool is_float(const py::array& array) {
  return array.dtype().kind() == 'f' && array.itemsize() == 4;
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

inline void need_norms(const py::array& norms, const py::array& cells) {
  need(is_float(norms) && norms.ndim() == cells.ndim() - 1,
       "norms must be float32 with one dimension less than cells");
  need_contiguous(norms, "norms");
  for (py::ssize_t i = 0; i < norms.ndim(); ++i) {
    need(norms.shape(i) == cells.shape(i), "norms must have one number for each cell");
  }
}

// Cells of one image from the last three dimensions of an array.
inline Cells cells_of(const py::array& cells, const py::array& norms) {
  need(is_half(cells) || is_float(cells), "cells must be float16 or float32");
  need_contiguous(cells, "cells");
  need_norms(norms, cells);
  const py::ssize_t n = cells.ndim();
  Cells view;
  view.numbers = cells.data();
  view.norms = static_cast<const float*>(norms.data());
  view.precision = is_half(cells) ? Precision::kFloat16 : Precision::kFloat32;
  view.rows = cells.shape(n - 3);
  view.cols = cells.shape(n - 2);
  view.depth = cells.shape(n - 1);
  return view;
}

}  // namespace compnn::bindings
