// A NumPy .npy file, mapped: its element type, its shape, and a pointer to its elements.
#pragma once

#include <string>
#include <vector>

#include "compnn/bank/mapped_file.h"
#include "compnn/base/index.h"

namespace compnn {

class NpyFile {
 public:
  // Reads format versions 1 to 3, little-endian, C order. Throws FileError when the file is not
  // that, or shorter than its header says.
  explicit NpyFile(const std::string& path);

  const std::string& path() const { return path_; }
  const std::string& descr() const { return descr_; }  // NumPy's name of the type, e.g. "<f2"
  const std::vector<Index>& shape() const { return shape_; }
  const void* data() const { return file_.data() + offset_; }

 private:
  void parse_header(const std::string& header);
  [[noreturn]] void fail(const std::string& why) const;

  std::string path_;
  MappedFile file_;
  std::size_t offset_ = 0;
  std::string descr_;
  std::vector<Index> shape_;
};

}  // namespace compnn
