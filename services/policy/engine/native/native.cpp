// What Python calls, by ctypes (native/library.py). Pointers are to C-contiguous memory.
#include "decoder.h"
#include "sampling.h"

using attune::Crew;
using attune::Decoder;
using attune::Matrix;
using attune::Rows;
using attune::store_outputs;

extern "C" {

Crew* attune_crew_new(int num_threads) { return new Crew(num_threads); }
void attune_crew_free(Crew* crew) { delete crew; }
void attune_crew_lend(Crew* crew, int num_threads) { crew->lend(num_threads); }

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
  crew->run(2.0 * num_rows * num_inputs * num_outputs, [&, input] {
    crew->share(matrix->num_panels(), [&](int panel) {
      product(*matrix, panel, input->view(), num_rows,
              [&](int m, int p, attune::Floats low, attune::Floats high) {
                float* output_N = output_MN + (size_t)m * num_outputs;
                store_outputs(output_N, bias_N, p * attune::kPanel, num_outputs, low);
                store_outputs(output_N, bias_N, p * attune::kPanel + attune::kLanes, num_outputs,
                              high);
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

// normed_MD of hidden_MD; they may be the same.
void attune_normalize(const float* hidden_MD, const float* weight_D, int num_rows, int width,
                      float eps, float* normed_MD) {
  for (int m = 0; m < num_rows; ++m) {
    const float* hidden = hidden_MD + (size_t)m * width;
    const attune::Floats scale = attune::all(attune::norm_scale(hidden, width, eps));
    for (int d = 0; d < width; d += attune::kLanes)
      attune::store(normed_MD + (size_t)m * width + d,
                    attune::load(hidden + d) * scale * attune::load(weight_D + d));
  }
}

// What is drawn from; `bias_BV` and `bias_of_R`, `is_kept_RV` and `logprobs_RV` may be null.
struct Draws {
  int num_rows, num_ids;
  const float *logits_RV, *bias_BV;
  const int64_t* bias_of_R;
  const uint8_t* is_allowed_CV;  // of each constraint; may be null
  const int64_t* constraint_of_R;  // -1: none
  const float *temperature_R, *top_p_R;
  const int64_t* top_k_R;
  const double* uniform_R;
  int64_t* ids_R;
  float *logprobs_R, *kept_mass_R;
  uint8_t *is_finite_R, *is_kept_RV;
  float* logprobs_RV;
};

void attune_draw(Crew* crew, const Draws* draws) {
  const Draws& all = *draws;
  crew->run(120.0 * all.num_rows * all.num_ids, [&] {
    crew->share(all.num_rows, [&](int r) {
      const size_t start = (size_t)r * all.num_ids;
      const float* bias = all.bias_BV ? all.bias_BV + all.bias_of_R[r] * all.num_ids : nullptr;
      const int64_t constraint = all.is_allowed_CV ? all.constraint_of_R[r] : -1;
      const uint8_t* allowed =
          constraint < 0 ? nullptr : all.is_allowed_CV + constraint * all.num_ids;
      const int top_k = (int)std::min<int64_t>(all.top_k_R[r], all.num_ids);
      const attune::Knobs knobs{all.temperature_R[r], all.top_p_R[r], top_k, all.uniform_R[r],
                                bias, allowed};
      const attune::Drawn drawn = attune::draw(
          all.logits_RV + start, knobs, all.num_ids, all.is_kept_RV ? all.is_kept_RV + start : nullptr,
          all.logprobs_RV ? all.logprobs_RV + start : nullptr);
      all.ids_R[r] = drawn.id;
      all.logprobs_R[r] = drawn.logprob;
      all.kept_mass_R[r] = drawn.kept_mass;
      all.is_finite_R[r] = drawn.is_finite;
    });
  });
}
}
