#include "compnn/search/query.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace compnn {

std::vector<Query> Request::in_bases(const CellBank& bank) const {
  const auto need = [](bool condition, const std::string& message) {
    if (!condition) throw std::invalid_argument(message);
  };
  const auto text = [](Index number) { return std::to_string(number); };
  const auto shape = [&](Index rows, Index cols) { return text(rows) + "x" + text(cols); };
  const auto given = static_cast<Index>(query.size());
  need(given == bank.bases(),
       "the bank's cells are in " + text(bank.bases()) + " bases, the query's in " + text(given));
  const Cells& first = query.front().cells;
  std::vector<Query> queries(query.size());
  for (Index basis = 0; basis < bank.bases(); ++basis) {
    const auto at = static_cast<std::size_t>(basis);
    const Cells& cells = query[at].cells;
    need(cells.depth == bank.depth(basis), "the query's cells have " + text(cells.depth) +
                                               " channels, the bank's " + text(bank.depth(basis)));
    need(cells.depth >= 1, "activations must have at least one channel");
    need(cells.rows == first.rows && cells.cols == first.cols,
         "the query has " + shape(first.rows, first.cols) + " cells in basis 0, " +
             shape(cells.rows, cells.cols) + " in basis " + text(basis));
    queries[at] = {query[at], {}, hyperpatch, matches};
  }
  const std::string hyperpatch_shape = shape(hyperpatch.height, hyperpatch.width) + " cells";
  need(hyperpatch.height >= 1 && hyperpatch.width >= 1 && hyperpatch.count(first) >= 1,
       "a hyperpatch of " + hyperpatch_shape + " does not fit the query's " +
           shape(first.rows, first.cols) + " cells");
  need(matches >= 1, "matches must be at least 1, not " + text(matches));
  need(!candidates.empty(), "there are no candidate images");
  Index all = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const std::int32_t image = candidates[i];
    need(image >= 0 && image < bank.images(),
         "candidate " + text(image) + " is outside the bank's " + text(bank.images()) + " images");
    need(i == 0 || candidates[i - 1] < image, "candidates must ascend, each once");
    const Index here = hyperpatch.count(bank.image(image));
    if (here == 0) continue;
    queries[static_cast<std::size_t>(bank.basis(image))].candidates.push_back(image);
    all += here;
  }
  need(all >= 1, "a hyperpatch of " + hyperpatch_shape + " fits none of the candidates");
  for (Query& one : queries) one.matches = static_cast<int>(std::min<Index>(matches, all));
  const auto is_unused = [](const Query& one) { return one.candidates.empty(); };
  queries.erase(std::remove_if(queries.begin(), queries.end(), is_unused), queries.end());
  return queries;
}

Index hyperpatches(const CellBank& bank, const Query& query) {
  Index all = 0;
  for (const std::int32_t image : query.candidates)
    all += query.hyperpatch.count(bank.image(image));
  return all;
}

QueryNumbers::QueryNumbers(const Query& query, ThreadPool& pool, Progress& progress)
    : cells_(query.cells), numbers_(static_cast<const float*>(cells_.numbers)) {
  if (cells_.precision == Precision::kFloat32) return;
  copies_.resize(static_cast<std::size_t>(cells_.offset(cells_.rows, 0)));
  numbers_ = copies_.data();
  pool.run(
      cells_.rows,
      [&](Index row, int) {
        cells_.widen(kernels(), row, 0, cells_.cols, copies_.data() + cells_.offset(row, 0));
      },
      progress);
}

Field widened(Field field, int matches) {
  if (field.matches == matches) return field;
  Field wide(field.rows, field.cols, matches);
  std::fill(wide.best.begin(), wide.best.end(), kNoMatch);
  for (Index row = 0; row < field.rows; ++row) {
    for (Index col = 0; col < field.cols; ++col) {
      std::copy_n(field.at(row, col), field.matches, wide.at(row, col));
    }
  }
  return wide;
}

void scale_by_query_norms(Field& field, const Query& query) {
  for (Index row = 0; row < field.rows; ++row) {
    for (Index col = 0; col < field.cols; ++col) {
      const float factor = inverse_norm(query.cells, query.hyperpatch, row, col);
      Match* best = field.at(row, col);
      int found = 0;
      for (; found < field.matches && best[found].exists(); ++found) {
        best[found].similarity = std::clamp(best[found].similarity * factor, -1.0F, 1.0F);
      }
      // Rounding may have made some equal.
      std::sort(best, best + found, better);
    }
  }
}

void scale_by_shares(Field& field, const Query& query) {
  if (query.share == nullptr) return;
  for (Index row = 0; row < field.rows; ++row) {
    for (Index col = 0; col < field.cols; ++col) {
      Match* best = field.at(row, col);
      for (int k = 0; k < field.matches; ++k) {
        if (best[k].exists()) best[k].similarity *= query.share[row * field.cols + col];
      }
    }
  }
}

}  // namespace compnn
