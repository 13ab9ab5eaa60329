/* SPDX-License-Identifier: Apache-2.0 */
/* Features of the CPU, by cpuid and by what Linux tells. */
#include "simd/cpu.h"

#include <errno.h>
#include <stdio.h>

#if defined(__x86_64__) || defined(__i386__)
#    include <cpuid.h>
#    if defined(__linux__)
#        include <sys/syscall.h>
#        include <unistd.h>
#    endif
#elif defined(__aarch64__) && defined(__linux__)
#    include <sys/auxv.h>
#endif

static const struct {
    uint32_t feature;
    const char *name;
} names[] = {
    {RAPT_CPU_SSE42, "sse4.2"},
    {RAPT_CPU_FMA, "fma"},
    {RAPT_CPU_AVX2, "avx2"},
    {RAPT_CPU_F16C, "f16c"},
    {RAPT_CPU_AVX512, "avx512(f,dq,bw,vl)"},
    {RAPT_CPU_AVX512_BF16, "avx512_bf16"},
    {RAPT_CPU_AVX512_FP16, "avx512_fp16"},
    {RAPT_CPU_AVX512_VNNI, "avx512_vnni"},
    {RAPT_CPU_AMX, "amx"},
    {RAPT_CPU_NEON, "neon"},
    {RAPT_CPU_BF16, "bf16"},
    {RAPT_CPU_I8MM, "i8mm"},
    {RAPT_CPU_SVE, "sve"},
};

#if defined(__x86_64__) || defined(__i386__)

/* The register states that the operating system saves; the features need it as much as the CPU. */
static uint64_t saved_states(void) {
    uint32_t low, high;
    __asm__ volatile(".byte 0x0f, 0x01, 0xd0" /* xgetbv */ : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static uint32_t pick(uint32_t word, int bit, uint32_t feature) {
    return word >> bit & 1 ? feature : 0;
}

uint32_t rapt_cpu_detect(void) {
    enum { YMM = 0x6, ZMM = 0xe6, TILES = 0x60000 };
    uint32_t a, b, c, d, found = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return 0;
    found |= pick(c, 20, RAPT_CPU_SSE42);
    const uint64_t saved = c >> 27 & 1 ? saved_states() : 0;
    if ((saved & YMM) != YMM)
        return found;
    found |= pick(c, 12, RAPT_CPU_FMA) | pick(c, 29, RAPT_CPU_F16C);
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return found;
    const uint32_t subleaves = a;
    found |= pick(b, 5, RAPT_CPU_AVX2);
    if ((saved & TILES) == TILES)
        found |= pick(d, 24, RAPT_CPU_AMX);
    const uint32_t f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    if ((saved & ZMM) != ZMM || (b & f_dq_bw_vl) != f_dq_bw_vl)
        return found;
    found |= RAPT_CPU_AVX512;
    found |= pick(c, 11, RAPT_CPU_AVX512_VNNI) | pick(d, 23, RAPT_CPU_AVX512_FP16);
    if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d))
        found |= pick(a, 5, RAPT_CPU_AVX512_BF16);
    return found;
}

#elif defined(__aarch64__)

uint32_t rapt_cpu_detect(void) {
    uint32_t found = RAPT_CPU_NEON | RAPT_CPU_FMA; /* both belong to the base of AArch64 */
#    if defined(__linux__)
    const unsigned long hwcap = getauxval(AT_HWCAP), hwcap2 = getauxval(AT_HWCAP2);
    found |= hwcap >> 22 & 1 ? RAPT_CPU_SVE : 0;
    found |= hwcap2 >> 13 & 1 ? RAPT_CPU_I8MM : 0;
    found |= hwcap2 >> 14 & 1 ? RAPT_CPU_BF16 : 0;
#    endif
    return found;
}

#else

uint32_t rapt_cpu_detect(void) {
    return 0;
}

#endif

const char *rapt_cpu_refusal(uint32_t features) {
    if (!(features & RAPT_CPU_AMX))
        return NULL;
#if defined(__x86_64__) && defined(__linux__)
    enum { REQUEST = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM */
    if (syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0)
        return NULL;
    switch (errno) {
    case ENOSPC:
        return "the signal stack of a thread (sigaltstack) has no room for its registers";
    case EINVAL:
    case ENOSYS:
        return "the kernel can't grant it; Linux can since 5.16";
    case EOPNOTSUPP:
        return "the kernel or the hypervisor has switched it off";
    case EPERM:
    case EACCES:
        return "a filter of system calls, such as a container's, forbids it";
    default:
        return "the kernel gives no reason";
    }
#else
    return "this system can't grant it";
#endif
}

char *rapt_cpu_names(uint32_t features, char *text, size_t size) {
    size_t used = 0;
    if (size)
        text[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!(features & names[i].feature) || used >= size)
            continue;
        const int n = snprintf(text + used, size - used, "%s%s", used ? " " : "", names[i].name);
        used += n > 0 ? (size_t)n : 0;
    }
    return text;
}
