// Banks whose shards are kept along different directions: a query in each basis.
#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "check.h"
#include "compnn/base/error.h"
#include "test_cells.h"

using namespace compnn;
using namespace compnn::test;

namespace {

// A query and a bank in several bases, whose images alternate.
class Bases {
 public:
  struct Part {
    TestCells query, bank;
    std::vector<float> shares;  // none: all is in the basis
  };

  explicit Bases(std::vector<Part> parts) : parts_(std::move(parts)) {
    Index most = 0;
    for (const Part& part : parts_) most = std::max(most, part.bank.shape().images);
    for (Index image = 0; image < most; ++image) {
      for (std::size_t basis = 0; basis < parts_.size(); ++basis) {
        if (image < parts_[basis].bank.shape().images) images_.emplace_back(basis, image);
      }
    }
  }

  CellBank bank() const {
    std::vector<Shard> shards;
    std::vector<ImagePlace> places;
    for (std::size_t basis = 0; basis < parts_.size(); ++basis) {
      const TestCells& cells = parts_[basis].bank;
      shards.push_back(cells.shard(0, cells.shape().images));
      shards.back().basis = static_cast<Index>(basis);
    }
    for (const auto& [basis, image] : images_) {
      places.push_back(parts_[basis].bank.place(image, static_cast<Index>(basis), 0));
    }
    return CellBank(shards, places);
  }

  Request request(HyperpatchSize size, int matches) const {
    Request request;
    for (const Part& part : parts_) {
      const float* share = part.shares.empty() ? nullptr : part.shares.data();
      request.query.push_back({part.query.cells(), share});
    }
    for (std::size_t i = 0; i < images_.size(); ++i) {
      request.candidates.push_back(static_cast<std::int32_t>(i));
    }
    request.hyperpatch = size;
    request.matches = matches;
    request.num_threads = 1;
    return request;
  }

  const Part& part_of(std::int32_t image) const { return parts_[basis_of(image)]; }
  std::size_t basis_of(std::int32_t image) const {
    return images_[static_cast<std::size_t>(image)].first;
  }

  // Similarity of a position with a place, in double.
  double similarity(Index row, Index col, const Match& place, HyperpatchSize size) const {
    const auto& [basis, image] = images_[static_cast<std::size_t>(place.image)];
    const Part& part = parts_[basis];
    const Match in_basis{0, static_cast<std::int32_t>(image), place.row, place.col};
    const double found = cosine(part.query, row, col, part.bank, in_basis, size);
    if (part.shares.empty()) return found;
    const Index cols = size.cols(part.query.cells());
    return found * static_cast<double>(part.shares[static_cast<std::size_t>(row * cols + col)]);
  }

 private:
  std::vector<Part> parts_;
  std::vector<std::pair<std::size_t, Index>> images_;  // basis, and image in it
};

std::vector<float> random_shares(std::size_t count, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(0.2F, 1);
  std::vector<float> shares(count);
  for (float& share : shares) share = uniform(generator);
  return shares;
}

// Three bases of several sizes, depths and shares; a query of 7 x 8 cells.
Bases random_bases(Precision precision, std::uint32_t seed, HyperpatchSize size = {2, 2}) {
  const auto positions = static_cast<std::size_t>((8 - size.height) * (9 - size.width));
  std::vector<Bases::Part> parts;
  parts.push_back({TestCells::random({1, 7, 8, 6}, precision, seed),
                   TestCells::random({{6, 9}, {1, 5}, {2, 2}, {8, 3}}, 6, precision, seed + 1),
                   random_shares(positions, seed + 2)});
  parts.push_back({TestCells::random({1, 7, 8, 12}, precision, seed + 3),
                   TestCells::random({{7, 7}, {4, 1}, {5, 6}}, 12, precision, seed + 4),
                   {}});
  parts.push_back({TestCells::random({1, 7, 8, 9}, precision, seed + 5),
                   TestCells::random({{3, 4}, {9, 2}}, 9, precision, seed + 6),
                   random_shares(positions, seed + 7)});
  return Bases(std::move(parts));
}

std::vector<Match> all_places(const CellBank& bank, const Request& request) {
  std::vector<Match> places;
  for (const std::int32_t image : request.candidates) {
    const Cells cells = bank.image(image);
    for (std::int32_t row = 0; row < request.hyperpatch.rows(cells); ++row) {
      for (std::int32_t col = 0; col < request.hyperpatch.cols(cells); ++col) {
        places.push_back({0, image, row, col});
      }
    }
  }
  return places;
}

// Similarities as brute force finds them, best first, and places, each once, that have them.
void check_field(const Field& field, const Bases& bases, const Request& request) {
  const std::vector<Match> places = all_places(bases.bank(), request);
  for (Index row = 0; row < field.rows; ++row) {
    for (Index col = 0; col < field.cols; ++col) {
      std::vector<double> expected;
      for (const Match& place : places) {
        expected.push_back(bases.similarity(row, col, place, request.hyperpatch));
      }
      std::sort(expected.begin(), expected.end(), std::greater<>());
      const Match* best = field.at(row, col);
      for (int k = 0; k < field.matches; ++k) {
        CHECK_NEAR(best[k].similarity, expected[static_cast<std::size_t>(k)], 1e-6);
        CHECK_NEAR(best[k].similarity, bases.similarity(row, col, best[k], request.hyperpatch),
                   1e-6);
        CHECK(k == 0 || better(best[k - 1], best[k]));
      }
    }
  }
}

HyperPatchMatchOptions options_of(Schedule schedule, int iterations) {
  HyperPatchMatchOptions options;
  options.schedule = schedule;
  options.effort = kMostEffort;
  options.iterations = iterations;
  return options;
}

}  // namespace

TEST(exhaustive_search_equals_brute_force) {
  std::uint32_t seed = 0;
  for (const Precision precision : kAllPrecisions) {
    for (const HyperpatchSize size : {HyperpatchSize{2, 2}, {1, 1}, {1, 3}}) {
      const Bases bases = random_bases(precision, seed += 10, size);
      for (const int matches : {1, 4, 60}) {
        Request request = bases.request(size, matches);
        const auto places = static_cast<Index>(all_places(bases.bank(), request).size());
        request.matches = static_cast<int>(std::min<Index>(matches, places));
        const Field field = exhaustive_search(bases.bank(), request, nullptr);
        check_field(field, bases, request);
        request.num_threads = 3;
        CHECK(same_fields(field, exhaustive_search(bases.bank(), request, nullptr)));
      }
    }
  }
}

// The best of the searches in each basis alone, similarities times shares, bit for bit.
TEST(exhaustive_search_merges_the_searches_of_bases) {
  const Bases bases = random_bases(Precision::kFloat16, 100);
  const CellBank bank = bases.bank();
  const Request request = bases.request({2, 2}, 3);
  const Field field = exhaustive_search(bank, request, nullptr);
  std::vector<Field> alone;
  for (std::size_t basis = 0; basis < 3; ++basis) {
    Request one = request;
    const auto is_other = [&](std::int32_t image) { return bases.basis_of(image) != basis; };
    one.candidates.erase(std::remove_if(one.candidates.begin(), one.candidates.end(), is_other),
                         one.candidates.end());
    alone.push_back(exhaustive_search(bank, one, nullptr));
    // Without shares the places are the same, and similarities times these are.
    for (QueryCells& query : one.query) query.share = nullptr;
    Field plain = exhaustive_search(bank, one, nullptr);
    const std::vector<float>& shares = bases.part_of(one.candidates.front()).shares;
    for (std::size_t i = 0; i < plain.best.size() && !shares.empty(); ++i) {
      plain.best[i].similarity *= shares[i / 3];
    }
    CHECK(same_fields(plain, alone.back()));
  }
  for (Index row = 0; row < field.rows; ++row) {
    for (Index col = 0; col < field.cols; ++col) {
      std::vector<Match> best;
      for (const Field& one : alone)
        best.insert(best.end(), one.at(row, col), one.at(row, col) + 3);
      std::sort(best.begin(), best.end(), better);
      for (int k = 0; k < 3; ++k) {
        CHECK(field.at(row, col)[k].same_place(best[static_cast<std::size_t>(k)]));
        CHECK_EQUAL(field.at(row, col)[k].similarity, best[static_cast<std::size_t>(k)].similarity);
      }
    }
  }
}

// In one basis they have no direction: they match nothing of that one, and, zeros in all, nothing.
TEST(zero_hyperpatches_in_a_basis) {
  std::vector<Bases::Part> parts;
  for (const Index depth : {5, 8}) {
    parts.push_back({TestCells::random({1, 4, 4, depth}, Precision::kFloat32, 200),
                     TestCells::random({{2, 3}, {3, 3}}, depth, Precision::kFloat32, 201),
                     {}});
  }
  parts[0].query.change([](Index, Index, Index, float* cell) { std::fill_n(cell, 5, 0.0F); });
  parts[1].query.change([](Index, Index row, Index, float* cell) {
    if (row < 2) std::fill_n(cell, 8, 0.0F);
  });
  const Bases bases(std::move(parts));
  const Request request = bases.request({2, 2}, 4);
  const Field field = exhaustive_search(bases.bank(), request, nullptr);
  for (Index row = 0; row < 3; ++row) {
    for (Index col = 0; col < 3; ++col) {
      for (int k = 0; k < 4; ++k) {
        const Match& match = field.at(row, col)[k];
        CHECK_EQUAL(match.exists(), row > 0);
        if (!match.exists()) continue;
        CHECK(bases.basis_of(match.image) == 1);
        CHECK_NEAR(match.similarity, bases.similarity(row, col, match, request.hyperpatch), 1e-6);
      }
    }
  }
  const HyperPatchMatchOptions options = options_of(Schedule::kPaper, 50);
  const Field found = hyperpatch_match(bases.bank(), request, options, nullptr);
  for (std::size_t i = 0; i < found.best.size(); ++i) {
    CHECK_EQUAL(found.best[i].exists(), field.best[i].exists());
  }
}

TEST(candidates_of_one_basis_are_searched_as_if_there_were_no_other) {
  const Bases bases = random_bases(Precision::kBfloat16, 300);
  Request in_one = bases.request({2, 2}, 3);
  in_one.candidates = {0, 8};  // of basis 0, whose images are 0 and 3 in it
  CHECK(bases.basis_of(0) == 0 && bases.basis_of(8) == 0);
  const Bases::Part& part = bases.part_of(0);
  TestQuery alone;
  alone.cells = part.query.cells();
  alone.share = part.shares.data();
  alone.candidates = {0, 3};
  alone.matches = 3;
  alone.num_threads = 1;
  const auto same = [&](Field a, const Field& b) {
    for (Match& match : a.best) match.image = match.image == 0 ? 0 : 3;
    return same_fields(a, b);
  };
  const CellBank bank = bases.bank(), only = part.bank.bank();
  CHECK(same(exhaustive_search(bank, in_one, nullptr), exhaustive_search(only, alone, nullptr)));
  // Images have other numbers: only the start without a sample draws the same.
  const HyperPatchMatchOptions options = options_of(Schedule::kPaper, 20);
  CHECK(same(hyperpatch_match(bank, in_one, options, nullptr),
             hyperpatch_match(only, alone, options, nullptr)));
}

TEST(many_rounds_find_the_exact_field) {
  for (const HyperPatchMatchOptions& options :
       {options_of(Schedule::kPaper, 4000), options_of(Schedule::kFast, kUsual)}) {
    const bool fast = options.schedule == Schedule::kFast;
    const Bases bases = random_bases(Precision::kFloat32, 400);
    Request request = bases.request({2, 2}, 2);
    const Field exact = exhaustive_search(bases.bank(), request, nullptr);
    const Field field = hyperpatch_match(bases.bank(), request, options, nullptr);
    int same = 0, total = 0;
    for (std::size_t i = 0; i < exact.best.size(); ++i, ++total) {
      same += field.best[i].same_place(exact.best[i]) ? 1 : 0;
      CHECK(field.best[i].similarity <= exact.best[i].similarity + 1e-6F);
    }
    // Nothing is known of the fast schedule's start but that it is a good one.
    CHECK(fast ? same > total * 9 / 10 : same == total);
  }
}

TEST(places_of_the_approximate_search_exist_and_are_different) {
  for (const Schedule schedule : {Schedule::kFast, Schedule::kPaper}) {
    for (const int matches : {1, 5, 100}) {
      const Bases bases = random_bases(Precision::kInt8, 500);
      Request request = bases.request({2, 2}, matches);
      const HyperPatchMatchOptions options = options_of(schedule, 5);
      const CellBank bank = bases.bank();
      const Field field = hyperpatch_match(bank, request, options, nullptr);
      for (Index row = 0; row < field.rows; ++row) {
        for (Index col = 0; col < field.cols; ++col) {
          for (int k = 0; k < matches; ++k) {
            const Match& match = field.at(row, col)[k];
            CHECK(match.row >= 0 && match.row + 2 <= bank.rows(match.image));
            CHECK(match.col >= 0 && match.col + 2 <= bank.cols(match.image));
            CHECK_NEAR(match.similarity, bases.similarity(row, col, match, {2, 2}), 1e-5);
            CHECK(k == 0 || better(field.at(row, col)[k - 1], match));
          }
        }
      }
      request.num_threads = 3;
      CHECK(same_fields(field, hyperpatch_match(bank, request, options, nullptr)));
    }
  }
}

TEST(all_hyperpatches_of_all_bases_can_be_asked_for) {
  const Bases bases = random_bases(Precision::kFloat32, 600);
  Request request = bases.request({2, 2}, 1);
  request.matches = static_cast<int>(all_places(bases.bank(), request).size());
  const Field exact = exhaustive_search(bases.bank(), request, nullptr);
  const Field field = hyperpatch_match(bases.bank(), request, {}, nullptr);
  check_field(exact, bases, request);
  check_field(field, bases, request);
  ++request.matches;
  CHECK(same_fields(widened(exact, request.matches),
                    exhaustive_search(bases.bank(), request, nullptr)));
  CHECK(same_fields(widened(field, request.matches),
                    hyperpatch_match(bases.bank(), request, {}, nullptr)));
}

TEST(progress_grows_and_ends_a_search) {
  std::vector<Bases::Part> parts;
  for (const Index depth : {24, 32}) {
    parts.push_back({TestCells::random({1, 60, 60, depth}, Precision::kFloat32, 700),
                     TestCells::random({8, 60, 60, depth}, Precision::kFloat32, 701),
                     {}});
  }
  const Bases bases(std::move(parts));
  const CellBank bank = bases.bank();
  const Request request = bases.request({2, 2}, 1);
  double last = 0;
  const Monitor growing = [&](double fraction) {
    CHECK(fraction >= last && fraction <= 1.0 + 1e-9);
    last = fraction;
    return true;
  };
  exhaustive_search(bank, request, growing);
  const auto search_for_ever = [&](const Monitor& monitor) {
    for (int i = 0; i < 10000; ++i) exhaustive_search(bank, request, monitor);
  };
  CHECK_THROWS(search_for_ever([](double) { return false; }), Cancelled, "cancelled");
}

TEST(queries_that_do_not_fit_the_bases_are_refused) {
  const Bases bases = random_bases(Precision::kFloat32, 800);
  const auto expect = [&](auto change, const char* part) {
    Request request = bases.request({2, 2}, 1);
    change(request);
    CHECK_THROWS(exhaustive_search(bases.bank(), request, nullptr), std::invalid_argument, part);
    CHECK_THROWS(hyperpatch_match(bases.bank(), request, {}, nullptr), std::invalid_argument, part);
  };
  expect([](Request& r) { r.query.pop_back(); },
         "the bank's cells are in 3 bases, the query's in 2");
  expect([](Request& r) { r.query.clear(); }, "the query's in 0");
  expect([](Request& r) { std::swap(r.query[0], r.query[2]); }, "9 channels, the bank's 6");
  expect([](Request& r) { --r.query[1].cells.rows; },
         "the query has 7x8 cells in basis 0, 6x8 in basis 1");
}
