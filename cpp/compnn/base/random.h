// Random numbers as a function of (seed, round, position, draw): no state, so that results do not
// depend on which thread draws first.
#pragma once

#include <cstdint>

namespace compnn {

// The finaliser of SplitMix64: a bijection of 64-bit words whose outputs pass for random.
inline std::uint64_t mix_bits(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

class CounterRandom {
 public:
  CounterRandom(std::uint64_t seed, std::uint64_t round, std::uint64_t position)
      : key_(mix_bits(mix_bits(mix_bits(seed) ^ round) ^ position)) {}

  // A number in [0, bound), for bound < 2^32; the bias of the multiplication is below 2^-32.
  std::uint64_t below(std::uint64_t bound) {
    const std::uint64_t high = mix_bits(key_ + draw_++) >> 32;
    return (high * bound) >> 32;
  }

 private:
  std::uint64_t key_;
  std::uint64_t draw_ = 0;
};

}  // namespace compnn
