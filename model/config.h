/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration in JSON, and the first thing that is wrong with it. Whoever reads one looks at
 * members in turn, and asks at the end whether all was good: after a fault the rest is defaults.
 */
#ifndef RAPT_MODEL_CONFIG_H
#define RAPT_MODEL_CONFIG_H

#include <cjson/cJSON.h>
#include <stdint.h>

#include "model/file.h"

enum { CONFIG_PATH = 4096 };

struct config {
    char path[CONFIG_PATH];
    cJSON *json;
    bool good;
    char *message; /* FAULT_SIZE */
};

/* folder/name; false and a message if that is too long. */
bool config_path(char path[CONFIG_PATH], const char *folder, const char *name, char *message);

/*
 * The path of a folder's model.safetensors. False and a message if it is too long, or if the folder
 * has weights in PyTorch's own format alone. Files of that format can run programs as they are
 * read.
 */
bool config_weights(char path[CONFIG_PATH], const char *folder, char *message);

/* An object of which no member stands twice. An optional file that isn't there is an empty one. */
struct config config_open(const char *folder, const char *name, bool optional, char *message);

/* The same with a list in place of the object. */
struct config config_open_list(const char *folder, const char *name, char *message);

/* Whether all was good. */
bool config_close(struct config *c);

/* A member, or NULL: one that is null is as good as not there. */
const cJSON *config_member(struct config *c, const char *name);

/* Of the least to the most, or what holds where it isn't given, which with 0 it has to be. */
int64_t config_number(struct config *c, const char *name, int64_t missing, int64_t least,
                      int64_t most);

/* true, false, or what holds without it. */
bool config_flag(struct config *c, const char *name, bool missing);

/* A text, or NULL without it. */
const char *config_text(struct config *c, const char *name);

/* What the encoder knows no other value of; without it that one holds. */
void config_expect_text(struct config *c, const char *name, const char *expected);
void config_expect_flag(struct config *c, const char *name, bool expected);

/* A list or an object with something in it, or anything else than null and false, is a fault. */
void config_expect_nothing(struct config *c, const char *name);

/* Members of other names are a fault. */
void config_expect_names(struct config *c, const char *const *names, int count);

/* Makes it a fault: a member's name, and what is wrong with it. */
void config_fault(struct config *c, const char *name, const char *what);

#endif
