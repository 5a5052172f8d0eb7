/* A plain worker: serve ENDPOINT
 *
 * Answers every request at the broker's plain backend with its process id and the
 * request's size in bytes. What it sends is what the client gets, to the letter.
 *
 * Build: cc -o serve serve.c -lzmq
 */
#include <stdio.h>
#include <unistd.h>
#include <zmq.h>

int main(int argc, char **argv)
{
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_REP);
    zmq_msg_t request;
    char reply[160];
    int size, length;

    if (argc != 2 || zmq_connect(socket, argv[1]) != 0) {
        fprintf(stderr, "usage: %s ENDPOINT\n", argv[0]);
        return 2;
    }
    printf("serving %d\n", (int)getpid());
    fflush(stdout);
    zmq_msg_init(&request);
    while ((size = zmq_msg_recv(&request, socket, 0)) >= 0) {
        length = snprintf(reply, sizeof reply,
                          "{ \"success\" : 0, \"msg\" : \"measured\",\n"
                          "  \"result\" : { \"pid\" : %d, \"bytes\" : %d } }",
                          (int)getpid(), size);
        zmq_send(socket, reply, (size_t)length, 0);
    }
    zmq_msg_close(&request);
    return 1;
}
