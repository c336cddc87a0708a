// Fused layers, resampling and norms of one instruction set: the ops' files, and the table of their entry points.
namespace {

#include "cpu/bias_act.h"
#include "cpu/instance_norm_act.h"
#include "cpu/minibatch_stddev.h"
#include "cpu/pixel_norm.h"
#include "cpu/scaled_bias_act.h"
#include "cpu/upfirdn2d.h"

}  // namespace

const LayerKernels layer_kernels{
    bias_act_of_type,          bias_act_backward_of_type,
    instance_norm_act_of_type, instance_norm_act_backward_of_type,
    minibatch_stddev_of_type,  minibatch_stddev_backward_of_type,
    pixel_norm_of_type,        pixel_norm_backward_of_type,
    scaled_bias_act_of_type,   scaled_bias_act_backward_of_type,
    upfirdn2d_of_type,
};
