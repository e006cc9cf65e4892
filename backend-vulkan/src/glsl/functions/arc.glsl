const double HALF_PI_64 = 1.57079632679489661923lf;

// arctan t for t from 0 to 1: t is first brought below tan(pi/8) by turning through pi/4.
double small_angle(double t) {
    bool turned = t > 0.41421356237309504880lf;
    double u = turned ? (t - 1.0lf) / (t + 1.0lf) : t;
    double z = u * u, sum = 0.0lf;
    [[unroll]] for (int k = 22; k >= 1; k--) sum = z * ((k % 2 == 0 ? 1.0lf : -1.0lf) / double(2 * k + 1) + sum);
    double angle = u + u * sum;
    return turned ? 0.5lf * HALF_PI_64 + angle : angle;
}

// The angle of the point (x, y), neither negative, of which not both are 0 or infinite.
double first_quadrant(double y, double x) {
    return y > x ? HALF_PI_64 - small_angle(x / y) : small_angle(y / x);
}

double with_sign_of(double size, double x) {
    return is_negative(x) ? -size : size;
}

double arc_tangent(double x) {
    if (isnan(x)) return x;
    return with_sign_of(isinf(x) ? HALF_PI_64 : first_quadrant(abs(x), 1.0lf), x);
}

double arc_sine(double x) {
    double size = abs(x);
    if (!(size <= 1.0lf)) return nan_64();
    return with_sign_of(first_quadrant(size, square_root((1.0lf - size) * (1.0lf + size))), x);
}

double arc_cosine(double x) {
    double size = abs(x);
    if (!(size <= 1.0lf)) return nan_64();
    double angle = first_quadrant(square_root((1.0lf - size) * (1.0lf + size)), size);
    return x < 0.0lf ? 2.0lf * HALF_PI_64 - angle : angle;
}

// The angle of the point (x, y); the origin counts as (1, 0), both infinite as (1, 1).
double arc_tangent_2(double y, double x) {
    if (isnan(x) || isnan(y)) return nan_64();
    double height = abs(y), width = abs(x);
    if (height == 0.0lf && width == 0.0lf) width = 1.0lf;
    if (isinf(height) && isinf(width)) {
        height = 1.0lf;
        width = 1.0lf;
    }
    double angle = isinf(height) ? HALF_PI_64 : isinf(width) ? 0.0lf : first_quadrant(height, width);
    return with_sign_of(is_negative(x) ? 2.0lf * HALF_PI_64 - angle : angle, y);
}
