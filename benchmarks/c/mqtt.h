/* The little of MQTT 3.1.1 that a load generator needs: CONNECT, SUBSCRIBE, PUBLISH at QoS 1, PUBACK.
 * Raw non-blocking sockets and two buffers a connection, so that the client is never what limits a figure.
 * For measuring only: no keep-alive, no reconnection, no session. */
#ifndef MQTT_H
#define MQTT_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    int fd;
    uint8_t *in, *out;
    size_t in_len, out_len, out_off, in_cap, out_cap;
} Conn;

typedef struct { /* one whole packet inside Conn.in */
    uint8_t head;
    const uint8_t *body;
    size_t len;
} Packet;

static void die(const char *why) {
    fprintf(stderr, "mqtt_bench: %s (%s)\n", why, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint8_t *room(Conn *c, size_t n) { /* n bytes at the end of the out buffer */
    if (c->out_len + n > c->out_cap) {
        c->out_cap = (c->out_len + n) * 2;
        if (!(c->out = realloc(c->out, c->out_cap))) die("memory");
    }
    uint8_t *at = c->out + c->out_len;
    c->out_len += n;
    return at;
}

static void put_head(Conn *c, uint8_t head, size_t rest) {
    *room(c, 1) = head;
    do {
        uint8_t byte = rest & 0x7f;
        rest >>= 7;
        *room(c, 1) = rest ? byte | 0x80 : byte;
    } while (rest);
}

static void put_u16(Conn *c, unsigned v) {
    uint8_t *at = room(c, 2);
    at[0] = (uint8_t)(v >> 8), at[1] = (uint8_t)v;
}

static void put_text(Conn *c, const void *text, size_t n) {
    put_u16(c, (unsigned)n);
    memcpy(room(c, n), text, n);
}

static void put_publish(Conn *c, const void *topic, size_t topic_len, const void *payload, size_t len, unsigned mid) {
    put_head(c, 0x32, 2 + topic_len + 2 + len);
    put_text(c, topic, topic_len);
    put_u16(c, mid);
    memcpy(room(c, len), payload, len);
}

static void put_puback(Conn *c, const uint8_t *mid) {
    uint8_t *at = room(c, 4);
    at[0] = 0x40, at[1] = 2, at[2] = mid[0], at[3] = mid[1];
}

static void flush_out(Conn *c) { /* as much as the socket takes now */
    while (c->out_off < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_off, c->out_len - c->out_off, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n < 0) die("the broker closed the connection");
        c->out_off += (size_t)n;
    }
    c->out_len = c->out_off = 0;
}

static void read_in(Conn *c) {
    for (;;) {
        if (c->in_cap - c->in_len < 65536) {
            c->in_cap = c->in_cap * 2 + 131072;
            if (!(c->in = realloc(c->in, c->in_cap))) die("memory");
        }
        ssize_t n = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len, 0);
        if (n == 0) die("the broker ended the connection");
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n < 0) die("recv");
        c->in_len += (size_t)n;
        if (c->in_len > (1u << 20)) return;
    }
}

/* The next whole packet after *at; 0 when there is none. */
static int next_packet(const Conn *c, size_t *at, Packet *p) {
    size_t rest = 0, i = *at + 1;
    for (int shift = 0;; shift += 7, i++) {
        if (i >= c->in_len) return 0;
        rest |= (size_t)(c->in[i] & 0x7f) << shift;
        if (!(c->in[i] & 0x80)) break;
    }
    if (i + 1 + rest > c->in_len) return 0;
    p->head = c->in[*at], p->body = c->in + i + 1, p->len = rest;
    *at = i + 1 + rest;
    return 1;
}

static void drop_in(Conn *c, size_t n) {
    memmove(c->in, c->in + n, c->in_len - n);
    c->in_len -= n;
}

static void await(Conn *c, uint8_t kind) { /* CONNACK or SUBACK, at the start only */
    Packet p;
    for (;;) {
        size_t at = 0;
        read_in(c);
        while (next_packet(c, &at, &p))
            if ((p.head & 0xf0) == kind) {
                if (p.len < 2 || p.body[p.len - 1] >= 0x80 || (kind == 0x20 && p.body[1])) die("refused by the broker");
                drop_in(c, at);
                return;
            }
        usleep(200);
    }
}

static Conn connect_to(int port, const char *id, const char *user, const char *password) {
    Conn c = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    if (connect(c.fd, (struct sockaddr *)&a, sizeof a)) die("no broker");
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c.fd, F_SETFL, O_NONBLOCK);
    put_head(&c, 0x10, 10 + 2 + strlen(id) + 2 + strlen(user) + 2 + strlen(password));
    memcpy(room(&c, 10), "\0\4MQTT\4\xc2\0\0", 10); /* 3.1.1, clean session, name and password, no keep-alive */
    put_text(&c, id, strlen(id));
    put_text(&c, user, strlen(user));
    put_text(&c, password, strlen(password));
    flush_out(&c);
    await(&c, 0x20);
    return c;
}

static void subscribe(Conn *c, const char *filter) {
    put_head(c, 0x82, 2 + 2 + strlen(filter) + 1);
    put_u16(c, 1);
    put_text(c, filter, strlen(filter));
    *room(c, 1) = 1;
    flush_out(c);
    await(c, 0x90);
}

#endif
