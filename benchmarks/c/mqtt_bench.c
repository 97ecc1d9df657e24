/* Load on an MQTT broker, and a stop watch. Built and called by benchmarks/bench_client.py; results as JSON on stdout.
 *
 *   mqtt_bench ceiling PORT TOPIC SIZE COUNT WINDOW
 *       one publisher, one subscriber, QoS 1 and PUBACKs on both sides, WINDOW messages unacknowledged at most:
 *       how many messages a second the broker passes on.
 *   mqtt_bench send PORT FILE RECEIPTS_FILTER WINDOW AHEAD RATE TIMEOUT_S STAMPS RECEIPTS
 *       publishes the messages of FILE, RATE a second (0: as fast as the window allows), never more than AHEAD
 *       readings beyond what is receipted, until all are receipted. STAMPS gets when each message was due and when
 *       it was sent (two u64 each, CLOCK_MONOTONIC ns); RECEIPTS a line "ns edge covered" for each receipt.
 *   mqtt_bench drain PORT FILTER COUNT TIMEOUT_S
 *       only subscribes and acknowledges.
 *
 * Name and password come from MQTT_USER and MQTT_PASSWORD.
 * FILE: per message u16 topic length, u32 payload length, u32 readings (little endian), topic, payload.
 * A receipt is ours when its topic ends /E<number>/down/receipt; what it covers is the sum of its "have" ranges. */
#define _GNU_SOURCE
#include "mqtt.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { EDGES = 100000, OUT_FULL = 262144, BREATH_NS = 200000 };

typedef struct {
    const uint8_t *topic, *payload;
    uint16_t topic_len;
    uint32_t len, readings;
} Message;

static double cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static Conn login(int port, const char *id) {
    const char *user = getenv("MQTT_USER"), *password = getenv("MQTT_PASSWORD");
    return connect_to(port, id, user ? user : "", password ? password : "");
}

/* Until one of the connections has something for us or `until_ns` has come. */
static void await_any(Conn **conns, int n, uint64_t until_ns) {
    struct pollfd fds[2];
    for (int i = 0; i < n; i++) fds[i] = (struct pollfd){conns[i]->fd, POLLIN | (conns[i]->out_len ? POLLOUT : 0), 0};
    uint64_t now = now_ns(), wait = until_ns > now ? until_ns - now : 0;
    struct timespec t = {(time_t)(wait / 1000000000u), (long)(wait % 1000000000u)};
    ppoll(fds, (nfds_t)n, &t, NULL);
}

/* At full speed: let packets gather, for a wake-up a packet costs the broker more than the packet. */
static void breathe(void) {
    struct timespec t = {0, BREATH_NS};
    nanosleep(&t, NULL);
}

/* Acknowledge each PUBLISH that came in; `seen` is called with it. Returns how many PUBACKs came. */
static unsigned take_in(Conn *c, void (*seen)(const Packet *, const uint8_t *topic, size_t topic_len)) {
    Packet p;
    size_t at = 0;
    unsigned acked = 0;
    read_in(c);
    while (next_packet(c, &at, &p)) {
        uint8_t kind = p.head & 0xf0;
        if (kind == 0x40) acked++;
        if (kind != 0x30) continue;
        size_t topic_len = (size_t)p.body[0] << 8 | p.body[1], skip = 2 + topic_len;
        if (p.head & 6) put_puback(c, p.body + skip), skip += 2;
        Packet payload = {p.head, p.body + skip, p.len - skip};
        seen(&payload, p.body + 2, topic_len);
    }
    drop_in(c, at);
    flush_out(c);
    return acked;
}

/* --- ceiling -------------------------------------------------------------------------------------------------- */

static uint64_t received;

static void count_one(const Packet *p, const uint8_t *topic, size_t n) { (void)p, (void)topic, (void)n, received++; }

static int ceiling(int port, const char *topic, size_t size, uint64_t count, uint64_t window) {
    prctl(PR_SET_TIMERSLACK, 1UL);
    Conn sub = login(port, "bench-sub"), pub = login(port, "bench-pub");
    Conn *both[] = {&pub, &sub};
    char *payload = malloc(size + 1);
    uint64_t sent = 0, acked = 0;
    memset(payload, 'x', size);
    subscribe(&sub, topic);
    uint64_t start = now_ns();
    while (received < count || acked < count) {
        while (sent < count && sent - acked < window && sent - received < 4 * window && pub.out_len < OUT_FULL)
            put_publish(&pub, topic, strlen(topic), payload, size, (unsigned)(sent++ % 65535 + 1));
        flush_out(&pub);
        breathe();
        await_any(both, 2, now_ns() + 1000000000u);
        acked += take_in(&pub, count_one);
        take_in(&sub, count_one);
        if (now_ns() - start > 120000000000u) die("the broker lost a message, or took two minutes");
    }
    double seconds = 1e-9 * (double)(now_ns() - start);
    printf("{\"messages\": %llu, \"seconds\": %.6f, \"per_s\": %.1f, \"client_cpu_s\": %.4f}\n", (unsigned long long)count,
           seconds, (double)count / seconds, cpu_s());
    return 0;
}

static int drain(int port, const char *filter, uint64_t count, double timeout_s) {
    Conn sub = login(port, "bench-drain");
    Conn *one[] = {&sub};
    subscribe(&sub, filter);
    uint64_t start = now_ns(), end = start + (uint64_t)(timeout_s * 1e9);
    while (received < count && now_ns() < end) {
        await_any(one, 1, end);
        take_in(&sub, count_one);
    }
    printf("{\"received\": %llu, \"seconds\": %.6f}\n", (unsigned long long)received, 1e-9 * (double)(now_ns() - start));
    return 0;
}

/* --- send ----------------------------------------------------------------------------------------------------- */

static uint64_t covered[EDGES], covered_sum, last_receipt_ns, receipts, requests;
static FILE *receipts_file;

static uint64_t covered_by(const uint8_t *json, size_t n) {
    const char key[] = "\"have\":[";
    const uint8_t *at = memmem(json, n, key, sizeof key - 1), *end = json + n;
    uint64_t sum = 0, number = 0, low = 0;
    int depth = 1;
    if (!at) return 0;
    for (at += sizeof key - 1; at < end && depth; at++) {
        if (*at >= '0' && *at <= '9') number = number * 10 + (uint64_t)(*at - '0');
        else if (*at == '[') depth++, number = 0;
        else if (*at == ',' && depth == 2) low = number, number = 0;
        else if (*at == ']') {
            if (depth == 2) sum += number - low + 1;
            depth--;
        }
    }
    return sum;
}

static void take_receipt(const Packet *p, const uint8_t *topic, size_t n) {
    char text[256] = "";
    if (p->head & 1 || n >= sizeof text) return; /* retained: of a time before ours */
    memcpy(text, topic, n), text[n] = 0;
    char *down = strstr(text, "/down/");
    if (!down) return;
    if (strcmp(down, "/down/receipt")) {
        requests++;
        return;
    }
    *down = 0;
    char *edge = strrchr(text, '/');
    unsigned long number = edge && edge[1] == 'E' ? strtoul(edge + 2, NULL, 10) : EDGES;
    if (number >= EDGES) return;
    uint64_t sum = covered_by(p->body, p->len), at = now_ns();
    receipts++;
    if (sum > covered[number]) covered_sum += sum - covered[number], covered[number] = sum, last_receipt_ns = at;
    if (receipts_file) fprintf(receipts_file, "%llu %lu %llu\n", (unsigned long long)at, number, (unsigned long long)sum);
}

static Message *load(const char *path, uint64_t *count, uint64_t *readings) {
    int fd = open(path, O_RDONLY);
    struct stat s;
    if (fd < 0 || fstat(fd, &s)) die(path);
    const uint8_t *at = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0), *end = at + s.st_size;
    uint64_t n = 0, room_for = 1024;
    Message *all = malloc(room_for * sizeof *all);
    while (at < end) {
        if (n == room_for && !(all = realloc(all, (room_for *= 2) * sizeof *all))) die("memory");
        Message *m = &all[n++];
        memcpy(&m->topic_len, at, 2), memcpy(&m->len, at + 2, 4), memcpy(&m->readings, at + 6, 4);
        m->topic = at + 10, m->payload = m->topic + m->topic_len;
        *readings += m->readings;
        at = m->payload + m->len;
    }
    *count = n;
    return all;
}

static int send_all(int port, const char *path, const char *filter, uint64_t window, uint64_t ahead, double rate,
                    double timeout_s, const char *stamps_path, const char *receipts_path) {
    uint64_t count = 0, expected = 0, sent = 0, acked = 0, sent_readings = 0, all_sent_ns = 0;
    Message *messages = load(path, &count, &expected);
    uint64_t *stamps = calloc(count * 2, sizeof *stamps);
    receipts_file = *receipts_path ? fopen(receipts_path, "w") : NULL;
    prctl(PR_SET_TIMERSLACK, 1UL);
    Conn pub = login(port, "bench-pub"), sub = login(port, "bench-receipts");
    Conn *both[] = {&pub, &sub};
    subscribe(&sub, filter);
    double cpu_before = cpu_s();
    uint64_t start = now_ns(), end = start + (uint64_t)(timeout_s * 1e9);
    while (covered_sum < expected && now_ns() < end) {
        uint64_t now = now_ns(), due = end;
        while (sent < count && sent - acked < window && sent_readings - covered_sum < ahead && pub.out_len < OUT_FULL) {
            due = rate > 0 ? start + (uint64_t)((double)sent * 1e9 / rate) : now;
            if (due > now) break;
            const Message *m = &messages[sent];
            put_publish(&pub, m->topic, m->topic_len, m->payload, m->len, (unsigned)(sent % 65535 + 1));
            stamps[2 * sent] = due, stamps[2 * sent + 1] = now_ns();
            sent_readings += m->readings;
            due = end;
            if (++sent == count) all_sent_ns = now_ns();
        }
        flush_out(&pub);
        if (rate == 0) breathe();
        await_any(both, 2, due < end ? due : now + 100000000u);
        acked += take_in(&pub, count_one);
        take_in(&sub, take_receipt);
    }
    FILE *out = *stamps_path ? fopen(stamps_path, "wb") : NULL;
    if (out) fwrite(stamps, 16, count, out), fclose(out);
    if (receipts_file) fclose(receipts_file);
    printf("{\"messages\": %llu, \"sent\": %llu, \"acked\": %llu, \"readings\": %llu, \"receipted\": %llu, \"receipts\": %llu, "
           "\"requests\": %llu, \"start_ns\": %llu, \"all_sent_ns\": %llu, \"last_receipt_ns\": %llu, \"client_cpu_s\": %.4f}\n",
           (unsigned long long)count, (unsigned long long)sent, (unsigned long long)acked, (unsigned long long)expected,
           (unsigned long long)covered_sum, (unsigned long long)receipts, (unsigned long long)requests,
           (unsigned long long)start, (unsigned long long)all_sent_ns, (unsigned long long)last_receipt_ns,
           cpu_s() - cpu_before);
    return 0;
}

int main(int n, char **a) {
    if (n == 7 && !strcmp(a[1], "ceiling")) return ceiling(atoi(a[2]), a[3], strtoul(a[4], 0, 10), strtoull(a[5], 0, 10), strtoull(a[6], 0, 10));
    if (n == 6 && !strcmp(a[1], "drain")) return drain(atoi(a[2]), a[3], strtoull(a[4], 0, 10), atof(a[5]));
    if (n == 11 && !strcmp(a[1], "send"))
        return send_all(atoi(a[2]), a[3], a[4], strtoull(a[5], 0, 10), strtoull(a[6], 0, 10), atof(a[7]), atof(a[8]), a[9], a[10]);
    fprintf(stderr, "see the head of benchmarks/c/mqtt_bench.c\n");
    return 2;
}
