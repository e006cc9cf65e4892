// Rows of the right tile and columns of the left one, of which a step multiplies SIDE.
const uint TILE = 4 * SIDE;
shared double left[SIDE][TILE];
shared double right[SIDE][TILE];

// A workgroup of SIDE * SIDE makes a tile of the result, each invocation 4 * 4 elements of it.
void main() {
    uint tile = gl_WorkGroupID.y * launch.row + gl_WorkGroupID.x;
    if (tile >= launch.points) return; // the whole workgroup, so that barriers are reached by all
    const uint across = (N + TILE - 1) / TILE, down = (M + TILE - 1) / TILE;
    uint batch = tile / (across * down);
    uint top = tile / across % down * TILE, first = tile % across * TILE;
    uint own = gl_LocalInvocationIndex;
    uint x = own % SIDE, y = own / SIDE;

    double sums[4][4];
    for (uint i = 0; i < 4; i++)
        for (uint j = 0; j < 4; j++) sums[i][j] = 0.0lf;
    for (uint start = 0; start < K; start += SIDE) {
        for (uint i = own; i < SIDE * TILE; i += SIDE * SIDE) {
            uint row = top + i / SIDE, from = start + i % SIDE;
            left[i % SIDE][i / SIDE] = 0.0lf;
            if (row < M && from < K) left[i % SIDE][i / SIDE] = a(batch, row, from);
            uint column = first + i % TILE, to = start + i / TILE;
            right[i / TILE][i % TILE] = 0.0lf;
            if (column < N && to < K) right[i / TILE][i % TILE] = b(batch, to, column);
        }
        barrier();
        for (uint k = 0; k < SIDE; k++)
            for (uint i = 0; i < 4; i++)
                for (uint j = 0; j < 4; j++) sums[i][j] += left[k][y + i * SIDE] * right[k][x + j * SIDE];
        barrier();
    }
    for (uint i = 0; i < 4; i++) {
        for (uint j = 0; j < 4; j++) {
            uint row = top + y + i * SIDE, column = first + x + j * SIDE;
            if (row < M && column < N) store_c(batch, row, column, sums[i][j]);
        }
    }
}
