// Fused layers, resampling and norms of one instruction set: the ops' files, and the table of their entry points.
namespace {

#include "cpu/bias_act.h"

}  // namespace

const LayerKernels layer_kernels{
    bias_act_of_type,
    bias_act_backward_of_type,
    nullptr, nullptr, nullptr,
};
