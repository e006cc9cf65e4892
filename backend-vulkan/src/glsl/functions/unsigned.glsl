uint maximum(uint x, uint y) {
    return max(x, y);
}

// x to the power n, which is not negative.
uint integer_pow(uint x, int n) {
    uint result = 1u;
    for (uint square = x; n > 0; n /= 2) {
        if (n % 2 == 1) result *= square;
        square *= square;
    }
    return result;
}

// All bits where y is 0.
uint quotient(uint x, uint y) {
    return y == 0u ? 0xffffffffu : x / y;
}

// What the quotient leaves.
uint remainder_of(uint x, uint y) {
    return x - quotient(x, y) * y;
}

uint shifted_left(uint x, uint y) {
    return y > 31u ? 0u : x << y;
}

uint shifted_right(uint x, uint y) {
    return y > 31u ? 0u : x >> y;
}

// With the highest bit after them.
uint shifted_right_with_sign(uint x, uint y) {
    return uint(int(x) >> min(y, 31u));
}
