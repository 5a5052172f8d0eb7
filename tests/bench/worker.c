/* A worker that serves system.echo: worker BACKEND LABEL [AHEAD]
 *
 * It is written from docs/protocol.rst alone and needs libzmq alone: MessagePack is read and
 * written by hand. One thread runs every task as it comes, so it never holds one that it has
 * not started. SIGTERM drains it.
 *
 * What a worker may leave out and this one does: it forgets an id as soon as the broker has
 * acknowledged its result. An echo does no harm when it runs twice.
 *
 * Build: cc -O2 -o worker worker.c echo_check.c -lzmq
 */
#define _GNU_SOURCE
#include "echo_check.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum {
    HELLO = 0x01, RESULTS = 0x02, HEARTBEAT = 0x03, RETURN = 0x04, HAVE = 0x05, DRAIN = 0x06,
    BYE = 0x07,
    WELCOME = 0x81, TASKS = 0x82, ACK = 0x83, CANCEL = 0x84, WHOHAS = 0x85, RESYNC = 0x86,
    ALIVE = 0x87, SHUTDOWN = 0x88, REFUSED = 0x89
};
enum { NONE = 0, RUNNING = 1, DONE = 2, OTHER = 3 };

#define SLOTS 1
#define PACK_BYTES (256 * 1024)
#define HELLO_EVERY 1000
#define NOT_CONNECTED 50
#define LONGEST_PAUSE 30000

/* MessagePack, written ------------------------------------------------------------------- */

typedef struct {
    unsigned char *bytes;
    size_t length, room;
} buffer_t;

static void *grown(void *memory, size_t size)
{
    memory = realloc(memory, size);
    if (memory == NULL) {
        fputs("no memory\n", stderr);
        exit(1);
    }
    return memory;
}

static void put(buffer_t *out, const void *bytes, size_t length)
{
    if (out->length + length > out->room) {
        out->room = 2 * (out->length + length) + 256;
        out->bytes = grown(out->bytes, out->room);
    }
    memcpy(out->bytes + out->length, bytes, length);
    out->length += length;
}

static void put_head(buffer_t *out, unsigned char mark, uint64_t number, int bytes)
{
    unsigned char head[9] = {mark};
    int at;

    for (at = bytes; at > 0; at--, number >>= 8)
        head[at] = (unsigned char)number;
    put(out, head, (size_t)bytes + 1);
}

static void put_uint(buffer_t *out, uint64_t number)
{
    if (number < 0x80)
        put_head(out, (unsigned char)number, 0, 0);
    else if (number <= UINT32_MAX)
        put_head(out, 0xce, number, 4);
    else
        put_head(out, 0xcf, number, 8);
}

static void put_array(buffer_t *out, size_t count)
{
    if (count < 16)
        put_head(out, (unsigned char)(0x90 | count), 0, 0);
    else
        put_head(out, 0xdd, count, 4);
}

static void put_map(buffer_t *out, size_t count)
{
    put_head(out, (unsigned char)(0x80 | count), 0, 0);
}

static void put_text(buffer_t *out, const char *text)
{
    size_t length = strlen(text);

    put_head(out, 0xd9, length, 1);
    put(out, text, length);
}

static void put_bin_head(buffer_t *out, size_t length)
{
    put_head(out, 0xc6, length, 4);
}

static void put_nil(buffer_t *out)
{
    put_head(out, 0xc0, 0, 0);
}

/* MessagePack, read ---------------------------------------------------------------------- */

typedef struct {
    const unsigned char *at, *end;
    bool bad;                   /* what was read is not what was expected, or breaks off */
} reader_t;

static uint64_t get_number(reader_t *in, int bytes)
{
    uint64_t number = 0;

    if (in->end - in->at < bytes) {
        in->bad = true;
        return 0;
    }
    while (bytes-- > 0)
        number = number << 8 | *in->at++;
    return number;
}

static unsigned char get_mark(reader_t *in)
{
    return (unsigned char)get_number(in, 1);
}

static const unsigned char *get_bytes(reader_t *in, size_t length)
{
    const unsigned char *bytes = in->at;

    if (in->bad || (size_t)(in->end - in->at) < length) {
        in->bad = true;
        return NULL;
    }
    in->at += length;
    return bytes;
}

static uint64_t get_uint(reader_t *in)
{
    unsigned char mark = get_mark(in);

    if (mark < 0x80)
        return mark;
    if (mark >= 0xcc && mark <= 0xcf)
        return get_number(in, 1 << (mark - 0xcc));
    in->bad = true;
    return 0;
}

/* The length of a container or of bytes, where FIX to FIX + SIZE - 1 hold it themselves and
 * FIRST is the mark with the shortest length behind it, of WIDTH bytes. */
static size_t get_length(reader_t *in, int fix, int size, int first, int width, int forms)
{
    int mark = get_mark(in);

    if (mark >= fix && mark < fix + size)
        return (size_t)(mark - fix);
    if (mark >= first && mark < first + forms)
        return (size_t)get_number(in, width << (mark - first));
    in->bad = true;
    return 0;
}

static size_t get_array(reader_t *in)
{
    return get_length(in, 0x90, 16, 0xdc, 2, 2);
}

static size_t get_map(reader_t *in)
{
    return get_length(in, 0x80, 16, 0xde, 2, 2);
}

static const char *get_text(reader_t *in, size_t *length)
{
    *length = get_length(in, 0xa0, 32, 0xd9, 1, 3);
    return (const char *)get_bytes(in, *length);
}

static const unsigned char *get_bin(reader_t *in, size_t *length)
{
    *length = get_length(in, 0, 0, 0xc4, 1, 3);
    return get_bytes(in, *length);
}

static bool get_nil(reader_t *in)
{
    if (in->bad || in->at == in->end || *in->at != 0xc0)
        return false;
    in->at++;
    return true;
}

/* How many bytes follow MARK; or, in MORE, how many values. */
static size_t width_of(reader_t *in, int mark, size_t *more)
{
    static const signed char fixed[] = {/* 0xca */ 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17};

    *more = 0;
    if (mark < 0x80 || mark >= 0xe0 || mark == 0xc0 || mark == 0xc2 || mark == 0xc3)
        return 0;
    if (mark < 0xa0) {
        *more = mark < 0x90 ? 2 * (size_t)(mark - 0x80) : (size_t)(mark - 0x90);
        return 0;
    }
    if (mark < 0xc0)
        return (size_t)(mark - 0xa0);
    if (mark >= 0xc4 && mark <= 0xc9)
        return (size_t)get_number(in, 1 << (mark - 0xc4) % 3) + (mark >= 0xc7);
    if (mark >= 0xca && mark <= 0xd8)
        return (size_t)fixed[mark - 0xca];
    if (mark >= 0xd9 && mark <= 0xdb)
        return (size_t)get_number(in, 1 << (mark - 0xd9));
    if (mark >= 0xdc)
        *more = (size_t)get_number(in, 2 << (mark & 1 ? 1 : 0)) * (mark >= 0xde ? 2 : 1);
    else
        in->bad = true;
    return 0;
}

static void skip(reader_t *in)
{
    size_t left = 1, more, width;

    for (; left > 0 && !in->bad; left--) {
        width = width_of(in, get_mark(in), &more);
        get_bytes(in, width);
        left += more;
    }
}

static bool is_text(const char *text, size_t length, const char *wanted)
{
    return length == strlen(wanted) && memcmp(text, wanted, length) == 0;
}

/* The worker ----------------------------------------------------------------------------- */

/* One RESULTS that the broker has not acknowledged. */
typedef struct pack {
    struct pack *next;
    uint64_t seq;
    size_t count;
    buffer_t results;           /* result, ... */
    buffer_t held;              /* held, ...: the same tasks */
} pack_t;

typedef struct {
    void *socket;
    const char *label;
    char instance[33];
    uint64_t ahead;
    uint64_t session, seq;
    bool ready, draining;
    uint64_t heartbeat, liveness;               /* milliseconds */
    uint64_t hello_at, beat_at, heard_at;       /* milliseconds */
    uint64_t pause;                             /* until the next HELLO that may be refused */
    pack_t *first, **last;                      /* sent, not acknowledged */
    pack_t *open;                               /* not sent yet */
    buffer_t out;
} worker_t;

static volatile sig_atomic_t told_to_end;

static void on_signal(int number)
{
    (void)number;
    told_to_end = 1;
}

static uint64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t now_ms(void)
{
    return now_ns() / 1000000;
}

static buffer_t *begin(worker_t *worker)
{
    worker->out.length = 0;
    return &worker->out;
}

/* Send the message at hand; return whether it went. What does not, goes after the next HELLO. */
static bool say(worker_t *worker, int command)
{
    unsigned char byte = (unsigned char)command;

    return zmq_send(worker->socket, &byte, 1, ZMQ_SNDMORE | ZMQ_DONTWAIT) == 1 &&
           zmq_send(worker->socket, worker->out.bytes, worker->out.length, ZMQ_DONTWAIT) >= 0;
}

static void put_grant(worker_t *worker, buffer_t *out)
{
    put_uint(out, worker->draining ? 0 : SLOTS);
    put_uint(out, worker->draining ? 0 : worker->ahead);
}

static void put_offers(buffer_t *out)
{
    put_array(out, 1);
    put_map(out, 3);
    put_text(out, "agent");
    put_text(out, "system");
    put_text(out, "hosts");
    put_nil(out);
    put_text(out, "methods");
    put_array(out, 1);
    put_map(out, 3);
    put_text(out, "name");
    put_text(out, "system.echo");
    put_text(out, "retry_safe");
    put_head(out, 0xc3, 0, 0);
    put_text(out, "timeout_ms");
    put_uint(out, 60000);
}

static void hello(worker_t *worker)
{
    buffer_t *out = begin(worker);
    size_t held = 0;
    pack_t *pack;

    for (pack = worker->first; pack != NULL; pack = pack->next)
        held += pack->count;
    worker->ready = false;
    put_map(out, 9);
    put_text(out, "version");
    put_uint(out, 1);
    put_text(out, "label");
    put_text(out, worker->label);
    put_text(out, "instance");
    put_text(out, worker->instance);
    put_text(out, "session");
    put_uint(out, ++worker->session);
    put_text(out, "pid");
    put_uint(out, (uint64_t)getpid());
    put_text(out, "slots");
    put_uint(out, worker->draining ? 0 : SLOTS);
    put_text(out, "ahead");
    put_uint(out, worker->draining ? 0 : worker->ahead);
    put_text(out, "offers");
    put_offers(out);
    put_text(out, "held");
    put_array(out, held);
    for (pack = worker->first; pack != NULL; pack = pack->next)
        put(out, pack->held.bytes, pack->held.length);
    worker->hello_at = now_ms() + (say(worker, HELLO) ? HELLO_EVERY : NOT_CONNECTED);
}

static void send_pack(worker_t *worker, pack_t *pack)
{
    buffer_t *out = begin(worker);

    pack->seq = ++worker->seq;
    put_array(out, 4);
    put_uint(out, pack->seq);
    put_grant(worker, out);
    put_array(out, pack->count);
    put(out, pack->results.bytes, pack->results.length);
    say(worker, RESULTS);
}

/* Send what has ended, and keep it until it is acknowledged. */
static void flush(worker_t *worker)
{
    pack_t *pack = worker->open;

    if (pack == NULL)
        return;
    worker->open = NULL;
    *worker->last = pack;
    worker->last = &pack->next;
    if (worker->ready)
        send_pack(worker, pack);
}

static void acknowledged(worker_t *worker, uint64_t seq)
{
    pack_t *pack;

    while (seq <= worker->seq && (pack = worker->first) != NULL && pack->seq <= seq) {
        worker->first = pack->next;
        if (worker->first == NULL)
            worker->last = &worker->first;
        free(pack->results.bytes);
        free(pack->held.bytes);
        free(pack);
    }
}

/* The method ----------------------------------------------------------------------------- */

static const char JSON_HEAD[] = "{\"success\":0,\"msg\":\"Successfully echoed the data\",\"result\":";
static const char NO_DATA[] = "{\"success\":1,\"msg\":\"data is missing\","
                              "\"error\":{\"code\":\"invalid_params\",\"retryable\":false}}";
static const char MAP_HEAD[] = "\x83\xa7success\0\xa3msg\xbcSuccessfully echoed the data\xa6result";
static const char NO_DATA_MAP[] = "\x83\xa7success\1\xa3msg\xaf""data is missing\xa5""error"
                                  "\x82\xa4""code\xae""invalid_params\xa9""retryable\xc2";

typedef struct {
    const char *head;
    size_t head_length;
    const char *value;          /* NULL where there is none */
    size_t value_length;
    bool closed;                /* a brace follows */
} reply_t;

static void skip_space(const char **at, const char *end)
{
    while (*at < end && (**at == ' ' || **at == '\t' || **at == '\n' || **at == '\r'))
        (*at)++;
}

/* Find a JSON object's "data". */
static const char *json_data(const char *body, size_t length, const char **last)
{
    const char *at = body, *end = body + length, *key;
    bool is_data;

    skip_space(&at, end);
    while (at < end && (*at == '{' || *at == ',')) {
        at++;
        skip_space(&at, end);
        key = at;
        if ((at = json_skip(at, end)) == NULL)
            return NULL;
        is_data = is_text(key, (size_t)(at - key), "\"data\"");
        skip_space(&at, end);
        if (at++ >= end)
            return NULL;
        skip_space(&at, end);
        key = at;
        if ((at = json_skip(at, end)) == NULL)
            return NULL;
        *last = at;
        if (is_data)
            return key;
        skip_space(&at, end);
    }
    return NULL;
}

/* Find a MessagePack map's "data". */
static const char *map_data(const char *body, size_t length, const char **last)
{
    reader_t in = {(const unsigned char *)body, (const unsigned char *)body + length, false};
    size_t count = get_map(&in), size;
    const char *key, *value;

    for (; count > 0 && !in.bad; count--) {
        key = get_text(&in, &size);
        value = (const char *)in.at;
        skip(&in);
        *last = (const char *)in.at;
        if (!in.bad && is_text(key, size, "data"))
            return value;
    }
    return NULL;
}

static bool is_map(unsigned char first)
{
    return (first >= 0x80 && first <= 0x8f) || first == 0xde || first == 0xdf;
}

static reply_t echo(const char *body, size_t length)
{
    bool packed = length > 0 && is_map((unsigned char)body[0]);
    const char *last = NULL;
    const char *data = packed ? map_data(body, length, &last) : json_data(body, length, &last);

    if (data == NULL && packed)
        return (reply_t){NO_DATA_MAP, sizeof NO_DATA_MAP - 1, NULL, 0, false};
    if (data == NULL)
        return (reply_t){NO_DATA, sizeof NO_DATA - 1, NULL, 0, false};
    if (packed)
        return (reply_t){MAP_HEAD, sizeof MAP_HEAD - 1, data, (size_t)(last - data), false};
    return (reply_t){JSON_HEAD, sizeof JSON_HEAD - 1, data, (size_t)(last - data), true};
}

static void put_result(buffer_t *out, uint64_t task, uint64_t attempt, const reply_t *reply,
                       uint64_t ran_us)
{
    put_array(out, 5);
    put_uint(out, task);
    put_uint(out, attempt);
    put_text(out, reply->value == NULL ? "invalid_params" : "");
    put_uint(out, ran_us);
    put_bin_head(out, reply->head_length + reply->value_length + reply->closed);
    put(out, reply->head, reply->head_length);
    if (reply->value != NULL)
        put(out, reply->value, reply->value_length);
    if (reply->closed)
        put(out, "}", 1);
}

/* Messages ------------------------------------------------------------------------------- */

/* One part of TASKS: the seven fields that the broker wants back, and the body. */
typedef struct {
    uint64_t task, attempt;
    const unsigned char *fields;        /* task to fingerprint, as they came */
    size_t fields_length;
    const char *body;
    size_t body_length;
} assignment_t;

static assignment_t get_assignment(reader_t *in)
{
    size_t count = get_array(in), at;
    assignment_t item = {.fields = in->at};

    if (count < 8)
        in->bad = true;
    item.task = get_uint(in);
    item.attempt = get_uint(in);
    for (at = 2; at < 7 && !in->bad; at++)
        skip(in);
    item.fields_length = (size_t)(in->at - item.fields);
    item.body = (const char *)get_bin(in, &item.body_length);
    for (at = 8; at < count && !in->bad; at++)
        skip(in);
    return item;
}

static void run(worker_t *worker, const assignment_t *item)
{
    uint64_t begun = now_ns();
    reply_t reply = echo(item->body, item->body_length);
    size_t size = reply.head_length + reply.value_length;
    pack_t *pack = worker->open;

    if (pack != NULL && pack->results.length + size > PACK_BYTES)
        flush(worker);
    if (worker->open == NULL) {
        worker->open = grown(NULL, sizeof *pack);
        memset(worker->open, 0, sizeof *pack);
    }
    pack = worker->open;
    pack->count++;
    put_result(&pack->results, item->task, item->attempt, &reply, (now_ns() - begun) / 1000);
    put_array(&pack->held, 7);
    put(&pack->held, item->fields, item->fields_length);
}

/* Give back what is not started: all of it, for what is started is over at once. */
static void give_back(worker_t *worker, const assignment_t *item)
{
    buffer_t *out = begin(worker);

    put_array(out, 3);
    put_grant(worker, out);
    put_array(out, 1);
    put_array(out, 2);
    put_uint(out, item->task);
    put_uint(out, item->attempt);
    say(worker, RETURN);
}

static void on_tasks(worker_t *worker, reader_t *in)
{
    size_t fields = get_array(in), count;
    uint64_t session = get_uint(in);
    assignment_t item;

    count = get_array(in);
    if (fields < 2 || in->bad || !worker->ready || session != worker->session)
        return;
    for (; count > 0; count--) {
        item = get_assignment(in);
        if (in->bad)
            return;
        if (worker->draining)
            give_back(worker, &item);
        else
            run(worker, &item);
    }
}

static void on_welcome(worker_t *worker, reader_t *in)
{
    size_t count = get_map(in), length;
    pack_t *pack;
    const char *key;

    for (; count > 0 && !in->bad; count--) {
        key = get_text(in, &length);
        if (in->bad)
            return;
        if (is_text(key, length, "heartbeat_ms"))
            worker->heartbeat = get_uint(in);
        else if (is_text(key, length, "liveness_ms"))
            worker->liveness = get_uint(in);
        else
            skip(in);
    }
    worker->ready = true;
    worker->pause = HELLO_EVERY;
    worker->beat_at = now_ms() + worker->heartbeat;
    worker->seq = 0;
    for (pack = worker->first; pack != NULL; pack = pack->next)
        send_pack(worker, pack);
}

static void back_off(worker_t *worker)
{
    worker->ready = false;
    worker->pause = worker->pause * 2 < LONGEST_PAUSE ? worker->pause * 2 : LONGEST_PAUSE;
    worker->hello_at = now_ms() + worker->pause;
}

/* Return whether the held task at IN has this principal, id and fingerprint; read past it. */
static bool is_asked_for(reader_t *in, const char *principal, size_t principal_length,
                         const char *id, size_t id_length)
{
    const char *text;
    size_t length, at;
    bool same;

    get_array(in);
    for (at = 0; at < 4; at++)
        skip(in);
    text = get_text(in, &length);
    same = !in->bad && length == principal_length && memcmp(text, principal, length) == 0;
    if (get_nil(in)) {
        same = false;
    } else {
        text = get_text(in, &length);
        same = same && !in->bad && length == id_length && memcmp(text, id, length) == 0;
    }
    return same;
}

/* Look for an id in what is not acknowledged; answer with HAVE. */
static void on_whohas(worker_t *worker, reader_t *in)
{
    size_t fields = get_array(in), principal_length, id_length, print_length = 0, length;
    uint64_t query = get_uint(in);
    const char *principal, *id;
    const unsigned char *print, *found;
    buffer_t *out;
    pack_t *pack;
    int state = NONE;

    skip(in);
    principal = get_text(in, &principal_length);
    id = get_text(in, &id_length);
    print = get_bin(in, &print_length);
    if (fields < 5 || in->bad)
        return;
    out = begin(worker);
    put_array(out, 4);
    put_uint(out, query);
    for (pack = worker->first; pack != NULL && state == NONE; pack = pack->next) {
        reader_t held = {pack->held.bytes, pack->held.bytes + pack->held.length, false};
        reader_t results = {pack->results.bytes, pack->results.bytes + pack->results.length, false};

        while (held.at < held.end && !held.bad && state == NONE) {
            const unsigned char *task = held.at, *result = results.at;
            bool same = is_asked_for(&held, principal, principal_length, id, id_length);

            found = get_nil(&held) ? NULL : get_bin(&held, &length);
            skip(&results);
            if (!same || found == NULL)
                continue;
            state = length == print_length && memcmp(found, print, length) == 0 ? DONE : OTHER;
            put_uint(out, (uint64_t)state);
            if (state == DONE) {
                put(out, task, (size_t)(held.at - task));
                put(out, result, (size_t)(results.at - result));
            }
        }
    }
    if (state == NONE)
        put_uint(out, NONE);
    if (state != DONE) {
        put_nil(out);
        put_nil(out);
    }
    say(worker, HAVE);
}

static void drain(worker_t *worker)
{
    if (worker->draining)
        return;
    worker->draining = true;
    flush(worker);
    put_array(begin(worker), 0);
    say(worker, DRAIN);
}

static void take(worker_t *worker, int command, reader_t *in)
{
    switch (command) {
    case WELCOME:
        on_welcome(worker, in);
        break;
    case TASKS:
        on_tasks(worker, in);
        break;
    case ACK:
        if (get_array(in) >= 1)
            acknowledged(worker, get_uint(in));
        break;
    case WHOHAS:
        flush(worker);
        on_whohas(worker, in);
        break;
    case RESYNC:
        if (worker->ready)
            hello(worker);
        else
            back_off(worker);
        break;
    case REFUSED:
        back_off(worker);
        break;
    case SHUTDOWN:
        drain(worker);
        break;
    default:                    /* ALIVE, CANCEL: it lives, and nothing here waits */
        break;
    }
}

/* Receive one message; return whether there was one. */
static bool receive(worker_t *worker)
{
    zmq_msg_t command, payload;
    reader_t in;
    int frames = 1;

    zmq_msg_init(&command);
    zmq_msg_init(&payload);
    if (zmq_msg_recv(&command, worker->socket, ZMQ_DONTWAIT) < 0) {
        frames = 0;
    } else if (zmq_msg_more(&command)) {
        do
            frames++;
        while (zmq_msg_recv(&payload, worker->socket, 0) >= 0 && zmq_msg_more(&payload));
    }
    if (frames == 2 && zmq_msg_size(&command) == 1) {
        in.at = zmq_msg_data(&payload);
        in.end = in.at + zmq_msg_size(&payload);
        in.bad = false;
        take(worker, *(unsigned char *)zmq_msg_data(&command), &in);
    }
    zmq_msg_close(&command);
    zmq_msg_close(&payload);
    return frames > 0;
}

/* Say what time asks for. */
static void keep_time(worker_t *worker, uint64_t now)
{
    if (worker->ready && now - worker->heard_at >= worker->liveness) {
        worker->heard_at = now;
        hello(worker);
    } else if (!worker->ready && now >= worker->hello_at) {
        hello(worker);
    } else if (worker->ready && now >= worker->beat_at) {
        worker->beat_at = now + worker->heartbeat;
        put_array(begin(worker), 2);
        put_grant(worker, &worker->out);
        say(worker, HEARTBEAT);
    }
}

static long patience(const worker_t *worker, uint64_t now)
{
    uint64_t due = worker->ready ? worker->beat_at : worker->hello_at;

    return due > now ? (long)(due - now) : 0;
}

static bool is_over(worker_t *worker)
{
    if (told_to_end)
        drain(worker);
    if (!worker->draining || worker->first != NULL)
        return false;
    put_array(begin(worker), 0);
    say(worker, BYE);
    return true;
}

static void serve(worker_t *worker)
{
    zmq_pollitem_t item = {.socket = worker->socket, .events = ZMQ_POLLIN};
    uint64_t now;

    while (!is_over(worker)) {
        now = now_ms();
        keep_time(worker, now);
        if (zmq_poll(&item, 1, patience(worker, now)) < 0 && errno != EINTR)
            return;
        if (item.revents & ZMQ_POLLIN)
            worker->heard_at = now_ms();
        while (receive(worker))
            ;
        flush(worker);
    }
}

static void make_instance(char *instance)
{
    unsigned char random[16];
    size_t at;

    if (getrandom(random, sizeof random, 0) != sizeof random)
        exit(1);
    for (at = 0; at < sizeof random; at++)
        sprintf(instance + 2 * at, "%02x", random[at]);
}

static void *connected(void *context, const char *endpoint)
{
    void *socket = zmq_socket(context, ZMQ_DEALER);
    int yes = 1, linger = 500, frame = 65 << 20;
    int64_t largest = frame;

    zmq_setsockopt(socket, ZMQ_IMMEDIATE, &yes, sizeof yes);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest);
    if (zmq_connect(socket, endpoint) != 0) {
        perror(endpoint);
        exit(1);
    }
    return socket;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    worker_t worker = {.ahead = 1024, .pause = HELLO_EVERY, .heartbeat = 1000, .liveness = 3000};
    void *context;

    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: %s BACKEND LABEL [AHEAD]\n", argv[0]);
        return 2;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    context = zmq_ctx_new();
    worker.socket = connected(context, argv[1]);
    worker.label = argv[2];
    worker.last = &worker.first;
    if (argc == 4)
        worker.ahead = strtoul(argv[3], NULL, 10);
    make_instance(worker.instance);
    serve(&worker);
    free(worker.out.bytes);
    zmq_close(worker.socket);
    zmq_ctx_term(context);
    return 0;
}
