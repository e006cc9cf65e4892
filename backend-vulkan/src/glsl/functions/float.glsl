// Whether the sign bit is set, of zeros and NaN too.
bool is_negative(float x) {
    return floatBitsToInt(x) < 0;
}

float nan_32() {
    return uintBitsToFloat(0x7fc00000u);
}

float infinity_32() {
    return uintBitsToFloat(0x7f800000u);
}

// Of a number that isn't subnormal: the exponent e and m in x = (m.y * 2^32 + m.x) * 2^e.
int pieces(float x, out uvec2 m) {
    uint bits = floatBitsToUint(x);
    m = uvec2(0u, (bits & 0x7fffffu | 0x800000u) << 8);
    return int(bits >> 23 & 0xffu) - 190;
}

// The powers of e beyond these are infinite, or zero.
const float EXP_MOST_32 = 88.72283172607422;
const float EXP_LEAST_32 = -104.0;

// ln 2 as a sum, of which small multiples of the first part are exact.
const float LN2_TOP_32 = 0.693359375;
const float LN2_REST_32 = -2.12194440054690583e-4;

// ln 2 and 2/3 in twice the digits.
const Pair_32 LN2_32 = Pair_32(0.693147182464599609375, -1.904654299957768e-9);
const Pair_32 TWO_THIRDS_32 = Pair_32(0.666666686534881591796875, -1.98682149251302083e-8);

// Multiplied by this, numbers show their upper half.
const float SPLIT_32 = 4097.0;

// Numbers from this on have no fraction: adding it rounds.
const float WHOLE_32 = 8388608.0;
