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

// The words that a thread moves in one access.
template <int N>
struct alignas(4 * N) Words {
    uint32 words[N];
};

// COUNT elements in runs of RUN consecutive ones, each of which is one access of at most 16 bytes.
// Neighbouring threads have neighbouring runs, so that a warp touches as few sectors as it can.
template <int COUNT, int RUN>
struct Vectors {
    static constexpr int ITEMS = COUNT;
    static __device__ int start(int first, int thread) { return first + thread * RUN; }
    static __device__ bool inside(int, int) { return true; }

    static __device__ int place(int first, int i)
    {
        return first + i / RUN * (RUN * THREADS) + i % RUN;
    }

    // Written so that the compiler sees that neighbours share a Philox block.
    static __device__ Element element(int64 begin, int first, int i)
    {
        if constexpr (RUN % 4 == 0) {
            return {((begin + first) >> 2) + (place(0, i) >> 2), i & 3};
        } else {
            const int64 run = begin + place(first, i - i % RUN);
            return {run >> 2, (int)(run & 3) + i % RUN};
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
        return {at >> 2, (int)(at & 3)};
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
};
