// The 16-bit float of bfloat16 banks, the first half of a float: storage only, arithmetic happens
// in float.
#pragma once

#include <cstdint>

namespace compnn {

struct Bfloat16 {
  std::uint16_t bits;
};
static_assert(sizeof(Bfloat16) == 2, "a bank's file holds 16 bits for each number");

}  // namespace compnn
