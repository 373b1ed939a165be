// The tabs: holds many WebSocket connections in one process, counts their events, checks their order and
// notes how long they took. It must be faster than every server: what it costs is nobody's figure.
//
//   cc -O2 -o load load.c -lz && ./load PORT PATH TABS [deflate] [stalled]
//
//   deflate   asks for permessage-deflate
//   stalled   never reads after the handshake, over a connection as narrow as one over an Ethernet
//
// Prints {"ready":TABS, …} when all are connected, and then takes commands on stdin:
//   expect COUNT TIMEOUT_MS   {"armed":1} at once; a line of results when every tab has COUNT events, or at the deadline
//   quiet QUIET_MS TIMEOUT_MS {"quiet":1} when nothing has come for so long, or 0 at the deadline
// It ends when stdin does.
//
// An event is a text frame that begins {"t":"<16 hex digits: CLOCK_MONOTONIC in ns>","s":"<8 hex digits>",
// with or without spaces; "s" counts without a hole.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum {
    READ_BYTES = 1 << 20,
    HANDSHAKE_TIMEOUT_S = 30,
    LATENCY_US = 8 << 20,    // a counter a microsecond, up to 8 s; what is later counts as the last
    INFLATED_BYTES = 1 << 17,
    INFLATE_EVERY = 50,      // only these tabs inflate: all of them would cost more than the servers
    ETHERNET_MSS = 1448,     // on loopback it is 64 KiB, and the kernel would take megabytes for a stalled tab
    STALLED_RECEIVE_BYTES = 4096,
};

struct tab {
    int fd;
    bool is_closed;
    int close_code;
    char *rest; // of a frame that is not whole
    size_t rest_length, rest_capacity;
    uint32_t events, last_sequence;
    z_stream *inflater;
};

static struct tab *tabs;
static int tab_count, epoll, deflated_tabs;
static bool wants_deflate, is_stalled;
static char *buffer;
static size_t buffer_size = READ_BYTES;

// Of what is expected now
static bool is_expecting;
static uint64_t expected_total, deadline_ns;
static uint64_t events, gaps, bytes, closed, read_ns, first_ns, last_ns, longest_ns;
static uint32_t *latencies; // how many events took so many microseconds
static uint64_t latency_count;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

// Read `"NAME": "<hex digits>"` at `at`, spaces allowed; returns what follows, or NULL.
static const char *read_hex(const char *at, const char *end, char name, int digits, uint64_t *value) {
    while (at < end && (*at == ' ' || *at == ',' || *at == '{'))
        at++;
    if (end - at < 4 + digits + 2 || at[0] != '"' || at[1] != name || at[2] != '"' || at[3] != ':')
        return NULL;
    at += 4;
    if (*at == ' ')
        at++;
    if (*at++ != '"')
        return NULL;
    *value = 0;
    for (int i = 0; i < digits; i++) {
        int c = *at++;
        *value = *value << 4 | (uint64_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return at + 1;
}

static void count_event(struct tab *tab, const char *text, size_t length) {
    uint64_t stamp_ns, sequence;
    const char *end = text + length;
    const char *next = read_hex(text, end, 't', 16, &stamp_ns);
    if (!next || !read_hex(next, end, 's', 8, &sequence))
        return;
    tab->events++;
    events++;
    if (tab->last_sequence && sequence != tab->last_sequence + 1u)
        gaps++;
    tab->last_sequence = (uint32_t)sequence;
    uint64_t took_ns = read_ns > stamp_ns ? read_ns - stamp_ns : 0;
    if (took_ns > longest_ns)
        longest_ns = took_ns;
    uint64_t took_us = took_ns / 1000;
    latencies[took_us < LATENCY_US ? took_us : LATENCY_US - 1]++;
    latency_count++;
}

static void count_deflated(struct tab *tab, unsigned char *payload, size_t length) {
    static unsigned char text[INFLATED_BYTES];
    static unsigned char tail[] = {0, 0, 0xff, 0xff}; // RFC 7692, 7.2.2
    if (!tab->inflater) {
        tab->events++;
        events++;
        return;
    }
    tab->inflater->next_out = text;
    tab->inflater->avail_out = sizeof text;
    tab->inflater->next_in = payload;
    tab->inflater->avail_in = (uInt)length;
    inflate(tab->inflater, Z_SYNC_FLUSH);
    tab->inflater->next_in = tail;
    tab->inflater->avail_in = sizeof tail;
    inflate(tab->inflater, Z_SYNC_FLUSH);
    count_event(tab, (char *)text, sizeof text - tab->inflater->avail_out);
}

static void send_pong(struct tab *tab, const unsigned char *payload, size_t length) {
    unsigned char frame[6 + 125] = {0x8a, (unsigned char)(0x80 | length)}; // the mask is zero
    memcpy(frame + 6, payload, length);
    send(tab->fd, frame, 6 + length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// Take the whole frames in [at, end); returns where the rest begins.
static unsigned char *take_frames(struct tab *tab, unsigned char *at, unsigned char *end) {
    while (end - at >= 2) {
        size_t head = 2, length = at[1] & 127;
        if (length == 126) {
            head = 4;
            if (end - at < 4)
                break;
            length = (size_t)at[2] << 8 | at[3];
        } else if (length == 127) {
            head = 10;
            if (end - at < 10)
                break;
            length = 0;
            for (int i = 2; i < 10; i++)
                length = length << 8 | at[i];
        }
        if ((size_t)(end - at) < head + length)
            break;
        unsigned char *payload = at + head;
        int opcode = at[0] & 15;
        if (opcode == 9)
            send_pong(tab, payload, length < 125 ? length : 125);
        else if (opcode == 8)
            tab->close_code = length >= 2 ? payload[0] << 8 | payload[1] : 1005;
        else if (opcode == 1 && at[0] & 0x40)
            count_deflated(tab, payload, length);
        else if (opcode == 1)
            count_event(tab, (char *)payload, length);
        at = payload + length;
    }
    return at;
}

static void keep_rest(struct tab *tab, const unsigned char *at, size_t length) {
    tab->rest_length = length;
    if (length > tab->rest_capacity) {
        tab->rest_capacity = 2 * length;
        tab->rest = realloc(tab->rest, tab->rest_capacity);
        if (!tab->rest)
            fail("memory");
    }
    memcpy(tab->rest, at, length);
}

static void read_tab(struct tab *tab) {
    size_t rest = tab->rest_length;
    if (rest + READ_BYTES / 2 > buffer_size && !(buffer = realloc(buffer, buffer_size *= 2)))
        fail("memory");
    ssize_t got = recv(tab->fd, buffer + rest, buffer_size - rest, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        tab->is_closed = true;
        closed++;
        close(tab->fd);
        return;
    }
    read_ns = last_ns = now_ns();
    if (!first_ns)
        first_ns = read_ns;
    bytes += (uint64_t)got;
    if (rest)
        memcpy(buffer, tab->rest, rest);
    unsigned char *end = (unsigned char *)buffer + rest + got;
    unsigned char *at = take_frames(tab, (unsigned char *)buffer, end);
    tab->rest_length = 0;
    if (at < end)
        keep_rest(tab, at, (size_t)(end - at));
}

static void connect_tab(struct tab *tab, int number, int port, const char *request) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = HANDSHAKE_TIMEOUT_S};
    int one = 1, narrow = STALLED_RECEIVE_BYTES, segment = ETHERNET_MSS;
    tab->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (tab->fd < 0)
        fail("socket");
    setsockopt(tab->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(tab->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (is_stalled) {
        setsockopt(tab->fd, SOL_SOCKET, SO_RCVBUF, &narrow, sizeof narrow);
        setsockopt(tab->fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    }
    if (connect(tab->fd, (struct sockaddr *)&address, sizeof address))
        fail("connect");
    if (send(tab->fd, request, strlen(request), MSG_NOSIGNAL) < 0)
        fail("request");
    size_t length = 0;
    char *end = NULL;
    while (!end) {
        ssize_t got = recv(tab->fd, buffer + length, buffer_size - length - 1, 0);
        if (got <= 0)
            fail("handshake");
        length += (size_t)got;
        buffer[length] = 0;
        end = strstr(buffer, "\r\n\r\n");
    }
    if (strncmp(buffer, "HTTP/1.1 101", 12)) {
        fprintf(stderr, "load: refused: %.300s\n", buffer);
        exit(1);
    }
    *end = 0;
    if (strcasestr(buffer, "permessage-deflate")) {
        deflated_tabs++;
        if (number % INFLATE_EVERY == 0) {
            tab->inflater = calloc(1, sizeof *tab->inflater);
            if (!tab->inflater || inflateInit2(tab->inflater, -15) != Z_OK)
                fail("inflate");
        }
    }
    keep_rest(tab, (unsigned char *)end + 4, length - (size_t)(end + 4 - buffer));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = tab};
    if (!is_stalled && epoll_ctl(epoll, EPOLL_CTL_ADD, tab->fd, &event))
        fail("epoll");
}

static void expect(uint64_t count, uint64_t timeout_ms) {
    events = gaps = bytes = first_ns = last_ns = longest_ns = latency_count = 0;
    memset(latencies, 0, LATENCY_US * sizeof *latencies);
    for (int i = 0; i < tab_count; i++)
        tabs[i].events = tabs[i].last_sequence = 0;
    expected_total = count * (uint64_t)tab_count;
    deadline_ns = now_ns() + timeout_ms * 1000000u;
    is_expecting = true;
    printf("{\"armed\":1}\n");
}

static double latency_ms(double share) {
    uint64_t seen = 0, wanted = (uint64_t)(share * (double)latency_count);
    for (int us = 0; us < LATENCY_US; us++) {
        seen += latencies[us];
        if (seen > wanted)
            return us / 1000.0;
    }
    return -1;
}

static void say_results(void) {
    uint32_t least = UINT32_MAX, most = 0;
    for (int i = 0; i < tab_count; i++) {
        least = tabs[i].events < least ? tabs[i].events : least;
        most = tabs[i].events > most ? tabs[i].events : most;
    }
    printf("{\"total\":%" PRIu64 ",\"expected\":%" PRIu64 ",\"gaps\":%" PRIu64 ",\"bytes\":%" PRIu64
           ",\"least\":%u,\"most\":%u,\"closed\":%" PRIu64 ",\"seconds\":%.6f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
           "\"longest_ms\":%.3f}\n",
           events, expected_total, gaps, bytes, least, most, closed, (double)(last_ns - first_ns) / 1e9,
           latency_ms(0.5), latency_ms(0.99), (double)longest_ns / 1e6);
    is_expecting = false;
}

static void wait_and_read(int timeout_ms);

static void take_command(void) {
    char line[200];
    unsigned long count, limit_ms;
    if (!fgets(line, sizeof line, stdin))
        exit(0);
    if (sscanf(line, "expect %lu %lu", &count, &limit_ms) == 2) {
        expect(count, limit_ms);
    } else if (sscanf(line, "quiet %lu %lu", &count, &limit_ms) == 2) {
        uint64_t now = now_ns(), until_ns = now + limit_ms * 1000000u;
        last_ns = now;
        while (now < until_ns && now < last_ns + count * 1000000u) {
            wait_and_read(10);
            now = now_ns();
        }
        printf("{\"quiet\":%d}\n", now < until_ns);
    } else {
        exit(2);
    }
}

static void wait_and_read(int timeout_ms) {
    struct epoll_event ready[1024];
    int count = epoll_wait(epoll, ready, 1024, timeout_ms);
    for (int i = 0; i < count; i++) {
        struct tab *tab = ready[i].data.ptr;
        if (!tab)
            take_command();
        else if (!tab->is_closed)
            read_tab(tab);
    }
}

int main(int count, char **arguments) {
    if (count < 4) {
        fprintf(stderr, "usage: load PORT PATH TABS [deflate] [stalled]\n");
        return 2;
    }
    int port = atoi(arguments[1]);
    tab_count = atoi(arguments[3]);
    for (int i = 4; i < count; i++) {
        wants_deflate |= !strcmp(arguments[i], "deflate");
        is_stalled |= !strcmp(arguments[i], "stalled");
    }
    tabs = calloc((size_t)tab_count, sizeof *tabs);
    buffer = malloc(buffer_size);
    latencies = malloc(LATENCY_US * sizeof *latencies);
    epoll = epoll_create1(0);
    if (!tabs || !buffer || !latencies || epoll < 0)
        fail("start");
    setvbuf(stdin, NULL, _IONBF, 0); // what epoll says of the descriptor must be all that there is
    setvbuf(stdout, NULL, _IOLBF, 0);
    char request[1024];
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
             arguments[2], port,
             wants_deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" : "");
    uint64_t began_ns = now_ns();
    for (int i = 0; i < tab_count; i++)
        connect_tab(&tabs[i], i, port, request);
    printf("{\"ready\":%d,\"seconds\":%.3f,\"deflated\":%d}\n", tab_count, (double)(now_ns() - began_ns) / 1e9,
           deflated_tabs);
    struct epoll_event commands = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &commands))
        fail("epoll");
    for (;;) {
        wait_and_read(is_expecting ? 20 : -1);
        if (is_expecting && (events >= expected_total || now_ns() > deadline_ns))
            say_results();
    }
}
