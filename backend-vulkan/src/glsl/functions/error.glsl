// e^(-x^2), with what rounding the square loses.
double gauss(double x) {
    Pair_64 square = product_of(x, x);
    return exp_of_pair(-square.high, -square.low);
}

// erf(x) for |x| <= 1, by a series whose terms have one sign.
double erf_near_0(double x) {
    double term = x, sum = x;
    for (int n = 1; n < 30; n++) {
        term *= 2.0lf * x * x / double(2 * n + 1);
        sum += term;
    }
    return 1.12837916709551257390lf * gauss(x) * sum;
}

// erfc(x) from 0.5 on, by the continued fraction 1 / (x + 0.5 / (x + 1 / (x + 1.5 / ...))).
double erfc_far(double x) {
    if (x > 30.0lf) return 0.0lf;
    double rest = 0.0lf;
    for (int n = 24 + int(200.0lf / (x * x)); n > 0; n--) rest = 0.5lf * double(n) / (x + rest);
    return 0.56418958354775628695lf * gauss(x) / (x + rest);
}

double accurate_erf(double x) {
    if (isnan(x)) return x;
    double size = abs(x);
    if (size <= 1.0lf) return x == 0.0lf ? x : erf_near_0(x);
    return x < 0.0lf ? erfc_far(size) - 1.0lf : 1.0lf - erfc_far(size);
}

double accurate_erfc(double x) {
    if (isnan(x)) return x;
    if (x < -1.0lf) return 2.0lf - erfc_far(-x);
    return x <= 0.5lf ? 1.0lf - erf_near_0(x) : erfc_far(x);
}

// The x whose erf is y: Halley's steps from Winitzki's approximation.
double accurate_erf_inv(double y) {
    double size = abs(y), rest = 1.0lf - size;
    if (rest < 0.0lf || isnan(y)) return nan_64();
    if (y == 0.0lf) return y;
    if (rest == 0.0lf) return y * infinity_64();
    double log_part = accurate_log(rest * (1.0lf + size));
    double t = 4.33075024083306lf + 0.5lf * log_part;
    double x = size < 1e-3lf ? 0.88622692545275801365lf * size : sqrt(sqrt(t * t - log_part / 0.147lf) - t);
    for (int n = 0; n < 4; n++) {
        double excess = size < 0.5lf ? erf_near_0(x) - size : rest - erfc_far(x);
        double change = 0.88622692545275801365lf * excess / gauss(x);
        x -= change / (1.0lf + x * change);
    }
    return y < 0.0lf ? -x : x;
}
