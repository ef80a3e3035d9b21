// Hyperpatches of the bank in lists by their nearest code, those of a list by how near.
#pragma once

#include <cstdint>

#include "compnn/search/bank_sample.h"
#include "compnn/search/codebook.h"

namespace compnn {

class CodeLists {
 public:
  // Parts that a list is cut into, for those that need not look at all of it.
  static constexpr Index kParts = 16;

  CodeLists(const BankSample& sample, const VectorFormat& format, const Codebook& codebook,
            ThreadPool& pool, Progress& progress);

  // Members [begin(code), begin(code + 1)) are the list of a code, the farthest from it first.
  Index begin(Index code) const { return begins_[static_cast<std::size_t>(code)]; }
  Index size(Index code) const { return begin(code + 1) - begin(code); }
  // The sample's number of a member.
  Index member(Index i) const { return members_[static_cast<std::size_t>(i)]; }
  // A lower bound of a member's cosine with its code; -infinity where there is none.
  float low(Index i) const { return low_[static_cast<std::size_t>(i)]; }

  // Members in the first `parts` parts of a list.
  Index size(Index code, Index parts) const { return size(code) * parts / kParts; }
  // How many parts hold all members whose low() is no more than `limit`.
  Index parts(Index code, float limit) const {
    const float* edges = edges_.data() + code * kParts;
    Index parts = 0;
    for (Index part = 0; part < kParts; ++part) parts += edges[part] <= limit ? 1 : 0;
    return parts;
  }
  // The least low() of each list; infinity of an empty one.
  const float* lowest() const { return lowest_.data(); }

 private:
  AlignedVector<std::int32_t> begins_, members_;
  AlignedVector<float> low_, edges_, lowest_;
};

}  // namespace compnn
