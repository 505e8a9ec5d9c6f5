// Partials of watched values.

// A thread's accumulators for each watched value.
template <typename Rule>
struct Seen {
    using T = typename Rule::Compute;
    static constexpr int N = Rule::N_WATCHED, FIRST_PLAIN = N - Rule::N_PLAIN;
    double sums[N + 1] = {};
    T largest[N + 1] = {};
    int others[N + 1] = {};

    __device__ void take(const T* values)
    {
#pragma unroll
        for (int i = 0; i < N; i++) {
            const T value = values[i], size = fabs(value);
            sums[i] = i < FIRST_PLAIN ? __fma_rn((double)value, (double)value, sums[i])
                                      : sums[i] + (double)value;
            largest[i] = size > largest[i] ? size : largest[i];
            others[i] += value - value != 0;
        }
    }

    // Writes the partials of the block's chunk; see PARTIALS in kernels/table.py.
    __device__ void put(double* partials) const;
};

// Combines two partials: sums, except the maximum for number 1 of each three.
__device__ double together(int which, double a, double b)
{
    return which % 3 != 1 ? a + b : b > a ? b : a;
}

// Combines the numbers of all threads of a block in a fixed order. Thread i gets number i.
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
        numbers[3 * i] = sums[i];
        numbers[3 * i + 1] = largest[i];
        numbers[3 * i + 2] = others[i];
    }
    const double whole = of_block<3 * N>(numbers);
    if (threadIdx.x < 3 * N) {
        partials[threadIdx.x] = whole;
    }
}
