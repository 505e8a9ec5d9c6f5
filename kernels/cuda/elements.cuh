// Storage of elements, and the functions that a rule may call.
//
// Includes no headers, so NVRTC needs no CUDA toolkit.

using int64 = long long;
using uint16 = unsigned short;
using uint32 = unsigned int;
using uint64 = unsigned long long;

// --- storage: decode is exact, encode rounds to nearest, ties to even --------------------------
// A double is rounded to float before a 16-bit dtype, whose encode takes a float.

struct float64 {
    using Bits = uint64;
    static __device__ double decode(Bits bits) { return __longlong_as_double((int64)bits); }
    static __device__ Bits encode(double value) { return (Bits)__double_as_longlong(value); }
};

struct float32 {
    using Bits = uint32;
    static __device__ float decode(Bits bits) { return __uint_as_float(bits); }
    static __device__ Bits encode(float value) { return __float_as_uint(value); }
};

struct bfloat16 {
    using Bits = uint16;
    static __device__ float decode(Bits bits) { return __uint_as_float((uint32)bits << 16); }

    static __device__ Bits encode(float value)
    {
        const uint32 bits = __float_as_uint(value);
        const uint32 odd = (bits >> 16) & 1;
        return (Bits)(value == value ? (bits + 0x7fff + odd) >> 16 : 0x7fc0);
    }
};

struct float16 {
    using Bits = uint16;
#ifdef __CUDACC__
    static __device__ float decode(Bits bits)
    {
        float value;
        asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
        return value;
    }

    static __device__ Bits encode(float value)
    {
        Bits bits;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
        return bits;
    }
#else  // a C++ compiler for the CPU
    static float decode(Bits bits) { return __builtin_bit_cast(_Float16, bits); }
    static Bits encode(float value) { return __builtin_bit_cast(Bits, (_Float16)value); }
#endif
};

// --- functions that a rule may call, besides sqrt and fabs -------------------------------------

// NaN if either is NaN, as in NumPy; written so that compilers emit no branch.
template <typename T>
__device__ T maximum(T a, T b)
{
    const T sum = a + b, largest = fmax(a, b);
    return (a != a) | (b != b) ? sum : largest;
}

template <typename T>
__device__ T minimum(T a, T b)
{
    const T sum = a + b, smallest = fmin(a, b);
    return (a != a) | (b != b) ? sum : smallest;
}

__device__ double infinity() { return __longlong_as_double(0x7ff0000000000000); }

// gpuopt.rules.power by the same squarings; the exponent is an integer below 2**53.
__device__ double power(double base, double exponent)
{
    double result = 1.0;
    for (int64 n = (int64)exponent; n > 0; n >>= 1) {
        if (n & 1) {
            result = result * base;
        }
        base = base * base;
    }
    return result;
}

// gpuopt.rules.real_power by the same squarings and square roots.
__device__ double real_power(double base, double exponent)
{
    const double magnitude = fmin(fabs(exponent), 9223372036854774784.0);
    double result = power(base, magnitude);
    double fraction = magnitude - (double)(int64)magnitude;
#pragma unroll 1
    for (int i = 0; i < 52 && fraction > 0.0; i++) {
        base = sqrt(base);
        fraction = fraction + fraction;
        if (fraction >= 1.0) {
            result = result * base;
            fraction = fraction - 1.0;
        }
    }
    if (exponent != exponent) {
        return exponent;
    }
    return exponent < 0.0 ? 1.0 / result : result;
}

// --- roundings, with the bits of kernels/roundings.py -------------------------------------------

__device__ float round_bfloat16(float x) { return bfloat16::decode(bfloat16::encode(x)); }

__device__ float round_float16(float x) { return float16::decode(float16::encode(x)); }

// The index of an element in its tensor: 4 * four + one.
struct Element {
    int64 four;
    int one;
};

// One word of Philox4x32-10.
__device__ uint32 philox_word(uint64 block, uint64 step, uint64 seed, int which)
{
    uint32 c0 = (uint32)block, c1 = (uint32)(block >> 32);
    uint32 c2 = (uint32)step, c3 = (uint32)(step >> 32);
    uint32 k0 = (uint32)seed, k1 = (uint32)(seed >> 32);
#pragma unroll
    for (int i = 0; i < 10; i++) {
        const uint64 a = (uint64)0xd2511f53u * c0, b = (uint64)0xcd9e8d57u * c2;
        c0 = (uint32)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32)b;
        c2 = (uint32)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32)a;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return which < 2 ? (which == 0 ? c0 : c1) : (which == 2 ? c2 : c3);
}

__device__ int64 whole(float high, float low) { return (int64)high * 65536 + (int64)low; }

__device__ uint32 random_word(
    Element element, float seed_high, float seed_low, float step_high, float step_low)
{
    const int64 seed = whole(seed_high, seed_low), step = whole(step_high, step_low);
    return philox_word(element.four, step, seed, element.one);
}

__device__ float dithered_bfloat16(float x, uint32 dither)
{
    const uint32 bits = (__float_as_uint(x) + dither) & 0xffff0000;
    return x == x ? __uint_as_float(bits) : x;
}

__device__ float stochastic_bfloat16(
    float x, Element element, float seed_high, float seed_low, float step_high, float step_low)
{
    const uint32 word = random_word(element, seed_high, seed_low, step_high, step_low);
    return dithered_bfloat16(x, word & 0xffff);
}

__device__ float stochastic_bfloat16_high(
    float x, Element element, float seed_high, float seed_low, float step_high, float step_low)
{
    const uint32 word = random_word(element, seed_high, seed_low, step_high, step_low);
    return dithered_bfloat16(x, word >> 16);
}

__device__ float stochastic_float16(
    float x, Element element, float seed_high, float seed_low, float step_high, float step_low)
{
    const uint32 word = random_word(element, seed_high, seed_low, step_high, step_low);
    const uint32 size_bits = __float_as_uint(x) & 0x7fffffff;
    const float size = __uint_as_float(size_bits);
    const bool is_tiny = size < 0.00006103515625f;
    const float units = (is_tiny ? size : 0.0f) * 16777216.0f;
    const float whole_units = (float)(int)units;
    const float chance = ((float)(int)(word >> 9) + 0.5f) * 0.00000011920928955078125f;
    const float more = chance < units - whole_units ? 1.0f : 0.0f;
    const float tiny = (whole_units + more) * 5.9604644775390625e-8f;
    const float normal = __uint_as_float((size_bits + (word & 0x1fff)) & 0xffffe000);
    const float beyond = size < __uint_as_float(0x7f800000) ? 65504.0f : size;
    const float finite = size < 65504.0f ? (is_tiny ? tiny : normal) : beyond;
    return __uint_as_float(__float_as_uint(finite) | (__float_as_uint(x) & 0x80000000));
}
