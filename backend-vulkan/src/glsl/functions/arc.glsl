// arctan(a) for 0 <= a <= 1: four times that of a quarter of the angle, by the series.
double arctan_of_ratio(double a) {
    double t = a / (1.0lf + sqrt(1.0lf + a * a));
    t = t / (1.0lf + sqrt(1.0lf + t * t));
    double w = t * t, p = 0.0lf;
    for (int k = 29; k > 1; k -= 2) p = 1.0lf / double(k) - w * p;
    return 4.0lf * (t - t * w * p);
}

// The angle of the point (x, y).
double accurate_atan2(double y, double x) {
    if (isnan(x) || isnan(y)) return nan_64();
    double height = abs(y), width = abs(x);
    if (isinf(height) && isinf(width)) height = width = 1.0lf;
    if (height == 0.0lf && width == 0.0lf) width = 1.0lf;
    bool steep = height > width;
    double angle = arctan_of_ratio(steep ? width / height : height / width);
    if (steep) {
        angle = is_negative(x) ? 1.57079632679489661923lf + angle : 1.57079632679489661923lf - angle;
    } else if (is_negative(x)) {
        angle = 3.14159265358979323846lf - angle;
    }
    return is_negative(y) ? -angle : angle;
}

double accurate_atan(double x) {
    return accurate_atan2(x, 1.0lf);
}

double accurate_asin(double x) {
    if (abs(x) > 1.0lf || isnan(x)) return nan_64();
    return accurate_atan2(x, square_root((1.0lf - x) * (1.0lf + x)));
}

double accurate_acos(double x) {
    if (abs(x) > 1.0lf || isnan(x)) return nan_64();
    return accurate_atan2(square_root((1.0lf - x) * (1.0lf + x)), x);
}
