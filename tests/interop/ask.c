/* Ask the broker: ask ENDPOINT REQUEST...
 *
 * Each REQUEST is a JSON object; its reply is printed on a line of its own. The exit code
 * is 0 if all were answered, 4 if one was not; what the replies say is not looked at.
 *
 * Build: cc -o ask ask.c -lzmq
 */
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#define TIMEOUT_MS 10000

static int ask(void *socket, const char *request)
{
    zmq_msg_t reply;
    int size;

    if (zmq_send(socket, request, strlen(request), 0) < 0)
        return -1;
    zmq_msg_init(&reply);
    size = zmq_msg_recv(&reply, socket, 0);
    if (size >= 0) {
        fwrite(zmq_msg_data(&reply), 1, (size_t)size, stdout);
        putchar('\n');
    }
    zmq_msg_close(&reply);
    return size;
}

int main(int argc, char **argv)
{
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_REQ);
    int linger = 0, timeout = TIMEOUT_MS, code = 0, i;

    if (argc < 3) {
        fprintf(stderr, "usage: %s ENDPOINT REQUEST...\n", argv[0]);
        return 2;
    }
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout, sizeof timeout);
    if (zmq_connect(socket, argv[1]) != 0) {
        fprintf(stderr, "%s: %s\n", argv[1], zmq_strerror(zmq_errno()));
        return 2;
    }
    for (i = 2; i < argc && code == 0; i++) {
        if (ask(socket, argv[i]) < 0) {
            fprintf(stderr, "no reply from %s: %s\n", argv[1], zmq_strerror(zmq_errno()));
            code = 4;
        }
    }
    zmq_close(socket);
    zmq_ctx_term(context);
    return code;
}
