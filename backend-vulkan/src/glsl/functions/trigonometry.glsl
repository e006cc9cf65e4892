// The bits of 2/pi after the point.
const uint TWO_OVER_PI[40] = uint[](
    0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu, 0xdebbc561u,
    0xb7246e3au, 0x424dd2e0u, 0x06492eeau, 0x09d1921cu, 0xfe1deb1cu, 0xb129a73eu, 0xe88235f5u, 0x2ebb4484u,
    0xe99c7026u, 0xb45f7e41u, 0x3991d639u, 0x835339f4u, 0x9c845f8bu, 0xbdf9283bu, 0x1ff897ffu, 0xde05980fu,
    0xef2f118bu, 0x5a0a6d1fu, 0x6d367ecfu, 0x27cb09b7u, 0x4f463f66u, 0x9e5fea2du, 0x7527bac7u, 0xebe5f17bu,
    0x3d0739f7u, 0x8a5292eau, 0x6bfb5fb1u, 0x1f8d5d08u, 0x56033046u, 0xfc7b6babu, 0xf0cfbc20u, 0x9af4361du
);

// 32 bits of a long number, lowest word first, from that bit on.
uint bits_from(uint words[12], int bit) {
    int word = bit / 32, shift = bit % 32;
    return shift == 0 ? words[word] : words[word] >> shift | words[word + 1] << (32 - shift);
}

// x = r + quarters * pi/2 with |r| <= pi/4, by Payne and Hanek: x * 2/pi in 288 bits, without the
// words of 2/pi that make whole multiples of 4.
int quarters_of(double x, out double r) {
    r = x;
    if (abs(x) < 0.78539816339744830962lf) return 0;
    uvec2 m;
    int exponent = pieces(abs(x), m);
    int skipped = max(exponent - 2, 0) / 32;
    uint product[12] = uint[](0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u);
    [[unroll]] for (int i = 0; i < 2; i++) {
        uint carry = 0u;
        [[unroll]] for (int j = 0; j < 7; j++) {
            uint high, low, over;
            umulExtended(m[i], TWO_OVER_PI[skipped + 6 - j], high, low);
            low = uaddCarry(low, carry, over);
            high += over;
            product[i + j] = uaddCarry(product[i + j], low, over);
            carry = high + over;
        }
        product[i + 7] = carry;
    }
    int point = 224 - (exponent - 32 * skipped);
    int quarters = int(bits_from(product, point) & 3u);
    // The nearer multiple may be the one above.
    bool above = (bits_from(product, point - 32) & 0x80000000u) != 0u;
    double fraction = 0.0lf;
    [[unroll]] for (int i = 4; i > 0; i--) {
        uint word = bits_from(product, point - 32 * i);
        fraction = (fraction + double(above ? ~word : word)) * 2.3283064365386962891e-10lf;
    }
    r = fraction * 1.57079632679489661923lf;
    if (above) {
        r = -r;
        quarters += 1;
    }
    if (x < 0.0lf) {
        r = -r;
        quarters = -quarters;
    }
    return quarters & 3;
}

double sin_near_0(double r) {
    double z = r * r;
    double p = 1.0lf / 355687428096000.0lf;
    p = p * z - 1.0lf / 1307674368000.0lf;
    p = p * z + 1.0lf / 6227020800.0lf;
    p = p * z - 1.0lf / 39916800.0lf;
    p = p * z + 1.0lf / 362880.0lf;
    p = p * z - 1.0lf / 5040.0lf;
    p = p * z + 1.0lf / 120.0lf;
    p = p * z - 1.0lf / 6.0lf;
    return r + r * z * p;
}

double cos_near_0(double r) {
    double z = r * r;
    double p = 1.0lf / 20922789888000.0lf;
    p = p * z - 1.0lf / 87178291200.0lf;
    p = p * z + 1.0lf / 479001600.0lf;
    p = p * z - 1.0lf / 3628800.0lf;
    p = p * z + 1.0lf / 40320.0lf;
    p = p * z - 1.0lf / 720.0lf;
    p = p * z + 1.0lf / 24.0lf;
    return 1.0lf - (0.5lf * z - z * z * p);
}

// sin(x + quarters * pi/2)
double sin_of_quarters(double x, int quarters) {
    if (isnan(x) || isinf(x)) return nan_64();
    double r;
    quarters += quarters_of(x, r);
    double y = (quarters & 1) == 0 ? sin_near_0(r) : cos_near_0(r);
    return (quarters & 2) == 0 ? y : -y;
}

double accurate_sin(double x) {
    return x == 0.0lf ? x : sin_of_quarters(x, 0);
}

double accurate_cos(double x) {
    return sin_of_quarters(x, 1);
}
