// x - n y for n up to 2^SPAN, exactly: y in two parts, with which n's products are exact.
double less_multiple(double x, double n, double y) {
    precise double shown = SPLIT_64 * y;
    precise double top = shown - (shown - y);
    precise double rest = y - top;
    precise double result = (x - n * top) - n * rest;
    return result;
}

// What x / y rounded to zero leaves, with x's sign.
double remainder(double x, double y) {
    double left = abs(x), unit = abs(y);
    if (isnan(x) || isnan(y) || isinf(x) || unit == 0.0lf) return nan_64();
    if (isinf(y)) return x;
    // From the top down, as many digits of the quotient at once as are exact.
    while (left >= unit) {
        int digits, above;
        frexp(left, digits);
        frexp(unit, above);
        double by = ldexp(unit, max(digits - above - SPAN_64, 0));
        double n = floor(left / by);
        left = less_multiple(left, n, by);
        if (left < 0.0lf) left += by;
    }
    return with_sign_of(left, x);
}
