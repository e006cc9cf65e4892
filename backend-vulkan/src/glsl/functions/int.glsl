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

// -1 for a division by 0; the least number by -1 is itself.
int quotient(int x, int y) {
    if (y == 0) return -1;
    return y == -1 ? -x : x / y;
}

// x for a division by 0.
int remainder(int x, int y) {
    return y == 0 ? x : y == -1 ? 0 : x - x / y * y;
}

// Places below 0 or beyond 31 are more than there are.
bool is_place(int n) {
    return uint(n) < 32u;
}

int shift_left(int x, int n) {
    return is_place(n) ? x << n : 0;
}

int shift_right_logical(int x, int n) {
    return is_place(n) ? int(uint(x) >> n) : 0;
}

int shift_right_arithmetic(int x, int n) {
    return x >> (is_place(n) ? n : 31);
}
