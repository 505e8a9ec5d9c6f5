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

// ITEMS consecutive elements, in 16-byte accesses.
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
};

template <int ITEMS>
using WholeChunk = Scalars<ITEMS, false>;

template <int ITEMS>
using LastChunk = Scalars<ITEMS, true>;
