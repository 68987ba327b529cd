/* The services that `targets` offers and `asker` asks: where the one of each component is. */
#ifndef SERVICES_H
#define SERVICES_H

#include "bench.h"

#define COMPONENTS_MAX 8000
#define PORTS_MAX 64
#define PER_SUBNET 250

struct ports {
    int number[PORTS_MAX], len;
};

/* "PORT,PORT,...", which is changed. */
static inline struct ports read_ports(char *text) {
    struct ports p = {.len = 0};
    for (char *one = strtok(text, ","); one && p.len < PORTS_MAX; one = strtok(NULL, ","))
        p.number[p.len++] = (int)number("port", one, 1, 65535);
    if (!p.len) die("no ports");
    return p;
}

/* An address of its own for each, 127.16.0.1 and on, and the ports in turn. */
static inline struct sockaddr_in service(int i, const struct ports *ports) {
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)ports->number[i % ports->len])};
    a.sin_addr.s_addr =
        htonl(0x7f100000u | (uint32_t)(i / PER_SUBNET) << 8 | (uint32_t)(i % PER_SUBNET + 1));
    return a;
}

#endif
