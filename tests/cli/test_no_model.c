/* SPDX-License-Identifier: Apache-2.0 */
/* A build without models says so, and shows the embedded samples. */
#include "tests/support/command.h"

Test(no_model, texts_are_refused, .init = enter, .fini = leave) {
    expect_fault("attend cat", "rapt attend: this build has no model support");
    expect_fault("attend --model w", "rapt attend: this build has no model support");
    expect_fault("embed w", "rapt embed: this build has no model support");
    cr_expect_eq(rapt("attend"), 0);
}
