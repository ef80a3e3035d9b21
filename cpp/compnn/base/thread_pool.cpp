#include "compnn/base/thread_pool.h"

#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>

#include "compnn/base/error.h"

namespace compnn {
namespace {

int usable_processors() {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed);
#endif
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

}  // namespace

void Progress::report() {
  if (!monitor_ || cancelled()) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_report_) return;
  next_report_ = now + kReportInterval;
  const double fraction = total_ > 0 ? static_cast<double>(done_.load(std::memory_order_relaxed)) /
                                           static_cast<double>(total_)
                                     : 1.0;
  // A monitor that throws has cancelled too: the workers must stop before the error travels on.
  bool go_on = false;
  try {
    go_on = monitor_(std::min(fraction, 1.0));
  } catch (...) {
    cancelled_ = true;
    throw;
  }
  if (!go_on) cancelled_ = true;
}

ThreadPool::ThreadPool(int num_threads) {
  if (num_threads == 0 || num_threads < -1) {
    throw std::invalid_argument("num_threads must be positive, or -1 for all processors, not " +
                                std::to_string(num_threads));
  }
  if (num_threads == -1) num_threads = usable_processors();
  threads_.reserve(static_cast<std::size_t>(num_threads));
  try {
    for (int i = 0; i < num_threads; ++i) threads_.emplace_back([this, i] { work(i); });
  } catch (...) {
    close();
    throw;
  }
}

ThreadPool::~ThreadPool() { close(); }

void ThreadPool::close() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  start_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::run(Index count, const std::function<void(Index, int)>& task, Progress& progress) {
  std::unique_lock<std::mutex> lock(mutex_);
  task_ = &task;
  progress_ = &progress;
  count_ = count;
  next_ = 0;
  failed_ = false;
  error_ = nullptr;
  busy_ = size();
  ++round_;
  start_.notify_all();
  while (!finished_.wait_for(lock, Progress::kReportInterval, [this] { return busy_ == 0; })) {
    lock.unlock();
    std::exception_ptr monitor_error;
    try {
      progress.report();
    } catch (...) {
      monitor_error = std::current_exception();
    }
    lock.lock();
    if (monitor_error && !error_) error_ = monitor_error;
  }
  if (error_) std::rethrow_exception(error_);
  // Runs shorter than the interval are watched too.
  lock.unlock();
  progress.report();
  if (progress.cancelled()) throw Cancelled();
}

void ThreadPool::work(int thread) {
  std::uint64_t seen = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    start_.wait(lock, [&] { return closing_ || round_ != seen; });
    if (closing_) return;
    seen = round_;
    lock.unlock();
    for (;;) {
      const Index index = next_.fetch_add(1);
      if (index >= count_ || failed_ || progress_->cancelled()) break;
      try {
        (*task_)(index, thread);
      } catch (...) {
        failed_ = true;
        const std::lock_guard<std::mutex> error_lock(mutex_);
        if (!error_) error_ = std::current_exception();
      }
    }
    lock.lock();
    if (--busy_ == 0) finished_.notify_one();
  }
}

}  // namespace compnn
