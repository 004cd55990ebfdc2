// Attention of new positions over the pages of their sequences.
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

// One query head of one new position.
struct Query {
  const int* table;  // of its sequence's pages
  int length;        // of the sequence, up to and with it
  const float* query_K;
  float* weights_T;  // room for whole pages
  float* mixed_K;    // the result

  int num_pages() const { return (length + kPageTokens - 1) / kPageTokens; }
};

// Scores of kPages pages, which all queries have alike: each key is loaded once for all queries, and
// each query once for all pages.
template <int kQueries, int kPages>
inline void score_some(const Pages& pages, int head, const Query* queries, int page) {
  const float* keys[kPages];
  for (int p = 0; p < kPages; ++p) keys[p] = pages.keys(queries[0].table[page + p], head);
  Floats sums[kQueries][kPages] = {};
  for (int k = 0; k < pages.head_size; ++k)
    for (int p = 0; p < kPages; ++p) {
      Floats key = load_once(keys[p] + (size_t)k * kPageTokens);
      for (int q = 0; q < kQueries; ++q) sums[q][p] += key * queries[q].query_K[k];
    }
  for (int q = 0; q < kQueries; ++q)
    for (int p = 0; p < kPages; ++p)
      store(queries[q].weights_T + (size_t)(page + p) * kPageTokens, sums[q][p]);
}

// Pages [from, to), so many at once as there are registers for, then what is left.
template <int kQueries, int kPages>
inline void score_pages(const Pages& pages, int head, const Query* queries, int from, int to) {
  for (; from + kPages <= to; from += kPages)
    score_some<kQueries, kPages>(pages, head, queries, from);
  if constexpr (kPages > 1) score_pages<kQueries, kPages / 2>(pages, head, queries, from, to);
}

// Scores become exp(score - highest); gives their sum.
inline float share_out(const Query& query) {
  const int num_pages = query.num_pages(), left = query.length % kPageTokens;
  if (left) {
    const Ints lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    float* last = query.weights_T + (size_t)(num_pages - 1) * kPageTokens;
    store(last, select(lanes < left, load(last), all(-3e38f)));
  }
  Floats highest = all(-3e38f), total{};
  for (int page = 0; page < num_pages; ++page)
    highest = larger(highest, load(query.weights_T + (size_t)page * kPageTokens));
  const Floats peak = all(max_of(highest));
  for (int page = 0; page < num_pages; ++page) {
    float* weights = query.weights_T + (size_t)page * kPageTokens;
    Floats share = exp(load(weights) - peak);
    total += share;
    store(weights, share);
  }
  return sum_of(total);
}

// What is summed of a query's values so far: even and odd tokens apart, kVectors = K / 16.
template <int kVectors>
struct Mixed {
  Floats of[2][kVectors] = {};
};

// sums[q] += Σ_t weights[q][t] · values[t] of one page.
template <int kQueries, int kVectors>
inline void add_page(const Pages& pages, int head, const Query* queries, int page, int count,
                     Mixed<kVectors>* sums) {
  const float* values = pages.values(queries[0].table[page], head);
  auto add = [&](int t, int half) {
    for (int v = 0; v < kVectors; ++v) {
      Floats value = load_once(values + (t * kVectors + v) * kLanes);
      for (int q = 0; q < kQueries; ++q)
        sums[q].of[half][v] += value * queries[q].weights_T[page * kPageTokens + t];
    }
  };
  for (int t = 0; t + 1 < count; t += 2) add(t, 0), add(t + 1, 1);
  if (count % 2) add(count - 1, 0);
}

template <int kQueries, int kVectors>
inline void mix_some(const Pages& pages, int head, const Query* queries, int num_common,
                     const float* totals) {
  Mixed<kVectors> sums[kQueries];
  for (int page = 0; page < num_common; ++page)
    add_page<kQueries, kVectors>(pages, head, queries, page, kPageTokens, sums);
  for (int q = 0; q < kQueries; ++q) {
    for (int page = num_common; page < queries[q].num_pages(); ++page) {
      int count = std::min(kPageTokens, queries[q].length - page * kPageTokens);
      add_page<1, kVectors>(pages, head, queries + q, page, count, sums + q);
    }
    for (int v = 0; v < kVectors; ++v)
      store(queries[q].mixed_K + v * kLanes,
            (sums[q].of[0][v] + sums[q].of[1][v]) * (1.0f / totals[q]));
  }
}

// As many queries together as there are registers for their sums.
template <int kVectors>
inline void mix(const Pages& pages, int head, const std::vector<Query>& queries, int num_common,
                const float* totals) {
  constexpr int kTogether = kVectors <= 2 ? 4 : kVectors <= 4 ? 2 : 1;
  const int count = (int)queries.size();
  int q = 0;
  for (; q + kTogether <= count; q += kTogether)
    mix_some<kTogether, kVectors>(pages, head, &queries[q], num_common, totals + q);
  for (; q < count; ++q)
    mix_some<1, kVectors>(pages, head, &queries[q], num_common, totals + q);
}

// Any other size of head, 16 of its columns at a time.
inline void mix_columns(const Pages& pages, int head, const Query& query, float total) {
  for (int k = 0; k < pages.head_size; k += kLanes) {
    Floats sums[2] = {};
    for (int t = 0; t < query.length; ++t) {
      const float* values = pages.values(query.table[t / kPageTokens], head);
      sums[t % 2] += load(values + (size_t)(t % kPageTokens) * pages.head_size + k) *
                     query.weights_T[t];
    }
    store(query.mixed_K + k, (sums[0] + sums[1]) * (1.0f / total));
  }
}

// The queries of one key-value head, whose first `num_common` pages are the same and full. Which
// others a query comes with changes none of its sums.
inline void attend(const Pages& pages, int head, const std::vector<Query>& queries,
                   int num_common) {
  static thread_local std::vector<float> totals;
  constexpr int kTogether = 4;
  const int count = (int)queries.size(), together = count / kTogether * kTogether;
  for (int q = 0; q < together; q += kTogether)
    score_pages<kTogether, 4>(pages, head, &queries[q], 0, num_common);
  totals.resize(count);
  for (int q = 0; q < count; ++q) {
    const int from = q < together ? num_common : 0;
    score_pages<1, 8>(pages, head, &queries[q], from, queries[q].num_pages());
    totals[q] = share_out(queries[q]);
  }
  switch (pages.head_size / kLanes) {
    case 1: return mix<1>(pages, head, queries, num_common, totals.data());
    case 2: return mix<2>(pages, head, queries, num_common, totals.data());
    case 4: return mix<4>(pages, head, queries, num_common, totals.data());
    case 6: return mix<6>(pages, head, queries, num_common, totals.data());
    case 8: return mix<8>(pages, head, queries, num_common, totals.data());
  }
  for (int q = 0; q < count; ++q) mix_columns(pages, head, queries[q], totals[q]);
}

}  // namespace attune
