/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled once for each public header, HEADER, before anything else: each stands alone in C11. */
#include HEADER
#include HEADER

/* Some symbol of our own, as a unit without any isn't C. */
int main(void) {
    return 0;
}
