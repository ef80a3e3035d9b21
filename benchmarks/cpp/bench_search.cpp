// Searches at the reference shape, 128 x 128 cells of 128 channels and hyperpatches of 2 x 2 cells:
// an image that is not in the bank among 1, 4 and 16 images, on 1 and 2 threads.
//   bench_search --benchmark_filter='fast/effort:4.*threads:1'
//   bench_search --bank activations.npy norms.npy      (a layer of a bank; its last image is asked)
#include <benchmark/benchmark.h>

#include <exception>
#include <iostream>
#include <map>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "compnn/search/exhaustive.h"
#include "compnn/search/hyperpatch_match.h"
#include "synthetic_bank.h"

using namespace compnn;

namespace {

Query query_among(const CellBank& bank, Index images, int threads) {
  Query query;
  query.cells = bank.image(bank.images() - 1);
  query.candidates.resize(static_cast<std::size_t>(images));
  std::iota(query.candidates.begin(), query.candidates.end(), 0);
  query.hyperpatch = {2, 2};
  query.num_threads = threads;
  return query;
}

// How good a field is: `exact`, the share of positions whose match is as similar as the nearest,
// and `loss`, what similarities lack on average.
void compare_with_exact(benchmark::State& state, const CellBank& bank, const Field& field) {
  static std::map<Index, Field> exact_fields;  // by number of images
  const Index images = state.range(0);
  auto exact = exact_fields.find(images);
  if (exact == exact_fields.end()) {
    const Query query = query_among(bank, images, -1);
    exact = exact_fields.emplace(images, exhaustive_search(bank, query, nullptr)).first;
  }
  double found = 0, loss = 0;
  const auto positions = static_cast<double>(field.best.size());
  for (std::size_t i = 0; i < field.best.size(); ++i) {
    const float lacking = exact->second.best[i].similarity - field.best[i].similarity;
    found += lacking < 1e-6F ? 1 : 0;
    loss += static_cast<double>(lacking);
  }
  state.counters["exact"] = found / positions;
  state.counters["loss"] = loss / positions;
}

void exhaustive(benchmark::State& state, const CellBank& bank) {
  const Query query = query_among(bank, state.range(0), static_cast<int>(state.range(1)));
  for (auto _ : state) benchmark::DoNotOptimize(exhaustive_search(bank, query, nullptr));
  const Index positions = query.hyperpatch.rows(query.cells) * query.hyperpatch.cols(query.cells);
  const Index places = state.range(0) * (bank.rows() - 1) * (bank.cols() - 1);
  state.counters["pairs"] =
      benchmark::Counter(static_cast<double>(positions) * static_cast<double>(places),
                         benchmark::Counter::kIsIterationInvariantRate);
}

void approximate(benchmark::State& state, const CellBank& bank,
                 const HyperPatchMatchOptions& options) {
  const Query query = query_among(bank, state.range(0), static_cast<int>(state.range(1)));
  Field field(0, 0, 1);
  for (auto _ : state) field = hyperpatch_match(bank, query, options, nullptr);
  compare_with_exact(state, bank, field);
}

template <typename Body>
void add(const std::string& name, const CellBank& bank, Body body) {
  auto* benchmark = benchmark::RegisterBenchmark(name.c_str(), body);
  benchmark->ArgNames({"images", "threads"})->Unit(benchmark::kMillisecond);
  benchmark->UseRealTime()->MeasureProcessCPUTime();
  for (const Index images : {1, 4, 16}) {
    for (const Index threads : {1, 2}) {
      if (images < bank.images()) benchmark->Args({images, threads});
    }
  }
}

void add_all(const CellBank& bank) {
  add("exhaustive", bank, [&bank](benchmark::State& state) { exhaustive(state, bank); });
  for (const int effort : {1, 2, 4, 6, 8}) {
    HyperPatchMatchOptions options;
    options.effort = effort;
    add("fast/effort:" + std::to_string(effort), bank,
        [&bank, options](benchmark::State& state) { approximate(state, bank, options); });
  }
  HyperPatchMatchOptions options;
  options.schedule = Schedule::kPaper;
  add("paper", bank,
      [&bank, options](benchmark::State& state) { approximate(state, bank, options); });
}

}  // namespace

int main(int argc, char** argv) try {
  benchmark::Initialize(&argc, argv);
  const bool on_disk = argc == 4 && std::string_view(argv[1]) == "--bank";
  if (argc > 1 && !on_disk) {
    std::cerr << "usage: bench_search [--benchmark_...] [--bank ACTIVATIONS.npy NORMS.npy]\n";
    return 2;
  }
  const CellBank bank =
      on_disk ? CellBank::open(argv[2], argv[3]) : benchmarks::synthetic_bank(17, 128, 128, 128);
  if (bank.images() < 2) {
    std::cerr << "the bank must have at least 2 images: one is the query\n";
    return 2;
  }
  add_all(bank);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 2;
}
