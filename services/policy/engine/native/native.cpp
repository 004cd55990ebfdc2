// What Python calls, by ctypes (native/library.py). Pointers are to C-contiguous memory.
#include "decoder.h"

using attune::Crew;
using attune::Decoder;
using attune::Matrix;
using attune::Rows;

extern "C" {

Crew* attune_crew_new(int num_threads) { return new Crew(num_threads); }
void attune_crew_free(Crew* crew) { delete crew; }

Matrix* attune_matrix_new(const float* weight_NK, int num_outputs, int num_inputs, int precision) {
  return new Matrix(weight_NK, num_outputs, num_inputs, (attune::Precision)precision);
}
void attune_matrix_free(Matrix* matrix) { delete matrix; }

// output_MN = input_MK · weightᵀ (+ bias)
void attune_linear(Crew* crew, const Matrix* matrix, const float* bias_N, const float* input_MK,
                   int num_rows, float* output_MN) {
  static thread_local Rows rows;
  const int num_inputs = matrix->num_inputs(), num_outputs = matrix->num_outputs();
  rows.reserve(num_rows, num_inputs, matrix->precision());
  for (int m = 0; m < num_rows; ++m)
    for (int k = 0; k < num_inputs; k += attune::kLanes)
      rows.put(m, k, attune::load(input_MK + (size_t)m * num_inputs + k));
  Rows* input = &rows;
  crew->run([&, input] {
    crew->share(matrix->num_panels(), [&](int panel) {
      product(*matrix, panel, input->view(), num_rows,
              [&](int m, int p, attune::Floats low, attune::Floats high) {
                for (int lane = 0; lane < attune::kPanel; ++lane) {
                  int n = p * attune::kPanel + lane;
                  if (n >= num_outputs) break;
                  float value = lane < attune::kLanes ? low[lane] : high[lane - attune::kLanes];
                  output_MN[(size_t)m * num_outputs + n] = value + (bias_N ? bias_N[n] : 0);
                }
              });
    });
  });
}

Decoder* attune_decoder_new(const attune::Shape* shape) { return new Decoder(*shape); }
void attune_decoder_free(Decoder* decoder) { delete decoder; }
void attune_decoder_add(Decoder* decoder, const attune::Layer* layer) { decoder->add(*layer); }
void attune_decoder_run(Decoder* decoder, Crew* crew, const attune::Step* step, float* hidden_TD) {
  decoder->run(*crew, *step, hidden_TD);
}
}
