#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "arrays.h"
#include "compnn/search/exhaustive.h"
#include "compnn/search/hyperpatch_match.h"

namespace compnn::bindings {
namespace {

using Candidates = py::array_t<std::int32_t, py::array::c_style>;
using Callback = std::optional<py::function>;

// Lets Ctrl-C through and passes the fraction on; both may raise, which ends the search.
Monitor monitor_of(const Callback& progress) {
  return [&progress](double fraction) {
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (progress) (*progress)(fraction);
    return true;
  };
}

// Of one basis: cells, norms, share.
using QueryArrays = std::tuple<py::array, py::array, std::optional<py::array>>;

QueryCells query_cells_of(const QueryArrays& arrays, HyperpatchSize hyperpatch) {
  const auto& [cells, norms, share] = arrays;
  need(cells.ndim() == 3, "a query's cells must have the shape (H, W, D)");
  QueryCells query;
  query.cells = cells_of(cells, norms);
  if (!share) return query;
  need(is_float(*share) && share->ndim() == 2 && share->shape(0) == hyperpatch.rows(query.cells) &&
           share->shape(1) == hyperpatch.cols(query.cells),
       "share must be float32 with one number for each hyperpatch");
  need_contiguous(*share, "share");
  query.share = static_cast<const float*>(share->data());
  need(std::all_of(query.share, query.share + share->size(),
                   [](float factor) { return factor >= 0 && factor <= 1; }),
       "share must be in [0, 1]");
  return query;
}

// Looks into the arrays.
Request request_of(const std::vector<QueryArrays>& queries, const Candidates& candidates,
                   std::pair<Index, Index> hyperpatch, int matches, int num_threads) {
  need(candidates.ndim() == 1, "candidates must have one dimension");
  Request request;
  request.hyperpatch = {hyperpatch.first, hyperpatch.second};
  for (const QueryArrays& arrays : queries) {
    request.query.push_back(query_cells_of(arrays, request.hyperpatch));
  }
  request.candidates.assign(candidates.data(), candidates.data() + candidates.size());
  request.matches = matches;
  request.num_threads = num_threads;
  return request;
}

// (image, row, col, similarity), each (K, rows, cols).
py::tuple arrays_of(const Field& field) {
  const std::vector<py::ssize_t> shape = {field.matches, field.rows, field.cols};
  py::array_t<std::int32_t> image(shape), row(shape), col(shape);
  py::array_t<float> similarity(shape);
  auto images = image.mutable_unchecked<3>();
  auto rows = row.mutable_unchecked<3>();
  auto cols = col.mutable_unchecked<3>();
  auto similarities = similarity.mutable_unchecked<3>();
  for (Index r = 0; r < field.rows; ++r) {
    for (Index c = 0; c < field.cols; ++c) {
      for (int k = 0; k < field.matches; ++k) {
        const Match& match = field.at(r, c)[k];
        images(k, r, c) = match.image;
        rows(k, r, c) = match.row;
        cols(k, r, c) = match.col;
        similarities(k, r, c) = match.similarity;
      }
    }
  }
  return py::make_tuple(image, row, col, similarity);
}

template <typename Search>
py::tuple run(const Search& search, const Callback& progress) {
  const Field field = [&] {
    const py::gil_scoped_release release;
    return search(monitor_of(progress));
  }();
  return arrays_of(field);
}

}  // namespace

void BindSearch(py::module_& m) {
  m.def(
      "exhaustive_search",
      [](const CellBank& bank, const std::vector<QueryArrays>& queries,
         const Candidates& candidates, std::pair<Index, Index> hyperpatch, int matches,
         int num_threads, const Callback& progress) {
        const Request request = request_of(queries, candidates, hyperpatch, matches, num_threads);
        return run(
            [&](const Monitor& monitor) { return exhaustive_search(bank, request, monitor); },
            progress);
      },
      py::arg("bank"), py::arg("queries"), py::arg("candidates"), py::arg("hyperpatch"),
      py::kw_only(), py::arg("matches") = 1, py::arg("num_threads") = -1,
      py::arg("progress") = py::none());
  m.def(
      "hyperpatch_match",
      [](const CellBank& bank, const std::vector<QueryArrays>& queries,
         const Candidates& candidates, std::pair<Index, Index> hyperpatch, int matches,
         const std::string& schedule, int effort, int iterations, std::uint64_t seed,
         bool stop_when_unchanged, int num_threads, const Callback& progress) {
        const Request request = request_of(queries, candidates, hyperpatch, matches, num_threads);
        need(schedule == "fast" || schedule == "paper", "schedule must be fast or paper");
        const HyperPatchMatchOptions options{
            schedule == "fast" ? Schedule::kFast : Schedule::kPaper, effort, iterations, seed,
            stop_when_unchanged};
        return run(
            [&](const Monitor& monitor) {
              return hyperpatch_match(bank, request, options, monitor);
            },
            progress);
      },
      py::arg("bank"), py::arg("queries"), py::arg("candidates"), py::arg("hyperpatch"),
      py::kw_only(), py::arg("matches") = 1, py::arg("schedule") = "fast", py::arg("effort") = 4,
      py::arg("iterations") = kUsual, py::arg("seed") = 0, py::arg("stop_when_unchanged") = false,
      py::arg("num_threads") = -1, py::arg("progress") = py::none());
}

}  // namespace compnn::bindings
