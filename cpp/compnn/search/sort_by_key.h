// Numbers sorted by small keys.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>

#include "compnn/base/aligned.h"
#include "compnn/base/index.h"

namespace compnn {

// Numbers 0, 1, ... of things, sorted by their keys in [0, keys): those of key k are
// order[begins[k]] ... order[begins[k + 1] - 1], ascending.
inline void sort_by_key(const AlignedVector<std::int32_t>& key_of, Index keys,
                        AlignedVector<std::int32_t>& begins, AlignedVector<std::int32_t>& order) {
  begins.assign(static_cast<std::size_t>(keys + 1), 0);
  for (const std::int32_t key : key_of) ++begins[static_cast<std::size_t>(key) + 1];
  std::partial_sum(begins.begin(), begins.end(), begins.begin());
  AlignedVector<std::int32_t> next(begins.begin(), begins.end() - 1);
  order.resize(key_of.size());
  for (std::size_t i = 0; i < key_of.size(); ++i) {
    const std::int32_t place = next[static_cast<std::size_t>(key_of[i])]++;
    order[static_cast<std::size_t>(place)] = static_cast<std::int32_t>(i);
  }
}

}  // namespace compnn
