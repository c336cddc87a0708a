// One thread block's matrix product: a tile of A B^T, both operands streamed through shared memory. No torch, no
// launch.
//
// Formula   sums[i][j] += sum over depth k of A[i][k] B[j][k], for a tile of rows i of A and rows j of B.
// Layouts   each operand apart: Major::depth (k contiguous in memory) or Major::row (i contiguous). Lines of either may
//           start at any element; 16-byte aligned ones are copied asynchronously, others element by element.
// Bytes     each stage loads (rows of A + rows of B) x depth once from L2; A == B on the diagonal of a Gram matrix
//           loads it once for both. Other stages are being loaded while one is multiplied.
// Sums      float32, whatever the elements; tensor cores for 16-bit and TF32, fused multiply-adds for float32.
// Repeats   bit for bit: the order of additions depends on the shape alone.
#pragma once

#include "elements.cuh"

namespace ganart::cuda {

enum class Major { depth, row };

// A matrix in global memory: lines of contiguous elements, `stride` elements apart.
template <class Element>
struct Operand {
  const Element* data;
  int64_t stride;
  bool aligned;  // data and stride are multiples of 16 bytes
};

// A tile of an operand in shared memory, in 16-byte chunks swizzled so that no two of a warp's accesses share a bank.
template <class Element_, Major major_, int rows, int depth>
struct TileLayout {
  using Element = Element_;
  static constexpr Major major = major_;
  static constexpr int elements_per_chunk = 16 / sizeof(Element);
  static constexpr int lines = major == Major::depth ? rows : depth;
  static constexpr int chunks = (major == Major::depth ? depth : rows) / elements_per_chunk;
  static constexpr int bytes = lines * chunks * 16;
  static_assert(chunks >= 4 && (chunks & (chunks - 1)) == 0, "the swizzle permutes 4 or 8 chunks of a line");

  GANART_DEVICE static int swizzle(int line) {
    // 4-byte elements cannot be transposed by ldmatrix: a warp reads 8 rows at 4 depths, two chunks on each of 4 lines.
    if constexpr (major == Major::row && sizeof(Element) == 4) return (line & 3) << 1;
    // Otherwise it reads one chunk on each of 8 lines; two lines of 4 chunks fill the 32 banks together.
    else if constexpr (chunks == 4)
      return (line >> 1) & 3;
    else
      return line & 7;
  }
  GANART_DEVICE static int offset(int line, int chunk) { return (line * chunks + (chunk ^ swizzle(line))) * 16; }
};

// Copies a tile from global memory, with zeros beyond `lines` and beyond `length` elements of a line.
template <class Layout, int threads>
GANART_DEVICE void load_tile(unsigned char* shared, const Operand<typename Layout::Element>& operand, int lines,
                             int length) {
  using Element = typename Layout::Element;
  constexpr int width = Layout::elements_per_chunk;
  static_assert(Layout::lines * Layout::chunks % threads == 0, "every thread copies equally many chunks");
#pragma unroll
  for (int step = 0; step < Layout::lines * Layout::chunks / threads; ++step) {
    const int index = step * threads + threadIdx.x;
    const int line = index / Layout::chunks;
    const int chunk = index % Layout::chunks;
    const int left = line < lines ? length - chunk * width : 0;
    const int count = left < 0 ? 0 : left > width ? width : left;
    const Element* source = count ? operand.data + line * operand.stride + chunk * width : operand.data;
    unsigned char* target = shared + Layout::offset(line, chunk);
    if (operand.aligned) {
      copy_async(target, source, count * static_cast<int>(sizeof(Element)));
    } else {
#pragma unroll
      for (int i = 0; i < width; ++i) {
        reinterpret_cast<Element*>(target)[i] = i < count ? source[i] : Element{};
      }
    }
  }
}

// Products on tensor cores. Warps tile the block's rows and columns; `depth_groups` of them share each warp tile and
// take every depth_groups-th step of the depth, leaving that many sums to be added later.
template <class Element, Major major_a, Major major_b, int rows_, int columns_, int depth_, int warps_down,
          int warps_across, int depth_groups_>
struct TensorCoreProduct {
  static constexpr int rows = rows_, columns = columns_, depth = depth_, depth_groups = depth_groups_;
  static constexpr int threads = 32 * warps_down * warps_across * depth_groups;
  static constexpr int run = 2;  // neighbouring columns that `visit` passes at once
  using LayoutA = TileLayout<Element, major_a, rows, depth>;
  using LayoutB = TileLayout<Element, major_b, columns, depth>;

  float sums[rows / warps_down / 16][columns / warps_across / 8][4] = {};

  GANART_DEVICE static int warp() { return threadIdx.x / 32; }
  GANART_DEVICE static int lane() { return threadIdx.x % 32; }
  GANART_DEVICE static int depth_group() { return warp() / (warps_down * warps_across); }
  GANART_DEVICE static int first_row() { return warp() / warps_across % warps_down * (rows / warps_down); }
  GANART_DEVICE static int first_column() { return warp() % warps_across * (columns / warps_across); }

  GANART_DEVICE void multiply(const unsigned char* tile_a, const unsigned char* tile_b) {
    constexpr int steps = depth * sizeof(Element) / 32;
    static_assert(steps % depth_groups == 0, "groups of warps take equally many steps");
#pragma unroll
    for (int turn = 0; turn < steps / depth_groups; ++turn) {
      const int step = turn * depth_groups + depth_group();
      uint32_t a[rows / warps_down / 16][4];
      uint32_t b[columns / warps_across / 16][4];
#pragma unroll
      for (int i = 0; i < rows / warps_down / 16; ++i) {
        load_fragment<LayoutA>(a[i], tile_a, first_row() + 16 * i, step);
      }
#pragma unroll
      for (int j = 0; j < columns / warps_across / 16; ++j) {
        load_fragment<LayoutB>(b[j], tile_b, first_column() + 16 * j, step);
      }
#pragma unroll
      for (int i = 0; i < rows / warps_down / 16; ++i) {
#pragma unroll
        for (int j = 0; j < columns / warps_across / 16; ++j) {
          multiply_accumulate<Element>(sums[i][2 * j], a[i], b[j][0], b[j][2]);
          multiply_accumulate<Element>(sums[i][2 * j + 1], a[i], b[j][1], b[j][3]);
        }
      }
    }
  }

  // Calls use(row, column, values) for each run of neighbouring columns that this thread holds.
  template <class Use>
  GANART_DEVICE void visit(const Use& use) const {
#pragma unroll
    for (int i = 0; i < rows / warps_down / 16; ++i) {
#pragma unroll
      for (int j = 0; j < columns / warps_across / 8; ++j) {
        const int row = first_row() + 16 * i + lane() / 4;
        const int column = first_column() + 8 * j + lane() % 4 * 2;
        use(row, column, Run<float, run>{sums[i][j][0], sums[i][j][1]});
        use(row + 8, column, Run<float, run>{sums[i][j][2], sums[i][j][3]});
      }
    }
  }

 private:
  // 16 rows x 32 bytes of depth. As operand A its four registers are the instruction's in order; as operand B registers
  // 0 and 2 are the first 8 rows, 1 and 3 the last: B's fragment for 8 columns is laid out like half of A's.
  template <class Layout>
  GANART_DEVICE static void load_fragment(uint32_t (&fragment)[4], const unsigned char* tile, int row, int step) {
    constexpr int width = Layout::elements_per_chunk;
    if constexpr (Layout::major == Major::depth) {
      load_matrices(fragment, tile + Layout::offset(row + lane() % 16, 2 * step + lane() / 16));
    } else if constexpr (sizeof(Element) == 2) {
      const int line = 16 * step + lane() % 8 + lane() / 16 * 8;
      load_matrices_transposed(fragment, tile + Layout::offset(line, row / width + lane() / 8 % 2));
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int line = 8 * step + lane() % 4 + i / 2 * 4;
        const int element = row + lane() / 4 + i % 2 * 8;
        const unsigned char* chunk = tile + Layout::offset(line, element / width);
        fragment[i] = reinterpret_cast<const uint32_t*>(chunk)[element % width];
      }
    }
    if constexpr (sizeof(Element) == 4) {
#pragma unroll
      for (uint32_t& bits : fragment) bits = round_to_tf32(bits);
    }
  }
};

// Products by fused multiply-adds. Each thread holds an `each` x `each` tile; where depth is contiguous its rows lie
// `across` apart, so that a warp's reads of 16 bytes of depth fall on neighbouring lines, which the swizzle spreads.
template <Major major_a, Major major_b, int size, int depth_, int across>
struct FusedProduct {
  static constexpr int rows = size, columns = size, depth = depth_, depth_groups = 1;
  static constexpr int threads = across * across;
  static constexpr int each = size / across;
  static constexpr int run = major_b == Major::depth ? 1 : 4;
  using LayoutA = TileLayout<float, major_a, size, depth>;
  using LayoutB = TileLayout<float, major_b, size, depth>;
  static_assert(each % 4 == 0 && depth % 4 == 0);

  float sums[each][each] = {};

  GANART_DEVICE static int depth_group() { return 0; }
  // A warp covers 4 x 8 threads: both of its reads then touch at most 8 distinct chunks.
  GANART_DEVICE static int down_index() { return threadIdx.x / 32 / (across / 8) * 4 + threadIdx.x % 32 / 8; }
  GANART_DEVICE static int across_index() { return threadIdx.x / 32 % (across / 8) * 8 + threadIdx.x % 8; }

  template <Major major>
  GANART_DEVICE static int position(int thread, int i) {
    if constexpr (major == Major::depth)
      return thread + across * i;
    else
      return i / 4 * (4 * across) + 4 * thread + i % 4;
  }

  GANART_DEVICE void multiply(const unsigned char* tile_a, const unsigned char* tile_b) {
#pragma unroll 1
    for (int chunk = 0; chunk < depth / 4; ++chunk) {
      float a[each][4], b[each][4];
      load_fragment<LayoutA>(a, tile_a, down_index(), chunk);
      load_fragment<LayoutB>(b, tile_b, across_index(), chunk);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
#pragma unroll
        for (int i = 0; i < each; ++i) {
#pragma unroll
          for (int j = 0; j < each; ++j) sums[i][j] = fmaf(a[i][k], b[j][k], sums[i][j]);
        }
      }
    }
  }

  template <class Use>
  GANART_DEVICE void visit(const Use& use) const {
#pragma unroll
    for (int i = 0; i < each; ++i) {
#pragma unroll
      for (int j = 0; j < each; j += run) {
        Run<float, run> values;
#pragma unroll
        for (int offset = 0; offset < run; ++offset) values.elements[offset] = sums[i][j + offset];
        use(position<major_a>(down_index(), i), position<major_b>(across_index(), j), values);
      }
    }
  }

 private:
  template <class Layout>
  GANART_DEVICE static void load_fragment(float (&fragment)[each][4], const unsigned char* tile, int thread,
                                          int depth_chunk) {
    if constexpr (Layout::major == Major::depth) {
#pragma unroll
      for (int i = 0; i < each; ++i) {
        const int row = position<Major::depth>(thread, i);
        const float4 along_depth = *reinterpret_cast<const float4*>(tile + Layout::offset(row, depth_chunk));
        fragment[i][0] = along_depth.x, fragment[i][1] = along_depth.y;
        fragment[i][2] = along_depth.z, fragment[i][3] = along_depth.w;
      }
    } else {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
#pragma unroll
        for (int i = 0; i < each; i += 4) {
          const int chunk = position<Major::row>(thread, i) / 4;
          const float4 along_rows = *reinterpret_cast<const float4*>(tile + Layout::offset(4 * depth_chunk + k, chunk));
          fragment[i][k] = along_rows.x, fragment[i + 1][k] = along_rows.y;
          fragment[i + 2][k] = along_rows.z, fragment[i + 3][k] = along_rows.w;
        }
      }
    }
  }
};

// A ring buffer of `stages` in shared memory, filled that far ahead of the product.
template <class Product, int stages_>
struct Pipeline {
  static constexpr int stages = stages_;
  using LayoutA = typename Product::LayoutA;
  using LayoutB = typename Product::LayoutB;
  static constexpr int shared_bytes = stages * (LayoutA::bytes + LayoutB::bytes);

  // Adds the product over `depth` to `product`. `rows`, `columns`: how many there are from the tile's origin on.
  // With `same`, B is A and is loaded once.
  GANART_DEVICE static void run(Product& product, unsigned char* shared, Operand<typename LayoutA::Element> a,
                                Operand<typename LayoutB::Element> b, int64_t rows, int64_t columns, int64_t depth,
                                bool same) {
    const int steps = static_cast<int>((depth + Product::depth - 1) / Product::depth);
    unsigned char* const tiles_b = shared + stages * LayoutA::bytes;
    const auto fill = [&](int step) {
      if (step < steps) {
        const int slot = step % stages;
        const int left = limit(depth - static_cast<int64_t>(step) * Product::depth, Product::depth);
        load<LayoutA>(shared + slot * LayoutA::bytes, a, limit(rows, Product::rows), left);
        if (!same) load<LayoutB>(tiles_b + slot * LayoutB::bytes, b, limit(columns, Product::columns), left);
      }
      close_copy_group();  // empty ones too, so that counting groups counts stages
    };
#pragma unroll 1
    for (int step = 0; step < stages - 1; ++step) fill(step);
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      await_copy_groups<stages - 2>();
      __syncthreads();  // stage `step` has arrived, and no thread uses the slot that is filled next
      fill(step + stages - 1);
      const int slot = step % stages;
      const unsigned char* const tile_a = shared + slot * LayoutA::bytes;
      product.multiply(tile_a, same ? tile_a : tiles_b + slot * LayoutB::bytes);
    }
    await_copy_groups<0>();
    __syncthreads();  // the ring buffer may be reused
  }

 private:
  GANART_DEVICE static int limit(int64_t count, int most) { return count < most ? static_cast<int>(count) : most; }

  // Copies the operand's next tile and advances by one stage.
  template <class Layout>
  GANART_DEVICE static void load(unsigned char* target, Operand<typename Layout::Element>& operand, int rows,
                                 int depth) {
    if constexpr (Layout::major == Major::depth) {
      load_tile<Layout, Product::threads>(target, operand, rows, depth);
      operand.data += Product::depth;
    } else {
      load_tile<Layout, Product::threads>(target, operand, depth, rows);
      operand.data += Product::depth * operand.stride;
    }
  }
};

}  // namespace ganart::cuda
