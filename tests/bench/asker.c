/* asker PORT,PORT,... --components N [--seconds S] - the fewest system calls that can ask as many
 * services (`targets`) as a daemon does: one thread, paced as the daemon's are, and for each of
 * them socket, connect and close, once a second. It looks at no outcome: it is no checker, it is
 * the physical limit that checkers are measured against.
 *
 * One line is printed: asked, and millicores, thousandths of a processor that it took. */
#define _GNU_SOURCE
#include "bench.h"
#include "services.h"
#include <getopt.h>

#define SECONDS_MAX 300
#define TOGETHER 5  /* So many in 5 ms, or more, are asked one right after the other. */

static int64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"components", 1, 0, 'c'}, {"seconds", 1, 0, 's'}, {0}};
    int components = 0;
    double seconds = 10;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1; ) {
        switch (o) {
        case 'c': components = (int)number("--components", optarg, 1, COMPONENTS_MAX); break;
        case 's': seconds = number("--seconds", optarg, 1, SECONDS_MAX); break;
        default: return 2;
        }
    }
    if (argc - optind != 1 || !components) die("usage: asker PORT,... --components N");
    end_with_parent();
    struct ports ports = read_ports(argv[optind]);

    int64_t begun = now_ns(), cpu = cpu_ns(), step = NS_PER_S / components;
    int64_t beat = step <= NS_PER_MS ? TOGETHER * step : step;
    long asked = 0, all = (long)(seconds * components);
    for (; asked < all; asked++) {
        int64_t due = begun + asked * step / beat * beat;
        struct timespec t = {due / NS_PER_S, due % NS_PER_S};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        struct sockaddr_in a = service((int)(asked % components), &ports);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&a, sizeof a)) die_errno("connect");
        close(fd);
    }
    printf("asked=%ld millicores=%lld\n", asked,
           (long long)((cpu_ns() - cpu) * 1000 / (now_ns() - begun)));
}
