// The driver: one launch walks a table of tensors and updates every element of them.
//
// What is updated, and how, stands in a `Rule`, which kernels/cuda_c.py writes from the NumPy
// rule; CHUNK, THREADS and COEFFICIENT_THREADS stand above this text. The table is that of
// gpuopt/table.py: addresses [n_lists, n_tensors] (a gradient at 0: the tensor rests), sizes
// [n_tensors], chunks [n_chunks, 2], coefficients [n_tensors, n_coefficients], partials
// [n_chunks, n_watched, 3].
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

// --- roundings: those of kernels/roundings.py, bit for bit --------------------------------------

__device__ float round_bfloat16(float x) { return bfloat16::decode(bfloat16::encode(x)); }

__device__ float round_float16(float x) { return float16::decode(float16::encode(x)); }

// Where an element stands in its tensor: at 4 * four + one.
struct Element {
    int64 four;
    int one;
};

// One of the words of Philox4x32-10.
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

__device__ float stochastic_bfloat16(
    float x, Element element, float seed_high, float seed_low, float step_high, float step_low)
{
    const int64 seed = whole(seed_high, seed_low), step = whole(step_high, step_low);
    const uint32 word = philox_word(element.four, step, seed, element.one);
    const uint32 bits = (__float_as_uint(x) + (word & 0xffff)) & 0xffff0000;
    return x == x ? __uint_as_float(bits) : x;
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
    static __device__ int place(int first, int i) { return first + i; }
    static __device__ bool inside(int, int) { return true; }

    // Written so that neighbours are seen to share a block of random numbers.
    static __device__ Element element(int64 begin, int first, int i)
    {
        return {((begin + first) >> 2) + (i >> 2), i & 3};
    }

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
    static __device__ int place(int first, int i) { return first + i * THREADS; }
    static __device__ bool inside(int at, int end) { return !BOUNDED || at < end; }

    static __device__ Element element(int64 begin, int first, int i)
    {
        const int64 at = begin + place(first, i);
        return {at >> 2, (int)(at & 3)};
    }

    template <typename Storage, typename T>
    static __device__ void load(int64 address, int first, int end, T* values)
    {
        using Bits = typename Storage::Bits;
        const Bits* from = in_global_memory<const Bits>(address);
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const int at = place(first, i);
            values[i] = inside(at, end) ? (T)Storage::decode(from[at]) : T(0);
        }
    }

    template <typename Storage, typename T>
    static __device__ void store(int64 address, int first, int end, const T* values)
    {
        using Bits = typename Storage::Bits;
        Bits* to = in_global_memory<Bits>(address);
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const int at = place(first, i);
            if (inside(at, end)) {
                to[at] = Storage::encode(values[i]);
            }
        }
    }
};

template <int ITEMS>
using WholeChunk = Scalars<ITEMS, false>;

template <int ITEMS>
using LastChunk = Scalars<ITEMS, true>;

// --- sums and maxima ---------------------------------------------------------------------------

// What a thread has seen of each watched value.
template <typename Rule>
struct Seen {
    using T = typename Rule::Compute;
    static constexpr int N = Rule::N_WATCHED;
    double squares[N + 1] = {};
    T largest[N + 1] = {};
    int others[N + 1] = {};

    __device__ void take(const T* values)
    {
#pragma unroll
        for (int i = 0; i < N; i++) {
            const T value = values[i], size = fabs(value);
            squares[i] = __fma_rn((double)value, (double)value, squares[i]);
            largest[i] = size > largest[i] ? size : largest[i];
            others[i] += value - value != 0;
        }
    }

    // Adds up what all threads of the block have seen, as kernels/table.py's PARTIALS says.
    __device__ void put(double* partials) const;
};

// Of three numbers for each of N things: the sum of the first and the last, and the largest of
// the second.
__device__ double together(int which, double a, double b)
{
    return which % 3 != 1 ? a + b : b > a ? b : a;
}

// Puts the numbers of all threads of a block together, always in the same order. Thread i gets
// number i.
template <int N>
__device__ double of_block(double* numbers)
{
    constexpr int WARPS = THREADS / 32;
    __shared__ double parts[N][WARPS];
    const int thread = (int)threadIdx.x;
#pragma unroll
    for (int i = 0; i < N; i++) {
#pragma unroll
        for (int distance = 16; distance > 0; distance /= 2) {
            numbers[i] = together(i, numbers[i], __shfl_xor_sync(~0u, numbers[i], distance));
        }
        if (thread % 32 == 0) {
            parts[i][thread / 32] = numbers[i];
        }
    }
    __syncthreads();
    double whole = 0;
    if (thread < N) {
        whole = parts[thread][0];
#pragma unroll
        for (int warp = 1; warp < WARPS; warp++) {
            whole = together(thread, whole, parts[thread][warp]);
        }
    }
    return whole;
}

template <typename Rule>
__device__ void Seen<Rule>::put(double* partials) const
{
    double numbers[3 * N];
#pragma unroll
    for (int i = 0; i < N; i++) {
        numbers[3 * i] = squares[i];
        numbers[3 * i + 1] = largest[i];
        numbers[3 * i + 2] = others[i];
    }
    const double whole = of_block<3 * N>(numbers);
    if (threadIdx.x < 3 * N) {
        partials[threadIdx.x] = whole;
    }
}

// --- the lists of a rule -----------------------------------------------------------------------

template <typename S, bool IS_READ, bool IS_WRITTEN>
struct List {
    using Storage = S;
    static constexpr bool READ = IS_READ, WRITTEN = IS_WRITTEN;
    static constexpr int BYTES = (int)sizeof(typename S::Bits);
};

template <typename S>
using Read = List<S, true, false>;

template <typename S>
using Written = List<S, false, true>;

template <typename S>
using Updated = List<S, true, true>;

template <typename S>
using Untouched = List<S, false, false>;

template <typename... List>
struct Lists {
    static constexpr int N = sizeof...(List);

    static __device__ constexpr int narrowest()
    {
        int bytes = 16;
        ((bytes = (List::READ || List::WRITTEN) && List::BYTES < bytes ? List::BYTES : bytes),
         ...);
        return bytes;
    }

    // Where an element of a tensor lies in each list.
    static __device__ void locate(
        const int64* addresses, int64 n_tensors, int64 tensor, int64 element, int64* places)
    {
        int i = 0;
        ((places[i] = addresses[i * n_tensors + tensor] + element * List::BYTES, i++), ...);
    }

    // One round of a thread: all loads, then the update, then all stores.
    template <typename Rule, template <int> class Access, int ITEMS>
    static __device__ void update(
        const int64* places, int64 begin, int first, int end,
        const typename Rule::Compute* coefficients, Seen<Rule>& seen)
    {
        typename Rule::Compute values[N][ITEMS], watched[ITEMS][Rule::N_WATCHED + 1];
        int i = 0;
        ((load<List, Access<ITEMS>>(places[i], first, end, values[i]), i++), ...);
        asm volatile("" ::: "memory");  // no load sinks below: none waits for another's result
#pragma unroll
        for (int item = 0; item < ITEMS; item++) {
            const Element element = Access<ITEMS>::element(begin, first, item);
            Rule::update(values, item, element, watched[item], coefficients);
        }
        i = 0;
        ((store<List, Access<ITEMS>>(places[i], first, end, values[i]), i++), ...);
#pragma unroll
        for (int item = 0; item < ITEMS; item++) {
            if (Access<ITEMS>::inside(Access<ITEMS>::place(first, item), end)) {
                seen.take(watched[item]);
            }
        }
    }

    template <typename One, typename Access, typename T>
    static __device__ void load(int64 place, int first, int end, T* values)
    {
        if constexpr (One::READ) {
            Access::template load<typename One::Storage>(place, first, end, values);
        }
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

// A step that is skipped leaves zeros where the gradients are written; an update that writes
// them writes these.
template <typename Gradient>
__device__ void clear(int64 address, int64 begin, int64 left)
{
    using Bits = typename Gradient::Storage::Bits;
    Bits* const to = in_global_memory<Bits>(address + begin * Gradient::BYTES);
    const int end = left < CHUNK ? (int)left : CHUNK;
#pragma unroll 1
    for (int at = (int)threadIdx.x; at < end; at += THREADS) {
        to[at] = 0;
    }
}

// A block updates one chunk of one tensor.
template <typename Rule, bool VECTORS>
__device__ void walk_chunk(
    const int64* addresses, const int64* sizes, const int* chunks,
    const typename Rule::Compute* coefficients, const float* skip, double* partials,
    int64 n_tensors)
{
    using Lists = typename Rule::Lists;
    constexpr int WATCHED = 3 * Rule::N_WATCHED;  // numbers
    constexpr int ITEMS = 16 / Lists::narrowest();
    constexpr int SCALARS = 4;  // enough to have several loads under way
    const int64 tensor = chunks[2 * (int64)blockIdx.x];
    const int64 begin = (int64)chunks[2 * (int64)blockIdx.x + 1] * CHUNK;
    const int64 left = sizes[tensor] - begin;
    const int64 gradient = addresses[n_tensors + tensor];
    const int thread = (int)threadIdx.x;
    partials += (int64)blockIdx.x * WATCHED;
    if (gradient == 0 || *skip != 0) {
        if constexpr (Rule::Gradient::WRITTEN) {
            if (gradient != 0) {
                clear<typename Rule::Gradient>(gradient, begin, left);
            }
        }
        if constexpr (WATCHED > 0) {
            if (gradient == 0 && thread < WATCHED) {
                partials[thread] = 0;
            }
        }
        return;
    }
    typename Rule::Compute own[Rule::N_COEFFICIENTS + 1];
#pragma unroll
    for (int i = 0; i < Rule::N_COEFFICIENTS; i++) {
        own[i] = coefficients[tensor * Rule::N_COEFFICIENTS + i];
    }
    int64 places[Lists::N];
    Lists::locate(addresses, n_tensors, tensor, begin, places);
    Seen<Rule> seen;
    if (left < CHUNK) {
#pragma unroll 1
        for (int first = 0; first < (int)left; first += THREADS * SCALARS) {
            const int at = first + thread;
            Lists::template update<Rule, LastChunk, SCALARS>(
                places, begin, at, (int)left, own, seen);
        }
    } else if constexpr (VECTORS) {
#pragma unroll 1
        for (int first = 0; first < CHUNK; first += THREADS * ITEMS) {
            const int at = first + thread * ITEMS;
            Lists::template update<Rule, Vectors, ITEMS>(places, begin, at, CHUNK, own, seen);
        }
    } else {
#pragma unroll 1
        for (int first = 0; first < CHUNK; first += THREADS * SCALARS) {
            const int at = first + thread;
            Lists::template update<Rule, WholeChunk, SCALARS>(
                places, begin, at, CHUNK, own, seen);
        }
    }
    if constexpr (WATCHED > 0) {
        seen.put(partials);
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

// One block adds the partials of a table to a total, in a fixed order. Of `how`, bit 0 says that
// nothing was added before; bit 1, that nothing follows: what tells tables to skip the step is
// written, and counted; bit 2, that what is not finite skips it, beside what is given.
__device__ void add_up(
    const double* partials, const float* given, double* total, float* skip, int64* skipped,
    int64 n_rows, int64 how)
{
    double numbers[3] = {};
    for (int64 row = threadIdx.x; row < n_rows; row += THREADS) {
#pragma unroll
        for (int i = 0; i < 3; i++) {
            numbers[i] = together(i, numbers[i], partials[3 * row + i]);
        }
    }
    const int thread = (int)threadIdx.x;
    double whole = of_block<3>(numbers);
    if (thread < 3) {
        if ((how & 1) == 0) {
            whole = together(thread, total[thread], whole);
        }
        total[thread] = whole;
    }
    if (thread == 2 && (how & 2) != 0) {
        const bool skips = *given != 0 || ((how & 4) != 0 && whole != 0);
        *skip = (float)skips;
        *skipped += skips;
    }
}
