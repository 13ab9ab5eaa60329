/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes vocabularies and texts: tokens are those of the vocabulary, and never more than there is
 * room for. A vocabulary ends at the first zero byte, and gets the marks that it must have.
 */
#include "model/wordpiece.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    enum { MOST = 40 };
    static const char marks[] = "[UNK]\n[CLS]\n[SEP]\n";
    const uint8_t *zero = size ? memchr(bytes, 0, size) : NULL;
    const size_t length = zero ? (size_t)(zero - bytes) : size;
    char *text = malloc(sizeof marks + length), message[FAULT_SIZE];
    struct wordpiece v;
    if (!text)
        abort();
    memcpy(text, marks, sizeof marks - 1);
    memcpy(text + sizeof marks - 1, bytes, length);
    if (wordpiece_parse("fuzz", text, sizeof marks - 1 + length, &v, message)) {
        int64_t ids[MOST];
        for (int flags = 0; flags < 8; flags++) {
            const int64_t most = 2 + (int64_t)(size % (MOST - 1));
            v.lowercase = flags & 1;
            v.strip_accents = flags & 2;
            v.split_chinese = flags & 4;
            int64_t whole;
            const int64_t n = wordpiece_split(&v, (const char *)bytes + length, size - length, ids,
                                              most < MOST ? most : MOST, &whole);
            if (whole < n || (whole > n && n < most) || n < 2 || n > MOST ||
                ids[0] != v.mark[MARK_CLS] || ids[n - 1] != v.mark[MARK_SEP])
                abort();
            for (int64_t i = 0; i < n; i++)
                if (ids[i] < 0 || ids[i] >= v.count)
                    abort();
        }
        wordpiece_close(&v);
    }
    free(text);
    return 0;
}
