// Winograd's algorithms along one axis, for convolutions of three taps: transforms of vectors. Compiled for each
// instruction set.
//
// Each computes OUT outputs y[i] = sum over a of w[a] d[i + a], as A^T [(G w) * (B^T d)], of IN inputs d, with
// one product per point.
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
  static constexpr int OUT = 6, IN = 8;

  // B^T d.
  GANART_INLINE static void input(const V (&d)[IN], V (&p)[IN]) {
    const V even = d[2] + d[6] - d[4] * 4.25f, odd = d[1] + d[5] - d[3] * 4.25f;
    const V half_even = d[2] * 0.25f - d[4] * 1.25f + d[6], half_odd = d[1] * 0.5f - d[3] * 2.5f + d[5] * 2.0f;
    const V twice_even = d[2] * 4.0f - d[4] * 5.0f + d[6], twice_odd = d[1] * 2.0f - d[3] * 2.5f + d[5] * 0.5f;
    p[0] = d[0] - d[6] + (d[4] - d[2]) * 5.25f;
    p[1] = even + odd;
    p[2] = even - odd;
    p[3] = half_even + half_odd;
    p[4] = half_even - half_odd;
    p[5] = twice_even + twice_odd;
    p[6] = twice_even - twice_odd;
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
    const V twice_even = w[0] * (1.0f / 90) + w[2] * (4.0f / 90), twice_odd = w[1] * (2.0f / 90);
    const V half_even = w[0] * (32.0f / 45) + w[2] * (8.0f / 45), half_odd = w[1] * (16.0f / 45);
    u[0] = w[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = twice_even + twice_odd;
    u[4] = twice_even - twice_odd;
    u[5] = half_even + half_odd;
    u[6] = half_even - half_odd;
    u[7] = w[2];
  }

  // G^T u.
  GANART_INLINE static void weight_gradient(const V (&u)[IN], V (&w)[TAPS]) {
    const V sum1 = (u[1] + u[2]) * (-2.0f / 9), sum2 = u[3] + u[4], sum3 = u[5] + u[6];
    w[0] = u[0] + sum1 + sum2 * (1.0f / 90) + sum3 * (32.0f / 45);
    w[1] = (u[1] - u[2]) * (-2.0f / 9) + (u[3] - u[4]) * (2.0f / 90) + (u[5] - u[6]) * (16.0f / 45);
    w[2] = sum1 + sum2 * (4.0f / 90) + sum3 * (8.0f / 45) + u[7];
  }
};

// Points 0, +-1, +-2, infinity. Errors are about 10 times those of a direct sum.
struct Four {
  using V = Vector<float>;
  static constexpr int OUT = 4, IN = 6;

  GANART_INLINE static void input(const V (&d)[IN], V (&p)[IN]) {
    const V even = d[4] - d[2] * 4.0f, odd = d[3] - d[1] * 4.0f;
    const V twice_even = d[4] - d[2], twice_odd = (d[3] - d[1]) * 2.0f;
    p[0] = d[0] * 4.0f - d[2] * 5.0f + d[4];
    p[1] = even + odd;
    p[2] = even - odd;
    p[3] = twice_even + twice_odd;
    p[4] = twice_even - twice_odd;
    p[5] = d[1] * 4.0f - d[3] * 5.0f + d[5];
  }
  GANART_INLINE static void output(const V (&p)[IN], V (&y)[OUT]) {
    const V sum1 = p[1] + p[2], sum2 = p[3] + p[4], gap1 = p[1] - p[2], gap2 = p[3] - p[4];
    y[0] = p[0] + sum1 + sum2;
    y[1] = gap1 + gap2 * 2.0f;
    y[2] = sum1 + sum2 * 4.0f;
    y[3] = gap1 + gap2 * 8.0f + p[5];
  }
  GANART_INLINE static void gradient(const V (&g)[OUT], V (&p)[IN]) {
    const V even = g[0] + g[2], odd = g[1] + g[3];
    const V twice_even = g[0] + g[2] * 4.0f, twice_odd = g[1] * 2.0f + g[3] * 8.0f;
    p[0] = g[0];
    p[1] = even + odd;
    p[2] = even - odd;
    p[3] = twice_even + twice_odd;
    p[4] = twice_even - twice_odd;
    p[5] = g[3];
  }
  GANART_INLINE static void weight(const V (&w)[TAPS], V (&u)[IN]) {
    const V even = (w[0] + w[2]) * (-1.0f / 6), odd = w[1] * (-1.0f / 6);
    const V twice_even = w[0] * (1.0f / 24) + w[2] * (4.0f / 24), twice_odd = w[1] * (2.0f / 24);
    u[0] = w[0] * 0.25f;
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = twice_even + twice_odd;
    u[4] = twice_even - twice_odd;
    u[5] = w[2];
  }
  GANART_INLINE static void weight_gradient(const V (&u)[IN], V (&w)[TAPS]) {
    const V sum1 = (u[1] + u[2]) * (-1.0f / 6), sum2 = u[3] + u[4];
    w[0] = u[0] * 0.25f + sum1 + sum2 * (1.0f / 24);
    w[1] = (u[1] - u[2]) * (-1.0f / 6) + (u[3] - u[4]) * (2.0f / 24);
    w[2] = sum1 + sum2 * (4.0f / 24) + u[5];
  }
};

}  // namespace winograd
}  // namespace
}  // namespace ganart::cpu::GANART_LEVEL
