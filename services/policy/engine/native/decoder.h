// The decoder over flat tokens of any sequences: a chunk of a prompt, one new token, all at once.
//
// models/decoder.py is the definition; tests hold this to it. Each output row depends on its own
// token and on its sequence's pages alone.
// Legend: T tokens, D width, H query heads, J key-value heads, K head size, M width of the MLP.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "attention.h"
#include "crew.h"
#include "matrix.h"

namespace attune {

struct Shape {
  int width, num_layers, num_heads, num_kv_heads, head_size, mlp_width;
  float norm_eps;
};

// Borrowed: the caller keeps them alive. A bias may be null.
struct Layer {
  const float *input_norm_D, *post_norm_D, *qkv_bias;
  const Matrix *qkv, *output, *gate_up, *down;
};

// What a step computes, and where its keys and values go.
struct Step {
  int num_tokens;
  const int *position_T, *table_T;  // a token's position, and the row of its table
  const int* tables;                // pages of each sequence, [rows, pages_per_table]
  int pages_per_table;
  float* cache;  // [layers, pages, J, 2, 16 K]
  size_t layer_stride;
  const float *cos, *sin;  // [positions, K / 2]
};

// Rows of a product's input in the precision that it wants.
class Rows {
 public:
  void reserve(int num_rows, int width, Precision precision) {
    is_half_ = precision == Precision::kBfloat16;
    stride_ = (width + 1) / 2 * 2;
    data_.resize(((size_t)num_rows * stride_ * (is_half_ ? 2 : 4) + 3) / 4 + kLanes);
  }
  RowsIn view() const { return {data_.data(), stride_}; }

  void put(int row, int at, Floats values) {
    size_t place = (size_t)row * stride_ + at;
    if (!is_half_) return store(data_.data() + place, values);
    uint16_t* to = (uint16_t*)data_.data() + place;
    Ints bits = (Ints)values;
    bits += 0x7fff + ((bits >> 16) & 1);
    typedef uint16_t Halves __attribute__((vector_size(32)));
    Halves halves = __builtin_convertvector((bits >> 16) & 0xffff, Halves);
    std::memcpy(to, &halves, sizeof halves);
  }

 private:
  FloatVector data_;
  int stride_ = 0;
  bool is_half_ = false;
};

// RMSNorm's factor: 1 / √(mean of squares + eps).
inline float norm_scale(const float* hidden_D, int width, float eps) {
  Floats squares{};
  for (int d = 0; d < width; d += kLanes) {
    Floats values = load(hidden_D + d);
    squares += values * values;
  }
  return 1.0f / std::sqrt(sum_of(squares) / width + eps);
}

class Decoder {
 public:
  explicit Decoder(Shape shape) : shape_(shape) {}

  void add(Layer layer) {
    layers_.push_back(layer);
    for (const Matrix* matrix : {layer.qkv, layer.output, layer.gate_up, layer.down})
      num_weights_ += (double)matrix->num_outputs() * matrix->num_inputs();
  }

  // hidden_TD in, hidden_TD out, before the final norm.
  void run(Crew& crew, const Step& step, float* hidden_TD) {
    const int num_tokens = step.num_tokens, width = shape_.width;
    const int qkv_width = (shape_.num_heads + 2 * shape_.num_kv_heads) * shape_.head_size;
    const Precision precision = layers_[0].qkv->precision();
    normed_.reserve(num_tokens, width, precision);
    mixed_.reserve(num_tokens, shape_.num_heads * shape_.head_size, precision);
    gated_.reserve(num_tokens, (shape_.mlp_width + kLanes - 1) / kLanes * kLanes, precision);
    qkv_.resize((size_t)num_tokens * qkv_width);
    find_blocks(step, crew.size());
    crew.run(num_operations(step), [&] {
      for (size_t index = 0; index < layers_.size(); ++index) {
        const Layer& layer = layers_[index];
        Pages pages{step.cache + index * step.layer_stride, shape_.num_kv_heads,
                    shape_.head_size};
        norm(crew, num_tokens, hidden_TD, layer.input_norm_D);
        project(crew, *layer.qkv, layer.qkv_bias, normed_, num_tokens);
        rotate_and_keep(crew, step, pages);
        attend_all(crew, step, pages);
        add_product(crew, *layer.output, mixed_, num_tokens, hidden_TD);
        norm(crew, num_tokens, hidden_TD, layer.post_norm_D);
        gate(crew, *layer.gate_up, num_tokens);
        add_product(crew, *layer.down, gated_, num_tokens, hidden_TD);
      }
    });
  }

 private:
  static constexpr int kMaxBlock = 8;

  // Of the products; attention comes on top.
  double num_operations(const Step& step) const { return 2.0 * num_weights_ * step.num_tokens; }

  void norm(Crew& crew, int num_tokens, const float* hidden_TD, const float* weight_D) {
    crew.share_small(num_tokens, [&](int t) {
      const float* hidden_D = hidden_TD + (size_t)t * shape_.width;
      const Floats scale = all(norm_scale(hidden_D, shape_.width, shape_.norm_eps));
      for (int d = 0; d < shape_.width; d += kLanes)
        normed_.put(t, d, load(hidden_D + d) * scale * load(weight_D + d));
    });
  }

  void project(Crew& crew, const Matrix& matrix, const float* bias, Rows& rows, int num_tokens) {
    const int num_outputs = matrix.num_outputs();
    crew.share(matrix.num_panels(), [&](int panel) {
      product(matrix, panel, rows.view(), num_tokens, [&](int t, int p, Floats low, Floats high) {
        float* output_N = &qkv_[(size_t)t * num_outputs];
        store_outputs(output_N, bias, p * kPanel, num_outputs, low);
        store_outputs(output_N, bias, p * kPanel + kLanes, num_outputs, high);
      });
    });
  }

  void rotate_and_keep(Crew& crew, const Step& step, const Pages& pages) {
    const int heads = shape_.num_heads, kv_heads = shape_.num_kv_heads, size = shape_.head_size;
    const float scale = 1.0f / std::sqrt((float)size);
    crew.share_small(step.num_tokens, [&](int t) {
      float* qkv = &qkv_[(size_t)t * (heads + 2 * kv_heads) * size];
      const int position = step.position_T[t];
      const float* cos = step.cos + (size_t)position * size / 2;
      const float* sin = step.sin + (size_t)position * size / 2;
      for (int head = 0; head < heads + kv_heads; ++head) {
        float *first = qkv + (size_t)head * size, *second = first + size / 2;
        const float factor = head < heads ? scale : 1.0f;
        for (int k = 0; k < size / 2; ++k) {
          float real = first[k], imaginary = second[k];
          first[k] = (real * cos[k] - imaginary * sin[k]) * factor;
          second[k] = (imaginary * cos[k] + real * sin[k]) * factor;
        }
      }
      const int* table = step.tables + (size_t)step.table_T[t] * step.pages_per_table;
      for (int head = 0; head < kv_heads; ++head) {
        const float* key = qkv + (size_t)(heads + head) * size;
        write_key_value(pages, table[position / kPageTokens], position % kPageTokens, head, key,
                        key + (size_t)kv_heads * size);
      }
    });
  }

  // Neighbours that share most of their full pages, from the first on: the tokens of a prompt, the
  // samples of a group. They are few enough that all threads have some.
  struct Block {
    int first, count, num_common;
  };

  void find_blocks(const Step& step, int num_threads) {
    const int parts = step.num_tokens * shape_.num_kv_heads;
    const int largest = std::clamp(parts / (2 * num_threads), 1, kMaxBlock);
    blocks_.clear();
    for (int t = 0; t < step.num_tokens; ++t) {
      const int num_full = (step.position_T[t] + 1) / kPageTokens;
      if (blocks_.empty() || blocks_.back().count == largest || !joins(step, t, num_full))
        blocks_.push_back({t, 1, num_full});
    }
  }

  // Has a token join the last block, if half of the block's common pages are the token's too.
  bool joins(const Step& step, int t, int num_full) {
    Block& block = blocks_.back();
    const int num_common =
        common_pages(step, block.first, t, std::min(block.num_common, num_full));
    if (2 * num_common < std::max(block.num_common, 1)) return false;
    block.num_common = num_common;
    ++block.count;
    return true;
  }

  static int common_pages(const Step& step, int first, int second, int most) {
    const int* table = step.tables + (size_t)step.table_T[first] * step.pages_per_table;
    const int* other = step.tables + (size_t)step.table_T[second] * step.pages_per_table;
    if (table == other) return most;
    return (int)(std::mismatch(table, table + most, other).first - table);
  }

  void attend_all(Crew& crew, const Step& step, const Pages& pages) {
    const int kv_heads = shape_.num_kv_heads, group = shape_.num_heads / kv_heads;
    crew.share_small((int)blocks_.size() * kv_heads, [&](int part) {
      static thread_local std::vector<Query> queries;
      const Block& block = blocks_[part / kv_heads];
      const int kv_head = part % kv_heads, size = shape_.head_size;
      ask(step, block, kv_head * group, group, queries);
      attend(pages, kv_head, queries, block.num_common);
      for (int q = 0; q < (int)queries.size(); ++q)
        for (int k = 0; k < size; k += kLanes)
          mixed_.put(block.first + q / group, (kv_head * group + q % group) * size + k,
                     load(queries[q].mixed_K + k));
    });
  }

  // The queries of some heads of a block's tokens, with room for what comes of them.
  void ask(const Step& step, const Block& block, int first_head, int num_heads,
           std::vector<Query>& queries) const {
    static thread_local FloatVector room;
    const int size = shape_.head_size, end = block.first + block.count;
    const int qkv_width = (shape_.num_heads + 2 * shape_.num_kv_heads) * size;
    const int longest = *std::max_element(step.position_T + block.first, step.position_T + end) + 1;
    const size_t padded = (size_t)(longest + kPageTokens - 1) / kPageTokens * kPageTokens;
    room.resize(block.count * num_heads * (padded + size));
    queries.clear();
    float* free = room.data();
    for (int t = block.first; t < end; ++t)
      for (int head = first_head; head < first_head + num_heads; ++head, free += padded + size)
        queries.push_back({step.tables + (size_t)step.table_T[t] * step.pages_per_table,
                           step.position_T[t] + 1,
                           &qkv_[(size_t)t * qkv_width + (size_t)head * size],
                           free, free + padded});
  }

  void add_product(Crew& crew, const Matrix& matrix, const Rows& rows, int num_tokens,
                   float* hidden_TD) {
    const int width = shape_.width;
    crew.share(matrix.num_panels(), [&](int panel) {
      product(matrix, panel, rows.view(), num_tokens, [&](int t, int p, Floats low, Floats high) {
        float* to = hidden_TD + (size_t)t * width + p * kPanel;
        store(to, load(to) + low);
        if (p * kPanel + kLanes < width) store(to + kLanes, load(to + kLanes) + high);
      });
    });
  }

  // SwiGLU: a panel has 16 gates and the 16 values that they let through.
  void gate(Crew& crew, const Matrix& matrix, int num_tokens) {
    crew.share(matrix.num_panels(), [&](int panel) {
      product(matrix, panel, normed_.view(), num_tokens,
              [&](int t, int p, Floats gates, Floats values) {
                gated_.put(t, p * kLanes, gates / (1.0f + exp(-gates)) * values);
              });
    });
  }

  Shape shape_;
  std::vector<Layer> layers_;
  double num_weights_ = 0;
  Rows normed_, mixed_, gated_;
  FloatVector qkv_;
  std::vector<Block> blocks_;
};

}  // namespace attune
