#include "compnn/search/query.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace compnn {

void Query::check(const CellBank& bank) const {
  const auto need = [](bool condition, const std::string& message) {
    if (!condition) throw std::invalid_argument(message);
  };
  const auto text = [](Index number) { return std::to_string(number); };
  need(cells.depth == bank.depth(), "the query's cells have " + text(cells.depth) +
                                        " channels, the bank's " + text(bank.depth()));
  need(cells.depth >= 1, "activations must have at least one channel");
  need(hyperpatch.height >= 1 && hyperpatch.width >= 1 && hyperpatch.height <= cells.rows &&
           hyperpatch.width <= cells.cols && hyperpatch.height <= bank.rows() &&
           hyperpatch.width <= bank.cols(),
       "a hyperpatch of " + text(hyperpatch.height) + "x" + text(hyperpatch.width) +
           " cells does not fit activations of " + text(cells.rows) + "x" + text(cells.cols) +
           " (query) and " + text(bank.rows()) + "x" + text(bank.cols()) + " (bank)");
  need(!candidates.empty(), "there are no candidate images");
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    need(candidates[i] >= 0 && candidates[i] < bank.images(), "candidate " + text(candidates[i]) +
                                                                  " is outside the bank's " +
                                                                  text(bank.images()) + " images");
    need(i == 0 || candidates[i - 1] < candidates[i], "candidates must ascend, each once");
  }
  const Index hyperpatches = static_cast<Index>(candidates.size()) *
                             (bank.rows() - hyperpatch.height + 1) *
                             (bank.cols() - hyperpatch.width + 1);
  need(matches >= 1, "matches must be at least 1, not " + text(matches));
  need(matches <= hyperpatches, text(matches) + " matches were asked for, the candidates have " +
                                    text(hyperpatches) + " hyperpatches");
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

void scale_by_query_norms(Field& field, const Query& query) {
  for (Index row = 0; row < field.rows; ++row) {
    for (Index col = 0; col < field.cols; ++col) {
      const float factor = inverse_norm(query.cells, query.hyperpatch, row, col);
      Match* best = field.at(row, col);
      for (int k = 0; k < field.matches; ++k) {
        best[k].similarity = std::clamp(best[k].similarity * factor, -1.0F, 1.0F);
      }
      // Rounding may have made some equal.
      std::sort(best, best + field.matches, better);
    }
  }
}

}  // namespace compnn
