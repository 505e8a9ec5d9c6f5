// Loads and stores of a thread's elements of a chunk. Depends on elements.cuh.

// Tells the compiler that an address from the table is in global memory.
template <typename X>
__device__ X* in_global_memory(int64 address)
{
    return static_cast<X*>(__cvta_global_to_generic((size_t)address));
}

// Reads and writes element i of the words of an access.
template <typename Bits>
__device__ Bits unpack(const uint32* words, int i)
{
    if constexpr (sizeof(Bits) == 8) {
        return words[2 * i] | (uint64)words[2 * i + 1] << 32;
    } else if constexpr (sizeof(Bits) == 4) {
        return words[i];
    } else if constexpr (sizeof(Bits) == 2) {
        return (Bits)(words[i / 2] >> i % 2 * 16);
    } else {
        return (Bits)(words[i / 4] >> i % 4 * 8);
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
    } else if constexpr (sizeof(Bits) == 2) {
        if (i % 2 == 0) {
            words[i / 2] = (uint32)(bits & 0xffff);
        } else {
            words[i / 2] |= (uint32)(bits & 0xffff) << 16;
        }
    } else if (i % 4 == 0) {
        words[i / 4] = (uint32)(bits & 0xff);
    } else {
        words[i / 4] |= (uint32)(bits & 0xff) << i % 4 * 8;
    }
}

// --- the scales of blocks ----------------------------------------------------------------------

// The larger absolute value; NaN if either is.
#if __CUDA_ARCH__ >= 800  // which have an instruction for it
__device__ float larger(float a, float b) { return maximum(fabsf(a), fabsf(b)); }
#else
__device__ float larger(float a, float b)
{
    const uint32 x = __float_as_uint(a) & 0x7fffffff, y = __float_as_uint(b) & 0x7fffffff;
    return __uint_as_float(x > y ? x : y);
}
#endif

// The block of an element of a chunk; dividing a signed number would take four instructions.
__device__ uint32 block_of(int at) { return (uint32)at / BLOCK; }

// The maximum over COUNT neighbouring threads; COUNT is a power of two.
template <int COUNT>
__device__ float largest_of_threads(float own)
{
#pragma unroll
    for (int distance = COUNT / 2; distance > 0; distance /= 2) {
        own = larger(own, __shfl_xor_sync(~0u, own, distance));
    }
    return own;
}

// The scale of a block: the largest of its absolute values, at least 2**-120; NaN from 2**126 on.
__device__ float scale_of(float largest)
{
    const float least = largest > 0x1p-120f ? largest : 0x1p-120f;
    return largest < 0x1p126f ? least : __uint_as_float(0x7fc00000);
}

// --- elements ------------------------------------------------------------------------------------

// The words that a thread moves in one access.
template <int N>
struct alignas(4 * N) Words {
    uint32 words[N];
};

// COUNT elements in runs of RUN consecutive ones, each of which is one access of at most 16 bytes.
// Neighbouring threads have neighbouring runs, so a warp touches as few sectors as possible.
template <int COUNT, int RUN>
struct Vectors {
    static constexpr int ITEMS = COUNT;
    static __device__ int start(int first, int thread) { return first + thread * RUN; }
    static __device__ bool inside(int, int) { return true; }

    static __device__ int place(int first, int i)
    {
        return first + i / RUN * (RUN * THREADS) + i % RUN;
    }

    // Written such that the compiler sees that neighbours share a Philox block.
    static __device__ Element element(int64 begin, int first, int i)
    {
        if constexpr (RUN % 4 == 0) {
            return {((begin + first) >> 2) + (place(0, i) >> 2), i & 3, 0};
        } else {
            const int64 run = begin + place(first, i - i % RUN);
            return {run >> 2, (int)(run & 3) + i % RUN, 0};
        }
    }

    template <typename Storage, typename T>
    static __device__ void load(int64 address, int first, int, T* values)
    {
        using Bits = typename Storage::Bits;
        using Access = Words<RUN * sizeof(Bits) / 4>;
        const Access* from = in_global_memory<const Access>(address + first * sizeof(Bits));
#pragma unroll
        for (int i = 0; i < COUNT; i += RUN) {
            const Access access = from[place(0, i) / RUN];
#pragma unroll
            for (int j = 0; j < RUN; j++) {
                values[i + j] = (T)Storage::decode(unpack<Bits>(access.words, j));
            }
        }
    }

    template <typename Storage, typename T>
    static __device__ void store(int64 address, int first, int, const T* values)
    {
        using Bits = typename Storage::Bits;
        using Access = Words<RUN * sizeof(Bits) / 4>;
        Access* to = in_global_memory<Access>(address + first * sizeof(Bits));
#pragma unroll
        for (int i = 0; i < COUNT; i += RUN) {
            Access access;
#pragma unroll
            for (int j = 0; j < RUN; j++) {
                pack<Bits>(access.words, j, Storage::encode(values[i + j]));
            }
            to[place(0, i) / RUN] = access;
        }
    }

    // The scale of each element's block; a run lies within one.
    template <typename T>
    static __device__ void load_scales(int64 address, int first, int, T* scales)
    {
        const float* from = in_global_memory<const float>(address);
#pragma unroll
        for (int i = 0; i < COUNT; i += RUN) {
            const float scale = from[block_of(place(first, i))];
#pragma unroll
            for (int j = 0; j < RUN; j++) {
                scales[i + j] = scale;
            }
        }
    }

    // Computes and stores the scales of the runs' blocks, which are shared with other threads.
    template <typename T>
    static __device__ void measure(int64 address, int first, int, const T* values, T* scales)
    {
        float* to = in_global_memory<float>(address);
#pragma unroll
        for (int i = 0; i < COUNT; i += RUN) {
            float largest = values[i];
#pragma unroll
            for (int j = 1; j < RUN; j++) {
                largest = larger(largest, values[i + j]);
            }
            const float scale = scale_of(largest_of_threads<BLOCK / RUN>(largest));
            if ((uint32)place(first, i) % BLOCK == 0) {
                to[block_of(place(first, i))] = scale;
            }
#pragma unroll
            for (int j = 0; j < RUN; j++) {
                scales[i + j] = scale;
            }
        }
    }
};

// COUNT elements THREADS apart, of any alignment; if BOUNDED, only those before the end.
template <int COUNT, bool BOUNDED>
struct Scalars {
    static constexpr int ITEMS = COUNT;
    static __device__ int start(int first, int thread) { return first + thread; }
    static __device__ int place(int first, int i) { return first + i * THREADS; }
    static __device__ bool inside(int at, int end) { return !BOUNDED || at < end; }

    static __device__ Element element(int64 begin, int first, int i)
    {
        const int64 at = begin + place(first, i);
        return {at >> 2, (int)(at & 3), 0};
    }

    template <typename Storage, typename T>
    static __device__ void load(int64 address, int first, int end, T* values)
    {
        using Bits = typename Storage::Bits;
        const Bits* from = in_global_memory<const Bits>(address);
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
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
        for (int i = 0; i < COUNT; i++) {
            const int at = place(first, i);
            if (inside(at, end)) {
                to[at] = Storage::encode(values[i]);
            }
        }
    }

    // The scale of each block; a warp has all elements of a block.
    template <typename T>
    static __device__ void load_scales(int64 address, int first, int end, T* scales)
    {
        const float* from = in_global_memory<const float>(address);
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const int at = place(first, i);
            scales[i] = inside(at, end) ? from[block_of(at)] : 0.0f;
        }
    }

    template <typename T>
    static __device__ void measure(int64 address, int first, int end, const T* values, T* scales)
    {
        float* to = in_global_memory<float>(address);
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const int at = place(first, i);
            const float own = inside(at, end) ? values[i] : 0.0f;
            scales[i] = scale_of(largest_of_threads<BLOCK>(own));
            if ((uint32)at % BLOCK == 0 && inside(at, end)) {
                to[block_of(at)] = scales[i];
            }
        }
    }
};
