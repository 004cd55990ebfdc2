// Threads that share the parts of one job, and sleep between jobs.
//
// The caller is one of them. Which thread does which part never changes a result: parts write to
// places of their own, each in an order of its own. Nobody waits for a thread, only for parts:
// where another program has a core, its thread comes late, finds the parts done, and goes on to
// what is being done now.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
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
    change_shift();
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
    own_task_ = first_task_ = num_tasks_.load(std::memory_order_relaxed);
    change_shift();
    job();
    change_shift();  // from here on no helper begins
    wait_while(num_inside_, [](uint32_t inside) { return inside > 0; });
  }

  // Inside `run`: every thread calls it with the same arguments; each part is done once, and none
  // returns before all are done.
  template <class Part>
  void share(int num_parts, Part part) {
    if (is_alone_ || num_parts == 0) {
      for (int index = 0; index < num_parts; ++index) part(index);
      return;
    }
    const uint32_t task = own_task_++;
    for (;;) {
      uint64_t next = next_.load(std::memory_order_acquire);
      if ((uint32_t)(next >> 32) != task) return;  // this thread came when all was done
      const int index = (int)(uint32_t)next;
      if (index >= num_parts) break;
      if (!next_.compare_exchange_weak(next, next + 1, std::memory_order_acq_rel)) continue;
      part(index);
      if (num_done_.fetch_add(1, std::memory_order_acq_rel) + 1 == (uint32_t)num_parts)
        return finish(task);
    }
    wait_while(num_tasks_, [task](uint32_t done) { return (int32_t)(done - task) <= 0; });
  }

  // The same for many small parts: several at a time, since to take one costs as much as to do it.
  template <class Part>
  void share_small(int num_parts, Part part) {
    const int grain = num_parts / (kSharesEach * size()) + 1;
    share((num_parts + grain - 1) / grain, [&](int index) {
      const int end = std::min(num_parts, (index + 1) * grain);
      for (int small = index * grain; small < end; ++small) part(small);
    });
  }

 private:
  static constexpr int kSharesEach = 16;  // enough that threads end together
  static constexpr int kSpins = 2000;       // some 20 to 50 µs; then the core is left to others
  static constexpr double kMinShared = 2e6;  // operations: some 20 µs of one core

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }

  // Odd shifts are those in which helpers may begin.
  void change_shift() {
    shift_.fetch_add(1);
    shift_.notify_all();
  }

  // Whoever does the last part of a task opens the next one.
  void finish(uint32_t task) {
    num_done_.store(0, std::memory_order_relaxed);
    next_.store((uint64_t)(task + 1) << 32, std::memory_order_release);
    // Added to, not set: another thread may have done the next task before this comes to pass.
    num_tasks_.fetch_add(1, std::memory_order_release);
    num_tasks_.notify_all();
  }

  // Spins for a while, then sleeps until whoever changes the value notifies.
  template <class IsToWait>
  static void wait_while(const std::atomic<uint32_t>& value, IsToWait is_to_wait) {
    for (int spins = 0; spins < kSpins; ++spins) {
      if (!is_to_wait(value.load(std::memory_order_acquire))) return;
      pause();
    }
    for (uint32_t seen = value.load(std::memory_order_acquire); is_to_wait(seen);
         seen = value.load(std::memory_order_acquire))
      value.wait(seen, std::memory_order_acquire);
  }

  void serve(int number) {
    uint32_t shift = 0;
    for (;;) {
      wait_while(shift_, [shift](uint32_t now) { return now == shift || now % 2 == 0; });
      shift = shift_.load();
      if (is_over_) return;
      num_inside_.fetch_add(1);
      // Either the caller sees who is inside, or who comes sees that the shift has changed.
      if (shift % 2 == 1 && shift_.load() == shift && number < num_working_) {
        own_task_ = first_task_;
        (*job_)();
      }
      num_inside_.fetch_sub(1);
      num_inside_.notify_all();
    }
  }

  static inline thread_local uint32_t own_task_ = 0;  // of the thread, within the job

  std::vector<std::thread> helpers_;
  std::atomic<uint64_t> next_{0};  // the task in its high half, its next part in the low one
  std::atomic<uint32_t> num_tasks_{0};  // that are done, since ever
  std::atomic<uint32_t> num_done_{0};   // parts of the task
  std::atomic<uint32_t> shift_{0}, num_inside_{0};
  std::atomic<bool> is_over_{false};
  bool is_alone_ = false;
  int num_working_;
  uint32_t first_task_ = 0;
  const std::function<void()>* job_ = nullptr;
};

}  // namespace attune
