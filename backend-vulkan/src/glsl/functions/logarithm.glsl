// x = m * 2^n with m between sqrt(1/2) and sqrt(2).
int mantissa_of(double x, out double m) {
    int n;
    m = frexp(x, n);
    if (m < 0.70710678118654752440lf) {
        m *= 2.0lf;
        n -= 1;
    }
    return n;
}

// ln((1 + s) / (1 - s)) / s - 2 - 2/3 z, divided by z, for z = s * s: the rest of the series.
double log_series(double z) {
    double p = 2.0lf / 21.0lf;
    p = p * z + 2.0lf / 19.0lf;
    p = p * z + 2.0lf / 17.0lf;
    p = p * z + 2.0lf / 15.0lf;
    p = p * z + 2.0lf / 13.0lf;
    p = p * z + 2.0lf / 11.0lf;
    p = p * z + 2.0lf / 9.0lf;
    p = p * z + 2.0lf / 7.0lf;
    p = p * z + 2.0lf / 5.0lf;
    return p * z;
}

// ln(1 + f) = f - f^2/2 + s * (f^2/2 + series) for s = f / (2 + f).
double accurate_log(double x) {
    if (x < 0.0lf) return nan_64();
    if (x == 0.0lf) return -infinity_64();
    if (isnan(x) || isinf(x)) return x;
    double m;
    double n = double(mantissa_of(x, m));
    precise double f = m - 1.0lf;
    double s = f / (2.0lf + f), z = s * s;
    double half_square = 0.5lf * f * f;
    double series = z * (2.0lf / 3.0lf + log_series(z));
    precise double rest = half_square - (s * (half_square + series) + n * LN2_REST_64);
    precise double result = n * LN2_TOP_64 + (f - rest);
    return result;
}

// ln(1 + x), and what 1 + x lost.
double accurate_log1p(double x) {
    precise double u = 1.0lf + x;
    if (u == 1.0lf) return x;
    precise double lost = x - (u - 1.0lf);
    return u > 0.0lf && !isinf(u) ? accurate_log(u) + lost / u : accurate_log(u);
}
