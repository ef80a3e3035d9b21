// Searches at the reference shape, 128 x 128 cells of 128 channels and hyperpatches of 2 x 2 cells:
// an image that is not in the bank among 1, 4 and 16 images, on 1 and 2 threads.
//   bench_search --benchmark_filter='fast/effort:4.*threads:1'
#include <benchmark/benchmark.h>

#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "compnn/search/exhaustive.h"
#include "compnn/search/hyperpatch_match.h"
#include "synthetic_bank.h"

using namespace compnn;

namespace {

Request request_among(const CellBank& bank, Index images, int threads) {
  Request request;
  request.query.emplace_back().cells = bank.image(bank.images() - 1);
  request.candidates.resize(static_cast<std::size_t>(images));
  std::iota(request.candidates.begin(), request.candidates.end(), 0);
  request.num_threads = threads;
  return request;
}

// How good a field is: `exact`, the share of positions whose match is as similar as the nearest,
// and `loss`, what similarities lack on average.
void compare_with_exact(benchmark::State& state, const CellBank& bank, const Field& field) {
  static std::map<Index, Field> exact_fields;  // by number of images
  const Index images = state.range(0);
  auto exact = exact_fields.find(images);
  if (exact == exact_fields.end()) {
    const Request request = request_among(bank, images, -1);
    exact = exact_fields.emplace(images, exhaustive_search(bank, request, nullptr)).first;
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
  const Request request = request_among(bank, state.range(0), static_cast<int>(state.range(1)));
  for (auto _ : state) benchmark::DoNotOptimize(exhaustive_search(bank, request, nullptr));
  const Index positions = request.hyperpatch.count(request.query.front().cells);
  const Index places = state.range(0) * request.hyperpatch.count(bank.image(0));
  state.counters["pairs"] =
      benchmark::Counter(static_cast<double>(positions) * static_cast<double>(places),
                         benchmark::Counter::kIsIterationInvariantRate);
}

void approximate(benchmark::State& state, const CellBank& bank,
                 const HyperPatchMatchOptions& options) {
  const Request request = request_among(bank, state.range(0), static_cast<int>(state.range(1)));
  Field field(0, 0, 1);
  for (auto _ : state) field = hyperpatch_match(bank, request, options, nullptr);
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

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const CellBank bank = benchmarks::synthetic_bank(17, 128, 128, 128);
  add_all(bank);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
