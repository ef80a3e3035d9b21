#include "compnn/search/code_lists.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "compnn/search/sort_by_key.h"

namespace compnn {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

CodeLists::CodeLists(const BankSample& sample, const VectorFormat& format, const Codebook& codebook,
                     ThreadPool& pool, Progress& progress) {
  const Codebook::Nearest nearest =
      codebook.nearest(sample.vectors(), sample.size(), 1, pool, progress);
  sort_by_key(nearest.codes, codebook.size(), begins_, members_);
  low_.resize(members_.size());
  edges_.resize(static_cast<std::size_t>(codebook.size() * kParts));
  lowest_.resize(static_cast<std::size_t>(codebook.size()));
  const float slack = format.slack();
  pool.run(
      codebook.size(),
      [&](Index code, int) {
        std::vector<std::pair<float, std::int32_t>> list;
        for (Index i = begin(code); i < begin(code + 1); ++i) {
          const std::int32_t number = members_[static_cast<std::size_t>(i)];
          const auto at = static_cast<std::size_t>(number);
          const float low = nearest.cosines[at] - sample.vectors().residuals[at] - slack;
          // What is not a number has no angle. Zeros have one of 90 degrees to everything: as if
          // they lay in a direction of their own.
          list.emplace_back(low >= -2 ? low : -kInfinity, number);
        }
        std::sort(list.begin(), list.end());
        Index i = begin(code);
        for (const auto& [low, number] : list) {
          low_[static_cast<std::size_t>(i)] = low;
          members_[static_cast<std::size_t>(i++)] = number;
        }
        for (Index part = 0; part < kParts; ++part) {
          const Index first = size(code, part);
          edges_[static_cast<std::size_t>(code * kParts + part)] =
              list.empty() ? kInfinity : list[static_cast<std::size_t>(first)].first;
        }
        lowest_[static_cast<std::size_t>(code)] = list.empty() ? kInfinity : list[0].first;
      },
      progress);
}

}  // namespace compnn
