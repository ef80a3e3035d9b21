// Threads that share out numbered tasks, watched by the thread that started them.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "compnn/base/index.h"

namespace compnn {

// Called now and then with the finished fraction in [0, 1]; returns false to cancel.
using Monitor = std::function<bool(double)>;

// What a running search tells its monitor, and what the monitor tells the search.
class Progress {
 public:
  static constexpr std::chrono::milliseconds kReportInterval{100};

  Progress(Index total, Monitor monitor) : total_(total), monitor_(std::move(monitor)) {}

  void add(Index units) { done_.fetch_add(units, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

  // Asks the monitor if the last time is kReportInterval ago; only the thread that started the
  // search calls it. It may throw.
  void report();

 private:
  Index total_;
  Monitor monitor_;
  std::chrono::steady_clock::time_point next_report_ =
      std::chrono::steady_clock::now() + kReportInterval;
  std::atomic<Index> done_{0};
  std::atomic<bool> cancelled_{false};
};

class ThreadPool {
 public:
  // -1 takes all processors that this process may use. Throws std::invalid_argument for 0 or < -1,
  // std::system_error when the system has no room for so many threads.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(threads_.size()); }

  // Runs task(index, thread) for each index in [0, count), in any order. The calling thread only
  // watches: it reports progress ten times a second. Rethrows the first exception of a task or of
  // the monitor; throws Cancelled when the monitor asked to stop. Tasks of more than a moment must
  // look at progress.cancelled().
  void run(Index count, const std::function<void(Index, int)>& task, Progress& progress);

 private:
  void work(int thread);
  void close();

  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable start_, finished_;
  const std::function<void(Index, int)>* task_ = nullptr;
  Progress* progress_ = nullptr;
  Index count_ = 0;
  std::atomic<Index> next_{0};
  std::atomic<bool> failed_{false};
  int busy_ = 0;
  std::uint64_t round_ = 0;
  bool closing_ = false;
  std::exception_ptr error_;
};

}  // namespace compnn
