// The main directions of a layer's cells: where channels depend on each other, there are fewer of
// them than channels.
#pragma once

#include <vector>

#include "compnn/base/index.h"

namespace compnn {

// Orthonormal directions (kept x depth) of the longest second moments of `count` cells, each taken
// as a unit vector: all but those that together hold no more than the share `missing` of the
// squared length, in a number that is a multiple of `step`. Empty if that leaves out none.
std::vector<float> main_directions(const float* cells, Index count, Index depth, double missing,
                                   Index step);

// The same, of the second moments (depth x depth) of unit vectors; only the lower half is read.
std::vector<float> directions_of_moments(const double* moments, Index depth, double missing,
                                         Index step);

}  // namespace compnn
