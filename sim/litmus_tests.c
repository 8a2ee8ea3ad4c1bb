/* SPDX-License-Identifier: MIT */
/* The litmus tests. `allowed` is C11's set of outcomes, worked out by hand from the axioms (as C++20 states them), minus what
 * the explorer does not model: memory.c says what that is. Where that takes something away the entry says so.
 *
 * The names are those of the field: SB store buffering, MP message passing, LB load buffering, WRC write to read causality,
 * IRIW independent reads of independent writes, Co coherence; what follows the + is each thread's order. */
#include "litmus.h"

#include <stddef.h>

#define ALL2 "00 01 10 11"

const litmus sim_litmus_tests[] = {
    /* ---- store buffering: only seq_cst on both sides forbids 00 ---- */
    {"SB+rlx", "ab", "x=1.r a=y.r | y=1.r b=x.r", ALL2},
    {"SB+rel-acq", "ab", "x=1.l a=y.q | y=1.l b=x.q", ALL2},
    {"SB+sc", "ab", "x=1.s a=y.s | y=1.s b=x.s", "01 10 11"},
    {"SB+sc-rlx-load", "ab", "x=1.s a=y.r | y=1.s b=x.s", ALL2},
    {"SB+sc-rel-store", "ab", "x=1.l a=y.s | y=1.s b=x.s", ALL2},
    {"SB+fences-sc", "ab", "x=1.r f.s a=y.r | y=1.r f.s b=x.r", "01 10 11"},
    {"SB+one-fence", "ab", "x=1.r f.s a=y.r | y=1.r b=x.r", ALL2},
    {"SB+fence-sc-and-sc", "ab", "x=1.r f.s a=y.r | y=1.s b=x.s", "01 10 11"},
    {"SB+fences-acq-rel", "ab", "x=1.r f.b a=y.r | y=1.r f.b b=x.r", ALL2},
    {"SB+rmw-ar", "ab", "x=1.r a=y+0.b | y=1.r b=x+0.b", ALL2},
    {"SB+rmw-own", "cd", "a=x:1.s c=y.s | b=y:1.s d=x.s", "01 10 11"},
    {"SB+rmw-then-rlx", "cd", "a=x+1.b c=y.r | b=y+1.b d=x.r", ALL2},

    /* ---- message passing: release and acquire forbid a=1 b=0 ---- */
    {"MP+rlx", "ab", "x=1.r y=1.r | a=y.r b=x.r", ALL2},
    {"MP+rel-acq", "ab", "x=1.r y=1.l | a=y.q b=x.r", "00 01 11"},
    {"MP+rel-rlx", "ab", "x=1.r y=1.l | a=y.r b=x.r", ALL2},
    {"MP+rlx-acq", "ab", "x=1.r y=1.r | a=y.q b=x.r", ALL2},
    {"MP+sc", "ab", "x=1.s y=1.s | a=y.s b=x.s", "00 01 11"},
    {"MP+fence-rel-acq", "ab", "x=1.r f.l y=1.r | a=y.q b=x.r", "00 01 11"},
    {"MP+rel-fence-acq", "ab", "x=1.r y=1.l | a=y.r f.q b=x.r", "00 01 11"},
    {"MP+fences", "ab", "x=1.r f.l y=1.r | a=y.r f.q b=x.r", "00 01 11"},
    {"MP+fences-sc", "ab", "x=1.r f.s y=1.r | a=y.r f.s b=x.r", "00 01 11"},
    {"MP+fence-wrong-side", "ab", "x=1.r f.q y=1.r | a=y.r f.l b=x.r", ALL2},
    {"MP+fence-too-late", "ab", "x=1.r y=1.r f.l | a=y.r f.q b=x.r", ALL2},
    {"MP+rel-exchange", "ab", "x=1.r c=y:1.l | a=y.q b=x.r", "00 01 11"},
    {"MP+acq-rmw", "ab", "x=1.r y=1.l | a=y+0.q b=x.r", "00 01 11"},
    {"MP+cas-acq", "ab", "x=1.r y=1.l | a=y?1:2.q b=x.r", "00 01 11"},
    {"MP+cas-rlx", "ab", "x=1.r y=1.l | a=y?1:2.r b=x.r", ALL2},

    /* ---- release sequences: through read-modify-writes of anyone, not through others' stores ---- */
    {"RS+rmw-other", "ab", "x=1.r y=1.l | c=y?1:2.r | a=y.q b=x.r", "00 01 11 21"},
    {"RS+rmw-same", "ab", "x=1.r y=1.l c=y+1.r | a=y.q b=x.r", "00 01 11 21"},
    {"RS+two-rmw", "ab", "x=1.r y=1.l | c=y?1:2.r | d=y?2:3.r | a=y.q b=x.r", "00 01 11 21 31"},
    {"RS+store-same", "ab", "x=1.r y=1.l y=2.r | a=y.q b=x.r", "00 01 11 20 21"}, /* C++20; C11 forbids 20 */
    {"RS+store-other", "ab", "x=1.r y=1.l | y=2.r | a=y.q b=x.r", "00 01 11 20 21"},
    {"RS+fence-rmw", "ab", "x=1.r f.l y=1.r | c=y?1:2.r | a=y.q b=x.r", "00 01 11 21"},

    /* ---- load buffering: 11 is allowed by C11 to relaxed ones, and not modelled ---- */
    {"LB+rlx", "ab", "a=x.r y=1.r | b=y.r x=1.r", "00 01 10"},
    {"LB+acq-rel", "ab", "a=x.q y=1.l | b=y.q x=1.l", "00 01 10"},
    {"LB+sc", "ab", "a=x.s y=1.s | b=y.s x=1.s", "00 01 10"},

    /* ---- two stores each: final values ---- */
    {"2+2W+rlx", "xy", "x=1.r y=2.r | y=1.r x=2.r", "11 12 21 22"},
    {"2+2W+rel", "xy", "x=1.l y=2.l | y=1.l x=2.l", "11 12 21 22"},
    {"2+2W+sc", "xy", "x=1.s y=2.s | y=1.s x=2.s", "12 21 22"},
    {"2+2W+fences-sc", "xy", "x=1.r f.s y=2.r | y=1.r f.s x=2.r", "12 21 22"},
    {"R+rlx", "ay", "x=1.r y=1.r | y=2.r a=x.r", "01 02 11 12"},
    {"R+sc", "ay", "x=1.s y=1.s | y=2.s a=x.s", "01 11 12"},
    {"R+fences-sc", "ay", "x=1.r f.s y=1.r | y=2.r f.s a=x.r", "01 11 12"},
    {"R+rel-acq", "ay", "x=1.r y=1.l | y=2.r a=x.q", "01 02 11 12"},
    {"S+rlx", "ax", "x=2.r y=1.r | a=y.r x=1.r", "01 02 11 12"},
    {"S+rel-acq", "ax", "x=2.r y=1.l | a=y.q x=1.r", "01 02 11"},
    {"S+fences", "ax", "x=2.r f.l y=1.r | a=y.r f.q x=1.r", "01 02 11"},

    /* ---- coherence: one location, relaxed ---- */
    {"CoRR", "ab", "x=1.r | a=x.r b=x.r", "00 01 11"},
    {"CoRR2", "abcd", "x=1.r | x=2.r | a=x.r b=x.r | c=x.r d=x.r",
     "0000 0001 0002 0011 0012 0021 0022 0100 0101 0102 0111 0112 0121 0122 0200 0201 0202 0211 0212 0221 0222 "
     "1100 1101 1102 1111 1112 1121 1122 1200 1201 1202 1211 1212 1222 "
     "2100 2101 2102 2111 2121 2122 2200 2201 2202 2211 2212 2221 2222"},
    {"CoWW", "x", "x=1.r x=2.r", "2"},
    {"CoRW1", "ax", "a=x.r x=1.r", "01"},
    {"CoRW2", "ax", "x=1.r | a=x.r x=2.r", "01 02 12"},
    {"CoWR", "ax", "x=1.r a=x.r | x=2.r", "11 12 22"},
    {"Co+rmw-both", "abx", "a=x+1.r | b=x+1.r", "012 102"},
    {"Co+rmw-three", "x", "a=x+1.r | b=x+1.r | c=x+1.r", "3"},
    {"Co+rmw-store", "ax", "a=x+1.r | x=5.r", "05 56"},
    {"Co+cas-one-wins", "ab", "a=x?0:1.r | b=x?0:2.r", "01 20"},
    {"Co+exchange", "abx", "a=x:1.r | b=x:2.r", "012 201"},

    /* ---- causality over three and four threads ---- */
    {"WRC+rlx", "abc", "x=1.r | a=x.r y=1.r | b=y.r c=x.r", "000 001 010 011 100 101 110 111"},
    {"WRC+rel-acq", "abc", "x=1.r | a=x.q y=1.l | b=y.q c=x.r", "000 001 010 011 100 101 111"},
    {"WRC+one-rlx", "abc", "x=1.l | a=x.r y=1.r | b=y.q c=x.r", "000 001 010 011 100 101 110 111"},
    {"ISA2+rel-acq", "abc", "x=1.r y=1.l | a=y.q z=1.l | b=z.q c=x.r", "000 001 010 011 100 101 111"},
    {"ISA2+one-rlx", "abc", "x=1.r y=1.l | a=y.r z=1.l | b=z.q c=x.r", "000 001 010 011 100 101 110 111"},
    {"IRIW+rlx", "abcd", "x=1.r | y=1.r | a=x.r b=y.r | c=y.r d=x.r",
     "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1010 1011 1100 1101 1110 1111"},
    {"IRIW+acq", "abcd", "x=1.l | y=1.l | a=x.q b=y.q | c=y.q d=x.q",
     "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1010 1011 1100 1101 1110 1111"},
    {"IRIW+sc", "abcd", "x=1.s | y=1.s | a=x.s b=y.s | c=y.s d=x.s",
     "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1011 1100 1101 1110 1111"},
    {"IRIW+fences-sc", "abcd", "x=1.r | y=1.r | a=x.r f.s b=y.r | c=y.r f.s d=x.r",
     "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1011 1100 1101 1110 1111"},
    {"RWC+rel-acq", "abc", "x=1.l | a=x.q b=y.q | y=1.l c=x.q", "000 001 010 011 100 101 110 111"},
    {"RWC+sc", "abc", "x=1.s | a=x.s b=y.s | y=1.s c=x.s", "000 001 010 011 101 110 111"},
    {"RWC+fences-sc", "abc", "x=1.r | a=x.r f.s b=y.r | y=1.r f.s c=x.r", "000 001 010 011 101 110 111"},
    {"WWC+rel-acq", "abx", "x=2.r | a=x.q y=1.l | b=y.q x=1.r", "001 002 011 012 101 102 201 202 211"},

    /* ---- what motet rests on: Dekker of announce (rmw, sc) and publish (store, fence) ---- */
    {"Dekker+park", "bd", "a=x+1.s b=y.s | y=1.r f.s d=x.r", "01 10 11"},
    {"Dekker+no-fence", "bd", "a=x+1.s b=y.s | y=1.r d=x.r", ALL2},
    {"Dekker+rel-announce", "bd", "a=x+1.l b=y.s | y=1.r f.s d=x.r", ALL2},
    {"Dekker+store-announce", "bd", "x=1.s b=y.s | y=1.s d=x.s", "01 10 11"},

    /* ---- a lock by exchange ---- */
    {"lock+acq-rel", "cd", "a=x?0:1.q c=y.r y=1.r x=0.l | b=x?0:1.q d=y.r", "00 01"},
    {NULL, NULL, NULL, NULL},
};
