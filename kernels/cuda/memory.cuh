// Loads and stores of a thread's elements of a chunk. Depends on elements.cuh.

// Tells the compiler that an address from the table is in global memory.
template <typename X>
__device__ X* in_global_memory(int64 address)
{
    return static_cast<X*>(__cvta_global_to_generic((size_t)address));
}

// Reads and writes element i of a register buffer for 16-byte accesses.
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

// Reads or writes WORDS words in accesses of up to 16 bytes.
template <int WORDS>
__device__ void load_words(int64 address, uint32* words)
{
    if constexpr (WORDS == 1) {
        words[0] = *in_global_memory<const uint32>(address);
    } else if constexpr (WORDS == 2) {
        const uint2 vector = *in_global_memory<const uint2>(address);
        words[0] = vector.x;
        words[1] = vector.y;
    } else {
        const uint4* from = in_global_memory<const uint4>(address);
#pragma unroll
        for (int i = 0; i < WORDS; i += 4) {
            const uint4 vector = from[i / 4];
            words[i] = vector.x;
            words[i + 1] = vector.y;
            words[i + 2] = vector.z;
            words[i + 3] = vector.w;
        }
    }
}

template <int WORDS>
__device__ void store_words(int64 address, const uint32* words)
{
    if constexpr (WORDS == 1) {
        *in_global_memory<uint32>(address) = words[0];
    } else if constexpr (WORDS == 2) {
        *in_global_memory<uint2>(address) = uint2{words[0], words[1]};
    } else {
        uint4* to = in_global_memory<uint4>(address);
#pragma unroll
        for (int i = 0; i < WORDS; i += 4) {
            to[i / 4] = uint4{words[i], words[i + 1], words[i + 2], words[i + 3]};
        }
    }
}

// --- the scales of blocks ----------------------------------------------------------------------

__device__ uint32 magnitude(float value) { return __float_as_uint(value) & 0x7fffffff; }

__device__ uint32 larger(uint32 a, uint32 b) { return a > b ? a : b; }

// The largest of COUNT neighbouring threads, which is a power of two.
template <int COUNT>
__device__ uint32 largest_of_threads(uint32 own)
{
#pragma unroll
    for (int distance = COUNT / 2; distance > 0; distance /= 2) {
        own = larger(own, __shfl_xor_sync(~0u, own, distance));
    }
    return own;
}

// The float with these bits; one NaN stands for all.
__device__ float scale_of(uint32 bits)
{
    return __uint_as_float(bits > 0x7f800000 ? 0x7fc00000 : bits);
}

// --- elements ------------------------------------------------------------------------------------

// ITEMS consecutive elements, in accesses of up to 16 bytes.
template <int ITEMS>
struct Vectors {
    static __device__ int place(int first, int i) { return first + i; }
    static __device__ bool inside(int, int) { return true; }

    // Written so that the compiler sees that neighbours share a Philox block.
    static __device__ Element element(int64 begin, int first, int i)
    {
        return {((begin + first) >> 2) + (i >> 2), i & 3};
    }

    template <typename Storage, typename T>
    static __device__ void load(int64 address, int first, int, T* values)
    {
        using Bits = typename Storage::Bits;
        constexpr int WORDS = ITEMS * sizeof(Bits) / 4;
        uint32 words[WORDS];
        load_words<WORDS>(address + first * sizeof(Bits), words);
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
        uint32 words[WORDS];
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            pack<Bits>(words, i, Storage::encode(values[i]));
        }
        store_words<WORDS>(address + first * sizeof(Bits), words);
    }

    // The scale of the elements' block, for each of them.
    template <typename T>
    static __device__ void load_scales(int64 address, int first, int, T* scales)
    {
        const float scale = in_global_memory<const float>(address)[first / BLOCK];
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            scales[i] = scale;
        }
    }

    // Finds and stores the scale of the elements' block, of which other threads have the rest.
    template <typename T>
    static __device__ void measure(int64 address, int first, int, const T* values, T* scales)
    {
        uint32 largest = 0;
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            largest = larger(largest, magnitude(values[i]));
        }
        const float scale = scale_of(largest_of_threads<BLOCK / ITEMS>(largest));
        if (first % BLOCK == 0) {
            in_global_memory<float>(address)[first / BLOCK] = scale;
        }
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            scales[i] = scale;
        }
    }
};

// ITEMS elements THREADS apart, of any alignment; if BOUNDED, only those before the end.
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

    // A warp has the elements of a block: the scale of each of its blocks.
    template <typename T>
    static __device__ void load_scales(int64 address, int first, int end, T* scales)
    {
        const float* from = in_global_memory<const float>(address);
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const int at = place(first, i);
            scales[i] = inside(at, end) ? from[at / BLOCK] : 0.0f;
        }
    }

    template <typename T>
    static __device__ void measure(int64 address, int first, int end, const T* values, T* scales)
    {
        float* to = in_global_memory<float>(address);
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const int at = place(first, i);
            const uint32 own = inside(at, end) ? magnitude(values[i]) : 0;
            scales[i] = scale_of(largest_of_threads<BLOCK>(own));
            if (at % BLOCK == 0 && inside(at, end)) {
                to[at / BLOCK] = scales[i];
            }
        }
    }
};

template <int ITEMS>
using WholeChunk = Scalars<ITEMS, false>;

template <int ITEMS>
using LastChunk = Scalars<ITEMS, true>;
