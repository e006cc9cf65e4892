// Invocations of a workgroup, down, across and in all; they divide what they load.
const uint DOWN = ROWS / HIGH, ACROSS = COLUMNS / WIDE, GROUP = DOWN * ACROSS;
shared double left[DEPTH][ROWS];
shared double right[DEPTH][COLUMNS];

// A workgroup makes a tile of the result, DEPTH products of every element at a time.
void main() {
    // LEAVE
    uint tile = gl_WorkGroupID.y * launch.row + gl_WorkGroupID.x;
    if (tile >= launch.points) return; // the whole workgroup, so that barriers are reached by all
    const uint down = (M + ROWS - 1) / ROWS, across = (N + COLUMNS - 1) / COLUMNS;
    uint batch = tile / (down * across);
    uint top = tile / across % down * ROWS, first = tile % across * COLUMNS;
    uint own = gl_LocalInvocationIndex;
    uint x = own % ACROSS, y = own / ACROSS;

    double sums[HIGH][WIDE];
    [[unroll]] for (uint i = 0; i < HIGH; i++)
        [[unroll]] for (uint j = 0; j < WIDE; j++) sums[i][j] = 0.0lf;
    for (uint start = 0; start < K; start += DEPTH) {
        [[unroll]] for (uint part = 0; part < DEPTH * ROWS / GROUP; part++) {
            uint i = own + part * GROUP;
            uint row = top + i / DEPTH, k = start + i % DEPTH;
            left[i % DEPTH][i / DEPTH] = 0.0lf;
            if (row < M && k < K) left[i % DEPTH][i / DEPTH] = a(batch, row, k);
        }
        [[unroll]] for (uint part = 0; part < DEPTH * COLUMNS / GROUP; part++) {
            uint i = own + part * GROUP;
            uint k = start + i / COLUMNS, column = first + i % COLUMNS;
            right[i / COLUMNS][i % COLUMNS] = 0.0lf;
            if (column < N && k < K) right[i / COLUMNS][i % COLUMNS] = b(batch, k, column);
        }
        barrier();
        for (uint k = 0; k < DEPTH; k++)
            [[unroll]] for (uint i = 0; i < HIGH; i++)
                [[unroll]] for (uint j = 0; j < WIDE; j++)
                    sums[i][j] += left[k][y + i * DOWN] * right[k][x + j * ACROSS];
        barrier();
    }
    [[unroll]] for (uint i = 0; i < HIGH; i++) {
        [[unroll]] for (uint j = 0; j < WIDE; j++) {
            uint row = top + y + i * DOWN, column = first + x + j * ACROSS;
            if (row < M && column < N) store_c(batch, row, column, sums[i][j]);
        }
    }
}
