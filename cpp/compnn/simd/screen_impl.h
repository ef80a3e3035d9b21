// The products of cells in the formats of ScreenKernels, and the sums of these; written once, and
// included by kernels_impl.h for each instruction set.

// Numbers as they are.
struct FloatFormat {
  using Sums = Floats;
  static constexpr int kPerWord = 1;
  static constexpr std::int32_t kFlip = 0;
  static constexpr float kRounding = 7e-8F;
  static Sums start(std::int32_t) { return Floats{}; }
  static Floats bank(const std::int32_t* words) {
    return load(reinterpret_cast<const float*>(words));
  }
  static Floats query(const std::int32_t* word) {
    float number;
    std::memcpy(&number, word, sizeof number);
    return Floats{} + number;
  }
  static Sums add(Sums sums, Floats bank, Floats query) { return sums + bank * query; }
  static Floats floats(Sums sums) { return sums; }
};

#if defined(__AVX512F__)
using Words = __m512i;
inline Words broadcast_word(const std::int32_t* word) { return _mm512_set1_epi32(*word); }
inline Words load_words(const std::int32_t* words) { return _mm512_loadu_si512(words); }
inline Floats floats_of(Words sums) { return _mm512_cvtepi32_ps(sums); }
inline Words add_pairs(Words sums, Words a, Words b) {
  return _mm512_add_epi32(sums, _mm512_madd_epi16(a, b));
}
#elif defined(__AVX2__)
using Words = __m256i;
inline Words broadcast_word(const std::int32_t* word) { return _mm256_set1_epi32(*word); }
inline Words load_words(const std::int32_t* words) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words));
}
inline Floats floats_of(Words sums) { return _mm256_cvtepi32_ps(sums); }
inline Words add_pairs(Words sums, Words a, Words b) {
  return _mm256_add_epi32(sums, _mm256_madd_epi16(a, b));
}
#endif

#if defined(__AVX2__)
// 16 bits, so few of them used that the sums cannot overflow.
struct Format16 {
  using Sums = Words;
  using Integer = std::int16_t;
  static constexpr int kPerWord = 2;
  static constexpr std::int32_t kFlip = 0;
  static constexpr float kRounding = 0;
  static constexpr std::int32_t kBias = 0;
  static std::int32_t largest(Index depth) {
    const double most = std::sqrt(2147483647.0 / static_cast<double>(depth));
    return static_cast<std::int32_t>(std::min(most, 32767.0));
  }
  static Sums start(std::int32_t) { return Sums{}; }
  static Words bank(const std::int32_t* words) { return load_words(words); }
  static Words query(const std::int32_t* word) { return broadcast_word(word); }
  static Sums add(Sums sums, Words bank, Words query) { return add_pairs(sums, bank, query); }
  static Floats floats(Sums sums) { return floats_of(sums); }
};
#endif

#if defined(__AVX512VNNI__)
// 8 bits. The instruction multiplies unsigned by signed: the bank's integers are stored plus kBias,
// and the sums begin with what that adds to them.
struct Format8 {
  using Sums = Words;
  using Integer = std::int8_t;
  static constexpr int kPerWord = 4;
  static constexpr std::int32_t kFlip = static_cast<std::int32_t>(0x80808080U);
  static constexpr float kRounding = 0;
  static constexpr std::int32_t kBias = 128;
  static std::int32_t largest(Index) { return 127; }
  static Sums start(std::int32_t correction) { return _mm512_set1_epi32(correction); }
  static Words bank(const std::int32_t* words) { return load_words(words); }
  static Words query(const std::int32_t* word) { return broadcast_word(word); }
  static Sums add(Sums sums, Words bank, Words query) {
    return _mm512_dpbusd_epi32(sums, bank, query);
  }
  static Floats floats(Sums sums) { return floats_of(sums); }
};
#endif

// Cells without larger numbers become zeros, so that no product of two scales underflows.
constexpr float kVanishing = 1e-15F;

float largest_magnitude(const float* numbers, Index count) {
  Floats most = {};
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Floats x = load(numbers + i);
    most = larger(most, larger(x, -x));
  }
  float largest = 0;
  for (Index lane = 0; lane < kLanes; ++lane) largest = std::max(largest, most[lane]);
  for (; i < count; ++i) largest = std::max(largest, std::fabs(numbers[i]));
  return largest;
}

// Upper bound of the norm of a cell that becomes zeros.
float vanished_norm(float largest, Index depth) {
  return 1.001F * static_cast<float>(std::sqrt(static_cast<double>(depth))) * largest;
}

void convert_floats(const float* numbers, Index depth, std::int32_t* words, Index stride,
                    float* scale, float* residual, std::int32_t* correction) {
  const float largest = largest_magnitude(numbers, depth);
  const bool vanishes = largest < kVanishing;
  for (Index i = 0; i < depth; ++i) std::memcpy(words + i * stride, numbers + i, sizeof(float));
  *scale = vanishes ? 0.0F : 1.0F;
  *residual = vanishes ? vanished_norm(largest, depth) : 0.0F;
  if (correction != nullptr) *correction = 0;
}

#if defined(__AVX2__)
template <typename Format>
void convert_integers(const float* numbers, Index depth, std::int32_t* words, Index stride,
                      float* scale, float* residual, std::int32_t* correction) {
  constexpr Index kChunk = 4 * kLanes;
  const std::int32_t bias = correction == nullptr ? Format::kBias : 0;
  const float largest = largest_magnitude(numbers, depth);
  const auto limit = static_cast<float>(Format::largest(depth));
  const auto root = static_cast<float>(std::sqrt(static_cast<double>(depth)));
  const bool vanishes = largest < kVanishing;
  const float inverse = vanishes ? 0.0F : limit / largest;
  *scale = vanishes ? 0.0F : largest / limit;

  float lost = 0;  // squares of what is rounded away, in units of the scale
  std::int32_t total = 0;
  for (Index first = 0; first < depth; first += kChunk) {
    const Index count = std::min(kChunk, depth - first);
    float chunk[kChunk] = {};
    std::copy_n(numbers + first, count, chunk);
    std::int32_t integers[kChunk];
    Floats lost_here = {};
    for (Index i = 0; i < kChunk; i += kLanes) {
      // Adding this number rounds to nearest.
      constexpr float kMagic = 12582912.0F;
      const Floats x = load(chunk + i) * inverse;
      const Floats rounded = (x + kMagic) - kMagic;
      const Floats difference = x - rounded;
      lost_here += difference * difference;
      const Bits bits = __builtin_convertvector(rounded, Bits);
      std::memcpy(integers + i, &bits, sizeof bits);
    }
    for (Index lane = 0; lane < kLanes; ++lane) lost += lost_here[lane];
    typename Format::Integer packed[kChunk];
    for (Index i = 0; i < kChunk; ++i) {
      total += integers[i];
      packed[i] = static_cast<typename Format::Integer>(integers[i] + bias);
    }
    constexpr Index kWords = kChunk / Format::kPerWord;
    std::int32_t chunk_words[kWords];
    std::memcpy(chunk_words, packed, sizeof packed);
    const Index first_word = first / Format::kPerWord;
    const Index end = std::min(kWords, (depth - first + Format::kPerWord - 1) / Format::kPerWord);
    for (Index w = 0; w < end; ++w) words[(first_word + w) * stride] = chunk_words[w];
  }
  if (correction != nullptr) *correction = -Format::kBias * total;
  // The first term is the norm with its own rounding; the second covers that of x / scale.
  *residual = vanishes ? vanished_norm(largest, depth)
                       : *scale * (1.001F * std::sqrt(lost) + 4e-7F * limit * root);
}
#endif

template <typename Format, int kQueries, int kVectors>
void multiply(const std::int32_t* query, const float* query_scales, const std::int32_t* corrections,
              const std::int32_t* bank, const float* bank_scales, Index words, Index panels,
              float* products, Index product_stride) {
  constexpr Index kPanel = kVectors * kLanes;
  for (Index panel = 0; panel < panels; ++panel) {
    typename Format::Sums sums[kQueries][kVectors];
#pragma GCC unroll 16
    for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[q][v] = Format::start(corrections[q]);
    }
    const std::int32_t* from = bank + panel * words * kPanel;
    for (Index w = 0; w < words; ++w, from += kPanel) {
      decltype(Format::bank(from)) bank_words[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) bank_words[v] = Format::bank(from + v * kLanes);
#pragma GCC unroll 16
      for (int q = 0; q < kQueries; ++q) {
        const auto query_word = Format::query(query + q * words + w);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          sums[q][v] = Format::add(sums[q][v], bank_words[v], query_word);
        }
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const Index first = panel * kPanel + v * kLanes;
      const Floats scales = load(bank_scales + first);
#pragma GCC unroll 16
      for (int q = 0; q < kQueries; ++q) {
        store(Format::floats(sums[q][v]) * (scales * query_scales[q]),
              products + q * product_stride + first);
      }
    }
  }
}

// Bit i: lane i of x is at least the threshold.
inline unsigned reached(Floats x, Floats threshold) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(x, threshold, _CMP_GE_OQ);
#elif defined(__AVX2__)
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(x, threshold, _CMP_GE_OQ)));
#else
  unsigned bits = 0;
  for (Index lane = 0; lane < kLanes; ++lane) bits |= unsigned{x[lane] >= threshold[lane]} << lane;
  return bits;
#endif
}

// Width and rows as constants for the shapes that matter (2x2 and 1x1); 0 stands for any.
template <int kWidth, int kRows>
Index fold_shape(const ScreenFold& f, float* row_sums, float* scores, std::int32_t* hits) {
  // In variables of their own, which the stores below cannot change.
  const int width = kWidth > 0 ? kWidth : f.width;
  const int num_rows = kRows >= 0 ? kRows : f.num_rows;
  const Index step = f.product_stride + 1, count = f.count;
  const float *const products = f.products, *const inverse_norms = f.inverse_norms;
  const float *const residuals = f.residuals, *const above = num_rows > 0 ? f.rows[0] : nullptr;
  const float* const missing = f.missing;
  const Floats threshold = Floats{} + f.threshold, weight = Floats{} + f.residual_weight;
  const Floats missing_weight = Floats{} + f.missing_weight;
  // Most scores are so low that no bound of their own is needed.
  const Floats interesting = Floats{} + (f.threshold - f.most_error);
  const auto sum_row = [&](Index c) {
    Floats sum = load(products + c);
    for (int b = 1; b < width; ++b) sum += load(products + b * step + c);
    return sum;
  };
  if (inverse_norms == nullptr) {
    for (Index c = 0; c < count; c += kLanes) store(sum_row(c), row_sums + c);
    return 0;
  }
  Index num_hits = 0;
  for (Index c = 0; c < count; c += 2 * kLanes) {
    Floats score[2];
    unsigned bits[2];
#pragma GCC unroll 2
    for (Index half = 0; half < 2; ++half) {
      const Index at = c + half * kLanes;
      const Floats sum = sum_row(at);
      Floats total = sum;
      if (num_rows > 0) total += load(above + at);
      for (int a = 1; a < num_rows; ++a) total += load(f.rows[a] + at);
      // Only now: the oldest row's sums may lie where the newest go.
      if (num_rows > 0) store(sum, row_sums + at);
      score[half] = total * load(inverse_norms + at);
      bits[half] = reached(score[half], interesting);
    }
    if (__builtin_expect((bits[0] | bits[1]) == 0, 1)) continue;
    for (Index half = 0; half < 2; ++half) {
      const Index at = c + half * kLanes;
      const Floats most = score[half] + weight * load(residuals + at);
      const unsigned hits_here = reached(most + missing_weight * load(missing + at), threshold);
      if (hits_here == 0) continue;
      store(score[half], scores + at);
      for (unsigned left = hits_here; left != 0; left &= left - 1) {
        hits[num_hits++] = static_cast<std::int32_t>(at + __builtin_ctz(left));
      }
    }
  }
  return num_hits;
}

Index fold(const ScreenFold& f, float* row_sums, float* scores, std::int32_t* hits) {
  if (f.width == 2 && f.num_rows == 1) return fold_shape<2, 1>(f, row_sums, scores, hits);
  if (f.width == 1 && f.num_rows == 0) return fold_shape<1, 0>(f, row_sums, scores, hits);
  return fold_shape<0, -1>(f, row_sums, scores, hits);
}

void keep_best(const float* products, Index rows, Index row_stride, Index count, std::int32_t first,
               float* best, std::int32_t* index) {
  for (Index c = 0; c < count; c += kLanes) {
    Floats most = load(best + c);
    Bits at;
    std::memcpy(&at, index + c, sizeof at);
    for (Index r = 0; r < rows; ++r) {
      const Floats score = load(products + r * row_stride + c);
      const Bits is_larger = score > most;
      most = larger(score, most);
      at = is_larger ? Bits{} + static_cast<std::int32_t>(first + r) : at;
    }
    store(most, best + c);
    std::memcpy(index + c, &at, sizeof at);
  }
}

Index largest(const float* numbers, Index count) {
  if (count < kLanes) return std::max_element(numbers, numbers + count) - numbers;
  Floats most = load(numbers);
  for (Index i = kLanes; i + kLanes <= count; i += kLanes) most = larger(load(numbers + i), most);
  most = larger(load(numbers + count - kLanes), most);
  float value_of_most = most[0];
  for (Index lane = 1; lane < kLanes; ++lane) value_of_most = std::max(value_of_most, most[lane]);
  const Floats wanted = Floats{} + value_of_most;
  for (Index i = 0; i + kLanes <= count; i += kLanes) {
    const unsigned bits = reached(load(numbers + i), wanted);
    if (bits != 0) return i + __builtin_ctz(bits);
  }
  const Index found = std::find(numbers, numbers + count, value_of_most) - numbers;
  return found < count ? found : 0;  // NaN equals nothing
}

template <typename Format, int kQueries, int kVectors>
constexpr ScreenKernels screen_kernels(decltype(ScreenKernels::convert) convert) {
  return {Format::kPerWord,  kQueries, kVectors * static_cast<int>(kLanes), Format::kFlip,
          Format::kRounding, convert,  multiply<Format, kQueries, kVectors>};
}

// As many sums as the registers hold, and few enough that no block is wasted on usual sizes.
#if defined(__AVX512F__)
constexpr int kQueryBlock = 8;
#elif defined(__AVX2__)
constexpr int kQueryBlock = 6;
#else
constexpr int kQueryBlock = 4;
#endif
#if defined(__AVX2__)
constexpr ScreenKernels kFineScreen =
    screen_kernels<Format16, kQueryBlock, 2>(convert_integers<Format16>);
#else
constexpr ScreenKernels kFineScreen = screen_kernels<FloatFormat, kQueryBlock, 2>(convert_floats);
#endif
#if defined(__AVX512VNNI__)
constexpr ScreenKernels kFastScreen =
    screen_kernels<Format8, kQueryBlock, 2>(convert_integers<Format8>);
#else
constexpr ScreenKernels kFastScreen = kFineScreen;
#endif
constexpr ScreenKernels kFloatScreen = screen_kernels<FloatFormat, kQueryBlock, 2>(convert_floats);
