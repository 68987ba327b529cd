/* targets - many services on this machine that note when they are asked, one for each component.
 *
 *   targets PORT,PORT,... --components N [--seconds S]
 *
 * Each component has an address of its own, so that the listener tells who was asked. Each
 * connection is accepted, its moment noted, and closed. A component's probes are compared with a
 * grid of its own, one a second, that begins at the earliest of them: what a probe is later than
 * that is its lateness. That includes the time that this program took to wake up.
 *
 * "ready" is printed when all of them listen. SIGUSR1 begins the measurement: the lateness of what
 * was accepted before is not counted. After S seconds or at SIGTERM one line is printed:
 *   asked        components that were asked at all
 *   probes       accepted since the measurement began
 *   p50_us ...   lateness
 *   missed       seconds of a grid without a probe, doubled: with more than one
 *   first_ms     from the first component's first probe to the last one's
 *   burst        first probes within the 10 ms that had the most of them
 *   noise_p50_us, noise_p99_us   lateness of a thread here that does nothing but wake up in time:
 *                what this machine does to anybody at that moment
 */
#define _GNU_SOURCE
#include "bench.h"
#include "services.h"
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>

#define SECONDS_MAX 300
#define NOTED_MAX (SECONDS_MAX + 8) /* Of each component; one a second is expected. */
#define BURST_NS (10 * NS_PER_MS)
#define NOISE_EVERY_NS (5 * NS_PER_MS)
#define NOISE_MAX (SECONDS_MAX * 200 + 8)
#define PERIOD_NS NS_PER_S

struct component {
    int listener;
    int count;
    int64_t *at;
};

static struct component components[COMPONENTS_MAX];
static int components_len;
static volatile sig_atomic_t stopping, measuring;
static int64_t begun_ns; /* Of the measurement. */
static int64_t noise[NOISE_MAX];
static int noise_len;

static void on_signal(int signal) {
    if (signal == SIGUSR1) measuring = 1;
    else stopping = 1;
}

static void listen_all(const struct ports *ports, int epoll) {
    for (int i = 0; i < components_len; i++) {
        struct component *c = &components[i];
        struct sockaddr_in a = service(i, ports);
        c->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (c->listener < 0) die_errno("socket");
        setsockopt(c->listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
        if (bind(c->listener, (struct sockaddr *)&a, sizeof a)) die_errno("bind");
        if (listen(c->listener, 16)) die_errno("listen");
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->listener, &e)) die_errno("epoll_ctl");
        c->at = calloc(NOTED_MAX, sizeof *c->at);
        if (!c->at) die("out of memory");
    }
}

static void accept_one(struct component *c) {
    int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) return;
    if (c->count < NOTED_MAX) c->at[c->count++] = now_ns();
    close(fd);
}

static void *make_noise(void *unused) {
    (void)unused;
    int64_t due = now_ns();
    while (!stopping && noise_len < NOISE_MAX) {
        due += NOISE_EVERY_NS;
        struct timespec t = {due / NS_PER_S, due % NS_PER_S};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        int64_t late = now_ns() - due;
        if (measuring) noise[noise_len++] = late;
        if (late > NOISE_EVERY_NS) due = now_ns();
    }
    return NULL;
}

static int compare(const void *one, const void *other) {
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

static long long percentile_us(const int64_t *sorted, int len, double part) {
    if (!len) return -1;
    int at = (int)(part * len);
    return sorted[at < len ? at : len - 1] / 1000;
}

/* What a component's probes since the measurement began were later than its grid. */
static int lateness(const struct component *c, int64_t *late, long *missed, long *doubled) {
    int64_t phase = INT64_MAX, first = 0, before = -1;
    int len = 0;
    for (int i = 0; i < c->count; i++) {
        if (c->at[i] < begun_ns) continue;
        if (!first) first = c->at[i];
        /* The nearest second, so that one that is early does not count for the one before. */
        int64_t second = (c->at[i] - first + PERIOD_NS / 2) / PERIOD_NS;
        int64_t offset = c->at[i] - first - second * PERIOD_NS;
        if (offset < phase) phase = offset;
        late[len++] = offset;
        if (before >= 0) {
            if (second == before) (*doubled)++;
            else *missed += second - before - 1;
        }
        before = second;
    }
    for (int i = 0; i < len; i++) late[i] -= phase;
    return len;
}

static void report(void) {
    int64_t *late = calloc((size_t)components_len * NOTED_MAX, sizeof *late);
    int64_t *firsts = calloc((size_t)components_len, sizeof *firsts);
    if (!late || !firsts) die("out of memory");
    int len = 0, asked = 0, burst = 0;
    long missed = 0, doubled = 0;
    for (int i = 0; i < components_len; i++) {
        if (components[i].count) firsts[asked++] = components[i].at[0];
        len += lateness(&components[i], late + len, &missed, &doubled);
    }
    qsort(late, (size_t)len, sizeof *late, compare);
    qsort(firsts, (size_t)asked, sizeof *firsts, compare);
    qsort(noise, (size_t)noise_len, sizeof *noise, compare);
    for (int i = 0, from = 0; i < asked; i++) {
        while (firsts[i] - firsts[from] > BURST_NS) from++;
        if (i - from + 1 > burst) burst = i - from + 1;
    }
    printf("asked=%d probes=%d p50_us=%lld p99_us=%lld p999_us=%lld max_us=%lld missed=%ld "
           "doubled=%ld first_ms=%lld burst=%d noise_p50_us=%lld noise_p99_us=%lld\n",
           asked, len, percentile_us(late, len, 0.5), percentile_us(late, len, 0.99),
           percentile_us(late, len, 0.999), percentile_us(late, len, 1), missed, doubled,
           asked ? (long long)((firsts[asked - 1] - firsts[0]) / NS_PER_MS) : -1, burst,
           percentile_us(noise, noise_len, 0.5), percentile_us(noise, noise_len, 0.99));
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"components", 1, 0, 'c'}, {"seconds", 1, 0, 's'}, {0}};
    double seconds = 60;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1; ) {
        switch (o) {
        case 'c': components_len = (int)number("--components", optarg, 1, COMPONENTS_MAX); break;
        case 's': seconds = number("--seconds", optarg, 1, SECONDS_MAX); break;
        default: return 2;
        }
    }
    if (argc - optind != 1 || !components_len) die("usage: targets PORT,... --components N");
    end_with_parent();
    struct ports ports = read_ports(argv[optind]);
    need_descriptors((rlim_t)components_len + 64);
    signal(SIGTERM, on_signal);
    signal(SIGUSR1, on_signal);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    listen_all(&ports, epoll);

    /* What measures must not wait behind what is measured, where that is permitted. */
    struct sched_param first = {.sched_priority = 1};
    sched_setscheduler(0, SCHED_FIFO, &first);
    pthread_t thread;
    pthread_attr_t attributes;
    struct sched_param usual = {0};
    pthread_attr_init(&attributes);
    pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attributes, SCHED_OTHER);
    pthread_attr_setschedparam(&attributes, &usual);
    if (pthread_create(&thread, &attributes, make_noise, NULL)) die("cannot start a thread");
    puts("ready");
    fflush(stdout);

    int64_t end_ns = now_ns() + (int64_t)(seconds * NS_PER_S);
    while (!stopping && now_ns() < end_ns) {
        if (measuring && !begun_ns) begun_ns = now_ns();
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, 100);
        for (int i = 0; i < n; i++) accept_one(&components[events[i].data.u32]);
    }
    stopping = 1;
    pthread_join(thread, NULL);
    if (!begun_ns) begun_ns = now_ns();
    report();
}
