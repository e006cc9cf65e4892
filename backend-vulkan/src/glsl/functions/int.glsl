int maximum(int x, int y) {
    return max(x, y);
}

// x to the power n, which is not negative.
int integer_pow(int x, int n) {
    int result = 1;
    for (int square = x; n > 0; n /= 2) {
        if (n % 2 == 1) result *= square;
        square *= square;
    }
    return result;
}

// Towards 0; -1 where y is 0, and x where -x is too large.
int quotient(int x, int y) {
    if (y == 0) return -1;
    return y == -1 ? -x : x / y;
}

// What the quotient leaves.
int remainder_of(int x, int y) {
    return x - quotient(x, y) * y;
}

int shifted_left(int x, int y) {
    return uint(y) > 31u ? 0 : x << y;
}

int shifted_right(int x, int y) {
    return uint(y) > 31u ? 0 : int(uint(x) >> y);
}

int shifted_right_with_sign(int x, int y) {
    return x >> min(uint(y), 31u);
}
