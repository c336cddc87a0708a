// The CUDA layers, launchers and kernels, compiled for the CPU emulator and given to Python through ctypes.
#include "emulator.h"
// The emulator comes first.
#include "../../../../csrc/cuda/bias_act.cu"
#include "../../../../csrc/cuda/instance_norm_act.cu"
#include "../../../../csrc/cuda/minibatch_stddev.cu"
#include "../../../../csrc/cuda/pixel_norm.cu"
#include "../../../../csrc/cuda/scaled_bias_act.cu"
#include "../../../../csrc/cuda/upfirdn2d.cu"
#include "python.h"

using ganart::ActivationParameters;
using ganart::AffineGradients;
using ganart::AffineTerms;
using ganart::ChannelParameters;
using ganart::Features;
using ganart::Resampling;
using ganart::SampleGroups;

extern "C" {

int bias_act(const Features* x, const void* bias, const ActivationParameters* act, void* y) {
  return ganart::cuda::bias_act(*x, bias, *act, y, nullptr);
}

size_t bias_act_backward_workspace(const Features* kept) { return ganart::cuda::bias_act_backward_workspace(*kept); }

int bias_act_backward(const Features* grad, const Features* kept, const void* bias, const ActivationParameters* act,
                      void* grad_x, void* grad_bias, void* workspace) {
  return ganart::cuda::bias_act_backward(*grad, *kept, bias, *act, grad_x, grad_bias, workspace, nullptr);
}

size_t instance_norm_act_workspace(const Features* x) { return ganart::cuda::instance_norm_act_workspace(*x); }

int instance_norm_act(const Features* x, const ChannelParameters* weight, const ChannelParameters* bias,
                      const ActivationParameters* act, double eps, void* y, void* mean, void* scale, void* workspace) {
  return ganart::cuda::instance_norm_act(*x, *weight, *bias, *act, eps, y, mean, scale, workspace, nullptr);
}

size_t instance_norm_act_backward_workspace(const Features* x) {
  return ganart::cuda::instance_norm_act_backward_workspace(*x);
}

int instance_norm_act_backward(const Features* grad, const Features* x, const void* mean, const void* scale,
                               const ChannelParameters* weight, const ChannelParameters* bias,
                               const ActivationParameters* act, void* grad_x, void* grad_weight, void* grad_bias,
                               void* workspace) {
  return ganart::cuda::instance_norm_act_backward(*grad, *x, mean, scale, *weight, *bias, *act, grad_x, grad_weight,
                                                  grad_bias, workspace, nullptr);
}

size_t minibatch_stddev_workspace(const Features* x, const SampleGroups* groups) {
  return ganart::cuda::minibatch_stddev_workspace(*x, *groups);
}

int minibatch_stddev(const Features* x, const SampleGroups* groups, void* y, void* workspace) {
  return ganart::cuda::minibatch_stddev(*x, *groups, y, workspace, nullptr);
}

size_t minibatch_stddev_backward_workspace(const Features* x, const SampleGroups* groups) {
  return ganart::cuda::minibatch_stddev_backward_workspace(*x, *groups);
}

int minibatch_stddev_backward(const Features* grad, const Features* x, const SampleGroups* groups, void* grad_x,
                              void* workspace) {
  return ganart::cuda::minibatch_stddev_backward(*grad, *x, *groups, grad_x, workspace, nullptr);
}

int pixel_norm(const Features* x, double eps, void* y) { return ganart::cuda::pixel_norm(*x, eps, y, nullptr); }

int pixel_norm_backward(const Features* grad, const Features* x, double eps, void* grad_x) {
  return ganart::cuda::pixel_norm_backward(*grad, *x, eps, grad_x, nullptr);
}

int scaled_bias_act(const Features* x, const AffineTerms* terms, const ActivationParameters* act, void* y) {
  return ganart::cuda::scaled_bias_act(*x, *terms, *act, y, nullptr);
}

size_t scaled_bias_act_backward_workspace(const Features* x) {
  return ganart::cuda::scaled_bias_act_backward_workspace(*x);
}

int scaled_bias_act_backward(const Features* grad, const Features* x, const AffineTerms* terms,
                             const ActivationParameters* act, const AffineGradients* gradients, void* workspace) {
  return ganart::cuda::scaled_bias_act_backward(*grad, *x, *terms, *act, *gradients, workspace, nullptr);
}

int upfirdn2d(const Features* x, int64_t row_stride, const Resampling* geometry, const void* taps, double gain,
              bool flip, void* y) {
  return ganart::cuda::upfirdn2d(*x, row_stride, *geometry, taps, gain, flip, y, nullptr);
}

// Whether kernels divide indices as the machine does.
bool divides(int64_t divisor, uint64_t index) {
  const bool narrow = index >= uint64_t{1} << 31 || divisor >= int64_t{1} << 31 ||
                      ganart::cuda::Divisor<uint32_t>(divisor).divide(static_cast<uint32_t>(index)) ==
                          static_cast<uint32_t>(index) / static_cast<uint32_t>(divisor);
  return narrow && ganart::cuda::Divisor<uint64_t>(divisor).divide(index) == index / static_cast<uint64_t>(divisor);
}

}  // extern "C"
