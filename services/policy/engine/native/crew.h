// Threads that share the parts of one job, wait for each other at its end, and sleep between jobs.
//
// The caller is one of them. Which thread does which part never changes a result: parts write to
// places of their own, each in an order of its own.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

namespace attune {

class Crew {
 public:
  explicit Crew(int num_threads) : num_working_(std::max(1, num_threads)) {
    for (int helper = 1; helper < num_threads; ++helper)
      helpers_.emplace_back([this, helper] { serve(helper); });
  }

  ~Crew() {
    is_over_ = true;
    begin_shift();
    for (std::thread& helper : helpers_) helper.join();
  }

  // Leaves the cores of so many threads to others; one thread at least goes on. Between two runs.
  void lend(int num_threads) { num_working_ = std::max(1, size() - num_threads); }

  int size() const { return (int)helpers_.size() + 1; }

  // Runs `job`, which is many calls of `share`, on all threads at once; on the caller's alone where
  // its operations are so few that waiting for each other would cost more.
  void run(double num_operations, const std::function<void()>& job) {
    is_alone_ = num_working_ == 1 || num_operations < kMinShared;
    if (is_alone_) return job();
    job_ = &job;
    num_left_.store((int)helpers_.size(), std::memory_order_relaxed);
    begin_shift();
    job();
    wait_while(num_left_, [](int left) { return left > 0; });
  }

  // Inside `run`: every thread calls it with the same arguments; each part is done once, and none
  // returns before all are done.
  template <class Part>
  void share(int num_parts, Part part) {
    if (is_alone_) {
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
  static constexpr int kSpins = 2000;       // some 20 to 50 µs; then the core is left to others
  static constexpr double kMinShared = 4e6;  // operations: some 40 µs of one core

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }

  void begin_shift() {
    shift_.fetch_add(1, std::memory_order_release);
    shift_.notify_all();
  }

  // The last to come opens the gate, with the counter of parts set back.
  void meet() {
    int turn = turn_.load(std::memory_order_acquire);
    if (num_met_.fetch_add(1, std::memory_order_acq_rel) + 1 == num_working_) {
      num_met_.store(0, std::memory_order_relaxed);
      next_.store(0, std::memory_order_relaxed);
      turn_.store(turn + 1, std::memory_order_release);
      turn_.notify_all();
      return;
    }
    wait_while(turn_, [turn](int now) { return now == turn; });
  }

  // Spins for a while, then sleeps until whoever changes the value notifies.
  template <class IsToWait>
  static void wait_while(const std::atomic<int>& value, IsToWait is_to_wait) {
    for (int spins = 0; spins < kSpins; ++spins) {
      if (!is_to_wait(value.load(std::memory_order_acquire))) return;
      pause();
    }
    for (int seen = value.load(std::memory_order_acquire); is_to_wait(seen);
         seen = value.load(std::memory_order_acquire))
      value.wait(seen, std::memory_order_acquire);
  }

  void serve(int number) {
    int seen = 0;
    for (;;) {
      wait_while(shift_, [seen](int now) { return now == seen; });
      seen = shift_.load(std::memory_order_acquire);
      if (is_over_) return;
      if (number < num_working_) (*job_)();
      num_left_.fetch_sub(1, std::memory_order_release);
      num_left_.notify_all();
    }
  }

  std::vector<std::thread> helpers_;
  std::atomic<int> shift_{0}, turn_{0}, num_met_{0}, next_{0}, num_left_{0};
  bool is_over_ = false, is_alone_ = false;
  int num_working_;
  const std::function<void()>* job_ = nullptr;
};

}  // namespace attune
