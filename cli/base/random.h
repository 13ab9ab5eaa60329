/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of pseudo-random bits, the same on every machine: splitmix64. */
#ifndef RAPT_CLI_BASE_RANDOM_H
#define RAPT_CLI_BASE_RANDOM_H

#include <stdint.h>

/* The next 64 bits; the state is any number to begin with. */
uint64_t random_bits(uint64_t *state);

#endif
