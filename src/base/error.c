/* SPDX-License-Identifier: MIT */
/* Codes in words. */
#include <motet/base.h>

#include <limits.h>
#include <string.h>

const char *motet_version(void) { return MOTET_VERSION; }

const char *motet_strerror(int code)
{
    int number = code == INT_MIN ? INT_MAX : code < 0 ? -code : code;
    switch (number) {
    case 0: return "success";
    case ETIMEDOUT: return "the deadline passed";
    case ECANCELED: return "cancelled";
    case EPIPE: return "closed, or the other side is gone";
    case EOWNERDEAD: return "the task's worker died";
    case ETIME: return "killed at its time limit";
    case EFAULT: return "a pointer that the other process cannot have";
    case EDEADLK: return "would wait for itself";
    case EPERM: return code < 0 ? "not the owner, or not permitted" : "recovered: who held it before had died";
    case EINVAL: return "misuse: an argument is not valid";
    case EMSGSIZE: return "too large";
    case EACCES: return "not permitted, or not authenticated";
    case ENOENT: return "no such task, name or file";
    case EINTR: return "interrupted by a signal";
    case EAGAIN: return "not now: it runs already, or still";
    case EOVERFLOW: return "more was given back than was taken";
    case ENOTSUP: return "not supported";
    default: {
        const char *text = strerrordesc_np(number);
        return text ? text : "unknown code";
    }
    }
}
