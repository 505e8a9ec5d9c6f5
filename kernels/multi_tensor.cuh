// The driver: one launch walks a table of tensors and updates every element of them.
//
// What is updated, and how, stands in a `Rule`, which kernels/cuda_c.py writes from the NumPy
// rule; CHUNK, THREADS and COEFFICIENT_THREADS stand above this text. The table is that of
// gpuopt/table.py: addresses [n_lists, n_tensors] (a gradient at 0: the tensor rests), sizes
// [n_tensors], chunks [n_chunks, 2], coefficients [n_tensors, n_coefficients].
//
// No header is included: NVRTC needs no CUDA toolkit for it.

using int64 = long long;
using uint16 = unsigned short;
using uint32 = unsigned int;
using uint64 = unsigned long long;

// --- how elements are stored: decode is exact, encode rounds to nearest, ties to even ----------
// A double goes to 16 bits by way of float, since those encode a float.

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

// --- what a rule may call, beside sqrt and fabs ------------------------------------------------

// NaN if either is one, as NumPy does it; written so that no compiler makes a branch of it.
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

// The squarings of gpuopt.rules.power; the exponent is an integer below 2**53.
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

// The squarings and square roots of gpuopt.rules.real_power.
__device__ double real_power(double base, double exponent)
{
    const double magnitude = fmin(fabs(exponent), 9223372036854774784.0);
    double result = power(base, magnitude);
    double fraction = magnitude - (double)(int64)magnitude;
    for (int i = 0; i < 52; i++) {
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

// --- memory ------------------------------------------------------------------------------------

// The compiler cannot see that an address in the table is one of global memory.
template <typename X>
__device__ X* in_global_memory(int64 address)
{
    return static_cast<X*>(__cvta_global_to_generic((size_t)address));
}

// Element i of what 16-byte accesses have loaded, and into what they store.
template <typename Bits>
__device__ Bits unpack(const uint32* words, int i)
{
    if constexpr (sizeof(Bits) == 8) {
        return words[2 * i] | (uint64)words[2 * i + 1] << 32;
    } else if constexpr (sizeof(Bits) == 4) {
        return words[i];
    } else {
        return (Bits)(words[i / 2] >> i % 2 * 16);
    }
}

template <typename Bits>
__device__ void pack(uint32* words, int i, Bits bits)
{
    if constexpr (sizeof(Bits) == 8) {
        words[2 * i] = (uint32)bits;
        words[2 * i + 1] = (uint32)(bits >> 32);
    } else if constexpr (sizeof(Bits) == 4) {
        words[i] = bits;
    } else if (i % 2 == 0) {
        words[i / 2] = bits;
    } else {
        words[i / 2] |= (uint32)bits << 16;
    }
}

// ITEMS neighbours at once, in as many 16-byte accesses as they take.
template <int ITEMS>
struct Vectors {
    template <typename Storage, typename T>
    static __device__ void load(int64 address, int first, int, T* values)
    {
        using Bits = typename Storage::Bits;
        constexpr int WORDS = ITEMS * sizeof(Bits) / 4;
        const uint4* from = in_global_memory<const uint4>(address + first * sizeof(Bits));
        uint32 words[WORDS];
#pragma unroll
        for (int i = 0; i < WORDS; i += 4) {
            const uint4 vector = from[i / 4];
            words[i] = vector.x;
            words[i + 1] = vector.y;
            words[i + 2] = vector.z;
            words[i + 3] = vector.w;
        }
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            values[i] = (T)Storage::decode(unpack<Bits>(words, i));
        }
    }

    template <typename Storage, typename T>
    static __device__ void store(int64 address, int first, int, const T* values)
    {
        using Bits = typename Storage::Bits;
        constexpr int WORDS = ITEMS * sizeof(Bits) / 4;
        uint4* to = in_global_memory<uint4>(address + first * sizeof(Bits));
        uint32 words[WORDS];
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            pack<Bits>(words, i, Storage::encode(values[i]));
        }
#pragma unroll
        for (int i = 0; i < WORDS; i += 4) {
            to[i / 4] = uint4{words[i], words[i + 1], words[i + 2], words[i + 3]};
        }
    }
};

// ITEMS elements THREADS apart, of any alignment; if BOUNDED, those of them before the end.
template <int ITEMS, bool BOUNDED>
struct Scalars {
    template <typename Storage, typename T>
    static __device__ void load(int64 address, int first, int end, T* values)
    {
        using Bits = typename Storage::Bits;
        const Bits* from = in_global_memory<const Bits>(address);
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const int at = first + i * THREADS;
            values[i] = !BOUNDED || at < end ? (T)Storage::decode(from[at]) : T(0);
        }
    }

    template <typename Storage, typename T>
    static __device__ void store(int64 address, int first, int end, const T* values)
    {
        using Bits = typename Storage::Bits;
        Bits* to = in_global_memory<Bits>(address);
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const int at = first + i * THREADS;
            if (!BOUNDED || at < end) {
                to[at] = Storage::encode(values[i]);
            }
        }
    }
};

template <int ITEMS>
using WholeChunk = Scalars<ITEMS, false>;

template <int ITEMS>
using LastChunk = Scalars<ITEMS, true>;

// --- the lists of a rule -----------------------------------------------------------------------

template <typename S>
struct Read {
    using Storage = S;
    static constexpr bool WRITTEN = false;
};

template <typename S>
struct Updated {
    using Storage = S;
    static constexpr bool WRITTEN = true;
};

template <typename List>
constexpr int BYTES = (int)sizeof(typename List::Storage::Bits);

template <typename... List>
struct Lists {
    static constexpr int N = sizeof...(List);

    static __device__ constexpr int narrowest()
    {
        int bytes = 16;
        ((bytes = BYTES<List> < bytes ? BYTES<List> : bytes), ...);
        return bytes;
    }

    // Where an element of a tensor lies in each list.
    static __device__ void locate(
        const int64* addresses, int64 n_tensors, int64 tensor, int64 element, int64* places)
    {
        int i = 0;
        ((places[i] = addresses[i * n_tensors + tensor] + element * BYTES<List>, i++), ...);
    }

    // One round of a thread: all loads, then the update, then all stores.
    template <typename Rule, template <int> class Access, int ITEMS>
    static __device__ void update(
        const int64* places, int first, int end, const typename Rule::Compute* coefficients)
    {
        typename Rule::Compute values[N][ITEMS];
        int i = 0;
        ((Access<ITEMS>::template load<typename List::Storage>(places[i], first, end, values[i]),
          i++),
         ...);
        asm volatile("" ::: "memory");  // no load sinks below: none waits for another's result
#pragma unroll
        for (int item = 0; item < ITEMS; item++) {
            Rule::update(values, item, coefficients);
        }
        i = 0;
        ((store<List, Access<ITEMS>>(places[i], first, end, values[i]), i++), ...);
    }

    template <typename One, typename Access, typename T>
    static __device__ void store(int64 place, int first, int end, const T* values)
    {
        if constexpr (One::WRITTEN) {
            Access::template store<typename One::Storage>(place, first, end, values);
        }
    }
};

// --- the kernels -------------------------------------------------------------------------------

// A block updates one chunk of one tensor.
template <typename Rule, bool VECTORS>
__device__ void walk_chunk(
    const int64* addresses, const int64* sizes, const int* chunks,
    const typename Rule::Compute* coefficients, const float* skip, int64 n_tensors)
{
    using Lists = typename Rule::Lists;
    constexpr int ITEMS = 16 / Lists::narrowest();
    constexpr int SCALARS = 4;  // enough to have several loads under way
    const int64 tensor = chunks[2 * (int64)blockIdx.x];
    const int64 begin = (int64)chunks[2 * (int64)blockIdx.x + 1] * CHUNK;
    const int64 left = sizes[tensor] - begin;
    if (addresses[n_tensors + tensor] == 0 || *skip != 0) {
        return;
    }
    typename Rule::Compute own[Rule::N_COEFFICIENTS + 1];
#pragma unroll
    for (int i = 0; i < Rule::N_COEFFICIENTS; i++) {
        own[i] = coefficients[tensor * Rule::N_COEFFICIENTS + i];
    }
    int64 places[Lists::N];
    Lists::locate(addresses, n_tensors, tensor, begin, places);
    const int thread = (int)threadIdx.x;
    if (left < CHUNK) {
#pragma unroll 1
        for (int first = 0; first < (int)left; first += THREADS * SCALARS) {
            const int at = first + thread;
            Lists::template update<Rule, LastChunk, SCALARS>(places, at, (int)left, own);
        }
    } else if constexpr (VECTORS) {
#pragma unroll 1
        for (int first = 0; first < CHUNK; first += THREADS * ITEMS) {
            const int at = first + thread * ITEMS;
            Lists::template update<Rule, Vectors, ITEMS>(places, at, CHUNK, own);
        }
    } else {
#pragma unroll 1
        for (int first = 0; first < CHUNK; first += THREADS * SCALARS) {
            Lists::template update<Rule, WholeChunk, SCALARS>(places, first + thread, CHUNK, own);
        }
    }
}

// A thread counts one step of a tensor that has a gradient, and computes its coefficients and
// what it carries to the next step.
template <typename Rule>
__device__ void compute_coefficients(
    const int64* addresses, int64* steps, double* carried, const int64* groups,
    const double* options, typename Rule::Compute* coefficients, const float* skip,
    int64 n_tensors)
{
    const int64 tensor = (int64)blockIdx.x * COEFFICIENT_THREADS + threadIdx.x;
    if (tensor >= n_tensors) {
        return;
    }
    const bool active = addresses[n_tensors + tensor] != 0 && *skip == 0;
    const int64 step = steps[tensor] + active;
    steps[tensor] = step;
    double* const own = carried + tensor * Rule::N_CARRIED;
    double results[Rule::N_COEFFICIENTS + 1], next[Rule::N_CARRIED + 1];
    Rule::coefficients(
        (double)step, own, options + groups[tensor] * Rule::N_OPTIONS, results, next);
#pragma unroll
    for (int i = 0; i < Rule::N_COEFFICIENTS; i++) {
        coefficients[tensor * Rule::N_COEFFICIENTS + i] = (typename Rule::Compute)results[i];
    }
#pragma unroll
    for (int i = 0; i < Rule::N_CARRIED; i++) {
        if (active) {
            own[i] = next[i];
        }
    }
}
