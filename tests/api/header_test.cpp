/* SPDX-License-Identifier: Apache-2.0 */
/* The public headers from C++: each stands alone, and the library links and computes. */
#include HEADER
#include HEADER

#include <rapt/rapt.h>

int main() {
    float query = 1, key = 2, value = 3, out = 0;
    rapt_attention_args args = rapt_attention_defaults();
    args.query = rapt_tensor_bhsd(&query, RAPT_F32, 1, 1, 1, 1);
    args.key = rapt_tensor_bhsd(&key, RAPT_F32, 1, 1, 1, 1);
    args.value = rapt_tensor_bhsd(&value, RAPT_F32, 1, 1, 1, 1);
    args.out = rapt_tensor_bshd(&out, RAPT_F32, 1, 1, 1, 1);
    return rapt_attention(&args) == RAPT_OK && out == value ? 0 : 1;
}
