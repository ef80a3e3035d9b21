// The field that the exhaustive search finds: similarities in double precision, and what a
// candidate must reach to matter.
#pragma once

#include <atomic>
#include <mutex>
#include <vector>

#include "compnn/search/query.h"
#include "compnn/simd/kernels.h"

namespace compnn {

class ExactField {
 public:
  // All of these outlive this.
  ExactField(const CellBank& bank, const Query& query, const QueryNumbers& numbers);

  Index rows() const { return field_.rows; }
  Index cols() const { return field_.cols; }

  // Computes what a row of positions needs before matches are offered to it.
  void prepare_row(Index row);

  // Computes the similarity of a place and puts it into the position's best where it belongs, if it
  // is not there already. Zero hyperpatches are offered nothing, and are not offered themselves.
  // Threads may do this at the same time.
  void offer(Index row, Index col, std::int32_t image, Index match_row, Index match_col);

  // Offers the matches of a row of the field that another search has found.
  void offer_row(Index row, const Field& found);

  // What a similarity must reach to be among the best of a position: those below cannot.
  float needed(Index row, Index col) const {
    return needed_[position(row, col)].load(std::memory_order_relaxed);
  }

  // The field, when all has been offered.
  Field take();

 private:
  std::size_t position(Index row, Index col) const {
    return static_cast<std::size_t>(row * field_.cols + col);
  }
  double similarity(Index row, Index col, const Cells& cells, Index match_row,
                    Index match_col) const;

  const CellBank& bank_;
  const Query& query_;
  const QueryNumbers& numbers_;
  const Kernels& kernels_ = kernels();
  Field field_;  // the similarities stand in exact_
  std::vector<double> exact_, squares_;
  std::vector<std::atomic<float>> needed_;
  std::vector<std::mutex> row_mutexes_;
};

}  // namespace compnn
