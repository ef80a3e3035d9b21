// The formats that banks store numbers in: conversions and dot products; included by kernels_impl.h
// for each instruction set.

inline float to_float(Half x) {
  return static_cast<float>(Eigen::numext::bit_cast<Eigen::half>(x.bits));
}

inline Half to_half(float x) { return {Eigen::numext::bit_cast<std::uint16_t>(Eigen::half(x))}; }

// kLanes halves at once.
inline Floats load(const Half* from) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#elif defined(__F16C__)
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#elif defined(__ARM_NEON) && defined(__aarch64__)
  return vcvt_f32_f16(vld1_f16(reinterpret_cast<const __fp16*>(from)));
#else
  Floats x;
  for (Index i = 0; i < kLanes; ++i) x[i] = to_float(from[i]);
  return x;
#endif
}

inline void store(Floats x, Half* to) {
#if defined(__AVX512F__)
  const __m256i bits = _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bits);
#elif defined(__F16C__)
  const __m128i bits = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bits);
#elif defined(__ARM_NEON) && defined(__aarch64__)
  vst1_f16(reinterpret_cast<__fp16*>(to), vcvt_f16_f32(x));
#else
  for (Index i = 0; i < kLanes; ++i) to[i] = to_half(x[i]);
#endif
}

inline float to_float(Bfloat16 x) {
  const std::uint32_t bits = std::uint32_t{x.bits} << 16;
  float number;
  std::memcpy(&number, &bits, sizeof number);
  return number;
}

typedef std::uint16_t Shorts __attribute__((vector_size(COMPNN_VECTOR_BYTES / 2)));
typedef std::uint32_t Unsigned __attribute__((vector_size(COMPNN_VECTOR_BYTES)));

inline Floats load(const Bfloat16* from) {
  Shorts shorts;
  std::memcpy(&shorts, from, sizeof shorts);
  const Unsigned bits = __builtin_convertvector(shorts, Unsigned) << 16;
  Floats x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

inline void store(Floats x, Bfloat16* to) {
  Unsigned bits;
  std::memcpy(&bits, &x, sizeof bits);
  // Half of the last place that is kept, less a little where that is even: ties go to even.
  bits += 0x7fffU + ((bits >> 16) & 1U);
  const Shorts shorts = __builtin_convertvector(bits >> 16, Shorts);
  std::memcpy(to, &shorts, sizeof shorts);
}

typedef std::int8_t Bytes __attribute__((vector_size(COMPNN_VECTOR_BYTES / 4)));

// Compilers do not find the instructions for this conversion.
inline Bits load_integers(const std::int8_t* from) {
  Bytes bytes;
  std::memcpy(&bytes, from, sizeof bytes);
#if defined(__AVX512F__)
  return reinterpret_cast<Bits>(_mm512_cvtepi8_epi32(reinterpret_cast<__m128i>(bytes)));
#elif defined(__AVX2__)
  return reinterpret_cast<Bits>(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(&bytes))));
#elif defined(__SSE4_1__)
  int word;
  std::memcpy(&word, &bytes, sizeof word);
  return reinterpret_cast<Bits>(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(word)));
#else
  return __builtin_convertvector(bytes, Bits);
#endif
}

inline Floats load(const std::int8_t* from) {
  return __builtin_convertvector(load_integers(from), Floats);
}

// To the nearest integers, ties to even. Not by adding a large number: the product that x is might
// be fused with that on some instruction sets only.
inline Bits nearest(Floats x) {
  Bits integers;
#if defined(__AVX512F__)
  const __m512i words = _mm512_cvtps_epi32(x);
  std::memcpy(&integers, &words, sizeof integers);
#elif defined(__AVX2__)
  const __m256i words = _mm256_cvtps_epi32(x);
  std::memcpy(&integers, &words, sizeof integers);
#else
  for (Index i = 0; i < kLanes; ++i) integers[i] = static_cast<std::int32_t>(std::lrint(x[i]));
#endif
  return integers;
}

inline float value(float x) { return x; }
inline float value(Half x) { return to_float(x); }
inline float value(Bfloat16 x) { return to_float(x); }
inline float value(std::int8_t x) { return static_cast<float>(x); }

template <typename T>
void widen(const T* from, float* to, Index count) {
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes) store(load(from + i), to + i);
  for (; i < count; ++i) to[i] = value(from[i]);
}

// The numbers [first, first + kLanes) of count, with zeros after the last.
inline Floats load_last(const float* numbers, Index first, Index count) {
  float lanes[kLanes] = {};
  std::copy(numbers + first, numbers + count, lanes);
  return load(lanes);
}

template <typename T>
void narrow(const float* from, T* to, Index count) {
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes) store(load(from + i), to + i);
  if (i == count) return;
  T last[kLanes];
  store(load_last(from, i, count), last);
  std::copy_n(last, count - i, to + i);
}

void widen_integers(const std::int8_t* from, float scale, float* to, Index count) {
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes) store(load(from + i) * scale, to + i);
  for (; i < count; ++i) to[i] = value(from[i]) * scale;
}

void narrow_integers(const float* from, float factor, std::int8_t* to, Index count) {
  for (Index i = 0; i < count; i += kLanes) {
    const Index lanes = std::min(kLanes, count - i);
    const Floats x = lanes == kLanes ? load(from + i) : load_last(from, i, count);
    const Bytes bytes = __builtin_convertvector(nearest(x * factor), Bytes);
    std::memcpy(to + i, &bytes, static_cast<std::size_t>(lanes));
  }
}

template <typename T>
float dot(const float* a, const T* b, Index count) {
  // Four sums at a time hide the latency of the additions.
  Floats s0 = {}, s1 = {}, s2 = {}, s3 = {};
  Index i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    s0 += load(a + i) * load(b + i);
    s1 += load(a + i + kLanes) * load(b + i + kLanes);
    s2 += load(a + i + 2 * kLanes) * load(b + i + 2 * kLanes);
    s3 += load(a + i + 3 * kLanes) * load(b + i + 3 * kLanes);
  }
  for (; i + kLanes <= count; i += kLanes) s0 += load(a + i) * load(b + i);
  const Floats sums = (s0 + s1) + (s2 + s3);
  float total = 0;
  for (Index lane = 0; lane < kLanes; ++lane) total += sums[lane];
  for (; i < count; ++i) total += a[i] * value(b[i]);
  return total;
}

typedef double Doubles __attribute__((vector_size(COMPNN_VECTOR_BYTES)));

// The first (upper: second) half of the lanes.
inline Doubles half_of(Floats x, bool upper) {
  typedef float HalfFloats __attribute__((vector_size(COMPNN_VECTOR_BYTES / 2)));
  HalfFloats half;
  std::memcpy(&half, reinterpret_cast<const char*>(&x) + (upper ? sizeof half : 0), sizeof half);
  return __builtin_convertvector(half, Doubles);
}

template <typename T>
void exact_dot(const float* a, const T* b, Index count, double* dot, double* square) {
  Doubles dots[2] = {}, squares[2] = {};
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Floats x = load(a + i), y = load(b + i);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const Doubles first = half_of(x, half == 1), second = half_of(y, half == 1);
      dots[half] += first * second;
      squares[half] += second * second;
    }
  }
  dots[0] += dots[1];
  squares[0] += squares[1];
  for (Index lane = 0; lane < kLanes / 2; ++lane) {
    *dot += dots[0][lane];
    *square += squares[0][lane];
  }
  for (; i < count; ++i) {
    const double y = static_cast<double>(value(b[i]));
    *dot += static_cast<double>(a[i]) * y;
    *square += y * y;
  }
}

std::int64_t square_integers(const std::int8_t* numbers, Index count) {
  constexpr Index kBlock = 1 << 16;  // squares of so many fit into 32 bits
  std::int64_t total = 0;
  for (Index first = 0; first < count; first += kBlock) {
    const Index end = std::min(count, first + kBlock);
    Bits squares = {};
    Index i = first;
    for (; i + kLanes <= end; i += kLanes) {
      const Bits integers = load_integers(numbers + i);
      squares += integers * integers;
    }
    for (Index lane = 0; lane < kLanes; ++lane) total += squares[lane];
    for (; i < end; ++i) total += std::int64_t{numbers[i]} * numbers[i];
  }
  return total;
}
