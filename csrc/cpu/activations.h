// Activations and their derivatives on vectors; exp for float is written here, for double it is libm's. Compiled for
// each instruction set.
//
// FROM_OUTPUT: `slope` takes the activation's result, which a layer keeps anyway, instead of its argument. FROM_SIGN:
// either will do, since only the sign matters, and both have the same.
#pragma once

#include "cpu/elements.h"

namespace ganart::cpu::GANART_LEVEL {
namespace {

template <class S, class Function>
GANART_INLINE Vector<S> lanewise(Vector<S> x, Function function) {
  for (int lane = 0; lane < LANES<S>; ++lane) x[lane] = function(x[lane]);
  return x;
}

template <class S>
GANART_INLINE Vector<S> magnitude(Vector<S> x) {
  return x < 0 ? -x : x;
}

// exp(x) = scale_low * scale_high * (1 + fraction), |fraction| < 0.42.
struct ExponentialParts {
  Vector<float> fraction, scale_low, scale_high;

  GANART_INLINE explicit ExponentialParts(Vector<float> x) {
    x = x > 90.0f ? splat(90.0f) : x < -105.0f ? splat(-105.0f) : x;  // beyond, the result is inf or 0 anyway
    constexpr float ROUNDER = 12582912.0f;                            // 1.5 * 2^23: adding it rounds to an integer
    const Vector<float> power = (x * 1.44269504f + ROUNDER) - ROUNDER;
    const Vector<float> r = x - power * 0.693359375f - power * -2.12194440e-4f;  // ln 2 in two parts
    Vector<float> series = r * (1.0f / 5040) + (1.0f / 720);
    series = series * r + (1.0f / 120);
    series = series * r + (1.0f / 24);
    series = series * r + (1.0f / 6);
    series = series * r + 0.5f;
    fraction = series * r * r + r;
    const auto whole = (Vector<uint32_t>)__builtin_convertvector(power, Vector<int32_t>);
    const auto half = (Vector<uint32_t>)((Vector<int32_t>)whole >> 1);
    scale_low = (Vector<float>)((half + 127u) << 23);
    scale_high = (Vector<float>)((whole - half + 127u) << 23);
  }
};

GANART_INLINE Vector<float> exponential(Vector<float> x) {
  const ExponentialParts parts(x);
  return (parts.fraction + 1.0f) * parts.scale_low * parts.scale_high;
}
GANART_INLINE Vector<float> exponential_minus_one(Vector<float> x) {
  const ExponentialParts parts(x);
  const Vector<float> scale = parts.scale_low * parts.scale_high;
  return parts.fraction * scale + (scale - 1.0f);
}
// By libm, lane by lane. Not inlined: in every kernel these calls would double the compile time.
[[gnu::noinline]] Vector<double> exponential(Vector<double> x) {
  return lanewise<double>(x, [](double value) { return __builtin_exp(value); });
}
[[gnu::noinline]] Vector<double> exponential_minus_one(Vector<double> x) {
  return lanewise<double>(x, [](double value) { return __builtin_expm1(value); });
}
[[gnu::noinline]] Vector<float> log_of_one_plus(Vector<float> x) {
  return lanewise<float>(x, [](float value) { return __builtin_log1pf(value); });
}
[[gnu::noinline]] Vector<double> log_of_one_plus(Vector<double> x) {
  return lanewise<double>(x, [](double value) { return __builtin_log1p(value); });
}

template <class S>
GANART_INLINE Vector<S> logistic(Vector<S> z) {
  return S(1) / (exponential(-z) + S(1));
}

struct Linear {
  static constexpr bool FROM_OUTPUT = true, FROM_SIGN = true;
  template <class S>
  GANART_INLINE static Vector<S> value(Vector<S> z, S) {
    return z;
  }
  template <class S>
  GANART_INLINE static Vector<S> slope(Vector<S>, S) {
    return splat(S(1));
  }
};

struct Relu {
  static constexpr bool FROM_OUTPUT = true, FROM_SIGN = true;
  template <class S>
  GANART_INLINE static Vector<S> value(Vector<S> z, S) {
    return at_least<S>(splat(S(0)), z);
  }
  template <class S>
  GANART_INLINE static Vector<S> slope(Vector<S> y, S) {
    return y > S(0) ? splat(S(1)) : splat(S(0));
  }
};

struct LeakyRelu {
  static constexpr bool FROM_OUTPUT = true, FROM_SIGN = true;
  template <class S>
  GANART_INLINE static Vector<S> value(Vector<S> z, S negative) {
    return z > S(0) ? z : z * negative;
  }
  template <class S>
  GANART_INLINE static Vector<S> slope(Vector<S> y, S negative) {
    return y > S(0) ? splat(S(1)) : splat(negative);
  }
};

struct Tanh {
  static constexpr bool FROM_OUTPUT = true, FROM_SIGN = false;
  template <class S>
  GANART_INLINE static Vector<S> value(Vector<S> z, S) {
    const Vector<S> e = exponential_minus_one(magnitude<S>(z) * S(-2)), t = -e / (e + S(2));
    return z < S(0) ? -t : t;
  }
  template <class S>
  GANART_INLINE static Vector<S> slope(Vector<S> y, S) {
    return S(1) - y * y;
  }
};

struct Sigmoid {
  static constexpr bool FROM_OUTPUT = true, FROM_SIGN = false;
  template <class S>
  GANART_INLINE static Vector<S> value(Vector<S> z, S) {
    return logistic<S>(z);
  }
  template <class S>
  GANART_INLINE static Vector<S> slope(Vector<S> y, S) {
    return y * (S(1) - y);
  }
};

struct Elu {
  static constexpr bool FROM_OUTPUT = false, FROM_SIGN = false;
  template <class S>
  GANART_INLINE static Vector<S> value(Vector<S> z, S) {
    return z > S(0) ? z : exponential_minus_one(z);
  }
  template <class S>
  GANART_INLINE static Vector<S> slope(Vector<S> z, S) {
    return z > S(0) ? splat(S(1)) : exponential(z);
  }
};

struct Selu {
  static constexpr bool FROM_OUTPUT = false, FROM_SIGN = false;
  static constexpr double SCALE = 1.0507009873554804934, ALPHA = 1.6732632423543772848;  // Klambauer et al. 2017
  template <class S>
  GANART_INLINE static Vector<S> value(Vector<S> z, S) {
    return S(SCALE) * (z > S(0) ? z : S(ALPHA) * exponential_minus_one(z));
  }
  template <class S>
  GANART_INLINE static Vector<S> slope(Vector<S> z, S) {
    return z > S(0) ? splat(S(SCALE)) : S(SCALE * ALPHA) * exponential(z);
  }
};

struct Softplus {
  static constexpr bool FROM_OUTPUT = false, FROM_SIGN = false;
  template <class S>
  GANART_INLINE static Vector<S> value(Vector<S> z, S) {
    return (z <= S(0) ? splat(S(0)) : z) + log_of_one_plus(exponential(-magnitude<S>(z)));
  }
  template <class S>
  GANART_INLINE static Vector<S> slope(Vector<S> z, S) {
    return logistic<S>(z);
  }
};

struct Swish {
  static constexpr bool FROM_OUTPUT = false, FROM_SIGN = false;
  template <class S>
  GANART_INLINE static Vector<S> value(Vector<S> z, S) {
    return z * logistic<S>(z);
  }
  template <class S>
  GANART_INLINE static Vector<S> slope(Vector<S> z, S) {
    const Vector<S> s = logistic<S>(z);
    return s * (z * (S(1) - s) + S(1));
  }
};

template <class Body>
void with_activation(Activation activation, Body body) {
  switch (activation) {
    case Activation::linear: return body(Linear{});
    case Activation::relu: return body(Relu{});
    case Activation::lrelu: return body(LeakyRelu{});
    case Activation::tanh: return body(Tanh{});
    case Activation::sigmoid: return body(Sigmoid{});
    case Activation::elu: return body(Elu{});
    case Activation::selu: return body(Selu{});
    case Activation::softplus: return body(Softplus{});
    case Activation::swish: return body(Swish{});
  }
}

// An activation's derivative at z.
template <class Act, class S>
GANART_INLINE Vector<S> slope_at(Vector<S> z, S negative_slope) {
  if constexpr (Act::FROM_OUTPUT && !Act::FROM_SIGN)
    return Act::slope(Act::value(z, negative_slope), negative_slope);
  else
    return Act::slope(z, negative_slope);
}

// An activation with its gain and clamp.
template <class Act, class S>
struct Layer {
  S negative_slope, gain, limit;  // infinity without a clamp
  S inverse_gain, flat_from;      // outputs of this magnitude have derivative 0; NaN without a clamp

  // A clamp of NaN means no clamp; `stored_clamp` is the clamp rounded to the type of an output.
  Layer(const ActivationParameters& act, S stored_clamp)
      : negative_slope(S(act.negative_slope)), gain(S(act.gain)),
        limit(act.clamp == act.clamp ? S(act.clamp) : S(__builtin_inf())), inverse_gain(S(1) / gain),
        flat_from(stored_clamp) {}

  GANART_INLINE Vector<S> apply(Vector<S> z) const {
    const Vector<S> y = Act::value(z, negative_slope) * gain;
    return at_least<S>(splat(-limit), at_most<S>(splat(limit), y));
  }

  // The derivative from the value kept for it: the output, or z for some activations.
  GANART_INLINE Vector<S> derivative(Vector<S> kept) const {
    const Vector<S> argument = Act::FROM_OUTPUT && !Act::FROM_SIGN ? kept * inverse_gain : kept;
    const Vector<S> slope = Act::slope(argument, negative_slope) * gain;
    if constexpr (Act::FROM_OUTPUT) {
      return magnitude<S>(kept) >= flat_from ? splat(S(0)) : slope;
    } else {
      if (!(flat_from == flat_from)) return slope;
      return magnitude<S>(Act::value(kept, negative_slope) * gain) >= limit ? splat(S(0)) : slope;
    }
  }

  // The derivative from z.
  GANART_INLINE Vector<S> derivative_at(Vector<S> z) const {
    if constexpr (Act::FROM_SIGN)
      if (!(flat_from == flat_from))
        return Act::slope(z, negative_slope) * gain;  // without a clamp the output is not needed
    return derivative(Act::FROM_OUTPUT ? apply(z) : z);
  }
};

}  // namespace
}  // namespace ganart::cpu::GANART_LEVEL
