/* SPDX-License-Identifier: Apache-2.0 */
/* A part of a host that uses OpenMP, to be loaded beside the library. */
__attribute__((visibility("default"))) int use_openmp(int threads);

int use_openmp(int threads) {
    int count = 0;
#pragma omp parallel num_threads(threads)
#pragma omp atomic
    count++;
    return count;
}
