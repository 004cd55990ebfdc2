// Vectors of 16 floats, as GCC and Clang spell them; the compiler maps them to what the chip has.
#pragma once

#include <cstdint>
#include <cstring>

namespace attune {

constexpr int kLanes = 16;
typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));

inline Floats load(const float* from) {
  Floats lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}

// The same, loaded once: compilers may else have each use load it anew.
inline Floats load_once(const float* from) {
  Floats lanes = load(from);
#if defined(__AVX512F__)
  asm("" : "+v"(lanes));
#endif
  return lanes;
}

inline void store(float* to, Floats lanes) { std::memcpy(to, &lanes, sizeof lanes); }

inline Floats all(float value) { return value - Floats{}; }

inline Floats select(Ints is_first, Floats first, Floats second) {
  return (Floats)((is_first & (Ints)first) | (~is_first & (Ints)second));
}

inline Floats larger(Floats first, Floats second) { return select(first > second, first, second); }

// Sums and maxima over lanes, always in the same order.
inline float sum_of(Floats lanes) {
  float values[kLanes];
  store(values, lanes);
  for (int width = kLanes / 2; width; width /= 2)
    for (int lane = 0; lane < width; ++lane) values[lane] += values[lane + width];
  return values[0];
}

inline float max_of(Floats lanes) {
  float values[kLanes];
  store(values, lanes);
  for (int width = kLanes / 2; width; width /= 2)
    for (int lane = 0; lane < width; ++lane)
      if (values[lane + width] > values[lane]) values[lane] = values[lane + width];
  return values[0];
}

// A product as it is in memory: compilers may else join it with a sum that follows, and round once,
// in one place where it is inlined and not in another.
inline Floats rounded(Floats product) {
  asm("" : "+m"(product));
  return product;
}

// exp to 1 ulp or 2: 2^n · p(r), r in ±ln(2)/2, p the Taylor polynomial of degree 7 (its error
// there is below 6e-9). Below -87 the result is 0; above 88 it stays finite.
inline Floats exp(Floats x) {
  const Floats low = all(-87.0f), high = all(88.0f);
  Ints is_tiny = x < low;
  x = select(is_tiny, low, x);
  x = select(x > high, high, x);
  Floats scaled = x * 1.44269504088896341f;
  const Floats magic = all(12582912.0f);  // 1.5 · 2^23: adding it rounds to a whole number
  Floats whole = (scaled + magic) - magic;
  Floats rest = x - whole * 0.693359375f;
  rest = rest + whole * 2.12194440e-4f;
  Floats value = all(1.0f / 5040);
  value = value * rest + 1.0f / 720;
  value = value * rest + 1.0f / 120;
  value = value * rest + 1.0f / 24;
  value = value * rest + 1.0f / 6;
  value = value * rest + 0.5f;
  value = value * rest + 1.0f;
  value = value * rest + 1.0f;
  Ints exponent = (__builtin_convertvector(whole, Ints) + 127) << 23;
  return select(is_tiny, Floats{}, value * (Floats)exponent);
}

// A bfloat16 is the upper half of a float; rounded to nearest, ties to even.
inline uint16_t to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

}  // namespace attune
