/* What the three programs of the benchmark share: reading numbers and addresses, and the rule that
 * none of them ever talks to, or listens on, anything but this machine's loopback. */
#ifndef BENCH_H
#define BENCH_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL

struct address {
    struct sockaddr_storage raw;
    socklen_t len;
};

static inline void die(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(2);
}

static inline void die_errno(const char *what) {
    perror(what);
    exit(2);
}

static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* Every number has a range: a mistyped one must not become a flood or a run without an end. */
static inline double number(const char *name, const char *text, double min, double max) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= min && value <= max)) {
        fprintf(stderr, "%s: \"%s\" is not a number from %g to %g\n", name, text, min, max);
        exit(2);
    }
    return value;
}

/* "127.0.0.1:8080" or "[::1]:8080". Names are not resolved: only what is visibly local passes. */
static inline struct address loopback(const char *text) {
    struct address a = {.len = 0};
    char host[64];
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    if (!len || len >= sizeof host) die("the target must be 127.x.x.x:PORT or [::1]:PORT");
    memcpy(host, text, len);
    host[len] = 0;
    in_port_t port = htons((uint16_t)number("port", colon + 1, 1, 65535));

    struct sockaddr_in *v4 = (struct sockaddr_in *)&a.raw;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a.raw;
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1 && ntohl(v4->sin_addr.s_addr) >> 24 == 127) {
        v4->sin_family = AF_INET;
        v4->sin_port = port;
        a.len = sizeof *v4;
    } else if (!strcmp(host, "[::1]")) {
        v6->sin6_family = AF_INET6;
        v6->sin6_addr = in6addr_loopback;
        v6->sin6_port = port;
        a.len = sizeof *v6;
    } else {
        die("refused: the target is not a loopback address");
    }
    return a;
}

/* Ends with the script that started it, even when that is killed outright. */
static inline void end_with_parent(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == 1) exit(2);
}

static inline void need_descriptors(rlim_t count) {
    struct rlimit r;
    getrlimit(RLIMIT_NOFILE, &r);
    if (r.rlim_max < count) die("the hard limit of open files is too low");
    if (r.rlim_cur < count) r.rlim_cur = count;
    if (setrlimit(RLIMIT_NOFILE, &r)) die_errno("setrlimit");
}

#endif
