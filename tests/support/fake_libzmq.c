/* A libzmq whose sockets fail when they are told to. One socket, no threads.
 *
 * fake_script() gives a letter for each call that receives, sends or asks: '.' works, any
 * other fails as in fail_by(). fake_put() queues a frame to be received, fake_sent() shows what
 * was sent. fake_open() counts the messages that nobody has closed.
 */

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ETERM (156384712 + 53)
#define SNDMORE 2

typedef struct {
    unsigned char *data;
    size_t size;
    const char *user;
    int more;
} message;

static const char *script = "";
static message queue[4096];
static int first, last, open_messages, is_short, made;
static char sent[1 << 20];
static size_t sent_size;

void fake_reset(void)
{
    for (; first < last; first++)
        free(queue[first].data);
    script = "";
    first = last = is_short = made = 0;
    sent_size = 0;
}

void fake_script(const char *letters) { script = letters; }
void fake_short_of_memory(int yes) { is_short = yes; }
int fake_open(void) { return open_messages; }
int fake_made(void) { return made; }
const char *fake_sent(void) { sent[sent_size] = 0; return sent; }

void fake_put(const char *data, int more, const char *user)
{
    message *next = &queue[last++];
    next->size = strlen(data);
    next->data = (unsigned char *)strdup(data);
    next->more = more;
    next->user = user;
}

static int fail_by(void)
{
    char letter = *script ? *script++ : '.';
    switch (letter) {
    case '.': return 0;
    case 'A': errno = EAGAIN; break;
    case 'H': errno = EHOSTUNREACH; break;
    case 'I': errno = EINTR; break;
    case 'T': errno = ETERM; break;
    case 'S': errno = ENOTSOCK; break;
    default: errno = EFAULT;
    }
    return 1;
}

void zmq_version(int *major, int *minor, int *patch) { *major = 4; *minor = 3; *patch = 5; }
int zmq_errno(void) { return errno; }

int zmq_msg_init(message *self)
{
    memset(self, 0, 64);
    open_messages++;
    return 0;
}

int zmq_msg_init_size(message *self, size_t size)
{
    if (is_short) {
        errno = ENOMEM;
        return -1;
    }
    made++;
    zmq_msg_init(self);
    self->data = malloc(size + 1);
    self->size = size;
    return 0;
}

int zmq_msg_close(message *self)
{
    open_messages--;
    free(self->data);
    memset(self, 0xdd, 64);
    return 0;
}

void *zmq_msg_data(message *self) { return self->data; }
size_t zmq_msg_size(const message *self) { return self->size; }
int zmq_msg_more(const message *self) { return self->more; }

const char *zmq_msg_gets(const message *self, const char *name)
{
    return strcmp(name, "User-Id") ? NULL : self->user;
}

int zmq_msg_recv(message *self, void *socket, int flags)
{
    (void)socket, (void)flags;
    if (fail_by())
        return -1;
    if (first == last) {
        errno = EAGAIN;
        return -1;
    }
    *self = queue[first++];
    return (int)self->size;
}

/* Shown as the frame and '+' where more was announced, or the end of a line. */
int zmq_msg_send(message *self, void *socket, int flags)
{
    (void)socket;
    if (fail_by())
        return -1;
    memcpy(sent + sent_size, self->data, self->size);
    sent_size += self->size;
    sent[sent_size++] = flags & SNDMORE ? '+' : '\n';
    int size = (int)self->size;
    free(self->data);
    self->data = NULL;
    self->size = 0;
    return size;
}

int zmq_getsockopt(void *socket, int option, void *value, size_t *size)
{
    (void)socket, (void)option, (void)size;
    if (fail_by())
        return -1;
    *(int *)value = first < last ? 1 : 0;
    return 0;
}
