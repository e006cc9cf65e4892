int64_t maximum(int64_t x, int64_t y) {
    return x > y ? x : y;
}

// x to the power n, which is not negative.
int64_t integer_pow(int64_t x, int n) {
    int64_t result = int64_t(1);
    for (int64_t square = x; n > 0; n /= 2) {
        if (n % 2 == 1) result *= square;
        square *= square;
    }
    return result;
}

// Towards 0; -1 where y is 0, and x where -x is too large.
int64_t quotient(int64_t x, int64_t y) {
    if (y == 0L) return int64_t(-1);
    return y == -1L ? -x : x / y;
}

// What the quotient leaves.
int64_t remainder_of(int64_t x, int64_t y) {
    return x - quotient(x, y) * y;
}

int64_t shifted_left(int64_t x, int64_t y) {
    return y < 0L || y > 63L ? int64_t(0) : x << uint(y);
}

int64_t shifted_right(int64_t x, int64_t y) {
    return y < 0L || y > 63L ? int64_t(0) : int64_t(uint64_t(x) >> uint(y));
}

int64_t shifted_right_with_sign(int64_t x, int64_t y) {
    return x >> (y < 0L || y > 63L ? 63u : uint(y));
}

// Not by `int64_t(x)`: Mesa takes comparisons of what that gives with constants for false.
int64_t widened(int x) {
    return (int64_t(uint(x)) ^ 0x80000000L) - 0x80000000L;
}
