/* load - asks a server on this machine as health checkers do, and judges every answer.
 *
 *   load 127.0.0.1:PORT PATH [--clients N] [--seconds S] [--threads N] [--rate R]
 *        [--timeout S] [--expect STATUS:BODY]...
 *
 * Each of N clients opens a connection, sends one HTTP/1.0 request with "Connection: close", reads
 * to the end and checks status, length and body; then it starts again at once (closed loop), or,
 * with --rate, when its turn comes in a steady stream of R requests per second over all clients.
 *
 * The latency of a request is the time from before socket() to the end of the answer. A paced
 * request whose client was still busy when its turn came counts from that turn: a server that
 * stalls must not look good because nobody could ask it meanwhile.
 *
 * One line is printed:
 *   requests    finished, right or wrong         rps  right ones per second, before the time was up
 *   p50_us ...  latencies of the right answers   late paced requests that began after their turn
 *   errors      all of the following kinds
 *   refused reset short timeout                  as seen by the client
 *   status length body malformed                 wrong answers
 *   local                                        this program had no port or descriptor left
 *   saw_STATUS  right answers by expected status
 */
#define _GNU_SOURCE
#include "bench.h"
#include <getopt.h>
#include <pthread.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#define CLIENTS_MAX 4096
#define SECONDS_MAX 600
#define RATE_MAX 100000
#define THREADS_MAX 16
#define EXPECT_MAX 4
#define ANSWER_MAX 2048             /* More than any answer expected here; a longer one is wrong. */
#define REST_NS (1 * NS_PER_MS)     /* After an error: a dead server must not make us spin. */
#define SWEEP_NS (20 * NS_PER_MS)   /* How often requests are looked through for timeouts. */
#define NEVER INT64_MAX
#define TIMER UINT32_MAX            /* The event number of the timer; others are clients. */

enum outcome {
    RIGHT, REFUSED, RESET, SHORT, TIMEOUT, STATUS, LENGTH, BODY, MALFORMED, LOCAL, OUTCOMES
};
static const char *const outcome_names[OUTCOMES] = {
    "right", "refused", "reset", "short", "timeout", "status", "length", "body", "malformed",
    "local",
};

/* Latencies in microseconds: exact below 256, within 1 % above. */
#define FINE 128
#define BUCKETS (FINE * 34)
struct histogram {
    uint64_t count[BUCKETS], total, max;
};

struct client {
    int fd;         /* -1 while it rests. */
    int unsent;     /* The request has not been sent yet. */
    uint32_t got;   /* Bytes of the answer so far. */
    int64_t begun;  /* Latency counts from here. */
    int64_t opened; /* The timeout counts from here. */
    int64_t due;    /* When it asks next. */
    char answer[ANSWER_MAX];
};

struct worker {
    pthread_t thread;
    struct client *clients;
    int clients_len, busy;
    int epoll, timer;
    int64_t wake; /* The earliest time at which a resting client is due. */
    uint64_t outcomes[OUTCOMES], saw[EXPECT_MAX], in_time, late;
    struct histogram latency;
};

/* Written before the threads start, only read by them. */
static struct address target;
static char request[1024];
static size_t request_len;
static struct { int status; const char *body; } expect[EXPECT_MAX];
static int expect_len;
static int64_t start_ns, end_ns, timeout_ns = 5 * NS_PER_S;
static int64_t interval_ns; /* Between the requests of one client; 0 is the closed loop. */

static void begin(struct worker *w, struct client *c, int64_t now);
static void finish(struct worker *w, struct client *c, enum outcome outcome);

static void record(struct histogram *h, int64_t ns) {
    uint64_t us = (uint64_t)ns / 1000;
    unsigned shift = us < 2 * FINE ? 0 : 63 - 7 - (unsigned)__builtin_clzll(us);
    size_t bucket = shift * FINE + (us >> shift);
    h->count[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    h->total++;
    if (us > h->max) h->max = us;
}

static uint64_t percentile(const struct histogram *h, double part) {
    uint64_t wanted = (uint64_t)(part * (double)h->total), seen = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += h->count[i];
        if (seen > wanted) {
            if (i < 2 * FINE) return i;
            size_t shift = i / FINE - 1;
            return (i - shift * FINE) << shift;
        }
    }
    return h->max;
}

/* The value of Content-Length, -1 if there is none. `head` ends with a zero byte. */
static long content_length(const char *head) {
    for (const char *line = head; (line = strstr(line, "\r\n")); ) {
        line += 2;
        if (!strncasecmp(line, "Content-Length:", 15)) return strtol(line + 15, NULL, 10);
    }
    return -1;
}

static enum outcome judge(struct worker *w, struct client *c) {
    if (!c->got) return SHORT;
    if (c->got == ANSWER_MAX) return LENGTH;
    c->answer[c->got] = 0;
    char *blank = strstr(c->answer, "\r\n\r\n");
    if (!blank) return SHORT;
    blank[2] = 0;
    const char *body = blank + 4;
    long body_len = (long)(c->answer + c->got - body);

    int status;
    if (sscanf(c->answer, "HTTP/1.%*1d %3d", &status) != 1) return MALFORMED;
    long said = content_length(c->answer);
    if (said < 0) return MALFORMED;
    if (body_len < said) return SHORT;
    if (body_len > said) return LENGTH;
    int known = 0;
    for (int i = 0; i < expect_len; i++) {
        if (status != expect[i].status) continue;
        known = 1;
        if ((long)strlen(expect[i].body) != said || memcmp(body, expect[i].body, (size_t)said))
            continue;
        w->saw[i]++;
        return RIGHT;
    }
    return known ? BODY : STATUS;
}

static enum outcome broken(int error) {
    switch (error) {
    case ECONNREFUSED: return REFUSED;
    case ECONNRESET: case EPIPE: return RESET;
    case ETIMEDOUT: return TIMEOUT;
    default: return LOCAL;
    }
}

static void try_send(struct worker *w, struct client *c) {
    ssize_t n = send(c->fd, request, request_len, MSG_NOSIGNAL);
    if (n == (ssize_t)request_len) {
        c->unsent = 0;
    } else if (n >= 0 || (errno != EAGAIN && errno != EINTR)) {
        finish(w, c, n >= 0 ? LOCAL : broken(errno));
    }
}

static void watch(struct worker *w, struct client *c, int how) {
    struct epoll_event e = {.events = EPOLLIN | (c->unsent ? EPOLLOUT : 0),
                            .data.u32 = (uint32_t)(c - w->clients)};
    if (epoll_ctl(w->epoll, how, c->fd, &e)) finish(w, c, LOCAL);
}

static void begin(struct worker *w, struct client *c, int64_t now) {
    c->begun = c->opened = now;
    if (interval_ns && c->due < now - NS_PER_MS) w->late++;
    c->got = 0;
    c->unsent = 1;
    w->busy++;
    c->fd = socket(target.raw.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        finish(w, c, LOCAL);
        return;
    }
    if (connect(c->fd, (struct sockaddr *)&target.raw, target.len) && errno != EINPROGRESS) {
        finish(w, c, broken(errno));
        return;
    }
    /* On loopback the handshake is over by now, so that waiting for it would only cost time. */
    try_send(w, c);
    if (c->fd >= 0) watch(w, c, EPOLL_CTL_ADD);
}

static void finish(struct worker *w, struct client *c, enum outcome outcome) {
    int64_t now = now_ns();
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    w->busy--;
    w->outcomes[outcome]++;
    if (outcome == RIGHT) {
        record(&w->latency, now - c->begun);
        if (now <= end_ns) w->in_time++;
    }
    if (interval_ns) {
        int was_late = (c->due += interval_ns) < now;
        if (was_late && now < end_ns && outcome == RIGHT) {
            begin(w, c, now);
            c->begun = c->due;
            return;
        }
    } else if (outcome == RIGHT) {
        if (now < end_ns) begin(w, c, now);
        return;
    } else {
        c->due = now + REST_NS;
    }
    if (c->due < w->wake) w->wake = c->due;
}

static void take_answer(struct worker *w, struct client *c) {
    for (;;) {
        ssize_t n = recv(c->fd, c->answer + c->got, ANSWER_MAX - c->got, 0);
        if (n > 0) {
            c->got += (uint32_t)n;
            if (c->got == ANSWER_MAX) finish(w, c, LENGTH);
            if (c->fd < 0 || c->got == ANSWER_MAX) return;
        } else if (n == 0) {
            finish(w, c, judge(w, c));
            return;
        } else {
            if (errno != EAGAIN && errno != EINTR) finish(w, c, broken(errno));
            return;
        }
    }
}

/* Starts every resting client whose turn has come, and finds the next turn. */
static void start_due(struct worker *w, int64_t now) {
    w->wake = NEVER;
    for (int i = 0; i < w->clients_len; i++) {
        struct client *c = &w->clients[i];
        if (c->fd < 0 && c->due <= now) begin(w, c, now);
        if (c->fd < 0 && c->due < w->wake) w->wake = c->due;
    }
}

static void end_overdue(struct worker *w, int64_t now) {
    for (int i = 0; i < w->clients_len; i++) {
        struct client *c = &w->clients[i];
        if (c->fd >= 0 && now - c->opened > timeout_ns) finish(w, c, TIMEOUT);
    }
}

static void arm(struct worker *w, int64_t at) {
    struct itimerspec t = {.it_value = {at / NS_PER_S, at % NS_PER_S}};
    timerfd_settime(w->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

static void *work(void *argument) {
    struct worker *w = argument;
    int64_t sweep = start_ns + SWEEP_NS, armed = NEVER;
    for (;;) {
        int64_t now = now_ns();
        if (now >= w->wake && now < end_ns) start_due(w, now);
        if (now >= end_ns && !w->busy) return NULL;
        if (now >= sweep) {
            end_overdue(w, now);
            sweep = now + SWEEP_NS;
        }
        if (w->wake != armed && w->wake != NEVER) arm(w, armed = w->wake);

        struct epoll_event events[64];
        int n = epoll_wait(w->epoll, events, 64, SWEEP_NS / NS_PER_MS);
        for (int i = 0; i < n; i++) {
            if (events[i].data.u32 == TIMER) {
                uint64_t ticks;
                if (read(w->timer, &ticks, sizeof ticks) > 0) armed = NEVER;
                continue;
            }
            struct client *c = &w->clients[events[i].data.u32];
            if (c->fd < 0) continue;
            if (c->unsent) {
                try_send(w, c);
                if (c->fd >= 0 && !c->unsent) watch(w, c, EPOLL_CTL_MOD);
            } else {
                take_answer(w, c);
            }
        }
    }
}

static void prepare(struct worker *w, int first, int step, int clients) {
    w->clients_len = (clients - first + step - 1) / step;
    w->clients = calloc((size_t)w->clients_len, sizeof *w->clients);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (!w->clients || w->epoll < 0 || w->timer < 0) die("out of memory or descriptors");
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = TIMER};
    epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->timer, &e);
    for (int i = 0; i < w->clients_len; i++) {
        int turn = first + i * step;
        w->clients[i].fd = -1;
        w->clients[i].due = start_ns + interval_ns / clients * turn;
    }
    w->wake = start_ns;
}

static void report(const struct worker *workers, int threads, double seconds) {
    static struct histogram all;
    uint64_t outcomes[OUTCOMES] = {0}, saw[EXPECT_MAX] = {0}, in_time = 0, late = 0, requests = 0;
    for (const struct worker *w = workers; w < workers + threads; w++) {
        for (int i = 0; i < OUTCOMES; i++) {
            outcomes[i] += w->outcomes[i];
            requests += w->outcomes[i];
        }
        for (int i = 0; i < expect_len; i++) saw[i] += w->saw[i];
        in_time += w->in_time;
        late += w->late;
        for (size_t i = 0; i < BUCKETS; i++) all.count[i] += w->latency.count[i];
        all.total += w->latency.total;
        if (w->latency.max > all.max) all.max = w->latency.max;
    }
    printf("requests=%llu seconds=%.3f rps=%.0f p50_us=%llu p99_us=%llu p999_us=%llu max_us=%llu "
           "late=%llu errors=%llu",
           (unsigned long long)requests, seconds, (double)in_time / seconds,
           (unsigned long long)percentile(&all, 0.50), (unsigned long long)percentile(&all, 0.99),
           (unsigned long long)percentile(&all, 0.999), (unsigned long long)all.max,
           (unsigned long long)late, (unsigned long long)(requests - outcomes[RIGHT]));
    for (int i = RIGHT + 1; i < OUTCOMES; i++)
        printf(" %s=%llu", outcome_names[i], (unsigned long long)outcomes[i]);
    for (int i = 0; i < expect_len; i++)
        printf(" saw_%d=%llu", expect[i].status, (unsigned long long)saw[i]);
    putchar('\n');
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"clients", 1, 0, 'c'}, {"seconds", 1, 0, 's'}, {"threads", 1, 0, 't'},
        {"rate", 1, 0, 'r'},    {"timeout", 1, 0, 'o'}, {"expect", 1, 0, 'e'}, {0},
    };
    int clients = 1, threads = 2;
    double seconds = 1, rate = 0;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1; ) {
        switch (o) {
        case 'c': clients = (int)number("--clients", optarg, 1, CLIENTS_MAX); break;
        case 's': seconds = number("--seconds", optarg, 0.01, SECONDS_MAX); break;
        case 't': threads = (int)number("--threads", optarg, 1, THREADS_MAX); break;
        case 'r': rate = number("--rate", optarg, 0.1, RATE_MAX); break;
        case 'o': timeout_ns = (int64_t)(number("--timeout", optarg, 0.1, 120) * NS_PER_S); break;
        case 'e':
            if (expect_len == EXPECT_MAX || strlen(optarg) < 4 || optarg[3] != ':')
                die("--expect: up to 4 of STATUS:BODY");
            expect[expect_len].status = atoi(optarg);
            expect[expect_len++].body = optarg + 4;
            break;
        default: return 2;
        }
    }
    if (argc - optind != 2) die("usage: load 127.0.0.1:PORT PATH [options]; see load.c");
    end_with_parent();
    target = loopback(argv[optind]);
    int len = snprintf(request, sizeof request,
                       "GET %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                       argv[optind + 1]);
    if (len >= (int)sizeof request) die("the path is too long");
    request_len = (size_t)len;
    if (!expect_len) expect[expect_len].status = 200, expect[expect_len++].body = "OK";
    if (threads > clients) threads = clients;
    need_descriptors((rlim_t)clients + 64);

    static struct worker workers[THREADS_MAX];
    start_ns = now_ns() + 2 * NS_PER_MS; /* Time enough to start the threads. */
    end_ns = start_ns + (int64_t)(seconds * NS_PER_S);
    interval_ns = rate ? (int64_t)(clients / rate * NS_PER_S) : 0;
    for (int i = 0; i < threads; i++) prepare(&workers[i], i, threads, clients);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            die("cannot start a thread");
    for (int i = 0; i < threads; i++) pthread_join(workers[i].thread, NULL);
    report(workers, threads, seconds);
}
