const double TWO_OVER_ROOT_PI_64 = 1.12837916709551257390lf;

// erf x for |x| up to 1/2, by its series.
double error_series(double x) {
    double z = x * x, term = 1.0lf, sum = 0.0lf;
    [[unroll]] for (int n = 1; n <= 14; n++) {
        term *= -z / double(n);
        sum += term / double(2 * n + 1);
    }
    return TWO_OVER_ROOT_PI_64 * (x + x * sum);
}

// exp(-x^2), of which x^2 is taken in two parts.
double gaussian(double x) {
    precise double top = floor(x * 64.0lf) / 64.0lf;
    precise double rest = (x - top) * (x + top);
    return accurate_exp(-top * top) * accurate_exp(-rest);
}

// 1 - erf x for x from 1/2 on: the trapezoidal rule for its integral in steps of h = 1/2, and what the
// rule leaves out (Hunter and Regan, 1972).
double error_tail(double x) {
    if (x > 27.5lf) return 0.0lf;
    double z = x * x, sum = 0.5lf / z;
    [[unroll]] for (int n = 1; n <= 12; n++) {
        double square = 0.25lf * double(n * n);
        sum += accurate_exp(-square) / (z + square);
    }
    double tail = x / 3.14159265358979323846lf * gaussian(x) * sum;
    return x < 6.28lf ? tail - 2.0lf / (accurate_exp(12.56637061435917295385lf * x) - 1.0lf) : tail;
}

double error_function(double x) {
    if (isnan(x)) return x;
    if (abs(x) < 0.5lf) return error_series(x);
    double size = 1.0lf - error_tail(abs(x));
    return x < 0.0lf ? -size : size;
}

double error_complement(double x) {
    if (isnan(x)) return x;
    if (abs(x) < 0.5lf) return 1.0lf - error_series(x);
    return x < 0.0lf ? 2.0lf - error_tail(-x) : error_tail(x);
}

// Winitzki's approximation, and Halley's steps from there.
double error_inverse(double y) {
    double size = abs(y);
    if (!(size <= 1.0lf)) return nan_64();
    if (size == 1.0lf) return y * infinity_64();
    if (size == 0.0lf) return y;
    double left = log1p(-size * size), half = 4.33074675078710lf + 0.5lf * left;
    double x = square_root(square_root(half * half - left / 0.147lf) - half);
    [[unroll]] for (int i = 0; i < 3; i++) {
        double off = size < 0.5lf ? error_function(x) - size : (1.0lf - size) - error_complement(x);
        double step = off / (TWO_OVER_ROOT_PI_64 * gaussian(x));
        x -= step / (1.0lf + x * step);
    }
    return y < 0.0lf ? -x : x;
}
