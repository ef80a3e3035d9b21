#include "compnn/search/hyperpatch_match.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "compnn/base/error.h"
#include "compnn/base/random.h"
#include "compnn/search/exhaustive.h"
#include "test_cells.h"

using namespace compnn;
using namespace compnn::test;

namespace {

constexpr int kDraws = 2;  // random matches offered to a position in a round

struct Case {
  TestCells query, bank;
  TestQuery asked;
};

Case random_case(HyperpatchSize hyperpatch, int matches, std::uint32_t seed,
                 Precision precision = Precision::kFloat32) {
  Case made{TestCells::random({1, 9, 10, 12}, precision, seed),
            TestCells::random({5, 8, 11, 12}, precision, seed + 1000),
            {}};
  made.asked.candidates = {0, 2, 3};
  made.asked.hyperpatch = hyperpatch;
  made.asked.matches = matches;
  made.asked.num_threads = 1;
  return made;
}

HyperPatchMatchOptions paper_options(int iterations, std::uint64_t seed, bool stop_when_unchanged) {
  HyperPatchMatchOptions options;
  options.schedule = Schedule::kPaper;
  options.iterations = iterations;
  options.seed = seed;
  options.stop_when_unchanged = stop_when_unchanged;
  return options;
}

Field search(const Case& c, int iterations, std::uint64_t seed = 0, int threads = 1,
             bool stop_when_unchanged = false) {
  TestQuery asked = c.asked;
  asked.cells = c.query.cells();
  asked.num_threads = threads;
  return hyperpatch_match(c.bank.bank(), asked,
                          paper_options(iterations, seed, stop_when_unchanged), nullptr);
}

Field exact(const Case& c) {
  TestQuery asked = c.asked;
  asked.cells = c.query.cells();
  return exhaustive_search(c.bank.bank(), asked, nullptr);
}

// Waves whose phase drifts from image to image: near hyperpatches lie side by side, as in a CNN.
TestCells smooth_cells(Shape shape, double phase) {
  TestCells cells(shape, Precision::kFloat32);
  cells.change([&](Index image, Index row, Index col, float* cell) {
    for (Index d = 0; d < shape.depth; ++d) {
      const double angle =
          0.35 * static_cast<double>(row) * std::cos(0.7 * static_cast<double>(d)) +
          0.35 * static_cast<double>(col) * std::sin(0.7 * static_cast<double>(d)) + phase +
          static_cast<double>(image * (d + 1));
      cell[d] = static_cast<float>(std::sin(angle));
    }
  });
  return cells;
}

// The algorithm once more, plainly: every neighbour is asked in every round, nothing is skipped.
class PlainHyperPatchMatch {
 public:
  PlainHyperPatchMatch(const CellBank& bank, const TestQuery& query, std::uint64_t seed)
      : bank_(bank),
        query_(query),
        seed_(seed),
        rows_(query.hyperpatch.rows(query.cells)),
        cols_(query.hyperpatch.cols(query.cells)),
        numbers_(static_cast<std::size_t>(query.cells.rows * query.cells.cols * query.cells.depth)),
        field_(rows_, cols_, query.matches) {
    query.cells.widen(kernels(), 0, 0, query.cells.rows * query.cells.cols, numbers_.data());
    for (Index row = 0; row < rows_; ++row) {
      for (Index col = 0; col < cols_; ++col) start(row, col);
    }
  }

  void round(int number) {
    const Field before = field_;
    const Index step = number % 2 == 1 ? -1 : 1;
    for (Index row = 0; row < rows_; ++row) {
      for (Index col = 0; col < cols_; ++col) {
        ask(before, row, col, step, 0);
        ask(before, row, col, 0, step);
        CounterRandom random(seed_, static_cast<std::uint64_t>(number), position(row, col));
        for (int i = 0; i < kDraws; ++i) offer(row, col, draw(random));
      }
    }
  }

  Field result() const {
    Field field = field_;
    scale_by_query_norms(field, query_);
    return field;
  }

 private:
  Index bank_rows(Index image) const { return bank_.rows(image) - query_.hyperpatch.height + 1; }
  Index bank_cols(Index image) const { return bank_.cols(image) - query_.hyperpatch.width + 1; }
  std::uint64_t position(Index row, Index col) const {
    return static_cast<std::uint64_t>(row * cols_ + col);
  }

  Match draw(CounterRandom& random) const {
    Match match;
    match.image = query_.candidates[random.below(query_.candidates.size())];
    match.row =
        static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(bank_rows(match.image))));
    match.col =
        static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(bank_cols(match.image))));
    return match;
  }

  void start(Index row, Index col) {
    CounterRandom random(seed_, 0, position(row, col));
    std::vector<Match> found;
    for (int k = 0; k < query_.matches; ++k) {
      Match match = draw(random);
      while (std::any_of(found.begin(), found.end(),
                         [&](const Match& other) { return other.same_place(match); })) {
        next(match);
      }
      found.push_back(scored(row, col, match));
    }
    std::sort(found.begin(), found.end(), better);
    std::copy(found.begin(), found.end(), field_.at(row, col));
  }

  // The next place in the order of image, row, column.
  void next(Match& match) const {
    if (++match.col < bank_cols(match.image)) return;
    match.col = 0;
    if (++match.row < bank_rows(match.image)) return;
    match.row = 0;
    const auto& all = query_.candidates;
    const auto at = std::find(all.begin(), all.end(), match.image) + 1;
    match.image = at == all.end() ? all.front() : *at;
  }

  void ask(const Field& before, Index row, Index col, Index down, Index right) {
    if (row + down < 0 || row + down >= rows_ || col + right < 0 || col + right >= cols_) return;
    for (int k = 0; k < query_.matches; ++k) {
      Match match = before.at(row + down, col + right)[k];
      match.row -= static_cast<std::int32_t>(down);
      match.col -= static_cast<std::int32_t>(right);
      const bool inside = match.row >= 0 && match.row < bank_rows(match.image) && match.col >= 0 &&
                          match.col < bank_cols(match.image);
      if (inside) offer(row, col, match);
    }
  }

  void offer(Index row, Index col, const Match& match) {
    insert_match(field_.at(row, col), query_.matches, scored(row, col, match));
  }

  Match scored(Index row, Index col, Match match) const {
    const Cells cells = bank_.image(match.image);
    float sum = 0;
    for (Index a = 0; a < query_.hyperpatch.height; ++a) {
      sum += cells.dot(kernels(), numbers_.data() + query_.cells.offset(row + a, col),
                       match.row + a, match.col, query_.hyperpatch.width);
    }
    match.similarity = sum * inverse_norm(cells, query_.hyperpatch, match.row, match.col);
    return match;
  }

  const CellBank& bank_;
  const TestQuery& query_;
  std::uint64_t seed_;
  Index rows_, cols_;
  std::vector<float> numbers_;
  Field field_;
};

}  // namespace

TEST(matches_are_valid_distinct_sorted_and_truly_that_similar) {
  for (const Precision precision : kAllPrecisions) {
    for (const HyperpatchSize size : {HyperpatchSize{1, 1}, {2, 2}, {3, 1}, {1, 3}}) {
      const Case c = random_case(size, 4, 1, precision);
      const Field field = search(c, 12), best = exact(c);
      for (Index row = 0; row < field.rows; ++row) {
        for (Index col = 0; col < field.cols; ++col) {
          const Match* found = field.at(row, col);
          for (int k = 0; k < 4; ++k) {
            const Match& match = found[k];
            CHECK(std::count(c.asked.candidates.begin(), c.asked.candidates.end(), match.image) ==
                  1);
            CHECK(match.row >= 0 && match.row + size.height <= c.bank.shape().rows);
            CHECK(match.col >= 0 && match.col + size.width <= c.bank.shape().cols);
            CHECK_NEAR(match.similarity, cosine(c.query, row, col, c.bank, match, size), 1e-5);
            CHECK(match.similarity <= best.at(row, col)[k].similarity + 1e-6F);
            if (k > 0) CHECK(match.similarity <= found[k - 1].similarity);
            for (int other = 0; other < k; ++other) CHECK(!found[other].same_place(match));
          }
        }
      }
    }
  }
}

TEST(same_for_any_number_of_threads) {
  for (const int matches : {1, 3}) {
    const Case c = random_case({2, 2}, matches, 2);
    const Field one = search(c, 20, 9, 1);
    CHECK(same_fields(one, search(c, 20, 9, 2)));
    CHECK(same_fields(one, search(c, 20, 9, 5)));
  }
}

TEST(skipping_unchanged_neighbours_changes_nothing) {
  for (std::uint32_t trial = 0; trial < 6; ++trial) {
    Case c = random_case({1 + trial % 3, 2}, 1 + static_cast<int>(trial % 4), 40 + trial);
    if (trial >= 3) {  // smooth: long runs in which nothing changes
      c.query = smooth_cells({1, 9, 10, 12}, 0.2);
      c.bank = smooth_cells({5, 8, 11, 12}, 0);
    }
    c.asked.cells = c.query.cells();
    const CellBank bank = c.bank.bank();
    PlainHyperPatchMatch plain(bank, c.asked, trial);
    for (int round = 0; round <= 40; ++round) {
      if (round > 0) plain.round(round);
      if (round % 8 <= 2) CHECK(same_fields(plain.result(), search(c, round, trial)));
    }
  }
}

TEST(more_rounds_are_never_worse) {
  const Case c = random_case({2, 2}, 3, 3);
  std::vector<float> before;
  for (const int iterations : {0, 1, 2, 3, 8, 30}) {
    const Field field = search(c, iterations);
    for (std::size_t i = 0; i < before.size(); ++i) CHECK(field.best[i].similarity >= before[i]);
    before.clear();
    for (const Match& match : field.best) before.push_back(match.similarity);
  }
}

TEST(many_rounds_find_the_exact_matches_of_a_small_bank) {
  const Case c = random_case({2, 2}, 2, 4);
  const Field field = search(c, 6000), best = exact(c);
  for (std::size_t i = 0; i < best.best.size(); ++i) {
    CHECK(field.best[i].same_place(best.best[i]));
    CHECK_NEAR(field.best[i].similarity, best.best[i].similarity, 1e-6);
  }
}

TEST(smooth_activations_converge_soon) {
  Case c = random_case({2, 2}, 1, 5);
  c.query = smooth_cells({1, 24, 24, 8}, 0.1);
  c.bank = smooth_cells({4, 26, 26, 8}, 0);
  c.asked.candidates = all_images(c.bank);
  const Field field = search(c, 60), best = exact(c);
  int near_exact = 0, total = 0;
  for (std::size_t i = 0; i < best.best.size(); ++i, ++total) {
    near_exact += field.best[i].similarity > best.best[i].similarity - 0.01F ? 1 : 0;
  }
  CHECK(near_exact > total * 95 / 100);
  // 60 draws among 2500 hyperpatches alone would not do that: propagation does.
  const Field start = search(c, 0);
  int at_start = 0;
  for (std::size_t i = 0; i < best.best.size(); ++i) {
    at_start += start.best[i].similarity > best.best[i].similarity - 0.01F ? 1 : 0;
  }
  CHECK(at_start < total / 4);
}

TEST(seed_decides_the_start) {
  const Case c = random_case({2, 2}, 1, 6);
  CHECK(same_fields(search(c, 0, 1), search(c, 0, 1)));
  CHECK(!same_fields(search(c, 0, 1), search(c, 0, 2)));
  CHECK(!same_fields(search(c, 3, 1), search(c, 3, 1ULL << 63)));
}

TEST(all_hyperpatches_can_be_asked_for) {
  Case c = random_case({8, 10}, 6, 7);  // 3 candidates of 1 x 2 hyperpatches
  const Field field = search(c, 0), best = exact(c);
  for (std::size_t i = 0; i < best.best.size(); ++i) {
    CHECK(field.best[i].same_place(best.best[i]));
  }
}

TEST(stops_when_unchanged) {
  Case c = random_case({8, 10}, 6, 8);  // nothing can improve: every hyperpatch is listed
  int calls = 0;
  c.asked.cells = c.query.cells();
  const HyperPatchMatchOptions stopping = paper_options(2000000000, 0, true);
  const Field field = hyperpatch_match(c.bank.bank(), c.asked, stopping, [&](double) {
    return ++calls < 100;  // ten seconds of rounds
  });
  CHECK(same_fields(field, search(c, 0)));
  const Case other = random_case({2, 2}, 1, 9);
  const Field stopped = search(other, 100000, 0, 1, true);
  CHECK(!same_fields(stopped, search(other, 0)));
}

TEST(zero_hyperpatches_match_nothing) {
  Case c = random_case({2, 2}, 2, 10);
  c.bank.change([](Index image, Index, Index, float* cell) {
    if (image != 2) std::fill_n(cell, 12, 0.0F);
  });
  c.query.change([](Index, Index row, Index, float* cell) {
    if (row < 2) std::fill_n(cell, 12, 0.0F);
  });
  const Field field = search(c, 10);
  for (Index row = 0; row < field.rows; ++row) {
    for (Index col = 0; col < field.cols; ++col) {
      const Match& match = *field.at(row, col);
      CHECK(match.similarity >= -1 && match.similarity <= 1);
      CHECK_EQUAL(match.image, row == 0 ? -1 : 2);
      if (row > 0) continue;
      CHECK(match.same_place(kNoMatch));
      CHECK_EQUAL(match.similarity, 0.0F);
    }
  }
}

TEST(fast_schedule_is_near_exact_and_the_same_for_any_number_of_threads) {
  for (const int effort : {1, kMostEffort}) {
    for (const int matches : {1, 3}) {
      Case c = random_case({2, 2}, matches, 13);
      c.query = smooth_cells({1, 24, 24, 8}, 0.1);
      c.bank = smooth_cells({4, 26, 26, 8}, 0);
      c.asked.cells = c.query.cells();
      HyperPatchMatchOptions options;
      options.effort = effort;
      const Field field = hyperpatch_match(c.bank.bank(), c.asked, options, nullptr);
      const Field best = exact(c);
      c.asked.num_threads = 3;
      CHECK(same_fields(field, hyperpatch_match(c.bank.bank(), c.asked, options, nullptr)));
      int near_exact = 0, total = 0;
      for (std::size_t i = 0; i < best.best.size(); ++i, ++total) {
        CHECK(field.best[i].similarity <= best.best[i].similarity + 1e-6F);
        near_exact += field.best[i].similarity > best.best[i].similarity - 0.01F ? 1 : 0;
      }
      CHECK(near_exact > total * 95 / 100);
    }
  }
}

TEST(monitor_ends_a_search_of_short_rounds) {
  Case c = random_case({2, 2}, 1, 11);
  c.asked.cells = c.query.cells();
  const HyperPatchMatchOptions endless = paper_options(2000000000, 0, false);
  CHECK_THROWS(hyperpatch_match(c.bank.bank(), c.asked, endless, [](double) { return false; }),
               Cancelled, "cancelled");
  const Monitor throwing = [](double) -> bool { throw std::logic_error("my error"); };
  CHECK_THROWS(hyperpatch_match(c.bank.bank(), c.asked, endless, throwing), std::logic_error,
               "my error");
}

TEST(wrong_options_are_refused) {
  const Case c = random_case({2, 2}, 1, 12);
  CHECK_THROWS(search(c, -2), std::invalid_argument, "iterations must be at least 0, not -2");
  for (const int effort : {0, kMostEffort + 1}) {
    HyperPatchMatchOptions options;
    options.effort = effort;
    CHECK_THROWS(options.check(), std::invalid_argument, "effort must be 1 to 8");
  }
  Case wrong = random_case({2, 2}, 0, 12);
  CHECK_THROWS(search(wrong, 1), std::invalid_argument, "matches");
}
