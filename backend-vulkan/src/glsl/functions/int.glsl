int maximum(int x, int y) {
    return max(x, y);
}

// x to the power n, which is not negative.
int integer_pow(int x, int n) {
    int result = 1, square = x;
    [[unroll]] for (int i = 0; i < 31; i++) {
        if ((n >> i) % 2 == 1) result *= square;
        square *= square;
    }
    return result;
}
