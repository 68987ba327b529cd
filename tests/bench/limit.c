/* limit ADDRESS:PORT [FILE] - the fewest system calls that can answer one request per connection.
 *
 * Two threads block in accept on one listener; each does accept4, one recv, one constant send and
 * close. It neither reads what was asked nor survives a slow client: it is no server, it is the
 * physical limit that servers are measured against. FILE holds the bytes to answer, so that the
 * server and its limit send the same. */
#define _GNU_SOURCE
#include "bench.h"
#include <pthread.h>

#define THREADS 2
#define BACKLOG 4096
#define SECONDS_MAX 3600 /* Nothing of the benchmark may be left behind for longer. */

static char response[8192] = "HTTP/1.0 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
                             "Content-Length: 2\r\nConnection: close\r\n"
                             "Cache-Control: no-store\r\n\r\nOK";
static size_t response_len;
static int listener;

static void *serve(void *unused) {
    (void)unused;
    for (;;) {
        char request[2048];
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) continue;
        if (recv(fd, request, sizeof request, 0) > 0)
            send(fd, response, response_len, MSG_NOSIGNAL);
        close(fd);
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 3) die("usage: limit 127.0.0.1:PORT [FILE]");
    end_with_parent();
    alarm(SECONDS_MAX);
    struct address at = loopback(argv[1]);

    response_len = strlen(response);
    if (argc == 3) {
        FILE *file = fopen(argv[2], "rb");
        if (!file) die_errno(argv[2]);
        response_len = fread(response, 1, sizeof response, file);
        fclose(file);
    }

    listener = socket(at.raw.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (struct sockaddr *)&at.raw, at.len)) die_errno("bind");
    if (listen(listener, BACKLOG)) die_errno("listen");

    pthread_t thread;
    for (int i = 1; i < THREADS; i++)
        if (pthread_create(&thread, NULL, serve, NULL)) die("cannot start a thread");
    serve(NULL);
}
