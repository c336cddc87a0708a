// Register-only chains of multiply-adds: the roof of arithmetic. Included once per instruction set, inside a namespace
// (so without a guard), with PROBE_BYTES, the vector's width, and KEEP_IN_REGISTER defined. The loop touches no memory.

// Enough independent chains to hide four cycles of latency on two pipes, few enough for sixteen registers.
constexpr int CHAINS = 12;

template <class Lane>
double fma_chains(int64_t rounds) {
  typedef Lane Vector __attribute__((vector_size(PROBE_BYTES)));
  const Vector factor = Vector{} + Lane(0.5), addend = Vector{} + Lane(1);
  Vector sums[CHAINS];
#pragma GCC unroll 12
  for (int chain = 0; chain < CHAINS; ++chain) sums[chain] = Vector{} + Lane(chain);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int chain = 0; chain < CHAINS; ++chain) {
      sums[chain] = sums[chain] * factor + addend;
      KEEP_IN_REGISTER(sums[chain]);
    }
  }
#pragma GCC unroll 12
  for (int chain = 1; chain < CHAINS; ++chain) sums[0] += sums[chain];
  return double(sums[0][0]);
}

template <class Lane>
constexpr double flops_per_round() {
  return 2.0 * CHAINS * (PROBE_BYTES / sizeof(Lane));
}
