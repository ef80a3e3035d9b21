// The 16-bit float of float16 banks: storage only, arithmetic happens in float.
#pragma once

#include <cstdint>

namespace compnn {

struct Half {
  std::uint16_t bits;
};
static_assert(sizeof(Half) == 2, "Half must have the layout of NumPy's float16");

}  // namespace compnn
