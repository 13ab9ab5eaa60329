/* SPDX-License-Identifier: Apache-2.0 */
/* rapt: exact attention for CPUs. This header is all of it. */
#ifndef RAPT_RAPT_H
#define RAPT_RAPT_H

#include <rapt/attention.h>
#include <rapt/cache.h>
#include <rapt/embed.h>
#include <rapt/isa.h>
#include <rapt/linear.h>
#include <rapt/mha.h>
#include <rapt/rope.h>
#include <rapt/status.h>
#include <rapt/summary.h>
#include <rapt/tensor.h>
#include <rapt/threads.h>
#include <rapt/version.h>

#endif
