// Whether the sign bit is set, of zeros and NaN too.
bool is_negative(double x) {
    return int(unpackDouble2x32(x).y) < 0;
}

double nan_64() {
    return packDouble2x32(uvec2(0u, 0x7ff80000u));
}

double infinity_64() {
    return packDouble2x32(uvec2(0u, 0x7ff00000u));
}

// Of a number that isn't subnormal: the exponent e and m in x = (m.y * 2^32 + m.x) * 2^e.
int pieces(double x, out uvec2 m) {
    uvec2 bits = unpackDouble2x32(x);
    m = uvec2(bits.x << 11, (bits.y & 0xfffffu | 0x100000u) << 11 | bits.x >> 21);
    return int(bits.y >> 20 & 0x7ffu) - 1086;
}

// The powers of e beyond these are infinite, or zero.
const double EXP_MOST_64 = 709.782712893384lf;
const double EXP_LEAST_64 = -746.0lf;

// ln 2 as a sum, of which small multiples of the first part are exact.
const double LN2_TOP_64 = 0.693147180369123816490lf;
const double LN2_REST_64 = 1.90821492927058770002e-10lf;

// ln 2 and 2/3 in twice the digits.
const Pair_64 LN2_64 = Pair_64(0.693147180559945309417lf, 2.3190468138462995584e-17lf);
const Pair_64 TWO_THIRDS_64 = Pair_64(0.66666666666666662966lf, 3.7007434154171882626e-17lf);

// Multiplied by this, numbers show their upper half.
const double SPLIT_64 = 134217729.0lf;

// Numbers from this on have no fraction: adding it rounds.
const double WHOLE_64 = 4503599627370496.0lf;
