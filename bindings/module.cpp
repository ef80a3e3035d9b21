// The Python module compnn._core: thin bindings, one Bind... function per file.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "compnn/base/error.h"
#include "compnn/simd/level.h"

namespace py = pybind11;

namespace compnn::bindings {

void BindBank(py::module_& m);
void BindPack(py::module_& m);
void BindSearch(py::module_& m);

}  // namespace compnn::bindings

PYBIND11_MODULE(_core, m) {
  m.doc() = "The C++ engine of compnn; use the functions of the package compnn instead.";
  py::register_exception<compnn::NotFinite>(m, "NotFinite", PyExc_ValueError);
  py::register_exception<compnn::OutOfRange>(m, "OutOfRange", PyExc_ValueError);
  py::register_exception<compnn::Cancelled>(m, "Cancelled", PyExc_RuntimeError);

  m.def("simd_level", [] { return compnn::to_string(compnn::simd_level()); });
  m.def("supported_simd_levels", [] {
    std::vector<std::string> names;
    for (compnn::SimdLevel level : compnn::supported_simd_levels()) {
      names.push_back(compnn::to_string(level));
    }
    return names;
  });
  compnn::bindings::BindBank(m);
  compnn::bindings::BindPack(m);
  compnn::bindings::BindSearch(m);
}
