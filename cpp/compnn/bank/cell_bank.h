// The cells of one layer for every training image: the part of a bank that a search reads.
#pragma once

#include <memory>
#include <string>

#include "compnn/bank/cells.h"

namespace compnn {

class CellBank {
 public:
  // Maps a bank's activations (N, H, W, D), "<f4", "<f2", "<u2" (bfloat16) or "|i1", and their cell
  // norms (N, H, W), "<f4".
  // Throws FileError when a file is not that.
  static CellBank open(const std::string& activations_path, const std::string& norms_path);

  // A bank over arrays that somebody else keeps alive: `images` images shaped like `first`.
  CellBank(const Cells& first, Index images, std::shared_ptr<const void> owner = nullptr);

  Index images() const { return images_; }
  Index rows() const { return first_.rows; }
  Index cols() const { return first_.cols; }
  Index depth() const { return first_.depth; }
  Precision precision() const { return first_.precision; }

  Cells image(Index index) const;

  // Asks the system to read an image's part of the files, without waiting for it.
  void read_ahead(Index index) const;
  // Reads and maps an image's part of the files at once, instead of page by page when they are
  // first touched, where the system can.
  void map(Index index) const;

 private:
  void advise(Index index, int advice) const;

  Cells first_;
  Index images_;
  std::shared_ptr<const void> owner_;
};

}  // namespace compnn
