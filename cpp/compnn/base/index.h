// The signed type of sizes and positions.
#pragma once

#include <cstdint>

namespace compnn {

using Index = std::int64_t;

}  // namespace compnn
