/* An echo behind zmq.proxy: rep connect|bind ENDPOINT
 *
 * Answers each request with its "data", as the method system.echo does.
 *
 * Build: cc -O2 -o rep rep.c echo_check.c -lzmq
 */
#define _GNU_SOURCE
#include "echo_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static const char HEAD[] = "{\"success\":0,\"msg\":\"Successfully echoed the data\",\"result\":";
static const char KEY[] = "\"data\":";

static int answer(void *socket, zmq_msg_t *request)
{
    const char *text = zmq_msg_data(request), *end = text + zmq_msg_size(request), *last;
    const char *data = memmem(text, (size_t)(end - text), KEY, sizeof KEY - 1);
    size_t length;
    zmq_msg_t reply;
    char *out;

    if (data == NULL || (last = json_skip(data += sizeof KEY - 1, end)) == NULL)
        return zmq_send(socket, "{\"success\":1,\"msg\":\"no data\"}", 29, 0);
    length = (size_t)(last - data);
    zmq_msg_init_size(&reply, sizeof HEAD - 1 + length + 1);
    out = zmq_msg_data(&reply);
    memcpy(out, HEAD, sizeof HEAD - 1);
    memcpy(out + sizeof HEAD - 1, data, length);
    out[sizeof HEAD - 1 + length] = '}';
    return zmq_msg_send(&reply, socket, 0);
}

int main(int argc, char **argv)
{
    void *socket = zmq_socket(zmq_ctx_new(), ZMQ_REP);
    zmq_msg_t request;
    int failed, none = 0;

    if (argc != 3) {
        fprintf(stderr, "usage: %s connect|bind ENDPOINT\n", argv[0]);
        return 2;
    }
    /* It would drop replies in silence once so many wait. */
    zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof none);
    failed = argv[1][0] == 'b' ? zmq_bind(socket, argv[2]) : zmq_connect(socket, argv[2]);
    zmq_msg_init(&request);
    while (!failed && zmq_msg_recv(&request, socket, 0) >= 0)
        failed = answer(socket, &request) < 0;
    perror(argv[2]);
    return 1;
}
