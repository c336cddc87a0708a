// Launchers of minibatch standard deviation on CUDA: raw pointers and sizes only, no torch. cuda/minibatch_stddev.cuh
// describes the kernels.
#pragma once

#include <cstddef>

#include "common/features.h"
#include "common/parameters.h"
#include "cuda/runtime.h"

namespace ganart::cuda {

// Each launcher queues its work on `stream` of the current device and returns the first CUDA error.
// Workspaces are scratch memory, aligned to 256 bytes, that the caller keeps until the work is queued.

// y and its gradient are [N, C + runs, P].
size_t minibatch_stddev_workspace(const Features& x, const SampleGroups& groups);
cudaError_t minibatch_stddev(const Features& x, const SampleGroups& groups, void* y, void* workspace,
                             cudaStream_t stream);
size_t minibatch_stddev_backward_workspace(const Features& x, const SampleGroups& groups);
cudaError_t minibatch_stddev_backward(const Features& grad, const Features& x, const SampleGroups& groups, void* grad_x,
                                      void* workspace, cudaStream_t stream);

}  // namespace ganart::cuda
