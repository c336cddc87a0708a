// How a Gram matrix is divided into blocks of work: symmetric tiles, and pieces of the long spatial axis. Host and
// device.
//
// Only tiles on and above the diagonal are computed. The spatial axis is divided into pieces so that few channels still
// fill the card; each piece's tile of sums goes to the workspace and a second kernel adds them in order. The division
// depends on the shape alone, never on the card, so results repeat bit for bit from one card to the next.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "arithmetic.h"

namespace ganart::cuda {

struct TileIndex {
  int row, column;
};

GANART_HOST_DEVICE constexpr int64_t triangle(int64_t side) { return side * (side + 1) / 2; }

// The `index`-th tile of the upper triangle, row by row: (0,0) (0,1) ... (0,side-1) (1,1) ...
GANART_HOST_DEVICE inline TileIndex upper_tile(int index, int side) {
  int row = 0;
  for (int width = side; index >= width; --width, ++row) index -= width;
  return {row, row + index};
}

// The inverse of `upper_tile`.
GANART_HOST_DEVICE inline int upper_index(TileIndex tile, int side) {
  return tile.row * side - tile.row * (tile.row - 1) / 2 + tile.column - tile.row;
}

struct GramPlan {
  int64_t samples, positions;
  int channels;
  int tile;              // tiles are tile x tile
  int side;              // tiles along one side of the matrix
  int tiles;             // tiles of the upper triangle
  int pieces;            // of the spatial axis
  int sums_per_piece;    // partial tiles that one block leaves, one for each of its groups of warps
  int64_t piece_length;  // positions in a piece, a multiple of the depth of a block's stage

  int64_t blocks() const { return samples * tiles * pieces; }
  int64_t partials() const { return blocks() * sums_per_piece * tile * tile; }
};

// The cheapest tile: 32 or 64 where 128 would be mostly padding. A smaller tile reads shared memory more often
// for each product, so it must save work to be worth it.
inline int choose_tile(int channels) {
  int best = 0;
  double best_cost = 0;
  for (const auto& [tile, cost_of_a_product] : {std::pair{128, 1.0}, {64, 1.4}, {32, 2.0}}) {
    const double cost = cost_of_a_product * triangle(ceil_divide(channels, tile)) * tile * tile;
    if (best == 0 || cost < best_cost) best = tile, best_cost = cost;
  }
  return best;
}

// `depth`: positions in a stage of a block. `sums_per_piece`: see GramPlan.
inline GramPlan plan_gram(int64_t samples, int channels, int64_t positions, int tile, int depth, int sums_per_piece) {
  constexpr int64_t most_blocks = 264;            // two for each multiprocessor of an H100 or H200: one wave
  constexpr int64_t least_stages_in_a_piece = 8;  // below this, filling the pipeline costs more than it hides
  constexpr int64_t longest_piece = 16384;        // bounds how long one float32 sum grows
  const int side = static_cast<int>(ceil_divide(channels, tile));
  const int tiles = static_cast<int>(triangle(side));
  const int64_t stages = ceil_divide(positions, depth);
  const int64_t wanted = most_blocks / std::max<int64_t>(samples * tiles, 1);
  const int64_t allowed = std::max<int64_t>(stages / least_stages_in_a_piece, 1);
  const int64_t needed = std::max<int64_t>(ceil_divide(positions, longest_piece), 1);
  const int64_t cuts = std::max(std::min(wanted, allowed), needed);
  const int64_t piece_length = std::max<int64_t>(ceil_divide(stages, cuts), 1) * depth;
  const int pieces = static_cast<int>(ceil_divide(positions, piece_length));
  return {samples, positions, channels, tile, side, tiles, pieces, sums_per_piece, piece_length};
}

}  // namespace ganart::cuda
