/* Many messages to or from a ZeroMQ socket in one call.
 *
 * It uses the libzmq that pyzmq has loaded, found at run time: nothing is linked, no header of
 * libzmq is needed, and the sockets are pyzmq's own. What it does is what pure.py does; burst.py
 * chooses between the two.
 *
 * A socket serves one thread at a time. The GIL is let go for what takes long (a burst, the frames
 * of an overlong message, large copies for sending) and kept for a few small messages: to let it go costs
 * little, but to get it back from a thread that computes costs milliseconds.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

/* burst.py takes no other one: a file of another version may be left over from a build. */
#define INTERFACE 3

/* libzmq's own numbers (zmq.h). */
#define DONTWAIT 1
#define SNDMORE 2
#define EVENTS 15
#define POLLIN 1
#define POLLOUT 2
/* A zmq_msg_t has this size and alignment from 4.1 on, in every libzmq 4. */
typedef union {
    unsigned char room[64];
    void *alignment;
} frame_t;

/* Frames that are received, or copied for sending, between two looks at Python's objects. A
 * message may have more of either. */
#define CHUNK_FRAMES 256
/* Frames received, messages sent, and bytes copied with the GIL held: some ten microseconds. */
#define HELD_FRAMES 48
#define HELD_MESSAGES 8
#define HELD_BYTES (64 << 10)
/* Bytes copied for sending at which a chunk ends, too. */
#define CHUNK_BYTES (1 << 20)

/* Library: libzmq's functions, and what Python gets to see. ------------------------------ */

typedef struct {
    PyObject_HEAD
    void *handle;
    int (*msg_init)(frame_t *);
    int (*msg_init_size)(frame_t *, size_t);
    int (*msg_close)(frame_t *);
    void *(*msg_data)(frame_t *);
    size_t (*msg_size)(const frame_t *);
    int (*msg_more)(const frame_t *);
    const char *(*msg_gets)(const frame_t *, const char *);
    int (*msg_recv)(frame_t *, void *, int);
    int (*msg_send)(frame_t *, void *, int);
    int (*getsockopt)(void *, int, void *, size_t *);
    int (*number)(void);
    /* The class of received messages, what may become of sent ones, and what makes an
     * exception of an error's number. */
    PyObject *message, *done, *full, *gone, *error;
    /* At which a burst ends: bytes kept, and frames thrown away. */
    Py_ssize_t burst_bytes, burst_skips;
} Library;

static int
library_find(Library *self)
{
    struct {
        const char *name;
        void *place;
    } wanted[] = {
        {"zmq_msg_init", &self->msg_init},
        {"zmq_msg_init_size", &self->msg_init_size},
        {"zmq_msg_close", &self->msg_close},
        {"zmq_msg_data", &self->msg_data},
        {"zmq_msg_size", &self->msg_size},
        {"zmq_msg_more", &self->msg_more},
        {"zmq_msg_gets", &self->msg_gets},
        {"zmq_msg_recv", &self->msg_recv},
        {"zmq_msg_send", &self->msg_send},
        {"zmq_getsockopt", &self->getsockopt},
        {"zmq_errno", &self->number},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        void *found = dlsym(self->handle, wanted[i].name);
        if (found == NULL) {
            PyErr_Format(PyExc_ImportError, "there is no %s", wanted[i].name);
            return -1;
        }
        memcpy(wanted[i].place, &found, sizeof found);
    }
    return 0;
}

/* The size of a message differs in other versions. */
static int
library_judge(Library *self)
{
    void (*version)(int *, int *, int *);
    void *found = dlsym(self->handle, "zmq_version");
    int major = 0, minor = 0, patch = 0;
    if (found != NULL) {
        memcpy(&version, &found, sizeof found);
        version(&major, &minor, &patch);
    }
    if (major == 4 && minor >= 1)
        return 0;
    PyErr_Format(PyExc_ImportError, "libzmq %d.%d is not known", major, minor);
    return -1;
}

static void
library_dealloc(Library *self)
{
    Py_XDECREF(self->message);
    Py_XDECREF(self->done);
    Py_XDECREF(self->full);
    Py_XDECREF(self->gone);
    Py_XDECREF(self->error);
    if (self->handle != NULL)
        dlclose(self->handle);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *
library_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *path, *message, *done, *full, *gone, *error;
    Py_ssize_t bytes, skips;
    static char *names[] = {
        "path", "message", "done", "full", "gone", "error", "burst_bytes", "burst_skips", NULL};
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O&O!OOOOnn", names, PyUnicode_FSConverter, &path, &PyType_Type,
            &message, &done, &full, &gone, &error, &bytes, &skips))
        return NULL;
    Library *self = (Library *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_DECREF(path);
        return NULL;
    }
    self->message = Py_NewRef(message);
    self->done = Py_NewRef(done);
    self->full = Py_NewRef(full);
    self->gone = Py_NewRef(gone);
    self->error = Py_NewRef(error);
    self->burst_bytes = bytes;
    self->burst_skips = skips;
    /* Loaded already: a second libzmq would know nothing of the sockets of the first. */
    self->handle = dlopen(PyBytes_AS_STRING(path), RTLD_LAZY | RTLD_NOLOAD);
    Py_DECREF(path);
    if (self->handle == NULL) {
        PyErr_SetString(PyExc_ImportError, "pyzmq's library is not loaded");
        goto fail;
    }
    if (!PyType_IsSubtype((PyTypeObject *)message, &PyTuple_Type)) {
        PyErr_SetString(PyExc_TypeError, "message: a kind of tuple is needed");
        goto fail;
    }
    if (library_judge(self) < 0 || library_find(self) < 0)
        goto fail;
    return (PyObject *)self;
fail:
    Py_DECREF(self);
    return NULL;
}

static PyTypeObject LibraryType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "vpoller_like.transport._burst.Library",
    .tp_doc = PyDoc_STR("The libzmq that is loaded by the extension module at a path."),
    .tp_basicsize = sizeof(Library),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = library_new,
    .tp_dealloc = (destructor)library_dealloc,
};

static void
raise_number(Library *library, int number)
{
    PyObject *error = PyObject_CallFunction(library->error, "i", number);
    if (error == NULL)
        return;
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_DECREF(error);
}

/* Socket --------------------------------------------------------------------------------- */

enum kind {
    FRAME,    /* more frames of its message follow */
    LAST,     /* its message ends with it */
    END,      /* no frame, but the end of a message whose frames were taken */
    CUT,      /* the same, and frames have been thrown away */
};

typedef struct {
    frame_t frame;
    enum kind kind;
} Arrival;

typedef struct {
    PyObject_HEAD
    Library *library;
    /* NULL once it is closed. */
    void *handle;
    /* Each message begins with its peer's routing id. */
    int routed;
    /* A call is under way, perhaps without the GIL. */
    int busy;

    /* Received and not taken yet, from head to tail. A failure loses nothing of it. */
    Arrival *arrivals;
    Py_ssize_t head, tail;
    /* Of the message that is being received: its frames so far, and whether the rest is
     * thrown away. */
    Py_ssize_t depth;
    int skipping;
    /* Of the message that is being taken. */
    PyObject *frames, *user;
    /* The routing id of the last one: of many messages that are there at once, most come from few
     * peers, and what is the same object need neither be made nor hashed again. */
    PyObject *peer;
    /* Messages that a call which failed had ready. */
    PyObject *ready;

    /* Copied and not sent yet: whole messages, each with the number of its frames. */
    frame_t *departures;
    Py_ssize_t departures_room, loaded;
    Py_ssize_t *counts;
    Py_ssize_t counts_room, messages;
    size_t loaded_bytes;
} Socket;

static void
socket_unload(Socket *self)
{
    for (Py_ssize_t i = 0; i < self->loaded; i++)
        self->library->msg_close(&self->departures[i]);
    self->loaded = self->messages = 0;
    self->loaded_bytes = 0;
}

static void
socket_forget(Socket *self)
{
    for (; self->head < self->tail; self->head++)
        if (self->arrivals[self->head].kind <= LAST)
            self->library->msg_close(&self->arrivals[self->head].frame);
    Py_CLEAR(self->frames);
    Py_CLEAR(self->user);
    Py_CLEAR(self->peer);
    Py_CLEAR(self->ready);
}

static void
socket_dealloc(Socket *self)
{
    if (self->library != NULL) {
        socket_unload(self);
        socket_forget(self);
    }
    PyMem_Free(self->arrivals);
    PyMem_Free(self->departures);
    PyMem_Free(self->counts);
    Py_XDECREF(self->library);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *
socket_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *library, *address;
    int routed;
    static char *names[] = {"library", "address", "routed", NULL};
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O!O!p", names, &LibraryType, &library, &PyLong_Type, &address, &routed))
        return NULL;
    void *handle = PyLong_AsVoidPtr(address);
    if (handle == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "address: a socket has one");
        return NULL;
    }
    Socket *self = (Socket *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->library = (Library *)Py_NewRef(library);
    self->handle = handle;
    self->routed = routed;
    self->arrivals = PyMem_New(Arrival, CHUNK_FRAMES);
    if (self->arrivals == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static int
socket_begin(Socket *self)
{
    if (self->handle == NULL) {
        raise_number(self->library, ENOTSOCK);
        return -1;
    }
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "a socket serves one thread at a time");
        return -1;
    }
    self->busy = 1;
    return 0;
}

static PyObject *
socket_close(Socket *self, PyObject *Py_UNUSED(ignored))
{
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "a socket serves one thread at a time");
        return NULL;
    }
    self->handle = NULL;
    socket_forget(self);
    Py_RETURN_NONE;
}

/* Receiving ------------------------------------------------------------------------------ */

enum state {
    GOING,
    DRY,       /* nothing more is there */
    SATED,     /* the burst is at an end */
    FAILED,
};

typedef struct {
    Py_ssize_t messages_left, bytes_left, skips_left;
    Py_ssize_t max_frames;
    int asks_users;
    enum state state;
    int number;
} Turn;

/* Receive a frame; return whether there was one. Nothing of Python is used here, nor in what
 * calls it without the GIL. */
static int
turn_receive(Turn *turn, Socket *self, frame_t *frame)
{
    Library *library = self->library;
    library->msg_init(frame);
    for (;;) {
        if (library->msg_recv(frame, self->handle, DONTWAIT) >= 0)
            return 1;
        turn->number = library->number();
        /* Python's handler of the signal runs when this call is over, which is soon. */
        if (turn->number != EINTR)
            break;
    }
    library->msg_close(frame);
    turn->state = turn->number == EAGAIN ? DRY : FAILED;
    return 0;
}

static void
turn_ended_message(Turn *turn, Socket *self)
{
    self->depth = 0;
    self->skipping = 0;
    turn->messages_left--;
    if (turn->messages_left <= 0 || turn->bytes_left <= 0)
        turn->state = SATED;
}

static void
turn_take(Turn *turn, Socket *self)
{
    Arrival *arrival = &self->arrivals[self->tail];
    if (!turn_receive(turn, self, &arrival->frame))
        return;
    self->tail++;
    self->depth++;
    turn->bytes_left -= (Py_ssize_t)self->library->msg_size(&arrival->frame);
    if (!self->library->msg_more(&arrival->frame)) {
        arrival->kind = LAST;
        turn_ended_message(turn, self);
        return;
    }
    arrival->kind = FRAME;
    self->skipping = self->depth >= turn->max_frames;
}

static void
turn_skip(Turn *turn, Socket *self)
{
    for (; turn->skips_left > 0; turn->skips_left--) {
        frame_t frame;
        if (!turn_receive(turn, self, &frame))
            return;
        int more = self->library->msg_more(&frame);
        self->library->msg_close(&frame);
        if (!more) {
            self->arrivals[self->tail++].kind = CUT;
            turn_ended_message(turn, self);
            return;
        }
    }
    turn->state = SATED;
}

static void
turn_fill(Turn *turn, Socket *self, Py_ssize_t room)
{
    while (turn->state == GOING && self->tail < room) {
        if (!self->skipping)
            turn_take(turn, self);
        else if (room == CHUNK_FRAMES)
            turn_skip(turn, self);
        else
            return;
    }
}

/* The user that ZAP named; a new reference. Where ZAP was not asked, the peer itself may have
 * said anything. */
static PyObject *
user_of(Library *library, const frame_t *frame)
{
    const char *name = library->msg_gets(frame, "User-Id");
    if (name == NULL)
        return PyUnicode_New(0, 0);
    PyObject *user = PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), NULL);
    if (user == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        return PyUnicode_New(0, 0);
    }
    return user;
}

static PyObject *
bytes_of(Library *library, frame_t *frame)
{
    return PyBytes_FromStringAndSize(
        library->msg_data(frame), (Py_ssize_t)library->msg_size(frame));
}

/* The routing id that is in the frame; a new reference. */
static PyObject *
peer_of(Socket *self, frame_t *frame)
{
    Library *library = self->library;
    size_t size = library->msg_size(frame);
    if (self->peer == NULL || (size_t)PyBytes_GET_SIZE(self->peer) != size ||
        memcmp(PyBytes_AS_STRING(self->peer), library->msg_data(frame), size) != 0) {
        PyObject *peer = bytes_of(library, frame);
        if (peer == NULL)
            return NULL;
        Py_XSETREF(self->peer, peer);
    }
    return Py_NewRef(self->peer);
}

static int
socket_add_frame(Socket *self, frame_t *frame, int asks_users)
{
    Library *library = self->library;
    if (self->frames == NULL && (self->frames = PyList_New(0)) == NULL)
        return -1;
    /* By message: a peer may choose its routing id, and one connection gets that of another
     * that has ended. The routing id itself comes from the socket, and tells nothing. */
    if (asks_users && self->user == NULL && PyList_GET_SIZE(self->frames) == self->routed)
        if ((self->user = user_of(library, frame)) == NULL)
            return -1;
    int is_peer = self->routed && PyList_GET_SIZE(self->frames) == 0;
    PyObject *bytes = is_peer ? peer_of(self, frame) : bytes_of(library, frame);
    if (bytes == NULL)
        return -1;
    int failed = PyList_Append(self->frames, bytes);
    Py_DECREF(bytes);
    return failed;
}

static int
socket_end_message(Socket *self, PyObject *messages, int truncated)
{
    if (self->user == NULL && (self->user = PyUnicode_New(0, 0)) == NULL)
        return -1;
    /* A NamedTuple is a tuple with names: its items are set as those of any tuple. */
    PyTypeObject *type = (PyTypeObject *)self->library->message;
    PyObject *message = type->tp_alloc(type, 3);
    if (message == NULL)
        return -1;
    PyTuple_SET_ITEM(message, 0, Py_NewRef(self->frames));
    PyTuple_SET_ITEM(message, 1, Py_NewRef(truncated ? Py_True : Py_False));
    PyTuple_SET_ITEM(message, 2, Py_NewRef(self->user));
    int failed = PyList_Append(messages, message);
    Py_DECREF(message);
    if (failed)
        return -1;
    Py_CLEAR(self->frames);
    Py_CLEAR(self->user);
    return 0;
}

/* Make Python's objects of what has arrived. What failed is tried again by the next call. */
static int
socket_take_in(Socket *self, PyObject *messages, int asks_users)
{
    for (; self->head < self->tail; self->head++) {
        Arrival *arrival = &self->arrivals[self->head];
        if (arrival->kind <= LAST) {
            if (socket_add_frame(self, &arrival->frame, asks_users) < 0)
                return -1;
            self->library->msg_close(&arrival->frame);
            if (arrival->kind == FRAME)
                continue;
            arrival->kind = END;
        }
        if (socket_end_message(self, messages, arrival->kind == CUT) < 0)
            return -1;
    }
    self->head = self->tail = 0;
    return 0;
}

static int
socket_run(Socket *self, Turn *turn, PyObject *messages)
{
    /* What a call that failed has left. */
    if (socket_take_in(self, messages, turn->asks_users) < 0)
        return -1;
    turn_fill(turn, self, HELD_FRAMES);
    for (;;) {
        if (socket_take_in(self, messages, turn->asks_users) < 0)
            return -1;
        if (turn->state != GOING)
            break;
        Py_BEGIN_ALLOW_THREADS
        turn_fill(turn, self, CHUNK_FRAMES);
        Py_END_ALLOW_THREADS
    }
    if (turn->state == FAILED) {
        raise_number(self->library, turn->number);
        return -1;
    }
    return 0;
}

static PyObject *
socket_receive(Socket *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 3) {
        PyErr_SetString(PyExc_TypeError, "receive(count, max_frames, asks_users)");
        return NULL;
    }
    Turn turn = {.bytes_left = self->library->burst_bytes,
                 .skips_left = self->library->burst_skips};
    turn.messages_left = PyLong_AsSsize_t(args[0]);
    if (turn.messages_left == -1 && PyErr_Occurred())
        return NULL;
    turn.max_frames = PyLong_AsSsize_t(args[1]);
    if (turn.max_frames == -1 && PyErr_Occurred())
        return NULL;
    turn.asks_users = PyObject_IsTrue(args[2]);
    if (turn.asks_users < 0 || socket_begin(self) < 0)
        return NULL;
    PyObject *messages = self->ready != NULL ? self->ready : PyList_New(0);
    self->ready = NULL;
    PyObject *result = NULL;
    if (messages != NULL) {
        if (turn.messages_left <= 0)
            turn.state = SATED;
        if (socket_run(self, &turn, messages) == 0)
            result = PyTuple_Pack(2, messages, turn.state == DRY ? Py_False : Py_True);
        if (result == NULL && PyList_GET_SIZE(messages) > 0)
            self->ready = Py_NewRef(messages);
        Py_DECREF(messages);
    }
    self->busy = 0;
    return result;
}

/* What is possible now: POLLIN, POLLOUT; -1 for a failure. */
static int
socket_events(Socket *self)
{
    if (socket_begin(self) < 0)
        return -1;
    int events = 0, number = 0;
    do {
        size_t size = sizeof events;
        number = 0;
        if (self->library->getsockopt(self->handle, EVENTS, &events, &size) != 0)
            number = self->library->number();
    } while (number == EINTR);
    self->busy = 0;
    if (number != 0) {
        raise_number(self->library, number);
        return -1;
    }
    return events;
}

/* What a call that failed has left. */
static int
socket_has_left(Socket *self)
{
    return self->ready != NULL || self->head < self->tail;
}

static PyObject *
socket_pending(Socket *self, PyObject *Py_UNUSED(ignored))
{
    if (socket_has_left(self))
        Py_RETURN_TRUE;
    int events = socket_events(self);
    return events < 0 ? NULL : PyBool_FromLong(events & POLLIN);
}

static PyObject *
socket_look(Socket *self, PyObject *Py_UNUSED(ignored))
{
    int events = socket_events(self);
    if (events < 0)
        return NULL;
    return PyTuple_Pack(2, events & POLLIN || socket_has_left(self) ? Py_True : Py_False,
                        events & POLLOUT ? Py_True : Py_False);
}

/* Sending -------------------------------------------------------------------------------- */

enum fate {
    SENT,
    WAITS,     /* its peer's queue is full */
    LOST,      /* there is no such peer */
    BROKEN,
};

/* Have room for so many items; those that are there stay, but may move. */
static int
make_room(void *array, Py_ssize_t *room, Py_ssize_t wanted, size_t size)
{
    if (wanted <= *room)
        return 0;
    void *old;
    memcpy(&old, array, sizeof old);
    if (wanted < 2 * *room)
        wanted = 2 * *room;
    if (wanted < 16)
        wanted = 16;
    void *new = (size_t)wanted <= PY_SSIZE_T_MAX / size
                    ? PyMem_Realloc(old, (size_t)wanted * size)
                    : NULL;
    if (new == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(array, &new, sizeof new);
    *room = wanted;
    return 0;
}

static int
socket_copy(Socket *self, PyObject *object)
{
    Py_buffer view;
    if (PyObject_GetBuffer(object, &view, PyBUF_SIMPLE) < 0)
        return -1;
    frame_t *frame = &self->departures[self->loaded];
    if (self->library->msg_init_size(frame, (size_t)view.len) != 0) {
        PyBuffer_Release(&view);
        PyErr_NoMemory();
        return -1;
    }
    self->loaded++;
    self->loaded_bytes += (size_t)view.len;
    void *place = self->library->msg_data(frame);
    if (view.len > HELD_BYTES) {
        Py_BEGIN_ALLOW_THREADS
        memcpy(place, view.buf, (size_t)view.len);
        Py_END_ALLOW_THREADS
    }
    else if (view.len > 0)
        memcpy(place, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return 0;
}

/* Copy a whole message before any of it is sent: then nothing but the peer can stop it. */
static int
socket_load(Socket *self, PyObject *message)
{
    /* A tuple: while the GIL is let go, nobody changes it. */
    PyObject *frames = PySequence_Tuple(message);
    if (frames == NULL)
        return -1;
    Py_ssize_t count = PyTuple_GET_SIZE(frames);
    int failed = -1;
    if (count == 0)
        PyErr_SetString(PyExc_IndexError, "a message has a frame at least");
    else if (make_room(&self->counts, &self->counts_room, self->messages + 1,
                       sizeof *self->counts) == 0 &&
             make_room(&self->departures, &self->departures_room, self->loaded + count,
                       sizeof *self->departures) == 0) {
        failed = 0;
        for (Py_ssize_t i = 0; i < count && !failed; i++)
            failed = socket_copy(self, PyTuple_GET_ITEM(frames, i));
        if (!failed)
            self->counts[self->messages++] = count;
    }
    Py_DECREF(frames);
    return failed;
}

static int
send_frame(Socket *self, frame_t *frame, int more)
{
    for (;;) {
        int flags = more ? DONTWAIT | SNDMORE : DONTWAIT;
        if (self->library->msg_send(frame, self->handle, flags) >= 0)
            return 0;
        int number = self->library->number();
        if (number != EINTR)
            return number;
    }
}

/* Send a message whole, or not at all. Without the GIL. */
static enum fate
send_message(Socket *self, frame_t *frames, Py_ssize_t count, int *number)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        *number = send_frame(self, &frames[i], i + 1 < count);
        if (*number == 0)
            continue;
        if (*number == EHOSTUNREACH)
            return LOST;
        if (*number != EAGAIN)
            return BROKEN;
        /* Its peer left between two frames: a DEALER rolls back what was sent, and drops what
         * follows up to a last frame. It is shown that end, or it would take the next message
         * for the rest of this one. */
        for (Py_ssize_t j = i + 1; i > 0 && j < count; j++)
            send_frame(self, &frames[j], j + 1 < count);
        return WAITS;
    }
    return SENT;
}

/* Send loaded messages, up to the first whose peer's queue is full; a peer that is not there says
 * nothing of others. The fates of those that are done take the place of their counts. Without
 * the GIL. */
static enum fate
send_loaded(Socket *self, Py_ssize_t *done, int *number)
{
    frame_t *frames = self->departures;
    for (*done = 0; *done < self->messages; ++*done) {
        Py_ssize_t count = self->counts[*done];
        enum fate fate = send_message(self, frames, count, number);
        if (fate == WAITS || fate == BROKEN)
            return fate;
        self->counts[*done] = (Py_ssize_t)fate;
        frames += count;
    }
    return SENT;
}

/* The same from Python; return the fate of the message after those that are done. */
static enum fate
socket_send_loaded(Socket *self, Py_ssize_t *sent)
{
    enum fate fate;
    int number = 0;
    if (self->messages > HELD_MESSAGES || self->loaded > HELD_FRAMES) {
        Py_BEGIN_ALLOW_THREADS
        fate = send_loaded(self, sent, &number);
        Py_END_ALLOW_THREADS
    }
    else
        fate = send_loaded(self, sent, &number);
    /* To close a frame that was sent does nothing. */
    socket_unload(self);
    if (fate == BROKEN)
        raise_number(self->library, number);
    return fate;
}

/* The bytes of a large message, all of whose frames are bytes objects; 0 for any other. */
static Py_ssize_t
large_size(PyObject *frames)
{
    Py_ssize_t size = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(frames); i++) {
        PyObject *frame = PyTuple_GET_ITEM(frames, i);
        if (!PyBytes_CheckExact(frame))
            return 0;
        size += PyBytes_GET_SIZE(frame);
    }
    return size > HELD_BYTES ? size : 0;
}

static void
copy_frame(Socket *self, PyObject *frames, Py_ssize_t at)
{
    PyObject *frame = PyTuple_GET_ITEM(frames, at);
    memcpy(self->library->msg_data(&self->departures[at]), PyBytes_AS_STRING(frame),
           (size_t)PyBytes_GET_SIZE(frame));
}

/* Copy and send what follows a first frame that was taken. Without the GIL: nobody changes a
 * bytes object. */
static enum fate
send_rest(Socket *self, PyObject *frames, int *number)
{
    Py_ssize_t count = PyTuple_GET_SIZE(frames);
    enum fate fate = SENT;
    for (Py_ssize_t i = 1; i < count; i++) {
        copy_frame(self, frames, i);
        int failed = send_frame(self, &self->departures[i], i + 1 < count);
        if (failed == 0 || fate != SENT)
            continue;
        *number = failed;
        /* As in send_message: a socket is shown the end of what it was shown the beginning of. */
        fate = failed == EHOSTUNREACH ? LOST : failed == EAGAIN ? WAITS : BROKEN;
        if (fate != WAITS)
            break;
    }
    return fate;
}

/* Send a large message. All its frames have their memory before the first one is sent, and their
 * bytes are copied after that: a peer whose queue is full costs nothing. */
static enum fate
socket_send_large(Socket *self, PyObject *frames)
{
    Py_ssize_t count = PyTuple_GET_SIZE(frames);
    if (make_room(&self->departures, &self->departures_room, count,
                  sizeof *self->departures) < 0)
        return BROKEN;
    for (Py_ssize_t i = 0; i < count; i++) {
        size_t size = (size_t)PyBytes_GET_SIZE(PyTuple_GET_ITEM(frames, i));
        if (self->library->msg_init_size(&self->departures[i], size) != 0) {
            socket_unload(self);
            PyErr_NoMemory();
            return BROKEN;
        }
        self->loaded++;
    }
    enum fate fate = SENT;
    int number = 0;
    Py_BEGIN_ALLOW_THREADS
    copy_frame(self, frames, 0);
    number = send_frame(self, &self->departures[0], count > 1);
    if (number != 0)
        fate = number == EHOSTUNREACH ? LOST : number == EAGAIN ? WAITS : BROKEN;
    else
        fate = send_rest(self, frames, &number);
    Py_END_ALLOW_THREADS
    socket_unload(self);
    if (fate == BROKEN)
        raise_number(self->library, number);
    return fate;
}

/* A borrowed reference. */
static PyObject *
fate_name(Library *library, enum fate fate)
{
    return fate == SENT ? library->done : fate == WAITS ? library->full : library->gone;
}

static PyObject *
socket_send(Socket *self, PyObject *message)
{
    if (socket_begin(self) < 0)
        return NULL;
    enum fate fate = BROKEN;
    Py_ssize_t done;
    PyObject *frames = PySequence_Tuple(message);
    if (frames == NULL)
        fate = BROKEN;
    else if (large_size(frames) > 0)
        fate = socket_send_large(self, frames);
    else if (socket_load(self, frames) < 0)
        socket_unload(self);
    else {
        fate = socket_send_loaded(self, &done);
        if (fate == SENT)
            fate = (enum fate)self->counts[0];
    }
    self->busy = 0;
    Py_XDECREF(frames);
    return fate == BROKEN ? NULL : Py_NewRef(fate_name(self->library, fate));
}

/* Whose messages wait: all of a socket without routing ids, or those with some first frame. */
typedef struct {
    int any;
    PyObject *peers;
} Full;

static int
full_add(Full *full, Socket *self, PyObject *message)
{
    full->any = 1;
    if (!self->routed)
        return 0;
    PyObject *first = PySequence_GetItem(message, 0);
    if (first == NULL)
        return -1;
    Py_SETREF(first, PyBytes_FromObject(first));
    if (first == NULL)
        return -1;
    if (full->peers == NULL)
        full->peers = PySet_New(NULL);
    int failed = full->peers == NULL ? -1 : PySet_Add(full->peers, first);
    Py_DECREF(first);
    return failed;
}

/* Return whether one of its peer's messages waits before this one. */
static int
full_holds(Full *full, Socket *self, PyObject *message)
{
    if (!full->any || !self->routed)
        return full->any;
    PyObject *first = PySequence_GetItem(message, 0);
    if (first == NULL)
        return -1;
    Py_SETREF(first, PyBytes_FromObject(first));
    if (first == NULL)
        return -1;
    int held = PySet_Contains(full->peers, first);
    Py_DECREF(first);
    return held;
}

static int
append_fate(Library *library, PyObject *fates, enum fate fate)
{
    return PyList_Append(fates, fate_name(library, fate));
}

static int
is_large(PyObject *message)
{
    return PyTuple_CheckExact(message) && large_size(message) > 0;
}

/* Copy messages from number ``at`` on, as many as make a chunk. */
static int
socket_load_chunk(Socket *self, PyObject *messages, Py_ssize_t at, Full *full)
{
    Py_ssize_t end = PyTuple_GET_SIZE(messages);
    do {
        if (socket_load(self, PyTuple_GET_ITEM(messages, at++)) < 0)
            return -1;
        /* Where a queue is full, each message may be the next that is held up. */
    } while (at < end && !full->any && self->loaded < CHUNK_FRAMES &&
             self->loaded_bytes < CHUNK_BYTES && !is_large(PyTuple_GET_ITEM(messages, at)));
    return 0;
}

/* Send the message at ``at``, or the chunk that begins with it, and append the fates of those that
 * are done; return the fate of the one after them. */
static enum fate
socket_send_from(Socket *self, PyObject *messages, Py_ssize_t at, PyObject *fates, Full *full)
{
    PyObject *next = PyTuple_GET_ITEM(messages, at);
    if (is_large(next)) {
        enum fate fate = socket_send_large(self, next);
        if (fate == WAITS || fate == BROKEN)
            return fate;
        return append_fate(self->library, fates, fate) < 0 ? BROKEN : SENT;
    }
    if (socket_load_chunk(self, messages, at, full) < 0) {
        socket_unload(self);
        return BROKEN;
    }
    Py_ssize_t done;
    enum fate fate = socket_send_loaded(self, &done);
    for (Py_ssize_t i = 0; i < done && fate != BROKEN; i++)
        if (append_fate(self->library, fates, (enum fate)self->counts[i]) < 0)
            return BROKEN;
    return fate;
}

static int
socket_send_chunk(Socket *self, PyObject *messages, PyObject *fates, Full *full)
{
    PyObject *next = PyTuple_GET_ITEM(messages, PyList_GET_SIZE(fates));
    int held = full_holds(full, self, next);
    if (held < 0)
        return -1;
    if (held)
        return append_fate(self->library, fates, WAITS);
    enum fate fate = socket_send_from(self, messages, PyList_GET_SIZE(fates), fates, full);
    if (fate == BROKEN)
        return -1;
    if (fate == SENT)
        return 0;
    next = PyTuple_GET_ITEM(messages, PyList_GET_SIZE(fates));
    if (full_add(full, self, next) < 0)
        return -1;
    return append_fate(self->library, fates, fate);
}

static PyObject *
socket_send_all(Socket *self, PyObject *argument)
{
    PyObject *messages = PySequence_Tuple(argument);
    if (messages == NULL)
        return NULL;
    PyObject *fates = PyList_New(0);
    if (fates == NULL || socket_begin(self) < 0) {
        Py_XDECREF(fates);
        Py_DECREF(messages);
        return NULL;
    }
    Full full = {0, NULL};
    int failed = 0;
    while (!failed && PyList_GET_SIZE(fates) < PyTuple_GET_SIZE(messages))
        failed = socket_send_chunk(self, messages, fates, &full);
    self->busy = 0;
    Py_XDECREF(full.peers);
    Py_DECREF(messages);
    if (failed)
        Py_CLEAR(fates);
    return fates;
}

/* The module ----------------------------------------------------------------------------- */

static PyMethodDef socket_methods[] = {
    {"receive", (PyCFunction)(void (*)(void))socket_receive, METH_FASTCALL,
     PyDoc_STR("receive(count, max_frames, asks_users) -> (messages, has_more)")},
    {"pending", (PyCFunction)socket_pending, METH_NOARGS,
     PyDoc_STR("pending() -> whether there is something to receive")},
    {"look", (PyCFunction)socket_look, METH_NOARGS,
     PyDoc_STR("look() -> whether there is something to receive, and whether one can send")},
    {"send", (PyCFunction)socket_send, METH_O, PyDoc_STR("send(frames) -> Sent")},
    {"send_all", (PyCFunction)socket_send_all, METH_O,
     PyDoc_STR("send_all(messages) -> list of Sent")},
    {"close", (PyCFunction)socket_close, METH_NOARGS,
     PyDoc_STR("Use the socket no more; it is not closed by this.")},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject SocketType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "vpoller_like.transport._burst.Socket",
    .tp_doc = PyDoc_STR("A ZeroMQ socket, by its address, that never blocks."),
    .tp_basicsize = sizeof(Socket),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = socket_new,
    .tp_dealloc = (destructor)socket_dealloc,
    .tp_methods = socket_methods,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "vpoller_like.transport._burst",
    .m_doc = PyDoc_STR("Many messages to or from a ZeroMQ socket in one call."),
    .m_size = -1,
};

PyMODINIT_FUNC
PyInit__burst(void)
{
    PyObject *self = PyModule_Create(&module);
    if (self == NULL)
        return NULL;
    if (PyModule_AddType(self, &LibraryType) < 0 || PyModule_AddType(self, &SocketType) < 0 ||
        PyModule_AddIntConstant(self, "INTERFACE", INTERFACE) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}
