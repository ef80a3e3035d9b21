#include "compnn/base/thread_pool.h"

#include <atomic>
#include <chrono>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.h"
#include "compnn/base/error.h"

using compnn::Index;
using compnn::Progress;
using compnn::ThreadPool;

namespace {

void sleep_ms(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

// Waits, as a long task must, until the search is cancelled (or, if it never is, for ten seconds).
void wait_for_cancel(const Progress& progress) {
  for (int i = 0; i < 1000 && !progress.cancelled(); ++i) sleep_ms(10);
}

}  // namespace

TEST(every_index_runs_once) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    CHECK_EQUAL(pool.size(), threads);
    for (const Index count : {0, 1, 3, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(count));
      Progress progress(count, nullptr);
      pool.run(
          count,
          [&](Index index, int thread) {
            CHECK(thread >= 0 && thread < threads);
            ++runs[static_cast<std::size_t>(index)];
          },
          progress);
      for (const std::atomic<int>& run : runs) CHECK_EQUAL(run.load(), 1);
    }
  }
}

TEST(tasks_of_a_thread_never_overlap) {
  ThreadPool pool(4);
  std::vector<int> unprotected(4, 0);  // ThreadSanitizer watches too
  Progress progress(0, nullptr);
  for (int round = 0; round < 200; ++round) {
    pool.run(
        20, [&](Index, int thread) { ++unprotected[static_cast<std::size_t>(thread)]; }, progress);
  }
  CHECK_EQUAL(unprotected[0] + unprotected[1] + unprotected[2] + unprotected[3], 4000);
}

TEST(minus_one_takes_at_least_one_thread) { CHECK(ThreadPool(-1).size() >= 1); }

TEST(wrong_numbers_of_threads) {
  CHECK_THROWS(ThreadPool(0), std::invalid_argument, "not 0");
  CHECK_THROWS(ThreadPool(-2), std::invalid_argument, "not -2");
}

TEST(exception_of_a_task_comes_out_and_the_pool_lives_on) {
  ThreadPool pool(2);
  Progress progress(1000, nullptr);
  std::atomic<int> runs{0};
  const auto task = [&](Index index, int) {
    ++runs;
    if (index == 3) throw std::runtime_error("task three");
    sleep_ms(1);
  };
  CHECK_THROWS(pool.run(1000, task, progress), std::runtime_error, "task three");
  CHECK(runs < 1000);
  runs = 0;
  pool.run(7, [&](Index, int) { ++runs; }, progress);
  CHECK_EQUAL(runs.load(), 7);
}

TEST(monitor_sees_fractions_on_the_calling_thread) {
  ThreadPool pool(2);
  std::vector<double> fractions;
  std::set<std::thread::id> callers;
  Progress progress(50, [&](double fraction) {
    fractions.push_back(fraction);
    callers.insert(std::this_thread::get_id());
    return true;
  });
  pool.run(
      50,
      [&](Index, int) {
        sleep_ms(20);
        progress.add(1);
      },
      progress);
  CHECK(fractions.size() >= 2);
  for (std::size_t i = 0; i < fractions.size(); ++i) {
    CHECK(fractions[i] >= (i == 0 ? 0.0 : fractions[i - 1]) && fractions[i] <= 1);
  }
  CHECK(callers == std::set<std::thread::id>{std::this_thread::get_id()});
}

TEST(monitor_cancels) {
  ThreadPool pool(2);
  Progress progress(1, [](double) { return false; });
  const auto task = [&](Index, int) { wait_for_cancel(progress); };
  CHECK_THROWS(pool.run(100, task, progress), compnn::Cancelled, "cancelled");
  CHECK(progress.cancelled());
}

TEST(exception_of_the_monitor_comes_out_after_the_tasks_ended) {
  ThreadPool pool(2);
  Progress progress(1, [](double) -> bool { throw std::logic_error("from the monitor"); });
  std::atomic<int> running{0};
  const auto task = [&](Index, int) {
    ++running;
    wait_for_cancel(progress);
    --running;
  };
  CHECK_THROWS(pool.run(100, task, progress), std::logic_error, "from the monitor");
  CHECK_EQUAL(running.load(), 0);
}

// Rounds far shorter than the reporting interval: together they must still be watched.
TEST(monitor_is_asked_across_short_runs) {
  ThreadPool pool(2);
  int calls = 0;
  Progress progress(1000, [&](double) { return ++calls < 3; });
  const auto rounds = [&] {
    for (int round = 0; round < 1000; ++round) {
      pool.run(2, [](Index, int) { sleep_ms(5); }, progress);
    }
  };
  CHECK_THROWS(rounds(), compnn::Cancelled, "cancelled");
  CHECK_EQUAL(calls, 3);
}
