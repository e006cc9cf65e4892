// A number in twice the digits, as a sum.
struct Pair_64 {
    double high;
    double low;
};

Pair_64 sum_of(double a, double b) {
    precise double high = a + b;
    precise double b_part = high - a;
    precise double low = (a - (high - b_part)) + (b - b_part);
    return Pair_64(high, low);
}

Pair_64 halves_of(double a) {
    precise double scaled = SPLIT_64 * a;
    precise double high = scaled - (scaled - a);
    precise double low = a - high;
    return Pair_64(high, low);
}

Pair_64 product_of(double a, double b) {
    Pair_64 x = halves_of(a), y = halves_of(b);
    precise double high = a * b;
    precise double low = ((x.high * y.high - high) + x.high * y.low + x.low * y.high) + x.low * y.low;
    return Pair_64(high, low);
}

Pair_64 sum_of_pairs(Pair_64 a, Pair_64 b) {
    Pair_64 sum = sum_of(a.high, b.high);
    return sum_of(sum.high, sum.low + (a.low + b.low));
}

Pair_64 product_of_pairs(Pair_64 a, Pair_64 b) {
    Pair_64 product = product_of(a.high, b.high);
    return sum_of(product.high, product.low + (a.high * b.low + a.low * b.high));
}

// ln(x) in nearly twice the digits: the first two terms of the series are pairs.
Pair_64 log_in_pairs(double x) {
    double m;
    double n = double(mantissa_of(x, m));
    precise double f = m - 1.0lf;
    Pair_64 divisor = sum_of(2.0lf, f);
    double quotient = f / divisor.high;
    Pair_64 back = product_of(quotient, divisor.high);
    precise double left = ((f - back.high) - back.low) - quotient * divisor.low;
    Pair_64 s = sum_of(quotient, left / divisor.high);
    Pair_64 z = product_of_pairs(s, s);
    Pair_64 second = product_of_pairs(product_of_pairs(s, z), TWO_THIRDS_64);
    double rest = s.high * z.high * log_series(z.high);
    Pair_64 result = product_of_pairs(Pair_64(n, 0.0lf), LN2_64);
    result = sum_of_pairs(result, Pair_64(2.0lf * s.high, 2.0lf * s.low));
    return sum_of_pairs(sum_of_pairs(result, second), Pair_64(rest, 0.0lf));
}

// |x|^y but for the special cases: e^(y ln |x|).
double power_of_size(double size, double y) {
    if (size == 1.0lf) return 1.0lf;
    if (isinf(y)) return (size > 1.0lf) == (y > 0.0lf) ? infinity_64() : 0.0lf;
    if (size == 0.0lf || isinf(size)) return (size == 0.0lf) == (y < 0.0lf) ? infinity_64() : 0.0lf;
    Pair_64 logarithm = log_in_pairs(size);
    double about = y * logarithm.high;
    if (about > EXP_MOST_64 + 1.0lf) return infinity_64();
    if (about < EXP_LEAST_64 - 1.0lf) return 0.0lf;
    Pair_64 power = product_of_pairs(Pair_64(y, 0.0lf), logarithm);
    return exp_of_pair(power.high, power.low);
}

double accurate_pow(double x, double y) {
    if (y == 0.0lf || x == 1.0lf) return 1.0lf;
    if (isnan(x) || isnan(y)) return nan_64();
    bool whole = isinf(y) || floor(y) == y;
    bool odd = whole && !isinf(y) && floor(0.5lf * y) != 0.5lf * y;
    if (x < 0.0lf && !isinf(x) && !whole) return nan_64();
    double size = power_of_size(abs(x), y);
    return odd && is_negative(x) ? -size : size;
}
