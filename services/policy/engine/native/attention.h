// Attention of one new position over the pages of its sequence.
//
// Sums run over the sequence from its start in one order, so neither the batch, nor how a prompt
// was cut into chunks, nor which pages hold it, changes a result.
// Legend: K head size, G query heads that share a key-value head.
#pragma once

#include <algorithm>
#include <vector>

#include "lanes.h"

namespace attune {

constexpr int kPageTokens = kLanes;

// One page of one key-value head: keys [K, 16 tokens], then values [16 tokens, K].
struct PageHead {
  const float* keys;
  const float* values;
};

// Where the pages of a layer are: page p, head j at `base + (p · heads + j) · 32 K`.
struct Pages {
  float* base;
  int num_kv_heads, head_size;

  float* keys(int page, int head) const {
    return base + ((size_t)page * num_kv_heads + head) * 2 * kPageTokens * head_size;
  }
  float* values(int page, int head) const {
    return keys(page, head) + (size_t)kPageTokens * head_size;
  }
};

inline void write_key_value(const Pages& pages, int page, int slot, int head, const float* key_K,
                            const float* value_K) {
  float* keys = pages.keys(page, head);
  for (int k = 0; k < pages.head_size; ++k) keys[(size_t)k * kPageTokens + slot] = key_K[k];
  std::memcpy(pages.values(page, head) + (size_t)slot * pages.head_size, value_K,
              pages.head_size * sizeof(float));
}

// Scores of 16 tokens: four partial sums hide the latency of the adders.
inline Floats scores_of(const float* keys, const float* query_K, int head_size) {
  Floats sums[4] = {};
  for (int k = 0; k < head_size; k += 4)
    for (int part = 0; part < 4; ++part)
      sums[part] += load(keys + (size_t)(k + part) * kPageTokens) * query_K[k + part];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// mixed_K += Σ_t weights[t] · values[t]; kVectors = K / 16.
template <int kVectors>
inline void mix(const Pages& pages, const int* table, int head, int length, const float* weights,
                float scale, float* mixed_K) {
  Floats sums[2][kVectors] = {};
  for (int start = 0; start < length; start += kPageTokens) {
    const float* values = pages.values(table[start / kPageTokens], head);
    int count = std::min(kPageTokens, length - start);
    for (int t = 0; t < count; ++t)
      for (int v = 0; v < kVectors; ++v)
        sums[t % 2][v] += load(values + (t * kVectors + v) * kLanes) * weights[start + t];
  }
  for (int v = 0; v < kVectors; ++v) store(mixed_K + v * kLanes, (sums[0][v] + sums[1][v]) * scale);
}

inline void mix_any(const Pages& pages, const int* table, int head, int length,
                    const float* weights, float scale, float* mixed_K) {
  switch (pages.head_size / kLanes) {
    case 1: return mix<1>(pages, table, head, length, weights, scale, mixed_K);
    case 2: return mix<2>(pages, table, head, length, weights, scale, mixed_K);
    case 4: return mix<4>(pages, table, head, length, weights, scale, mixed_K);
    case 6: return mix<6>(pages, table, head, length, weights, scale, mixed_K);
    case 8: return mix<8>(pages, table, head, length, weights, scale, mixed_K);
  }
  for (int k = 0; k < pages.head_size; k += kLanes) {  // any other size, 16 at a time
    Floats sums[2] = {};
    for (int t = 0; t < length; ++t) {
      const float* values = pages.values(table[t / kPageTokens], head);
      sums[t % 2] += load(values + (size_t)(t % kPageTokens) * pages.head_size + k) * weights[t];
    }
    store(mixed_K + k, (sums[0] + sums[1]) * scale);
  }
}

// mixed_K of one query head over the first `length` tokens of a table of pages.
inline void attend(const Pages& pages, const int* table, int head, int length,
                   const float* query_K, float* mixed_K) {
  static thread_local std::vector<float> weights;
  int num_pages = (length + kPageTokens - 1) / kPageTokens;
  weights.resize((size_t)num_pages * kPageTokens);
  const float hidden = -3e38f;
  Floats highest = all(hidden);
  for (int page = 0; page < num_pages; ++page) {
    Floats scores = scores_of(pages.keys(table[page], head), query_K, pages.head_size);
    int left = length - page * kPageTokens;
    const Ints lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    if (left < kPageTokens) scores = select(lanes < left, scores, all(hidden));
    highest = larger(highest, scores);
    store(&weights[(size_t)page * kPageTokens], scores);
  }
  Floats peak = all(max_of(highest)), total{};
  for (int page = 0; page < num_pages; ++page) {
    Floats share = exp(load(&weights[(size_t)page * kPageTokens]) - peak);
    total += share;
    store(&weights[(size_t)page * kPageTokens], share);
  }
  mix_any(pages, table, head, length, weights.data(), 1.0f / sum_of(total), mixed_K);
}

}  // namespace attune
