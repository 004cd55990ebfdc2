// Threads that share the parts of one job, wait for each other at its end, and sleep between jobs.
//
// The caller is one of them. Which thread does which part never changes a result: parts write to
// places of their own, each in an order of its own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace attune {

class Crew {
 public:
  explicit Crew(int num_threads) {
    for (int helper = 1; helper < num_threads; ++helper)
      helpers_.emplace_back([this] { serve(); });
  }

  ~Crew() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      is_over_ = true;
      shift_.fetch_add(1, std::memory_order_release);
    }
    waking_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
  }

  int size() const { return (int)helpers_.size() + 1; }

  // Runs `job` on all threads at once: work that is many calls of `share`.
  void run(const std::function<void()>& job) {
    if (helpers_.empty()) return job();
    job_ = &job;
    num_left_.store((int)helpers_.size(), std::memory_order_relaxed);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      shift_.fetch_add(1, std::memory_order_release);
    }
    waking_.notify_all();
    job();
    while (num_left_.load(std::memory_order_acquire)) pause();
  }

  // Inside `run`: every thread calls it with the same arguments; each part is done once, and none
  // returns before all are done.
  template <class Part>
  void share(int num_parts, Part part) {
    if (helpers_.empty()) {
      for (int index = 0; index < num_parts; ++index) part(index);
      return;
    }
    for (;;) {
      int index = next_.fetch_add(1, std::memory_order_relaxed);
      if (index >= num_parts) break;
      part(index);
    }
    meet();
  }

 private:
  static constexpr int kSpins = 20000;  // some 50 µs, the time between two steps of an engine

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }

  // The last to come opens the gate, with the counter of parts set back.
  void meet() {
    int turn = turn_.load(std::memory_order_acquire);
    if (num_met_.fetch_add(1, std::memory_order_acq_rel) + 1 == size()) {
      num_met_.store(0, std::memory_order_relaxed);
      next_.store(0, std::memory_order_relaxed);
      turn_.store(turn + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; turn_.load(std::memory_order_acquire) == turn; ++spins) {
      if (spins < kSpins)
        pause();
      else
        std::this_thread::yield();
    }
  }

  void serve() {
    int seen = 0;
    for (;;) {
      for (int spins = 0; shift_.load(std::memory_order_acquire) == seen && spins < kSpins; ++spins)
        pause();
      if (shift_.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> lock(mutex_);
        waking_.wait(lock, [&] { return shift_.load(std::memory_order_acquire) != seen; });
      }
      seen = shift_.load(std::memory_order_acquire);
      if (is_over_) return;
      (*job_)();
      num_left_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::vector<std::thread> helpers_;
  std::mutex mutex_;
  std::condition_variable waking_;
  std::atomic<int> shift_{0}, turn_{0}, num_met_{0}, next_{0}, num_left_{0};
  bool is_over_ = false;
  const std::function<void()>* job_ = nullptr;
};

}  // namespace attune
