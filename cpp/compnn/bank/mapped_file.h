// A file mapped read-only into memory: pages are read on first use and shared between processes.
#pragma once

#include <cstddef>
#include <string>

namespace compnn {

class MappedFile {
 public:
  // Throws FileError naming the path and the reason.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace compnn
