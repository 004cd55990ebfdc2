// Draws one id from each row of logits, and says how likely it was (engine/sampler.py is the
// definition). Sums run in one order per row. Legend: V ids.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "lanes.h"
#include "memory.h"

namespace attune {

// Of one row; `top_k` is at least 1, and 1 is greedy.
struct Knobs {
  float temperature, top_p;
  int top_k;
  double uniform;        // in [0, 1)
  const float* bias_V;         // added to logits: 0 or -inf; or null
  const uint8_t* is_allowed_V;  // by a constraint; null allows all
};

struct Drawn {
  int id;
  float logprob, kept_mass;
  bool is_finite;
};

// Mass by blocks, so that an id is found without a sum over all before it.
class Row {
 public:
  // shares_V = exp((logits + bias) / temperature - peak)
  void weigh(const float* logits_V, const Knobs& knobs, int num_ids) {
    num_ids_ = num_ids;
    const int padded = (num_ids + kBlock - 1) / kBlock * kBlock;
    scores_.assign(padded, -std::numeric_limits<float>::infinity());
    shares_.resize(padded);
    blocks_.resize(padded / kBlock);
    Floats highest = all(-3e38f);
    for (int v = 0; v < padded; v += kLanes) {
      Floats scores = load(&scores_[v]);
      if (v + kLanes <= num_ids) {
        scores = load(logits_V + v);
        if (knobs.bias_V) scores += load(knobs.bias_V + v);
        scores = knobs.temperature == 1.0f ? scores : scores / knobs.temperature;
        store(&scores_[v], scores);
      } else {
        for (int at = v; at < num_ids; ++at)
          scores_[at] = (logits_V[at] + (knobs.bias_V ? knobs.bias_V[at] : 0.0f)) /
                        knobs.temperature;
        scores = load(&scores_[v]);
      }
      highest = larger(highest, scores);
    }
    peak_ = max_of(highest);
    total_ = 0;
    for (int start = 0; start < padded; start += kBlock) {
      Floats sum{};
      for (int v = start; v < start + kBlock; v += kLanes) {
        Floats shares = exp(load(&scores_[v]) - peak_);
        store(&shares_[v], shares);
        sum += shares;
      }
      total_ += blocks_[start / kBlock] = sum_of(sum);
    }
  }

  // logprobs_V of the whole distribution, before truncation.
  void write_logprobs(float* logprobs_V) const {
    const float log_total = (float)std::log(total_);
    for (int v = 0; v < num_ids_; ++v) logprobs_V[v] = scores_[v] - peak_ - log_total;
  }

  // Sets the shares of all but the kept ids to zero; returns the share that is kept.
  double truncate(const Knobs& knobs, uint8_t* is_kept_V) {
    const float top_p = knobs.top_p;
    order_.clear();
    for (int v = 0; v < num_ids_; ++v)
      if (!knobs.is_allowed_V || knobs.is_allowed_V[v]) order_.push_back(v);
    const int count = std::min(knobs.top_k, (int)order_.size());
    auto is_before = [&](int first, int second) {
      return shares_[first] != shares_[second] ? shares_[first] > shares_[second] : first < second;
    };
    if (count < (int)order_.size() || top_p < 1)
      std::partial_sort(order_.begin(), order_.begin() + count, order_.end(), is_before);
    double mass_in_k = 0;
    for (int place = 0; place < count; ++place) mass_in_k += shares_[order_[place]];
    std::fill(is_kept_V, is_kept_V + num_ids_, 0);
    double before = 0, kept = 0;
    for (int place = 0; place < count; ++place) {
      const float share = shares_[order_[place]];
      if (top_p < 1 && before >= top_p * mass_in_k) break;
      if (!(share > 0)) continue;
      is_kept_V[order_[place]] = 1;
      kept += share;
      before += share;
    }
    for (size_t block = 0; block < blocks_.size(); ++block) {
      double mass = 0;
      for (int v = block * kBlock; v < (int)(block + 1) * kBlock; ++v) {
        if (v >= num_ids_ || !is_kept_V[v]) shares_[v] = 0;
        mass += shares_[v];
      }
      blocks_[block] = mass;
    }
    const double all_mass = total_;
    kept_ = kept;
    return kept / all_mass;
  }

  // The first id whose cumulative share exceeds `uniform` of `mass`.
  int find(double uniform, double mass) const {
    const double wanted = uniform * mass;
    double sum = 0;
    int last = 0;
    for (size_t block = 0; block < blocks_.size(); ++block) {
      if (blocks_[block] <= 0) continue;
      const bool is_here = sum + blocks_[block] > wanted;
      const int start = block * kBlock;
      double within = sum;
      for (int v = start; v < start + kBlock; ++v) {
        if (shares_[v] <= 0) continue;
        last = v;
        within += shares_[v];
        if (is_here && within > wanted) return v;
      }
      if (is_here) return last;  // rounding left nothing over
      sum += blocks_[block];
    }
    return last;
  }

  int best() const {
    for (int v = 0; v < num_ids_; ++v)
      if (scores_[v] == peak_) return v;
    return 0;
  }

  float score(int id) const { return scores_[id] - peak_; }
  double total() const { return total_; }
  double kept() const { return kept_; }

 private:
  static constexpr int kBlock = 16 * kLanes;
  int num_ids_ = 0;
  float peak_ = 0;
  double total_ = 0, kept_ = 0;
  FloatVector scores_, shares_;
  std::vector<double> blocks_;
  std::vector<int> order_;
};

// `is_kept_V` and `logprobs_V` are written where they are not null; a truncated row needs the first.
inline Drawn draw(const float* logits_V, const Knobs& knobs, int num_ids, uint8_t* is_kept_V,
                  float* logprobs_V) {
  static thread_local Row row;
  row.weigh(logits_V, knobs, num_ids);
  const bool is_finite = std::isfinite(row.total()) && row.total() > 0;
  if (logprobs_V) row.write_logprobs(logprobs_V);
  if (!is_finite) return {0, 0, 0, false};
  if (knobs.top_k == 1 && !knobs.is_allowed_V) {
    const int id = row.best();
    if (is_kept_V) std::fill(is_kept_V, is_kept_V + num_ids, 0), is_kept_V[id] = 1;
    return {id, 0.0f, (float)(1 / row.total()), true};
  }
  if (knobs.top_k >= num_ids && knobs.top_p >= 1 && !knobs.is_allowed_V) {
    if (is_kept_V) std::fill(is_kept_V, is_kept_V + num_ids, 1);
    const int id = row.find(knobs.uniform, row.total());
    return {id, row.score(id) - (float)std::log(row.total()), 1.0f, true};
  }
  const double kept_mass = row.truncate(knobs, is_kept_V);
  if (!(row.kept() > 0)) return {0, 0, 0, false};
  const int id = row.find(knobs.uniform, row.kept());
  const float logprob = knobs.top_k == 1 ? 0 : row.score(id) - (float)std::log(row.kept());
  return {id, logprob, (float)kept_mass, true};
}

}  // namespace attune
