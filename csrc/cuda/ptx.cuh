// The few PTX instructions that CUDA C++ does not spell, and the 16-bit element types. Included by kernels only.
// Fragment layouts: PTX ISA, "Matrix fragments for mma.m16n8k16 / mma.m16n8k8" and "ldmatrix".
#ifndef GANART_CUDA_PTX
#define GANART_CUDA_PTX

#include <cstdint>

#define GANART_DEVICE __device__ __forceinline__
#define GANART_SHARED_MEMORY(name) extern __shared__ __align__(128) unsigned char name[]

namespace ganart::cuda {

struct bfloat16 {
  uint16_t bits;
};
struct float16 {
  uint16_t bits;
};
// A float whose low 13 bits the tensor cores ignore: it tells kernels to use them.
struct tfloat32 {
  float value;
};

GANART_DEVICE uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// Copies `bytes` (0 to 16) of the 16 at `global` to `shared` behind the thread's back and fills the rest with zeros.
GANART_DEVICE void copy_async(void* shared, const void* global, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(shared)), "l"(global), "r"(bytes)
               : "memory");
}

GANART_DEVICE void close_copy_group() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }

// Returns when all but the thread's `pending` newest groups have landed.
template <int pending>
GANART_DEVICE void await_copy_groups() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(pending) : "memory");
}

// Four 8x8 matrices of 16-bit elements; lane l gives the address of row l % 8 of matrix l / 8.
GANART_DEVICE void load_matrices(uint32_t (&fragment)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
               : "r"(shared_address(row))
               : "memory");
}

GANART_DEVICE void load_matrices_transposed(uint32_t (&fragment)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
               : "r"(shared_address(row))
               : "memory");
}

// sums += a b: 16 x 8 sums over 32 bytes of depth (16 half-width elements or 8 TF32 ones).
template <class Element>
GANART_DEVICE void multiply_accumulate(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

#define GANART_MMA(Element, shape_and_types)                                                             \
  template <>                                                                                            \
  GANART_DEVICE void multiply_accumulate<Element>(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, \
                                                  uint32_t b1) {                                         \
    asm volatile("mma.sync.aligned." shape_and_types                                                     \
                 " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"                    \
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])                            \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                        \
  }
GANART_MMA(bfloat16, "m16n8k16.row.col.f32.bf16.bf16.f32")
GANART_MMA(float16, "m16n8k16.row.col.f32.f16.f16.f32")
GANART_MMA(tfloat32, "m16n8k8.row.col.f32.tf32.tf32.f32")
#undef GANART_MMA

// The tensor cores would truncate to TF32, a bias that long sums show.
GANART_DEVICE uint32_t round_to_tf32(uint32_t bits) {
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
}

GANART_DEVICE bfloat16 round_to(bfloat16, float value) {
  bfloat16 rounded;
  asm("cvt.rn.bf16.f32 %0, %1;\n" : "=h"(rounded.bits) : "f"(value));
  return rounded;
}
GANART_DEVICE float16 round_to(float16, float value) {
  float16 rounded;
  asm("cvt.rn.f16.f32 %0, %1;\n" : "=h"(rounded.bits) : "f"(value));
  return rounded;
}
GANART_DEVICE tfloat32 round_to(tfloat32, float value) { return {value}; }
GANART_DEVICE float round_to(float, float value) { return value; }
GANART_DEVICE double round_to(double, double value) { return value; }

GANART_DEVICE float widen(bfloat16 value) { return __uint_as_float(static_cast<uint32_t>(value.bits) << 16); }
GANART_DEVICE float widen(float16 value) {
  float wide;
  asm("cvt.f32.f16 %0, %1;\n" : "=f"(wide) : "h"(value.bits));
  return wide;
}
GANART_DEVICE float widen(float value) { return value; }
GANART_DEVICE double widen(double value) { return value; }

// 1 / value within two units in the last place, for normal values whose reciprocal is normal.
GANART_DEVICE float reciprocal(float value) {
  float estimate;
  asm("rcp.approx.ftz.f32 %0, %1;\n" : "=f"(estimate) : "f"(value));
  return fmaf(fmaf(-value, estimate, 1.0f), estimate, estimate);
}
GANART_DEVICE double reciprocal(double value) { return 1.0 / value; }

// 1 / sqrt(value) within two units in the last place.
GANART_DEVICE float inverse_root(float value) { return rsqrtf(value); }
GANART_DEVICE double inverse_root(double value) { return rsqrt(value); }

// The value of the lane whose number differs in the bits of `distance`; all of a warp take part.
template <class S>
GANART_DEVICE S shuffle_xor(S value, int distance) {
  return __shfl_xor_sync(0xffffffffu, value, distance);
}

}  // namespace ganart::cuda
#endif
