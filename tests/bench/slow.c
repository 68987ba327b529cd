/* slow - holds many connections to a server on this machine, each in the middle of a request that
 * never ends: a header line that grows by one byte every few seconds.
 *
 *   slow 127.0.0.1:PORT PATH --connections N [--seconds S] [--every S] [--open-rate R]
 *
 * It ends after S seconds or at SIGTERM.
 *
 * Connections are opened at R per second. One that the server ends is counted and opened again at
 * the same pace, so that N stay held if the server lets them. The first N/16384 come from
 * 127.0.0.1, the next from 127.0.0.2 and so on: one address has too few ports for more.
 *
 * Two lines are printed: "ready held=..." after the first N attempts, and at the end
 *   held_min held_max held   established, seen ten times a second since "ready"; and at the end
 *   opened                   connections made in all
 *   ended                    ended by the server (of those: answered first, reset)
 *   refused                  could not be made
 */
#define _GNU_SOURCE
#include "bench.h"
#include <getopt.h>
#include <sys/epoll.h>

#define CONNECTIONS_MAX 50000
#define SECONDS_MAX 900
#define PER_ADDRESS 16384
#define TICK_MS 5
#define SETTLE_NS (200 * NS_PER_MS) /* From the last opening until "ready": handshakes end. */

enum state { CLOSED, CONNECTING, HELD };

struct connection {
    int fd;
    enum state state;
    int answered;
};

static struct address target;
static char opening[1024];
static size_t opening_len;
static struct connection *connections;
static int count;
static int epoll;
static int *closed, closed_len; /* A stack of the connections to open (again). */
static int held;
static uint64_t opened, ended, answered, reset, refused;
static volatile sig_atomic_t stopping; /* SIGTERM: print the last line, then end. */

static void stop(int signal) {
    (void)signal;
    stopping = 1;
}

static void close_one(int i) {
    struct connection *c = &connections[i];
    if (c->state == HELD) held--;
    close(c->fd);
    c->state = CLOSED;
    closed[closed_len++] = i;
}

static void open_one(int i) {
    struct connection *c = &connections[i];
    *c = (struct connection){.state = CONNECTING};
    c->fd = socket(target.raw.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die_errno("socket");
    if (i >= PER_ADDRESS && target.raw.ss_family == AF_INET) {
        struct sockaddr_in from = {.sin_family = AF_INET};
        from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(i / PER_ADDRESS));
        /* The port is chosen by connect, when the other end is known: ports can be shared. */
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
        if (bind(c->fd, (struct sockaddr *)&from, sizeof from)) die_errno("bind");
    }
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.u32 = (uint32_t)i};
    if ((connect(c->fd, (struct sockaddr *)&target.raw, target.len) && errno != EINPROGRESS) ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e)) {
        refused++;
        close_one(i);
    }
}

static void connected(int i) {
    struct connection *c = &connections[i];
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
    if (send(c->fd, opening, opening_len, MSG_NOSIGNAL) != (ssize_t)opening_len) {
        refused++;
        close_one(i);
        return;
    }
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
    c->state = HELD;
    held++;
    opened++;
}

static void take(int i) {
    struct connection *c = &connections[i];
    char bytes[512];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n > 0) {
        c->answered = 1;
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        ended++;
        if (c->answered) answered++;
        if (n < 0) reset++;
        close_one(i);
    }
}

static void handle_events(void) {
    struct epoll_event events[256];
    int n = epoll_wait(epoll, events, 256, TICK_MS);
    for (int k = 0; k < n; k++) {
        int i = (int)events[k].data.u32;
        if (connections[i].state == CONNECTING) connected(i);
        else if (connections[i].state == HELD) take(i);
    }
}

/* What ended in between shows up as an event; a failed send here needs no care of its own. */
static void drip(int from, int to) {
    for (int i = from; i < to; i++)
        if (connections[i % count].state == HELD)
            send(connections[i % count].fd, "a", 1, MSG_NOSIGNAL);
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"connections", 1, 0, 'n'}, {"seconds", 1, 0, 's'},
        {"every", 1, 0, 'e'},       {"open-rate", 1, 0, 'r'}, {0},
    };
    double seconds = 10, every = 5, rate = 2000;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1; ) {
        switch (o) {
        case 'n': count = (int)number("--connections", optarg, 1, CONNECTIONS_MAX); break;
        case 's': seconds = number("--seconds", optarg, 0.1, SECONDS_MAX); break;
        case 'e': every = number("--every", optarg, 0.1, 60); break;
        case 'r': rate = number("--open-rate", optarg, 1, 20000); break;
        default: return 2;
        }
    }
    if (argc - optind != 2 || !count) die("usage: slow 127.0.0.1:PORT PATH --connections N ...");
    end_with_parent();
    signal(SIGTERM, stop);
    target = loopback(argv[optind]);
    if (target.raw.ss_family == AF_INET6 && count > PER_ADDRESS)
        die("::1 is a single address: at most 16384 connections");
    int len = snprintf(opening, sizeof opening, "GET %s HTTP/1.0\r\nX-Slow: ", argv[optind + 1]);
    if (len >= (int)sizeof opening) die("the path is too long");
    opening_len = (size_t)len;
    need_descriptors((rlim_t)count + 64);

    epoll = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc((size_t)count, sizeof *connections);
    closed = calloc((size_t)count, sizeof *closed);
    if (epoll < 0 || !connections || !closed) die("out of memory or descriptors");
    while (closed_len < count) {
        closed[closed_len] = count - 1 - closed_len;
        closed_len++;
    }

    int64_t start = now_ns(), last = start, all_tried = 0, sample = 0;
    double may_open = 0, to_drip = 0;
    int tried = 0, cursor = 0, ready = 0, held_min = count, held_max = 0;
    for (int64_t now = start; !stopping && now - start < seconds * NS_PER_S; now = now_ns()) {
        double passed = (double)(now - last) / NS_PER_S;
        last = now;
        /* At most 50 ms worth at once: after a pause there must be no burst. */
        may_open = may_open + passed * rate < rate / 20 + 1 ? may_open + passed * rate
                                                            : rate / 20 + 1;
        for (; may_open >= 1 && closed_len; may_open--, tried++) open_one(closed[--closed_len]);
        to_drip += passed * count / every;
        drip(cursor, cursor + (int)to_drip);
        cursor = (cursor + (int)to_drip) % count;
        to_drip -= (int)to_drip;
        handle_events();

        if (!all_tried && tried >= count) all_tried = now;
        if (!ready && all_tried && now - all_tried > SETTLE_NS) {
            ready = 1;
            printf("ready held=%d\n", held);
            fflush(stdout);
        }
        if (ready && now >= sample) {
            sample = now + 100 * NS_PER_MS;
            if (held < held_min) held_min = held;
            if (held > held_max) held_max = held;
        }
    }
    printf("held_min=%d held_max=%d held=%d opened=%llu ended=%llu answered=%llu reset=%llu "
           "refused=%llu\n", held_min, held_max, held, (unsigned long long)opened,
           (unsigned long long)ended, (unsigned long long)answered, (unsigned long long)reset,
           (unsigned long long)refused);
}
