// x * 2^n, where 2^n itself may be out of range.
double scaled(double x, int n) {
    return ldexp(ldexp(x, n / 2), n - n / 2);
}

// e^r - 1 for |r| <= ln(2) / 2, by the series.
double expm1_near_0(double r) {
    double p = 1.0lf / 6227020800.0lf;
    p = p * r + 1.0lf / 479001600.0lf;
    p = p * r + 1.0lf / 39916800.0lf;
    p = p * r + 1.0lf / 3628800.0lf;
    p = p * r + 1.0lf / 362880.0lf;
    p = p * r + 1.0lf / 40320.0lf;
    p = p * r + 1.0lf / 5040.0lf;
    p = p * r + 1.0lf / 720.0lf;
    p = p * r + 1.0lf / 120.0lf;
    p = p * r + 1.0lf / 24.0lf;
    p = p * r + 1.0lf / 6.0lf;
    p = p * r + 0.5lf;
    return r + r * r * p;
}

// e^(high + low) = 2^n * (1 + expm1_near_0(r)); low is far below high.
double exp_of_pair(double high, double low) {
    if (isnan(high)) return high;
    if (high > EXP_MOST_64) return infinity_64();
    if (high < EXP_LEAST_64) return 0.0lf;
    double n = roundEven(high * 1.44269504088896340736lf);
    precise double r = (high - n * LN2_TOP_64) - (n * LN2_REST_64 - low);
    return scaled(1.0lf + expm1_near_0(r), int(n));
}

double accurate_exp(double x) {
    return exp_of_pair(x, 0.0lf);
}

double accurate_expm1(double x) {
    if (x == 0.0lf || isnan(x)) return x;
    if (x > 40.0lf) return accurate_exp(x);
    if (x < -40.0lf) return -1.0lf;
    double n = roundEven(x * 1.44269504088896340736lf);
    precise double r = (x - n * LN2_TOP_64) - n * LN2_REST_64;
    double power = ldexp(1.0lf, int(n));
    return power * expm1_near_0(r) + (power - 1.0lf);
}

double accurate_tanh(double x) {
    if (x == 0.0lf || isnan(x)) return x;
    double e = accurate_expm1(2.0lf * min(abs(x), 20.0lf));
    double y = e / (e + 2.0lf);
    return x < 0.0lf ? -y : y;
}

// 1 / (1 + e^-x) without overflow on either side.
double accurate_logistic(double x) {
    if (isnan(x)) return x;
    double e = accurate_exp(-abs(x));
    return (x < 0.0lf ? e : 1.0lf) / (1.0lf + e);
}
