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

// The low bits of an integer stored in a float; conversions take four times as long as additions.
__device__ uint32 bits_of_integer(float value) { return __float_as_uint(value + 12582912.0f); }

// Codes come from `code`; the byte below them is unused.
struct int8 {
    using Bits = signed char;
    static __device__ float decode(Bits bits) { return (float)(int)bits; }
    static __device__ Bits encode(float value) { return (Bits)(__float_as_uint(value) >> 8); }
};

struct uint8 {
    using Bits = unsigned char;
    static __device__ float decode(Bits bits) { return (float)(int)bits; }
    static __device__ Bits encode(float value) { return (Bits)(__float_as_uint(value) >> 8); }
};

struct int16 {
    using Bits = short;
    static __device__ float decode(Bits bits) { return (float)(int)bits; }
    static __device__ Bits encode(float value) { return (Bits)bits_of_integer(value); }
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

#if __CUDA_ARCH__ >= 800  // which have an instruction for it
template <>
__device__ float maximum(float a, float b)
{
    float largest;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(largest) : "f"(a), "f"(b));
    return largest;
}

template <>
__device__ float minimum(float a, float b)
{
    float smallest;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(smallest) : "f"(a), "f"(b));
    return smallest;
}
#endif

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

// gpuopt.kernels.roundings.quotient: a / b without the checks for extreme magnitudes.
#ifdef __CUDACC__
__device__ float quotient(float a, float b)
{
    float inverse;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(b));
    inverse = __fmaf_rn(inverse, __fmaf_rn(-b, inverse, 1.0f), inverse);
    const float near = a * inverse;
    return __fmaf_rn(inverse, __fmaf_rn(-b, near, a), near);
}
#else
__device__ float quotient(float a, float b) { return a / b; }
#endif

// --- roundings, with the bits of kernels/roundings.py -------------------------------------------

__device__ float round_bfloat16(float x) { return bfloat16::decode(bfloat16::encode(x)); }

__device__ float round_float16(float x) { return float16::decode(float16::encode(x)); }

// Split a float into its parts, and join them.
__device__ float join_split16(float high, float low)
{
    return __uint_as_float(__float_as_uint(high) + (uint32)(int)low);
}

__device__ float split16_high(float x)
{
    const uint32 bits = (__float_as_uint(x) + 0x8000) & 0xffff0000;
    return __uint_as_float(x == x ? bits : 0x7fc00000);
}

__device__ float split16_low(float x)
{
    return (float)(int)(short)(x == x ? __float_as_uint(x) : 0);
}

__device__ float exponent_of(float x)
{
    const uint32 bits = __float_as_uint(x) & 0x7f800000;
    return __uint_as_float(bits > 0x00800000 ? bits : 0x00800000);
}

__device__ float inverse_exponent_of(float x)
{
    const int bits = 0x7f000000 - (int)(__float_as_uint(x) & 0x7f800000);
    return __uint_as_float(bits < 0x7e000000 ? bits : 0x7e000000);
}

// The index of an element in its tensor, 4 * four + one, and the stream of its random words.
struct Element {
    int64 four;
    int one;
    uint32 stream;

    __device__ Element in_stream(uint32 number) const { return {four, one, number}; }
};

// One word of Philox4x32-7.
__device__ uint32 philox_word(uint64 block, uint64 step, uint32 seed, uint32 stream, int which)
{
    uint32 c0 = (uint32)block, c1 = (uint32)(block >> 32);
    uint32 c2 = (uint32)step, c3 = (uint32)(step >> 32);
    uint32 k0 = seed, k1 = stream;
#pragma unroll
    for (int i = 0; i < 7; i++) {
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

__device__ int64 whole(float high, float low) { return (int64)(int)high * 65536 + (int)low; }

__device__ uint32 random_word(
    Element element, float seed_high, float seed_low, float step_high, float step_low)
{
    const uint32 seed = (uint32)whole(seed_high, seed_low);
    const int64 step = whole(step_high, step_low);
    return philox_word(element.four, step, seed, element.stream, element.one);
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

__device__ uint32 byte_of(uint32 word, uint32 i)
{
    return i == 3 ? word >> 24 : __byte_perm(word, 0, 0x4440 + i);
}

// Rounds to 256ths and adds a byte of them: a code is in bits 8 to 15 of the result, as int8 and
// uint8 store it. NaN becomes -128.
__device__ float code(float x, uint32 byte)
{
    return __uint_as_float(__float_as_uint(fmaxf(x, -128.0f) + 49152.0f) + byte);
}

__device__ float stochastic_code_0(
    float x, Element element, float seed_high, float seed_low, float step_high, float step_low)
{
    return code(x, byte_of(random_word(element, seed_high, seed_low, step_high, step_low), 0));
}

__device__ float stochastic_code_1(
    float x, Element element, float seed_high, float seed_low, float step_high, float step_low)
{
    return code(x, byte_of(random_word(element, seed_high, seed_low, step_high, step_low), 1));
}

__device__ float stochastic_code_2(
    float x, Element element, float seed_high, float seed_low, float step_high, float step_low)
{
    return code(x, byte_of(random_word(element, seed_high, seed_low, step_high, step_low), 2));
}

__device__ float stochastic_code_3(
    float x, Element element, float seed_high, float seed_low, float step_high, float step_low)
{
    return code(x, byte_of(random_word(element, seed_high, seed_low, step_high, step_low), 3));
}
