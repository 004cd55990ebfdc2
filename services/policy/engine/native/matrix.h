// Weights packed for multiplication, and the product of rows with them.
//
// A product's element is a sum over K in one fixed order, whatever rows are multiplied beside it:
// so a row's result does not depend on its batch. Legend: M rows, N outputs, K inputs.
#pragma once

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <utility>
#include <vector>

#include "lanes.h"
#include "memory.h"

namespace attune {

enum class Precision : int { kFloat32 = 0, kBfloat16 = 1, kInt8 = 2 };

constexpr int kPanel = 2 * kLanes;  // outputs that are computed together
// Rows beside them, so many that all sums stay in registers.
#if defined(__AVX512F__)
constexpr int kMaxRows = 12;
#elif defined(__AVX2__)
constexpr int kMaxRows = 3;
#else
constexpr int kMaxRows = 1;
#endif

// Panels of 32 outputs: [N / 32, K, 32], the last one filled up with zeros. In bfloat16 two
// neighbours along K lie side by side, as the chip's instruction wants them; int8 has a scale per
// output.
class Matrix {
 public:
  Matrix(const float* weight_NK, int num_outputs, int num_inputs, Precision precision)
      : num_outputs_(num_outputs), num_inputs_(num_inputs), precision_(precision) {
    num_panels_ = (num_outputs + kPanel - 1) / kPanel;
    padded_inputs_ = (num_inputs + 1) / 2 * 2;
    size_t count = (size_t)num_panels_ * padded_inputs_ * kPanel;
    if (precision == Precision::kInt8) scales_ = scales_of(weight_NK);
    bytes_ = count * (precision == Precision::kFloat32 ? 4 : precision == Precision::kInt8 ? 1 : 2);
    data_ = room_for(bytes_);
    switch (precision) {
      case Precision::kFloat32: pack<Precision::kFloat32>(weight_NK); break;
      case Precision::kBfloat16: pack<Precision::kBfloat16>(weight_NK); break;
      case Precision::kInt8: pack<Precision::kInt8>(weight_NK); break;
    }
  }

  int num_outputs() const { return num_outputs_; }
  int num_inputs() const { return num_inputs_; }
  int num_panels() const { return num_panels_; }
  int padded_inputs() const { return padded_inputs_; }
  Precision precision() const { return precision_; }
  size_t bytes() const { return bytes_; }

  template <class T>
  const T* panel(int index) const {
    return (const T*)data_.get() + (size_t)index * padded_inputs_ * kPanel;
  }
  const float* scales(int panel) const { return scales_.data() + panel * kPanel; }

 private:
  // A tile at a time: it is read along its rows and written along its columns, in the nearest cache.
  template <Precision kPrecision>
  void pack(const float* weight_NK) {
    float tile[kPanel][kLanes] = {};
    for (int panel = 0; panel < num_panels_; ++panel)
      for (int start = 0; start < padded_inputs_; start += kLanes) {
        const int count = std::min(kLanes, padded_inputs_ - start);
        for (int lane = 0; lane < kPanel; ++lane)
          copy_tile_row(weight_NK, panel * kPanel + lane, start, count, tile[lane]);
        for (int k = 0; k < count; ++k) {
          float column[kPanel];
          for (int lane = 0; lane < kPanel; ++lane) column[lane] = tile[lane][k];
          put<kPrecision>(panel, start + k, column);
        }
      }
  }

  // Zeros where the weight ends.
  void copy_tile_row(const float* weight_NK, int n, int start, int count, float* row) const {
    const int num_there = n < num_outputs_ ? std::min(count, num_inputs_ - start) : 0;
    std::memcpy(row, weight_NK + (size_t)n * num_inputs_ + start, num_there * sizeof(float));
    std::fill(row + num_there, row + count, 0.0f);
  }

  template <Precision kPrecision>
  void put(int panel, int k, const float (&column)[kPanel]) {
    const size_t start = (size_t)panel * padded_inputs_ * kPanel, at = start + (size_t)k * kPanel;
    if constexpr (kPrecision == Precision::kFloat32) {
      std::memcpy(data_.get() + at * sizeof(float), column, sizeof column);
    } else if constexpr (kPrecision == Precision::kBfloat16) {
      uint16_t* pairs = (uint16_t*)data_.get() + start + (size_t)(k / 2) * 2 * kPanel;
      for (int lane = 0; lane < kPanel; ++lane) pairs[2 * lane + k % 2] = to_bf16(column[lane]);
    } else {
      int8_t bytes[kPanel];
      const float* scales = this->scales(panel);
      for (int lane = 0; lane < kPanel; ++lane)
        bytes[lane] = (int8_t)__builtin_rintf(column[lane] / scales[lane]);
      std::memcpy(data_.get() + at, bytes, sizeof bytes);
    }
  }

  FloatVector scales_of(const float* weight_NK) const {
    FloatVector scales((size_t)num_panels_ * kPanel, 1);
    for (int n = 0; n < num_outputs_; ++n) {
      float largest = 0;
      for (int k = 0; k < num_inputs_; ++k)
        largest = std::max(largest, __builtin_fabsf(weight_NK[(size_t)n * num_inputs_ + k]));
      if (largest > 0) scales[n] = largest / 127;
    }
    return scales;
  }

  int num_outputs_, num_inputs_, num_panels_, padded_inputs_;
  Precision precision_;
  size_t bytes_;
  std::shared_ptr<char> data_;
  FloatVector scales_;
};

// Rows as they are multiplied: float32, or pairs of bfloat16.
struct RowsIn {
  const void* data;
  int stride;  // elements of a row
};

// sum + the two products of a pair of bfloat16, in each lane.
#if defined(__AVX512BF16__)
inline Floats add_pairs(Floats sum, Ints weights, int32_t pair) {
  Ints inputs = pair - Ints{};
  return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)inputs, (__m512bh)weights);
}
#else
inline Floats add_pairs(Floats sum, Ints weights, int32_t pair) {
  float low, high;
  int32_t low_bits = pair << 16, high_bits = pair & 0xffff0000;
  std::memcpy(&low, &low_bits, 4);
  std::memcpy(&high, &high_bits, 4);
  sum += (Floats)(weights << 16) * low;
  return sum + (Floats)(weights & (int32_t)0xffff0000) * high;
}
#endif

// Weights come from afar: while some rows are multiplied by a panel, the one that this thread will
// probably do next is on its way.
constexpr int kPanelsAhead = 2, kIntoSecondCache = 2;
constexpr int kMinRowsAhead = 4;  // with fewer rows there is nothing to hide it behind

// sums[m][h] = Σ_k input[m][k] · weight[k][16 h ...]: the only place where products are summed.
template <Precision kPrecision, int kRows>
inline void multiply(const Matrix& matrix, int panel, RowsIn in, Floats (&sums)[kRows][2]) {
  for (int m = 0; m < kRows; ++m) sums[m][0] = sums[m][1] = Floats{};
  if constexpr (kPrecision == Precision::kFloat32) {
    const float* weights = matrix.panel<float>(panel);
    const float* inputs = (const float*)in.data;
    const size_t ahead = (size_t)kPanelsAhead * matrix.padded_inputs() * kPanel;
    for (int k = 0; k < matrix.num_inputs(); ++k, weights += kPanel) {
      if constexpr (kRows >= kMinRowsAhead) {
        __builtin_prefetch(weights + ahead, 0, kIntoSecondCache);
        __builtin_prefetch(weights + ahead + kLanes, 0, kIntoSecondCache);
      }
      Floats first = load(weights), second = load(weights + kLanes);
      for (int m = 0; m < kRows; ++m) {
        float input = inputs[(size_t)m * in.stride + k];
        sums[m][0] += first * input;
        sums[m][1] += second * input;
      }
    }
  } else if constexpr (kPrecision == Precision::kBfloat16) {
    const int32_t* weights = (const int32_t*)matrix.panel<uint16_t>(panel);
    const int32_t* inputs = (const int32_t*)in.data;
    const size_t ahead = (size_t)kPanelsAhead * matrix.padded_inputs() * kPanel / 2;
    for (int k = 0; k < matrix.padded_inputs() / 2; ++k, weights += kPanel) {
      if constexpr (kRows >= kMinRowsAhead) {
        __builtin_prefetch(weights + ahead, 0, kIntoSecondCache);
        __builtin_prefetch(weights + ahead + kLanes, 0, kIntoSecondCache);
      }
      Ints first, second;
      std::memcpy(&first, weights, 64);
      std::memcpy(&second, weights + kLanes, 64);
      for (int m = 0; m < kRows; ++m) {
        int32_t pair = inputs[(size_t)m * (in.stride / 2) + k];
        sums[m][0] = add_pairs(sums[m][0], first, pair);
        sums[m][1] = add_pairs(sums[m][1], second, pair);
      }
    }
  } else {
    typedef int8_t Bytes __attribute__((vector_size(16)));
    const int8_t* weights = matrix.panel<int8_t>(panel);
    const float* inputs = (const float*)in.data;
    for (int k = 0; k < matrix.num_inputs(); ++k, weights += kPanel) {
      Bytes lower, upper;
      std::memcpy(&lower, weights, 16);
      std::memcpy(&upper, weights + kLanes, 16);
      Floats first = __builtin_convertvector(lower, Floats);
      Floats second = __builtin_convertvector(upper, Floats);
      for (int m = 0; m < kRows; ++m) {
        float input = inputs[(size_t)m * in.stride + k];
        sums[m][0] += first * input;
        sums[m][1] += second * input;
      }
    }
    Floats low = load(matrix.scales(panel)), high = load(matrix.scales(panel) + kLanes);
    for (int m = 0; m < kRows; ++m) {
      sums[m][0] = rounded(sums[m][0] * low);
      sums[m][1] = rounded(sums[m][1] * high);
    }
  }
}

// Calls `take(row, panel, low, high)` with the 32 outputs of each of M rows in one panel.
template <Precision kPrecision, int kRows, class Take>
inline void multiply_rows(const Matrix& matrix, int panel, RowsIn in, int row, Take& take) {
  Floats sums[kRows][2];
  size_t size = kPrecision == Precision::kBfloat16 ? 2 : 4;
  RowsIn from{(const char*)in.data + (size_t)row * in.stride * size, in.stride};
  multiply<kPrecision, kRows>(matrix, panel, from, sums);
  for (int m = 0; m < kRows; ++m) take(row + m, panel, sums[m][0], sums[m][1]);
}

template <Precision kPrecision, class Take, int... kCounts>
inline void multiply_count(const Matrix& matrix, int panel, RowsIn in, int row, int count,
                           Take& take, std::integer_sequence<int, kCounts...>) {
  (void)((count == kCounts + 1 &&
          (multiply_rows<kPrecision, kCounts + 1>(matrix, panel, in, row, take), true)) ||
         ...);
}

template <Precision kPrecision, class Take>
inline void multiply_panel(const Matrix& matrix, int panel, RowsIn in, int num_rows, Take take) {
  int num_blocks = (num_rows + kMaxRows - 1) / kMaxRows;
  for (int block = 0, row = 0; block < num_blocks; ++block) {
    int count = (num_rows - row) / (num_blocks - block);
    multiply_count<kPrecision>(matrix, panel, in, row, count, take,
                               std::make_integer_sequence<int, kMaxRows>());
    row += count;
  }
}

// Outputs n to n + 15 of a row, those beyond the last left out. `bias_N` may be null.
inline void store_outputs(float* output_N, const float* bias_N, int n, int num_outputs,
                          Floats values) {
  if (n + kLanes <= num_outputs)
    return store(output_N + n, bias_N ? values + load(bias_N + n) : values);
  for (int lane = 0; n + lane < num_outputs; ++lane)
    output_N[n + lane] = values[lane] + (bias_N ? bias_N[n + lane] : 0.0f);
}

// All rows times one panel; the precision is the matrix's.
template <class Take>
inline void product(const Matrix& matrix, int panel, RowsIn in, int num_rows, Take take) {
  switch (matrix.precision()) {
    case Precision::kFloat32:
      return multiply_panel<Precision::kFloat32>(matrix, panel, in, num_rows, take);
    case Precision::kBfloat16:
      return multiply_panel<Precision::kBfloat16>(matrix, panel, in, num_rows, take);
    case Precision::kInt8:
      return multiply_panel<Precision::kInt8>(matrix, panel, in, num_rows, take);
  }
}

}  // namespace attune
