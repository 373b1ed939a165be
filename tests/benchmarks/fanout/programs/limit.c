// The limit: what telling N tabs K things costs at least. A WebSocket server that does nothing but send().
//
//   cc -O2 -o limit limit.c && ./limit
//
// Prints {"port":N} and then takes commands on stdin, each answered by {"done":COUNT}:
//   single COUNT GAP_US PAD   one event at a time to every tab, with a pause after each
//   storm COUNT PAD           all events at once: ready-made bytes, 64 KiB a write, tabs in turns
// PAD lengthens each event by so many bytes. The server ends when stdin does.
//
// It frames an event once and sends the same bytes to all: nothing can be cheaper that gives every tab
// its own connection and every single event its own write.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_TABS = 20000, MAX_PAD = 60000, MAX_EVENT = MAX_PAD + 400, CHUNK = 64 << 10, HANDSHAKE_TIMEOUT_S = 5 };

static int tabs[MAX_TABS];
static size_t sent[MAX_TABS]; // of a storm, in bytes
static int tab_count;
static uint32_t sequence;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// One event as a whole text frame (RFC 6455, 5.2): final, unmasked. Returns its length.
static size_t make_frame(char *out, uint64_t stamp_ns, int pad) {
    static char text[MAX_EVENT];
    sequence++;
    int length = snprintf(text, sizeof text,
                          "{\"t\":\"%016" PRIx64 "\",\"s\":\"%08x\",\"type\":\"entry_updated\","
                          "\"entry_id\":\"2026-11-22-some-note-title-%06u\",\"kb_name\":\"main\","
                          "\"path\":\"notes/some-note.md%.*d\"}",
                          stamp_ns, sequence, sequence, pad, 0);
    size_t head = 2;
    out[0] = (char)0x81;
    if (length < 126) {
        out[1] = (char)length;
    } else {
        out[1] = 126;
        out[2] = (char)(length >> 8);
        out[3] = (char)length;
        head = 4;
    }
    memcpy(out + head, text, (size_t)length);
    return head + (size_t)length;
}

static void drop_tab(int index) {
    close(tabs[index]);
    tab_count--;
    tabs[index] = tabs[tab_count];
    sent[index] = sent[tab_count];
}

static void send_singles(int count, int gap_us, int pad) {
    static char frame[MAX_EVENT + 4];
    for (int number = 0; number < count; number++) {
        size_t length = make_frame(frame, now_ns(), pad);
        for (int i = 0; i < tab_count; i++) {
            if (send(tabs[i], frame, length, MSG_NOSIGNAL) < 0 && errno != EINTR)
                drop_tab(i--);
        }
        if (gap_us)
            usleep((useconds_t)gap_us);
    }
}

static void send_storm(int count, int pad) {
    char *bytes = malloc((size_t)count * ((size_t)pad + 400));
    if (!bytes)
        exit(1);
    uint64_t stamp_ns = now_ns();
    size_t total = 0;
    for (int number = 0; number < count; number++)
        total += make_frame(bytes + total, stamp_ns, pad);
    memset(sent, 0, sizeof sent);
    for (int left = tab_count; left > 0;) {
        bool moved = false;
        for (int i = 0; i < tab_count; i++) {
            if (sent[i] == total)
                continue;
            size_t length = total - sent[i] < CHUNK ? total - sent[i] : CHUNK;
            ssize_t taken = send(tabs[i], bytes + sent[i], length, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (taken > 0) {
                sent[i] += (size_t)taken;
                left -= sent[i] == total;
                moved = true;
            } else if (taken < 0 && errno != EAGAIN && errno != EINTR) {
                drop_tab(i--);
                left--;
            }
        }
        if (!moved)
            usleep(50);
    }
    free(bytes);
}

static void take_tab(int listener) {
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"; // of the RFC's key
    char request[4096];
    size_t length = 0;
    int one = 1;
    struct timeval limit = {.tv_sec = HANDSHAKE_TIMEOUT_S};
    int tab = accept(listener, NULL, NULL);
    if (tab < 0)
        return;
    setsockopt(tab, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(tab, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    do {
        ssize_t got = recv(tab, request + length, sizeof request - 1 - length, 0);
        if (got <= 0 || tab_count == MAX_TABS) {
            close(tab);
            return;
        }
        length += (size_t)got;
        request[length] = 0;
    } while (!strstr(request, "\r\n\r\n"));
    send(tab, answer, sizeof answer - 1, MSG_NOSIGNAL);
    tabs[tab_count++] = tab;
}

int main(void) {
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096) ||
        getsockname(listener, (struct sockaddr *)&address, &size)) {
        perror("limit");
        return 1;
    }
    setvbuf(stdin, NULL, _IONBF, 0); // what poll says of the descriptor must be all that there is
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("{\"port\":%d}\n", ntohs(address.sin_port));
    for (;;) {
        struct pollfd waiting[] = {{.fd = listener, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
        if (poll(waiting, 2, -1) < 0 && errno != EINTR)
            return 1;
        if (waiting[0].revents)
            take_tab(listener);
        if (waiting[1].revents) {
            char line[200];
            int count = 0, gap_us = 0, pad = 0;
            if (!fgets(line, sizeof line, stdin))
                return 0;
            if (sscanf(line, "single %d %d %d", &count, &gap_us, &pad) == 3 && pad <= MAX_PAD)
                send_singles(count, gap_us, pad);
            else if (sscanf(line, "storm %d %d", &count, &pad) == 2 && pad <= MAX_PAD)
                send_storm(count, pad);
            else
                return 2;
            printf("{\"done\":%d}\n", count);
        }
    }
}
