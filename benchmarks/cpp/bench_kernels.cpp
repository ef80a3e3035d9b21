// The inner loops, at every instruction set that this processor has, on data in the nearest cache.
//   bench_kernels --benchmark_filter='multiply.*vnni'
#include <benchmark/benchmark.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "compnn/base/aligned.h"
#include "compnn/simd/kernels.h"

using namespace compnn;

namespace {

// As decoder_2 of Pix2Pix: channels of a cell, of these the directions that the screen looks at,
// and bank cells of a tile.
constexpr Index kDepth = 128, kDirections = 48, kTile = 128;

std::vector<float> random_floats(Index count) {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(static_cast<std::size_t>(count));
  for (float& number : numbers) number = normal(generator);
  return numbers;
}

// `each`: how many of them an iteration does.
void count_per_second(benchmark::State& state, const char* name, Index each) {
  state.counters[name] =
      benchmark::Counter(static_cast<double>(each), benchmark::Counter::kIsIterationInvariantRate);
}

// Cells of `depth` numbers, as convert() leaves them.
struct Converted {
  Converted(const ScreenKernels& screen, Index cells, Index depth, bool of_query)
      : words(static_cast<std::size_t>(cells * screen.words(depth))),
        corrections(static_cast<std::size_t>(cells)),
        scales(corrections.size()) {
    const std::vector<float> numbers = random_floats(cells * depth);
    const Index block = of_query ? 1 : screen.bank_block, each = screen.words(depth);
    for (Index cell = 0; cell < cells; ++cell) {
      const auto at = static_cast<std::size_t>(cell);
      float residual;
      screen.convert(numbers.data() + cell * depth, depth,
                     words.data() + cell / block * block * each + cell % block, block, &scales[at],
                     &residual, of_query ? &corrections[at] : nullptr);
    }
  }

  AlignedVector<std::int32_t> words, corrections;
  AlignedVector<float> scales;
};

// A cell of the bank.
void convert(benchmark::State& state, const ScreenKernels& screen) {
  const Index depth = state.range(0);
  const std::vector<float> numbers = random_floats(depth);
  AlignedVector<std::int32_t> words(static_cast<std::size_t>(screen.words(depth)));
  float scale, residual;
  for (auto _ : state) {
    screen.convert(numbers.data(), depth, words.data(), 1, &scale, &residual, nullptr);
    benchmark::DoNotOptimize(words.data());
    benchmark::ClobberMemory();
  }
  count_per_second(state, "numbers", depth);
}

// A block of query cells with a tile's row of bank cells.
void multiply(benchmark::State& state, const ScreenKernels& screen) {
  const Index depth = state.range(0), panels = kTile / screen.bank_block;
  const Converted query(screen, screen.query_block, depth, true);
  const Converted bank(screen, kTile, depth, false);
  AlignedVector<float> products(static_cast<std::size_t>(screen.query_block * kTile));
  for (auto _ : state) {
    screen.multiply(query.words.data(), query.scales.data(), query.corrections.data(),
                    bank.words.data(), bank.scales.data(), screen.words(depth), panels,
                    products.data(), kTile);
    benchmark::ClobberMemory();
  }
  count_per_second(state, "multiply_adds", screen.query_block * kTile * depth);
}

// The last row of 2 x 2 hyperpatches, none of which is similar enough.
void fold(benchmark::State& state, const Kernels& kernels) {
  const Index stride = kTile + kFoldStep;
  const std::vector<float> products = random_floats(2 * stride), above = random_floats(kTile);
  const float* const rows[] = {above.data()};
  const AlignedVector<float> inverse_norms(kTile, 0.1F), residuals(kTile, 0.01F);
  AlignedVector<float> row_sums(kTile, 0.0F), scores(kTile);
  std::vector<std::int32_t> hits(kTile);
  ScreenFold what{};
  what.products = products.data();
  what.product_stride = stride;
  what.width = 2;
  what.rows = rows;
  what.num_rows = 1;
  what.inverse_norms = inverse_norms.data();
  what.residuals = what.missing = residuals.data();
  what.residual_weight = what.missing_weight = 1;
  what.threshold = 1e9F;
  what.count = kTile;
  for (auto _ : state) {
    benchmark::DoNotOptimize(kernels.fold(what, row_sums.data(), scores.data(), hits.data()));
    benchmark::ClobberMemory();
  }
  count_per_second(state, "scores", kTile);
}

void dot(benchmark::State& state, const Kernels& kernels) {
  const Index count = state.range(0);
  const std::vector<float> a = random_floats(count), b = random_floats(count);
  for (auto _ : state) {
    benchmark::DoNotOptimize(kernels.dot(a.data(), b.data(), count));
    benchmark::ClobberMemory();
  }
  count_per_second(state, "multiply_adds", count);
}

template <typename T>
void dot_stored(benchmark::State& state, const NumberKernels<T>& kernels) {
  const Index count = state.range(0);
  const std::vector<float> a = random_floats(count);
  std::vector<T> b(a.size());
  kernels.narrow(a.data(), b.data(), count);
  for (auto _ : state) {
    benchmark::DoNotOptimize(kernels.dot(a.data(), b.data(), count));
    benchmark::ClobberMemory();
  }
  count_per_second(state, "multiply_adds", count);
}

// With the square, which the scale of a cell of integers takes.
void dot_int8(benchmark::State& state, const IntegerKernels& kernels) {
  const Index count = state.range(0);
  const std::vector<float> a = random_floats(count);
  std::vector<std::int8_t> b(a.size());
  kernels.narrow(a.data(), 20, b.data(), count);
  for (auto _ : state) {
    benchmark::DoNotOptimize(kernels.dot(a.data(), b.data(), count));
    benchmark::DoNotOptimize(kernels.square(b.data(), count));
    benchmark::ClobberMemory();
  }
  count_per_second(state, "multiply_adds", count);
}

// A row of cells to the directions of a subspace.
void project(benchmark::State& state, const Kernels& kernels) {
  const Index directions = state.range(0);
  const std::vector<float> cells = random_floats(kTile * kDepth);
  const std::vector<float> of_subspace = random_floats(directions * kDepth);
  std::vector<float> coordinates(static_cast<std::size_t>(kTile * directions));
  for (auto _ : state) {
    kernels.project(cells.data(), kTile, kDepth, of_subspace.data(), directions,
                    coordinates.data());
    benchmark::ClobberMemory();
  }
  count_per_second(state, "multiply_adds", kTile * kDepth * directions);
}

template <typename Table>
void add(const char* name, const std::string& level, const Table& table,
         void (*body)(benchmark::State&, const Table&), const char* argument,
         const std::vector<Index>& values) {
  const std::string full_name = std::string(name) + "/" + level;
  auto* benchmark = benchmark::RegisterBenchmark(
      full_name.c_str(), [&table, body](benchmark::State& state) { body(state, table); });
  if (*argument != '\0') benchmark->ArgName(argument);
  for (const Index value : values) benchmark->Arg(value);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  for (const SimdLevel level : supported_simd_levels()) {
    const Kernels& table = kernels(level);
    const std::string name = to_string(level);
    for (const bool fast : {true, false}) {
      if (!fast && table.fast.per_word == 1) continue;  // the fast format is floats
      const ScreenKernels& screen = fast ? table.fast : table.floats;
      const std::string format = name + (fast ? "/fast" : "/floats");
      add("convert", format, screen, convert, "depth", {kDirections, kDepth});
      add("multiply", format, screen, multiply, "depth", {kDirections, kDepth});
    }
    add("fold", name, table, fold, "", {});
    add("dot", name, table, dot, "count", {kDepth, 2 * kDepth});
    add("dot_half", name, table.half, dot_stored<Half>, "count", {kDepth, 2 * kDepth});
    add("dot_bfloat16", name, table.bfloat16, dot_stored<Bfloat16>, "count", {kDepth, 2 * kDepth});
    add("dot_int8", name, table.int8, dot_int8, "count", {kDepth, 2 * kDepth});
    add("project", name, table, project, "directions", {kDirections, kDepth});
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
