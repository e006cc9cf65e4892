// The float of 16 bits with 5 bits of exponent that has these bits.
float from_f16(uint bits) {
    uint sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31u, fraction = bits & 1023u;
    if (exponent == 31u) return uintBitsToFloat(sign | 0x7f800000u | fraction << 13);
    if (exponent > 0u) return uintBitsToFloat(sign | (exponent + 112u) << 23 | fraction << 13);
    if (fraction == 0u) return uintBitsToFloat(sign);
    // A multiple of 2^-24: its highest digit becomes the one before the point.
    int highest = findMSB(fraction);
    return uintBitsToFloat(sign | uint(highest + 103) << 23 | (fraction << (23 - highest) & 0x7fffffu));
}

// The nearest of those, ties to even.
uint to_f16(float x) {
    uint bits = floatBitsToUint(x), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) return 0x7e00u;
    if (size >= 0x477ff000u) return sign | 0x7c00u;
    // Below 2^-14 they are multiples of 2^-24, and more digits are dropped.
    uint exponent = size >> 23;
    bool small = exponent < 113u;
    uint digits = small ? size & 0x7fffffu | 0x800000u : size - (112u << 23);
    return sign | without(digits, small ? min(126u - exponent, 25u) : 13u);
}

// The upper half of a float.
float from_bf16(uint bits) {
    return uintBitsToFloat(bits << 16);
}

// The nearest of those, ties to even.
uint to_bf16(float x) {
    uint bits = floatBitsToUint(x);
    return (bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : without(bits, 16u);
}

// A number without its last digits, rounded to the nearest by them, ties to even.
uint without(uint digits, uint dropped) {
    uint kept = digits >> dropped, rest = digits & (1u << dropped) - 1u, middle = 1u << dropped - 1u;
    bool up = rest > middle || rest == middle && (kept & 1u) == 1u;
    return up ? kept + 1u : kept;
}
