# A remembered reply is kept for long, there are many, and by the time it goes none of it is in any
# cache. So it is no object: what can be lies in one piece, those that came one after the other lie
# side by side, and they are found by a table of hashes.

cdef enum:
    # Bytes of a fingerprint that was taken here.
    MARK = 16
    # Bytes that are asked of the system at once, and what is written into it at most of a key, and
    # of a body.
    ARENA = 65536
    SHORT_KEY = 1024
    SHORT_BODY = 2048
    # Places in an empty table; always a power of two.
    FEW = 64


cdef struct Arena:
    # Of its bytes; and of its records, those that are remembered still.
    Py_ssize_t used, live


cdef struct Record:
    Record *younger
    Arena *arena
    unsigned long long hash
    double arrived, finished
    Told told
    # References; NULL for what follows in its own bytes, and for what there is not.
    void *key
    void *body
    void *label
    void *encoding
    # A Remembered, where there is more to it than has its place here.
    void *odd
    Py_ssize_t principal_size, id_size, body_size
    unsigned char mark[MARK]


cdef struct Place:
    unsigned long long hash
    Record *record


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Remembered:
    cdef readonly bytes fingerprint, body
    cdef readonly object encoding, meta
    cdef readonly double arrived, finished

    def __init__(
        self,
        bytes fingerprint not None,
        bytes body not None,
        encoding,
        meta,
        double arrived,
        double finished,
    ):
        self.fingerprint = fingerprint
        self.body = body
        self.encoding = encoding
        self.meta = meta
        self.arrived = arrived
        self.finished = finished


@cython.final
cdef class Memory:
    cdef readonly double since
    cdef readonly Py_ssize_t bytes, evicted, peak, peak_bytes
    cdef readonly Py_ssize_t _max_bytes, _max_count
    cdef double _seconds
    cdef Py_ssize_t _count
    cdef Record *_oldest
    cdef Record *_youngest
    cdef Arena *_arena
    cdef Place *_places
    # How many places there are, less one.
    cdef size_t _mask

    def __cinit__(self):
        self._places = <Place *>PyMem_Calloc(FEW, sizeof(Place))
        if self._places == NULL:
            raise MemoryError
        self._mask = FEW - 1

    def __init__(self, double started, double seconds, Py_ssize_t max_bytes, Py_ssize_t max_count):
        self.since = started
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._max_count = max_count

    def __dealloc__(self):
        while self._oldest != NULL:
            self._forget_oldest()
        PyMem_Free(self._arena)
        PyMem_Free(self._places)

    def __len__(self):
        return self._count

    def __iter__(self):
        cdef Record *record = self._oldest
        keys = []
        while record != NULL:
            keys.append(key_of(record))
            record = record.younger
        return iter(keys)

    def __contains__(self, tuple key not None):
        return self.c_knows(key[0], key[1])

    def get(self, tuple key not None):
        cdef Record *record = self._find(key[0], key[1])
        return None if record == NULL else remembered(record, key)

    def put(self, tuple key not None, Remembered entry not None):
        cdef Record *record = self._find(key[0], key[1])
        if record != NULL:
            self.bytes -= record.body_size + REMEMBERED_BYTES
            drop_references(record)
        else:
            record = self._append(key, 0)
        keep(&record.odd, entry)
        record.arrived, record.finished = entry.arrived, entry.finished
        record.body_size = len(entry.body)
        self._grown(record)

    cdef int c_put(self, Task task, bytes body, label, const Told *told, double now) except -1:
        """Remember what ``task`` is answered with, and what is told with it."""
        cdef bytes mark = task.fingerprint or b""
        cdef Py_ssize_t size = len(body)
        cdef Record *record
        if len(mark) != MARK or self._find(task.key[0], task.key[1]) != NULL:
            meta = meta_of(task.key[1], label, told)
            self.put(task.key, Remembered(mark, body, task.encoding, meta, task.arrived, now))
            return 0
        record = self._append(task.key, size if size <= SHORT_BODY else 0)
        if size <= SHORT_BODY:
            memcpy(body_of(record), <const char *>body, size)
        else:
            keep(&record.body, body)
        record.body_size = size
        memcpy(record.mark, <const char *>mark, MARK)
        record.told = told[0]
        keep(&record.label, label)
        keep(&record.encoding, task.encoding)
        record.arrived, record.finished = task.arrived, now
        self._grown(record)
        return 0

    def expire(self, double now):
        while self._oldest != NULL and self._oldest.finished + self._seconds <= now:
            self._drop_oldest()

    def may_have_forgotten(self, double first_sent):
        return first_sent < self.since

    # What there is

    cdef bint c_knows(self, principal, id) except -1:
        return self._find(principal, id) != NULL

    cdef Record *_find(self, principal, id) except? NULL:
        cdef unsigned long long code = hash_of(principal, id)
        cdef size_t at = code & self._mask
        cdef Record *record
        while True:
            record = self._places[at].record
            if record == NULL:
                return NULL
            if self._places[at].hash == code and is_of(record, principal, id):
                return record
            at = (at + 1) & self._mask

    cdef void _grown(self, Record *record) noexcept:
        """``record`` has its body's size now."""
        cdef Py_ssize_t size = self.bytes + record.body_size + REMEMBERED_BYTES
        self.bytes = size
        if size > self._max_bytes or self._count > self._max_count:
            self._make_room()
            return
        if self._count > self.peak:
            self.peak = self._count
        if size > self.peak_bytes:
            self.peak_bytes = size

    cdef void _make_room(self) noexcept:
        while self._oldest != NULL and (
            self.bytes > self._max_bytes or self._count > self._max_count
        ):
            self._drop_oldest()
        if self.bytes > self.peak_bytes:
            self.peak_bytes = self.bytes

    cdef void _drop_oldest(self) noexcept:
        self.bytes -= self._oldest.body_size + REMEMBERED_BYTES
        if self._oldest.arrived > self.since:
            self.since = self._oldest.arrived
        self.evicted += 1
        self._forget_oldest()

    # How it is kept

    cdef Record *_append(self, tuple key, Py_ssize_t body_size) except NULL:
        """Return a new record for ``key``, in its place, with room for a body."""
        cdef Record *record
        cdef Py_ssize_t size = key_size(key)
        if 2 * self._count > <Py_ssize_t>self._mask:
            self._widen()
        record = self._room(sizeof(Record) + size + body_size)
        memset(record, 0, sizeof(Record))
        record.arena = self._arena
        record.hash = hash_of(key[0], key[1])
        if size:
            record.principal_size = put_name(texts_of(record), key[0])
            record.id_size = put_name(texts_of(record) + record.principal_size, key[1])
        else:
            keep(&record.key, key)
        self._arena.live += 1
        enter(self._places, self._mask, record.hash, record)
        if self._oldest == NULL:
            self._oldest = record
        else:
            self._youngest.younger = record
        self._youngest = record
        self._count += 1
        return record

    cdef Record *_room(self, Py_ssize_t size) except NULL:
        cdef Arena *arena
        cdef Record *record
        # What follows begins where a number may.
        size = (size + 7) & ~7
        if self._arena == NULL or self._arena.used + size > ARENA:
            arena = <Arena *>PyMem_Malloc(ARENA)
            if arena == NULL:
                raise MemoryError
            if self._arena != NULL and not self._arena.live:
                PyMem_Free(self._arena)
            arena.used, arena.live = sizeof(Arena), 0
            self._arena = arena
        record = <Record *>(<char *>self._arena + self._arena.used)
        self._arena.used += size
        return record

    cdef int _widen(self) except -1:
        cdef size_t mask = 2 * self._mask + 1
        cdef Place *places = <Place *>PyMem_Calloc(mask + 1, sizeof(Place))
        cdef size_t at
        if places == NULL:
            raise MemoryError
        # Without a look at the records, which are cold.
        for at in range(self._mask + 1):
            if self._places[at].record != NULL:
                enter(places, mask, self._places[at].hash, self._places[at].record)
        PyMem_Free(self._places)
        self._places, self._mask = places, mask
        return 0

    cdef void _forget_oldest(self) noexcept:
        cdef Record *record = self._oldest
        cdef Arena *arena = record.arena
        leave(self._places, self._mask, record)
        self._oldest = record.younger
        self._count -= 1
        drop_references(record)
        drop(&record.key)
        arena.live -= 1
        if not arena.live and arena != self._arena:
            PyMem_Free(arena)


# The table: a record lies at its hash, or in the next free place behind.

cdef void enter(
    Place *places, size_t mask, unsigned long long hash, Record *record
) noexcept:
    cdef size_t at = hash & mask
    while places[at].record != NULL:
        at = (at + 1) & mask
    places[at].hash, places[at].record = hash, record


cdef void leave(Place *places, size_t mask, Record *record) noexcept:
    cdef size_t free = record.hash & mask
    cdef size_t at
    while places[free].record != record:
        free = (free + 1) & mask
    at = free
    while True:
        at = (at + 1) & mask
        if places[at].record == NULL:
            break
        # It may move to where it is found from its hash on.
        if ((at - places[at].hash) & mask) >= ((at - free) & mask):
            places[free] = places[at]
            free = at
    places[free].record = NULL


cdef inline unsigned long long hash_of(principal, id) except? 0:
    cdef unsigned long long code = <unsigned long long>hash(id)
    code ^= <unsigned long long>hash(principal) * 0x9E3779B97F4A7C15ULL
    return code ^ (code >> 32)


# A record's texts: the principal, the id, the body.

cdef inline char *texts_of(Record *record) noexcept:
    return <char *>record + sizeof(Record)


cdef inline char *body_of(Record *record) noexcept:
    return texts_of(record) + record.principal_size + record.id_size


cdef Py_ssize_t key_size(tuple key) noexcept:
    """Return how many bytes a record's texts take of ``key``; 0 where it is kept as it is."""
    cdef Py_ssize_t size
    if not is_name(key[0]) or not is_name(key[1]):
        return 0
    size = PyUnicode_GET_LENGTH(key[0]) + PyUnicode_GET_LENGTH(key[1])
    return size if size <= SHORT_KEY else 0


cdef inline bint is_name(text) noexcept:
    return type(text) is str and PyUnicode_IS_COMPACT_ASCII(text)


cdef Py_ssize_t put_name(char *at, text) noexcept:
    memcpy(at, PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))
    return PyUnicode_GET_LENGTH(text)


cdef bint is_of(Record *record, principal, id) except -1:
    if record.key != NULL:
        return (<tuple>record.key) == (principal, id)
    return is_text(principal, texts_of(record), record.principal_size) and is_text(
        id, texts_of(record) + record.principal_size, record.id_size
    )


cdef inline bint is_text(text, const char *here, Py_ssize_t size) noexcept:
    return (
        is_name(text)
        and PyUnicode_GET_LENGTH(text) == size
        and not memcmp(PyUnicode_DATA(text), here, size)
    )


cdef tuple key_of(Record *record):
    cdef const char *texts = texts_of(record)
    if record.key != NULL:
        return <tuple>record.key
    return (
        PyUnicode_DecodeASCII(texts, record.principal_size, NULL),
        PyUnicode_DecodeASCII(texts + record.principal_size, record.id_size, NULL),
    )


cdef object remembered(Record *record, tuple key):
    cdef bytes body
    if record.odd != NULL:
        return <object>record.odd
    if record.body != NULL:
        body = <object>record.body
    else:
        body = PyBytes_FromStringAndSize(body_of(record), record.body_size)
    return Remembered(
        PyBytes_FromStringAndSize(<char *>record.mark, MARK),
        body,
        <object>record.encoding,
        meta_of(key[1], <object>record.label, &record.told),
        record.arrived,
        record.finished,
    )


# References in C's structures.

cdef inline void keep(void **place, thing) noexcept:
    Py_INCREF(thing)
    place[0] = <void *>thing


cdef inline void drop(void **place) noexcept:
    cdef void *thing = place[0]
    place[0] = NULL
    if thing != NULL:
        Py_DECREF(<object>thing)


cdef void drop_references(Record *record) noexcept:
    drop(&record.body)
    drop(&record.label)
    drop(&record.encoding)
    drop(&record.odd)
