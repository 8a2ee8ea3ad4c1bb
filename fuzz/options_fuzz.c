/* SPDX-License-Identifier: MIT */
/* The command line of `motet run`: words, each ended by a zero byte. */
#include "fuzz.h"

#include "../src/cli/cli.h"
#include "../src/cli/options.h"

#include <getopt.h>
#include <string.h>

enum { WORDS_MAX = 200 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *argv[WORDS_MAX + 2] = {(char *)"run"}, *memory;
    int argc = 1 + (int)fuzz_words(data, size, argv + 1, WORDS_MAX, &memory);
    run_options untouched, o;
    memset(&untouched, 0x5a, sizeof untouched);
    o = untouched;
    optind = 0; /* so that getopt begins anew */
    int r = options_parse(argc, argv, &o);
    HOLDS(r == 0 || r == EXIT_USAGE);
    if (r) {
        HOLDS(memcmp(&o, &untouched, sizeof o) == 0);
    } else {
        HOLDS(o.jobs >= 1 && o.jobs <= 65536);
        HOLDS(o.help || o.command_count > 0);
        HOLDS(!o.inputs || !o.arg_file);
        for (size_t i = 0; i < o.command_count; i++)
            HOLDS(o.command[i] && strcmp(o.command[i], ":::") != 0);
        for (size_t i = 0; i < o.inputs_count; i++)
            HOLDS(o.inputs[i] && strcmp(o.inputs[i], ":::") != 0);
        HOLDS(!o.inputs || !o.inputs[o.inputs_count]);
    }
    free(memory);
    return 0;
}
