// NaN if either is; 0 is above -0.
double maximum(double x, double y) {
    if (isnan(x) || isnan(y)) return nan_64();
    return x > y || (x == y && !is_negative(x)) ? x : y;
}

// NaN if either is; -0 is below 0.
double minimum(double x, double y) {
    if (isnan(x) || isnan(y)) return nan_64();
    return x < y || (x == y && is_negative(x)) ? x : y;
}

// Zeros and NaN as they are.
double sign_of(double x) {
    return x > 0.0lf ? 1.0lf : x < 0.0lf ? -1.0lf : x;
}

// NaN below 0; zeros, infinity and NaN as they are.
double square_root(double x) {
    if (x < 0.0lf) return nan_64();
    return x > 0.0lf && !isinf(x) ? sqrt(x) : x;
}

// x to the power n by repeated squaring, for negative n the reciprocal of the positive power.
double integer_pow(double x, int n) {
    double result = 1.0lf, square = x;
    [[unroll]] for (int i = 0; i < 32; i++) {
        if ((uint(abs(n)) >> i) % 2u == 1u) result *= square;
        square *= square;
    }
    return n < 0 ? 1.0lf / result : result;
}

// Towards 0; the nearest there is beyond the ends, and 0 for NaN.
int to_int(double x) {
    if (isnan(x)) return 0;
    if (x >= 2147483648.0lf) return 0x7fffffff;
    if (x <= -2147483648.0lf) return int(0x80000000u);
    return int(x);
}

// Likewise.
uint to_uint(double x) {
    if (isnan(x) || x <= 0.0lf) return 0u;
    return x >= 4294967296.0lf ? 0xffffffffu : uint(x);
}

// Likewise.
int64_t to_long(double x) {
    if (isnan(x)) return 0L;
    if (x >= 9223372036854775808.0lf) return 0x7fffffffffffffffL;
    if (x <= -9223372036854775808.0lf) return int64_t(0x8000000000000000UL);
    return int64_t(x);
}

// Zeros, infinity and NaN as they are.
double floor_of(double x) {
    return x == 0.0lf || isinf(x) || isnan(x) ? x : floor(x);
}

// To the nearest integer, of two the even one, in the sign of x. Drivers' roundEven of a double is not
// to be relied on.
double rounded(double x) {
    if (!(abs(x) < WHOLE_64)) return x;
    precise double moved = abs(x) + WHOLE_64;
    precise double y = moved - WHOLE_64;
    return y == 0.0lf ? x * 0.0lf : x < 0.0lf ? -y : y;
}

// What x / y rounded to 0 leaves, by long division; NaN where there is no quotient.
double remainder_of(double x, double y) {
    if (isnan(x) || isnan(y) || isinf(x) || y == 0.0lf) return nan_64();
    if (isinf(y)) return x;
    double rest = abs(x), unit = abs(y), multiple = unit;
    while (multiple <= rest - multiple) multiple *= 2.0lf;
    for (;; multiple *= 0.5lf) {
        if (rest >= multiple) rest -= multiple;
        if (multiple == unit) break;
    }
    return is_negative(x) ? -rest : rest;
}
