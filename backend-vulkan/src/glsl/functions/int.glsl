int maximum(int x, int y) {
    return max(x, y);
}

// x to the power n, which is not negative.
int integer_pow(int x, int n) {
    int result = 1;
    for (int square = x; n > 0; n /= 2) {
        if (n % 2 == 1) result *= square;
        square *= square;
    }
    return result;
}
