#include "compnn/search/field.h"

#include <algorithm>
#include <random>
#include <vector>

#include "check.h"

using namespace compnn;

namespace {

// Few different similarities, so that ties abound; a place always has the same similarity.
std::vector<Match> random_matches(int count, std::mt19937& generator) {
  std::vector<Match> matches;
  for (int i = 0; i < count; ++i) {
    Match match;
    match.image = static_cast<std::int32_t>(generator() % 3);
    match.row = static_cast<std::int32_t>(generator() % 4);
    match.col = static_cast<std::int32_t>(generator() % 5);
    match.similarity = static_cast<float>((match.image * 7 + match.row * 3 + match.col) % 6) / 5;
    matches.push_back(match);
  }
  return matches;
}

bool equal(const Match& a, const Match& b) {
  return a.similarity == b.similarity && a.same_place(b);
}

}  // namespace

TEST(better_is_a_strict_total_order) {
  std::mt19937 generator(1);
  const std::vector<Match> all = random_matches(60, generator);
  for (const Match& a : all) {
    CHECK(!better(a, a));
    for (const Match& b : all) CHECK_EQUAL(better(a, b) + better(b, a), equal(a, b) ? 0 : 1);
  }
  CHECK(better({0.5F, 9, 9, 9}, {0.4F, 0, 0, 0}));
  CHECK(better({0.5F, 1, 9, 9}, {0.5F, 2, 0, 0}));
  CHECK(better({0.5F, 1, 1, 9}, {0.5F, 1, 2, 0}));
  CHECK(better({0.5F, 1, 1, 1}, {0.5F, 1, 1, 2}));
  CHECK(better({-1.0F, 0, 0, 0}, Match{}));
}

TEST(insertion_equals_sorting) {
  std::mt19937 generator(2);
  for (int trial = 0; trial < 500; ++trial) {
    const int count = 1 + trial % 6;
    const std::vector<Match> offers = random_matches(1 + trial % 40, generator);
    std::vector<Match> expected = offers;
    std::sort(expected.begin(), expected.end(), better);
    expected.erase(std::unique(expected.begin(), expected.end(), equal), expected.end());
    expected.resize(static_cast<std::size_t>(count));  // filled up with empty matches

    std::vector<Match> best(static_cast<std::size_t>(count));
    for (const Match& offer : offers) {
      const std::vector<Match> before = best;
      const bool changed = insert_match(best.data(), count, offer);
      CHECK_EQUAL(changed, !std::equal(best.begin(), best.end(), before.begin(), equal));
    }
    CHECK(std::equal(best.begin(), best.end(), expected.begin(), equal));

    std::vector<Match> shuffled = offers, other(best.size());
    std::shuffle(shuffled.begin(), shuffled.end(), generator);
    for (const Match& offer : shuffled) insert_match(other.data(), count, offer);
    CHECK(std::equal(best.begin(), best.end(), other.begin(), equal));
  }
}

TEST(field_is_row_major_and_starts_empty) {
  Field field(2, 3, 4);
  CHECK_EQUAL(field.best.size(), 24U);
  CHECK(field.at(1, 2) == field.best.data() + 20);
  for (const Match& match : field.best) CHECK(match.image == -1 && match.similarity < -1);
}
