/* A load: load ENDPOINT req|dealer CLIENTS WINDOW BATCH SECONDS PAYLOAD TEMPLATE
 *
 *   req      CLIENTS sockets, each with one request under way
 *   dealer   one socket with WINDOW requests under way, BATCH of them in one message
 *
 * TEMPLATE is the request; @P in it stands for a payload of PAYLOAD bytes, @I for an id. Once
 * every client has had an answer it says "ready" and waits for a line on standard input. Then
 * it asks for SECONDS, waits for the last answers, and prints one JSON object:
 *
 *   seconds  that it asked for     timely   answers within them
 *   answers  in all, the last ones too      p50_us, p99_us   round trips
 *   cpu_us   of its own, in all
 *
 * A wrong answer, or none within 10 seconds, is said on standard error and ends it with 1.
 *
 * Build: cc -O2 -o load load.c echo_check.c -lzmq
 */
#define _GNU_SOURCE
#include "echo_check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define PATIENCE_MS 10000
/* Numbers of requests; and a power of two beyond what is ever under way. */
#define NUMBERS (1u << 27)
#define TIMES (1u << 17)

typedef struct {
    request_t request;
    uint32_t nonce;
    uint64_t next;              /* the next request's number */
    uint64_t answers;
    uint64_t timely;            /* answers before the deadline */
    uint64_t deadline;          /* nanoseconds */
    size_t batch;
    unsigned char *asked;       /* a bit for each number that is under way */
    uint64_t *times;            /* when it was sent, by number */
    uint32_t *trips;            /* round trips in nanoseconds */
    size_t trip_count, trip_room;
    char *buffer;               /* of a batch */
} load_t;

static void fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static void *room(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL)
        fail("no memory for %zu times %zu bytes", count, size);
    return memory;
}

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t own_cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void expect(bool holds, const char *what)
{
    if (!holds)
        fail("%s: %s", what, zmq_strerror(errno));
}

/* Make the next request, and note that it is under way. */
static const request_t *next_request(load_t *load, uint64_t at)
{
    uint64_t number = load->next++;

    if (number >= NUMBERS)
        fail("more than %u requests", NUMBERS);
    request_number(&load->request, number, load->nonce);
    load->asked[number / 8] |= (unsigned char)(1u << number % 8);
    load->times[number % TIMES] = at;
    return &load->request;
}

static void take_trip(load_t *load, uint64_t nanoseconds)
{
    if (load->trip_count == load->trip_room) {
        load->trip_room = load->trip_room ? 2 * load->trip_room : 1 << 16;
        load->trips = realloc(load->trips, load->trip_room * sizeof *load->trips);
        if (load->trips == NULL)
            fail("no memory");
    }
    load->trips[load->trip_count++] = nanoseconds > UINT32_MAX ? UINT32_MAX : (uint32_t)nanoseconds;
}

/* Check one reply; return its number. */
static uint64_t take_reply(load_t *load, const char *reply, size_t length, uint64_t at)
{
    int64_t number = reply_number(&load->request, reply, length);
    unsigned char bit = (unsigned char)(1u << number % 8);

    if (number < 0 || number >= (int64_t)load->next || !(load->asked[number / 8] & bit))
        fail("not an answer to what was asked: %.*s", (int)(length < 300 ? length : 300), reply);
    load->asked[number / 8] &= (unsigned char)~bit;
    load->answers++;
    if (at <= load->deadline)
        load->timely++;
    take_trip(load, at - load->times[number % TIMES]);
    return (uint64_t)number;
}

static void skip_to(const char **at, const char *end, char wanted)
{
    while (*at < end && (**at == ' ' || **at == '\n'))
        (*at)++;
    if (*at == end || **at != wanted)
        fail("a pack of replies lacks %c", wanted);
    (*at)++;
}

/* Check a pack of replies: [[index, reply], ...]. Return how many it holds. */
static size_t take_pack(load_t *load, const char *pack, size_t length, uint64_t time)
{
    const char *at = pack, *end = pack + length, *reply;
    size_t count = 0;
    char *rest;

    skip_to(&at, end, '[');
    for (;;) {
        unsigned long index;

        skip_to(&at, end, '[');
        index = strtoul(at, &rest, 10);
        at = rest;
        skip_to(&at, end, ',');
        while (at < end && *at == ' ')
            at++;
        reply = at;
        at = json_skip(at, end);
        if (at == NULL)
            fail("a pack of replies breaks off");
        if (take_reply(load, reply, (size_t)(at - reply), time) % load->batch != index)
            fail("the reply with index %lu is another request's", index);
        count++;
        skip_to(&at, end, ']');
        if (at < end && *at == ']')
            return count;
        skip_to(&at, end, ',');
    }
}

static size_t take_message(load_t *load, zmq_msg_t *message)
{
    const char *body = zmq_msg_data(message);
    size_t length = zmq_msg_size(message);

    if (load->batch > 1 && length && body[0] == '[')
        return take_pack(load, body, length, now());
    take_reply(load, body, length, now());
    return 1;
}

/* One DEALER ----------------------------------------------------------------------------- */

static void send_batch(load_t *load, void *socket)
{
    const request_t *request;
    uint64_t at = now();
    char *out = load->buffer;
    size_t sent;

    *out++ = '[';
    for (sent = 0; sent < load->batch; sent++) {
        request = next_request(load, at);
        if (sent)
            *out++ = ',';
        memcpy(out, request->text, request->length);
        out += request->length;
    }
    *out++ = ']';
    expect(zmq_send(socket, "", 0, ZMQ_SNDMORE) == 0, "send");
    expect(zmq_send(socket, load->buffer, (size_t)(out - load->buffer), 0) >= 0, "send");
}

static void send_one(load_t *load, void *socket)
{
    const request_t *request = next_request(load, now());

    expect(zmq_send(socket, "", 0, ZMQ_SNDMORE) == 0, "send");
    expect(zmq_send(socket, request->text, request->length, 0) >= 0, "send");
}

/* Send as many whole messages as FREE requests make; return what is left. */
static size_t refill(load_t *load, void *socket, size_t free)
{
    for (; free >= load->batch; free -= load->batch) {
        if (load->batch > 1)
            send_batch(load, socket);
        else
            send_one(load, socket);
    }
    return free;
}

/* Receive one message; return how many replies it brought, 0 for none with DONTWAIT. */
static size_t receive(load_t *load, void *socket, int flags)
{
    zmq_msg_t frame;
    size_t count = 0;

    zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, socket, flags) < 0) {
        if (errno != EAGAIN || !flags)
            fail("no answer within %d ms: %s", PATIENCE_MS, zmq_strerror(errno));
    } else {
        if (zmq_msg_size(&frame) != 0 || !zmq_msg_more(&frame))
            fail("a reply does not begin with the delimiter");
        expect(zmq_msg_recv(&frame, socket, 0) >= 0, "recv");
        if (zmq_msg_more(&frame))
            fail("a reply has frames after its body");
        count = take_message(load, &frame);
    }
    zmq_msg_close(&frame);
    return count;
}

static void run_dealer(load_t *load, void *socket, size_t window)
{
    size_t free = refill(load, socket, window), got;

    while (now() < load->deadline) {
        free += receive(load, socket, 0);
        while (free < window && (got = receive(load, socket, ZMQ_DONTWAIT)) > 0)
            free += got;
        free = refill(load, socket, free);
    }
    while (load->answers < load->next)
        receive(load, socket, 0);
}

/* REQ clients ---------------------------------------------------------------------------- */

static void ask(load_t *load, void *socket)
{
    const request_t *request = next_request(load, now());

    expect(zmq_send(socket, request->text, request->length, 0) >= 0, "send");
}

static bool answered(load_t *load, void *socket, int flags)
{
    zmq_msg_t reply;
    bool got;

    zmq_msg_init(&reply);
    got = zmq_msg_recv(&reply, socket, flags) >= 0;
    if (got)
        take_message(load, &reply);
    else if (errno != EAGAIN || !flags)
        fail("no answer within %d ms: %s", PATIENCE_MS, zmq_strerror(errno));
    zmq_msg_close(&reply);
    return got;
}

static void run_one_req(load_t *load, void *socket)
{
    while (now() < load->deadline) {
        ask(load, socket);
        answered(load, socket, 0);
    }
}

/* A socket's descriptor tells of changes, so it is looked at until there is no more. */
static void serve_req(load_t *load, void *socket)
{
    while (answered(load, socket, ZMQ_DONTWAIT)) {
        if (now() >= load->deadline)
            return;
        ask(load, socket);
    }
}

static void run_reqs(load_t *load, void **sockets, size_t clients)
{
    int watch = epoll_create1(0), count, fd;
    size_t size = sizeof fd, at;
    struct epoll_event event, *ready = room(clients, sizeof event);

    expect(watch >= 0, "epoll_create1");
    for (at = 0; at < clients; at++) {
        expect(zmq_getsockopt(sockets[at], ZMQ_FD, &fd, &size) == 0, "ZMQ_FD");
        event = (struct epoll_event){.events = EPOLLIN, .data.ptr = sockets[at]};
        expect(epoll_ctl(watch, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
        ask(load, sockets[at]);
        serve_req(load, sockets[at]);
    }
    while (load->answers < load->next) {
        count = epoll_wait(watch, ready, (int)clients, PATIENCE_MS);
        if (count == 0)
            fail("no answer within %d ms", PATIENCE_MS);
        while (count-- > 0)
            serve_req(load, ready[count].data.ptr);
    }
    close(watch);
    free(ready);
}

/* ---------------------------------------------------------------------------------------- */

static int by_size(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

static void report(load_t *load, double seconds, uint64_t cpu_us)
{
    size_t count = load->trip_count;

    if (count == 0)
        fail("nothing was asked");
    qsort(load->trips, count, sizeof *load->trips, by_size);
    printf("{\"seconds\": %.6f, \"timely\": %llu, \"answers\": %llu, \"p50_us\": %.1f, "
           "\"p99_us\": %.1f, \"cpu_us\": %llu}\n",
           seconds, (unsigned long long)load->timely, (unsigned long long)load->answers,
           load->trips[count / 2] / 1e3, load->trips[count * 99 / 100] / 1e3,
           (unsigned long long)cpu_us);
}

static void *client(void *context, int kind, const char *endpoint)
{
    void *socket = zmq_socket(context, kind);
    int patience = PATIENCE_MS, none = 0;

    expect(socket != NULL, "socket");
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &patience, sizeof patience);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    expect(zmq_connect(socket, endpoint) == 0, endpoint);
    return socket;
}

/* Have every client asked and answered once. */
static void greet(load_t *load, void **sockets, size_t clients, bool is_dealer)
{
    size_t at, batch = load->batch;

    load->batch = 1;
    for (at = 0; at < clients; at++) {
        if (is_dealer) {
            send_one(load, sockets[at]);
            receive(load, sockets[at], 0);
        } else {
            ask(load, sockets[at]);
            answered(load, sockets[at], 0);
        }
    }
    load->batch = batch;
    load->next = load->answers = load->timely = load->trip_count = 0;
    load->nonce++;
}

static void wait_for_go(void)
{
    char line[16];

    puts("ready");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        exit(0);
}

static void run(load_t *load, void **sockets, size_t clients, size_t window, bool is_dealer)
{
    if (is_dealer)
        run_dealer(load, sockets[0], window);
    else if (clients == 1)
        run_one_req(load, sockets[0]);
    else
        run_reqs(load, sockets, clients);
}

int main(int argc, char **argv)
{
    load_t load = {0};
    void *context = zmq_ctx_new(), **sockets;
    size_t clients, window, at;
    uint64_t begin, cpu_us;
    double seconds;
    bool is_dealer;

    if (argc != 9)
        fail("usage: load ENDPOINT req|dealer CLIENTS WINDOW BATCH SECONDS PAYLOAD TEMPLATE");
    is_dealer = strcmp(argv[2], "dealer") == 0;
    clients = is_dealer ? 1 : strtoul(argv[3], NULL, 10);
    window = strtoul(argv[4], NULL, 10);
    load.batch = strtoul(argv[5], NULL, 10);
    seconds = atof(argv[6]);
    request_make(&load.request, argv[8], strtoul(argv[7], NULL, 10));
    if (clients < 1 || load.batch < 1 || window < load.batch || window >= TIMES)
        fail("CLIENTS, WINDOW and BATCH do not fit together");
    load.asked = room(NUMBERS / 8, 1);
    load.times = room(TIMES, sizeof *load.times);
    load.buffer = room(load.batch, load.request.length + 1 + 2);
    load.nonce = (uint32_t)now() ^ (uint32_t)getpid() << 16;
    sockets = room(clients, sizeof *sockets);
    for (at = 0; at < clients; at++)
        sockets[at] = client(context, is_dealer ? ZMQ_DEALER : ZMQ_REQ, argv[1]);
    greet(&load, sockets, clients, is_dealer);
    wait_for_go();
    cpu_us = own_cpu_us();
    begin = now();
    load.deadline = begin + (uint64_t)(seconds * 1e9);
    run(&load, sockets, clients, window, is_dealer);
    report(&load, seconds, own_cpu_us() - cpu_us);
    for (at = 0; at < clients; at++)
        zmq_close(sockets[at]);
    zmq_ctx_term(context);
    return 0;
}
