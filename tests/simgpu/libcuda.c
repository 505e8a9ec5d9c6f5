// A stand-in for libcuda: as much of the driver's interface as Triton's own driver.c needs here;
// what else it names is ABSENT, behind this text.
// Memory is the host's, and kernels are launched by who called simgpu_connect. The device with number i is of the architecture that stands there i-th.

#include <cuda.h>
#include <stdio.h>
#include <string.h>

typedef long (*Find)(const char* name);  // a handle, or 0
typedef int (*Launch)(
    long handle, long stream, unsigned blocks, unsigned threads, unsigned shared, void** arguments);

static Find find;
static Launch launch;  // returns 1 where it is done
static int archs[16], n_archs;
static __thread CUcontext current;
static __thread char message[2000] = "the simulated device does not do that";

void simgpu_connect(Find find_, Launch launch_, const int* archs_, int n)
{
    find = find_;
    launch = launch_;
    n_archs = n;
    memcpy(archs, archs_, n * sizeof *archs);
}

void simgpu_say(const char* text) { strncpy(message, text, sizeof message - 1); }

// A function that does this, and succeeds.
#define DOES(NAME, PARAMETERS, ...) \
    CUresult NAME PARAMETERS { __VA_ARGS__; return CUDA_SUCCESS; }

// A function of the driver's by its name in the library, whatever its arguments, that is not here.
#define ABSENT(SYMBOL)                                                                         \
    CUresult absent_##SYMBOL(void) __asm__(#SYMBOL);                                           \
    CUresult absent_##SYMBOL(void)                                                             \
    {                                                                                          \
        snprintf(message, sizeof message, "the simulated device has no %s", #SYMBOL);          \
        return CUDA_ERROR_NOT_SUPPORTED;                                                       \
    }

// --- devices, contexts, streams, addresses -------------------------------------------------------

static int attribute(CUdevice_attribute name, CUdevice device)
{
    switch (name) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: return archs[device] / 10;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: return archs[device] % 10;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: return 48 << 10;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: return 99 << 10;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: return 100 << 10;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK: return 1 << 16;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: return 1;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: return 32;
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING: return 1;
    default: return 0;
    }
}

// Triton's driver does not call it. Who does finds no device: others in the process look, too.
CUresult cuInit(unsigned flags) { return CUDA_ERROR_NO_DEVICE; }

DOES(cuDriverGetVersion, (int* version), *version = CUDA_VERSION)
DOES(cuDeviceGetCount, (int* count), *count = n_archs)
DOES(cuDeviceGet, (CUdevice* device, int i), *device = i)
DOES(cuDeviceGetAttribute, (int* to, CUdevice_attribute a, CUdevice d), *to = attribute(a, d))
DOES(cuDevicePrimaryCtxRetain, (CUcontext* to, CUdevice d), *to = (CUcontext)(d + 1L))
DOES(cuCtxGetCurrent, (CUcontext* to), *to = current)
DOES(cuCtxSetCurrent, (CUcontext context), current = context)
DOES(cuCtxGetDevice, (CUdevice* to), *to = current ? (long)current - 1 : 0)
DOES(cuCtxGetLimit, (size_t* to, CUlimit limit), *to = 0)
DOES(cuCtxSetLimit, (CUlimit limit, size_t value))
DOES(cuStreamIsCapturing, (CUstream s, CUstreamCaptureStatus* to), *to = 0)
DOES(cuPointerGetAttribute, (void* to, CUpointer_attribute a, CUdeviceptr p), *(CUdeviceptr*)to = p)
DOES(cuGetErrorString, (CUresult error, const char** to), *to = message)

// NVRTC looks for a driver that makes programs better than its own do; there is none.
CUresult cuGetExportTable(const void** table, const CUuuid* id) { return CUDA_ERROR_NOT_SUPPORTED; }

// --- kernels -------------------------------------------------------------------------------------

static int of_function(CUfunction_attribute name)
{
    return name == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? 1024 : 0;
}

DOES(cuModuleLoadData, (CUmodule* module, const void* image), *module = (CUmodule)image)
DOES(cuModuleUnload, (CUmodule module))
DOES(cuFuncGetAttribute, (int* to, CUfunction_attribute a, CUfunction f), *to = of_function(a))
DOES(cuFuncSetCacheConfig, (CUfunction function, CUfunc_cache config))

CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name)
{
    *function = (CUfunction)find(name);
    return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute name, int value)
{
    return CUDA_ERROR_NOT_SUPPORTED;  // only asked for where a kernel has much shared memory
}

CUresult cuLaunchKernelEx(
    const CUlaunchConfig* config, CUfunction function, void** arguments, void** extra)
{
    const unsigned of_grid = config->gridDimY * config->gridDimZ;
    const unsigned of_block = config->blockDimY * config->blockDimZ;
    if (of_grid * of_block != 1 || config->numAttrs || extra) {
        simgpu_say("the simulated device knows grids of one dimension");
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    const int done = launch((long)function, (long)config->hStream, config->gridDimX,
        config->blockDimX, config->sharedMemBytes, arguments);
    return done ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED;
}
