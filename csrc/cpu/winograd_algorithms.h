// Winograd's algorithms along one axis, for convolutions of three taps: transforms of vectors. Compiled for each
// instruction set.
//
// Each computes OUT outputs y[i] = sum over a of w[a] d[i + a], as A^T [(G w) * (B^T d)], of IN inputs d, with
// one product per point. The points of each, but for their order in MIRRORED, are their own reciprocals, and G is scaled
// such that it turns reversed taps into its results for w at the mirrored points.
//
// Source    A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016; the matrices are
//           those of Toom and Cook for the points named.
#pragma once

#include "cpu/elements.h"

namespace ganart::cpu::GANART_LEVEL {
namespace {
namespace winograd {

constexpr int TAPS = 3;

// Points 0, +-1, +-2, +-1/2, infinity. Errors are about 100 times those of a direct sum.
struct Six {
  using V = Vector<float>;
  static constexpr int OUT = 6, IN = 8, MIRRORED[IN] = {7, 1, 2, 5, 6, 3, 4, 0};

  // B^T d.
  GANART_INLINE static void input(const V (&d)[IN], V (&p)[IN]) {
    const V even = d[2] + d[6] - d[4] * 4.25f, odd = d[1] + d[5] - d[3] * 4.25f;
    const V twice_even = d[2] * 0.0625f - d[4] * 0.3125f + d[6] * 0.25f;
    const V twice_odd = d[1] * 0.125f - d[3] * 0.625f + d[5] * 0.5f;
    const V half_even = d[2] * 16.0f - d[4] * 20.0f + d[6] * 4.0f;
    const V half_odd = d[1] * 8.0f - d[3] * 10.0f + d[5] * 2.0f;
    p[0] = d[0] - d[6] + (d[4] - d[2]) * 5.25f;
    p[1] = even + odd;
    p[2] = even - odd;
    p[3] = twice_even + twice_odd;
    p[4] = twice_even - twice_odd;
    p[5] = half_even + half_odd;
    p[6] = half_even - half_odd;
    p[7] = d[7] - d[1] + (d[3] - d[5]) * 5.25f;
  }

  // A^T p.
  GANART_INLINE static void output(const V (&p)[IN], V (&y)[OUT]) {
    const V sum1 = p[1] + p[2], sum2 = p[3] + p[4], sum3 = p[5] + p[6];
    const V gap1 = p[1] - p[2], gap2 = p[3] - p[4], gap3 = p[5] - p[6];
    y[0] = p[0] + sum1 + sum2 + sum3;
    y[1] = gap1 + gap2 * 2.0f + gap3 * 0.5f;
    y[2] = sum1 + sum2 * 4.0f + sum3 * 0.25f;
    y[3] = gap1 + gap2 * 8.0f + gap3 * 0.125f;
    y[4] = sum1 + sum2 * 16.0f + sum3 * 0.0625f;
    y[5] = gap1 + gap2 * 32.0f + gap3 * 0.03125f + p[7];
  }

  // A g.
  GANART_INLINE static void gradient(const V (&g)[OUT], V (&p)[IN]) {
    const V even = g[0] + g[2] + g[4], odd = g[1] + g[3] + g[5];
    const V twice_even = g[0] + g[2] * 4.0f + g[4] * 16.0f, twice_odd = g[1] * 2.0f + g[3] * 8.0f + g[5] * 32.0f;
    const V half_even = g[0] + g[2] * 0.25f + g[4] * 0.0625f, half_odd = g[1] * 0.5f + g[3] * 0.125f + g[5] * 0.03125f;
    p[0] = g[0];
    p[1] = even + odd;
    p[2] = even - odd;
    p[3] = twice_even + twice_odd;
    p[4] = twice_even - twice_odd;
    p[5] = half_even + half_odd;
    p[6] = half_even - half_odd;
    p[7] = g[5];
  }

  // G w.
  GANART_INLINE static void weight(const V (&w)[TAPS], V (&u)[IN]) {
    const V even = (w[0] + w[2]) * (-2.0f / 9), odd = w[1] * (-2.0f / 9);
    const V twice_even = w[0] * (2.0f / 45) + w[2] * (8.0f / 45), between = w[1] * (4.0f / 45);
    const V half_even = w[0] * (8.0f / 45) + w[2] * (2.0f / 45);
    u[0] = w[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = twice_even + between;
    u[4] = twice_even - between;
    u[5] = half_even + between;
    u[6] = half_even - between;
    u[7] = w[2];
  }

  // G^T u.
  GANART_INLINE static void weight_gradient(const V (&u)[IN], V (&w)[TAPS]) {
    const V sum1 = (u[1] + u[2]) * (-2.0f / 9), sum2 = u[3] + u[4], sum3 = u[5] + u[6];
    w[0] = u[0] + sum1 + sum2 * (2.0f / 45) + sum3 * (8.0f / 45);
    w[1] = (u[1] - u[2]) * (-2.0f / 9) + (u[3] - u[4] + u[5] - u[6]) * (4.0f / 45);
    w[2] = sum1 + sum2 * (8.0f / 45) + sum3 * (2.0f / 45) + u[7];
  }
};

// Points 0, +-2/3, +-3/2, infinity. Errors are about 5 times those of a direct sum: with tiles and weights rounded to
// bfloat16, 0.8 % of the result's standard deviation. Other points of this kind have up to twice as much.
struct Four {
  using V = Vector<float>;
  static constexpr int OUT = 4, IN = 6, MIRRORED[IN] = {5, 3, 4, 1, 2, 0};
  static constexpr float LOW = 2.0f / 3, LOW2 = 4.0f / 9, LOW3 = 8.0f / 27, HIGH = 1.5f, HIGH2 = 2.25f, HIGH3 = 3.375f;
  static constexpr float SQUARES = LOW2 + HIGH2, FAR = 27.0f / 65, NEAR = 12.0f / 65, MIDDLE = 18.0f / 65;

  GANART_INLINE static void input(const V (&d)[IN], V (&p)[IN]) {
    const V low_even = d[2] * HIGH3 - d[4] * HIGH, low_odd = d[1] * HIGH2 - d[3];
    const V high_even = d[4] * LOW - d[2] * LOW3, high_odd = d[3] - d[1] * LOW2;
    p[0] = d[0] + d[4] - d[2] * SQUARES;
    p[1] = low_even + low_odd;
    p[2] = low_even - low_odd;
    p[3] = high_even + high_odd;
    p[4] = high_even - high_odd;
    p[5] = d[1] + d[5] - d[3] * SQUARES;
  }
  GANART_INLINE static void output(const V (&p)[IN], V (&y)[OUT]) {
    const V sum1 = p[1] + p[2], sum2 = p[3] + p[4], gap1 = p[1] - p[2], gap2 = p[3] - p[4];
    y[0] = p[0] + sum1 + sum2;
    y[1] = gap1 * LOW + gap2 * HIGH;
    y[2] = sum1 * LOW2 + sum2 * HIGH2;
    y[3] = gap1 * LOW3 + gap2 * HIGH3 + p[5];
  }
  GANART_INLINE static void gradient(const V (&g)[OUT], V (&p)[IN]) {
    const V low_even = g[0] + g[2] * LOW2, low_odd = g[1] * LOW + g[3] * LOW3;
    const V high_even = g[0] + g[2] * HIGH2, high_odd = g[1] * HIGH + g[3] * HIGH3;
    p[0] = g[0];
    p[1] = low_even + low_odd;
    p[2] = low_even - low_odd;
    p[3] = high_even + high_odd;
    p[4] = high_even - high_odd;
    p[5] = g[3];
  }
  GANART_INLINE static void weight(const V (&w)[TAPS], V (&u)[IN]) {
    const V low_even = w[0] * FAR + w[2] * NEAR, high_even = w[0] * NEAR + w[2] * FAR, odd = w[1] * MIDDLE;
    u[0] = w[0];
    u[1] = low_even + odd;
    u[2] = low_even - odd;
    u[3] = high_even + odd;
    u[4] = high_even - odd;
    u[5] = w[2];
  }
  GANART_INLINE static void weight_gradient(const V (&u)[IN], V (&w)[TAPS]) {
    const V sum1 = u[1] + u[2], sum2 = u[3] + u[4];
    w[0] = u[0] + sum1 * FAR + sum2 * NEAR;
    w[1] = (u[1] - u[2] + u[3] - u[4]) * MIDDLE;
    w[2] = sum1 * NEAR + sum2 * FAR + u[5];
  }
};

}  // namespace winograd
}  // namespace
}  // namespace ganart::cpu::GANART_LEVEL
