// The exceptions of the engine. Wrong arguments are std::invalid_argument.
#pragma once

#include <stdexcept>

namespace compnn {

// Activations hold NaN or infinity.
struct NotFinite : std::domain_error {
  using std::domain_error::domain_error;
};

// Activations are larger than the bank's precision, or the norms computed from them, can hold.
struct OutOfRange : std::domain_error {
  using std::domain_error::domain_error;
};

// The monitor of a search asked it to stop.
struct Cancelled : std::runtime_error {
  Cancelled() : std::runtime_error("cancelled") {}
};

}  // namespace compnn
