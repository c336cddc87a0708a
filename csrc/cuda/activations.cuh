// Activations and their derivatives, one element at a time.
//
// `from_output`: `slope` takes the activation's result, which a layer keeps anyway, instead of its argument.
#pragma once

#include <math.h>

#include "common/parameters.h"
#include "ptx.cuh"

namespace ganart::cuda {

// The reciprocal's argument is between 1 and 2, so it needs no special case for tiny or huge numbers.
template <class S>
GANART_DEVICE S logistic(S z) {
  const S e = exp(-fabs(z)), r = reciprocal(S(1) + e);
  return z < S(0) ? e * r : r;
}

struct Linear {
  static constexpr bool from_output = true;
  template <class S>
  GANART_DEVICE static S value(S z, S) {
    return z;
  }
  template <class S>
  GANART_DEVICE static S slope(S, S) {
    return S(1);
  }
};

struct Relu {
  static constexpr bool from_output = true;
  template <class S>
  GANART_DEVICE static S value(S z, S) {
    return z <= S(0) ? S(0) : z;
  }
  template <class S>
  GANART_DEVICE static S slope(S y, S) {
    return y > S(0) ? S(1) : S(0);
  }
};

struct LeakyRelu {
  static constexpr bool from_output = true;
  template <class S>
  GANART_DEVICE static S value(S z, S negative) {
    return z > S(0) ? z : z * negative;
  }
  template <class S>
  GANART_DEVICE static S slope(S y, S negative) {
    return y > S(0) ? S(1) : negative;
  }
};

struct Tanh {
  static constexpr bool from_output = true;
  template <class S>
  GANART_DEVICE static S value(S z, S) {
    return tanh(z);
  }
  template <class S>
  GANART_DEVICE static S slope(S y, S) {
    return S(1) - y * y;
  }
};

struct Sigmoid {
  static constexpr bool from_output = true;
  template <class S>
  GANART_DEVICE static S value(S z, S) {
    return logistic(z);
  }
  template <class S>
  GANART_DEVICE static S slope(S y, S) {
    return y * (S(1) - y);
  }
};

struct Elu {
  static constexpr bool from_output = false;
  template <class S>
  GANART_DEVICE static S value(S z, S) {
    return z > S(0) ? z : expm1(z);
  }
  template <class S>
  GANART_DEVICE static S slope(S z, S) {
    return z > S(0) ? S(1) : exp(z);
  }
};

struct Selu {
  static constexpr bool from_output = false;
  static constexpr double scale = 1.0507009873554804934, alpha = 1.6732632423543772848;  // Klambauer et al. 2017
  template <class S>
  GANART_DEVICE static S value(S z, S) {
    return S(scale) * (z > S(0) ? z : S(alpha) * expm1(z));
  }
  template <class S>
  GANART_DEVICE static S slope(S z, S) {
    return z > S(0) ? S(scale) : S(scale * alpha) * exp(z);
  }
};

struct Softplus {
  static constexpr bool from_output = false;
  template <class S>
  GANART_DEVICE static S value(S z, S) {
    return (z <= S(0) ? S(0) : z) + log1p(exp(z <= S(0) ? z : -z));
  }
  template <class S>
  GANART_DEVICE static S slope(S z, S) {
    return logistic(z);
  }
};

struct Swish {
  static constexpr bool from_output = false;
  template <class S>
  GANART_DEVICE static S value(S z, S) {
    return z * logistic(z);
  }
  template <class S>
  GANART_DEVICE static S slope(S z, S) {
    const S s = logistic(z);
    return s * (S(1) + z * (S(1) - s));
  }
};

// Calls body with the activation. Within a kernel all threads take the same branch, so that one kernel serves them all.
template <class Body>
GANART_DEVICE void with_activation(Activation activation, const Body& body) {
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

// An activation's gain and clamp. A clamp of NaN means no clamp: no comparison with it is true.
template <class S>
struct Layer {
  Activation activation;
  S negative_slope, gain, inverse_gain, clamp;

  explicit Layer(const ActivationParameters& act)
      : activation(act.activation), negative_slope(static_cast<S>(act.negative_slope)), gain(static_cast<S>(act.gain)),
        inverse_gain(static_cast<S>(1 / act.gain)), clamp(static_cast<S>(act.clamp)) {}

  template <class Act>
  GANART_DEVICE S apply(Act, S z) const {
    const S y = Act::value(z, negative_slope) * gain;
    return y > clamp ? clamp : y < -clamp ? -clamp : y;
  }

  // The derivative from the value kept for it: the output, or z for some activations.
  template <class Act>
  GANART_DEVICE S derivative(Act, S kept) const {
    if constexpr (Act::from_output) {
      return fabs(kept) >= clamp ? S(0) : Act::slope(kept * inverse_gain, negative_slope) * gain;
    } else {
      const S slope = Act::slope(kept, negative_slope) * gain;
      if (!(clamp == clamp)) return slope;
      return fabs(Act::value(kept, negative_slope) * gain) >= clamp ? S(0) : slope;
    }
  }
};

}  // namespace ganart::cuda
