#include "compnn/bank/cell_bank.h"

#include <sys/mman.h>
#include <unistd.h>

#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

namespace compnn {
namespace {

// Images, their rows and their columns are counted in 32 bits.
constexpr Index kMost = std::numeric_limits<std::int32_t>::max();

std::string text(Index number) { return std::to_string(number); }

void need(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

}  // namespace

CellBank::CellBank(std::vector<Shard> shards, const std::vector<ImagePlace>& images,
                   std::shared_ptr<const void> owner)
    : shards_(std::move(shards)), owner_(std::move(owner)) {
  check_shards();
  const auto count = static_cast<Index>(images.size());
  need(count <= kMost, "a bank has at most " + text(kMost) + " images, not " + text(count));
  images_.reserve(images.size());
  for (const ImagePlace& image : images) {
    const auto complain = [&](const std::string& what) {
      throw std::invalid_argument("image " + text(this->images()) + " " + what);
    };
    if (image.shard < 0 || image.shard >= static_cast<Index>(shards_.size())) {
      complain("is in shard " + text(image.shard) + " of " +
               text(static_cast<Index>(shards_.size())));
    }
    if (image.rows < 1 || image.rows > kMost || image.cols < 1 || image.cols > kMost) {
      complain("has " + text(image.rows) + "x" + text(image.cols) +
               " cells; rows and columns are 1 to " + text(kMost));
    }
    const Index in_shard = shards_[static_cast<std::size_t>(image.shard)].count;
    if (image.first < 0 || image.first > in_shard ||
        image.rows * image.cols > in_shard - image.first) {
      complain("has " + text(image.rows) + "x" + text(image.cols) + " cells from cell " +
               text(image.first) + " on, but shard " + text(image.shard) + " has " +
               text(in_shard) + " cells");
    }
    images_.push_back({image.first, static_cast<std::int32_t>(image.shard),
                       static_cast<std::int32_t>(image.rows),
                       static_cast<std::int32_t>(image.cols)});
  }
}

void CellBank::check_shards() {
  const auto count = static_cast<Index>(shards_.size());
  need(count >= 1, "a bank has at least one shard");
  need(count <= kMost, "a bank has at most " + text(kMost) + " shards, not " + text(count));
  constexpr Index kNone = -1;
  std::vector<Index> depths(shards_.size(), kNone);
  for (Index i = 0; i < count; ++i) {
    const Shard& shard = shards_[static_cast<std::size_t>(i)];
    need(shard.precision == precision(),
         "shard " + text(i) + " has numbers of another type than shard 0");
    need(shard.basis >= 0 && shard.basis < count,
         "shard " + text(i) + " has basis " + text(shard.basis) +
             "; bases are 0, 1, ..., at most " + text(count - 1));
    Index& depth = depths[static_cast<std::size_t>(shard.basis)];
    need(depth == kNone || depth == shard.depth, "shard " + text(i) + " has " + text(shard.depth) +
                                                     " channels, another one of basis " +
                                                     text(shard.basis) + " " + text(depth));
    depth = shard.depth;
  }
  while (depths.back() == kNone) depths.pop_back();
  for (std::size_t basis = 0; basis < depths.size(); ++basis) {
    need(depths[basis] != kNone, "no shard has basis " + text(static_cast<Index>(basis)));
  }
  depths_ = std::move(depths);
}

void CellBank::advise(Index index, int advice) const {
  static const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const Cells cells = image(index);
  const Index count = cells.rows * cells.cols;
  const auto give = [&](const void* from, Index bytes) {
    const auto begin = reinterpret_cast<std::uintptr_t>(from);
    const std::uintptr_t start = begin / page * page;
    // Only a hint: where it is refused, pages are read when they are touched.
    static_cast<void>(madvise(reinterpret_cast<void*>(start),
                              begin + static_cast<std::uintptr_t>(bytes) - start, advice));
  };
  give(cells.numbers, count * cells.cell_bytes());
  give(cells.norms, count * Index{sizeof(float)});
}

void CellBank::read_ahead(Index index) const { advise(index, MADV_WILLNEED); }

void CellBank::map([[maybe_unused]] Index index) const {
#if defined(MADV_POPULATE_READ)
  advise(index, MADV_POPULATE_READ);
#endif
}

}  // namespace compnn
