cdef class Inbox:
    cdef readonly Py_ssize_t _max_request, _max_frames, _max_batch
    cdef readonly object messages
    cdef dict _let_in

    def __init__(
        self,
        Py_ssize_t max_request,
        Py_ssize_t max_frames,
        Py_ssize_t max_batch,
        dict let_in not None,
    ):
        self._max_request = max_request
        self._max_frames = max_frames
        self._max_batch = max_batch
        self._let_in = let_in
        self.messages = deque()

    def take(self, bint asks_users):
        return self.c_take(asks_users)

    cdef list c_take(self, bint asks_users):
        cdef list requests = []
        messages = self.messages
        while messages and len(requests) < TURN:
            self._take_usual(requests, asks_users)
            if not messages or len(requests) >= TURN:
                break
            requests.extend(self.unusual(messages.popleft(), asks_users))
        return requests

    cdef int _take_usual(self, list requests, bint asks_users) except -1:
        cdef Py_ssize_t count
        messages = self.messages
        while messages and len(requests) < TURN:
            count = len(requests)
            message = messages[0]
            if not isinstance(message, tuple):
                raise TypeError("a message is a tuple")
            if asks_users and is_chosen((<tuple>message)[0][0]):
                return 0
            if not self._take_one(<tuple>message, requests):
                return 0
            if asks_users and not self._give_principals((<tuple>message)[2], requests, count):
                # Of a batch they are asked about again, all of them.
                del requests[count:]
                return 0
            messages.popleft()
        return 0

    cdef bint _give_principals(self, user, list requests, Py_ssize_t first) except -1:
        """Do so with those from ``first`` on; say whether their like was let in before."""
        cdef Request request
        cdef Py_ssize_t index
        for index in range(first, len(requests)):
            request = requests[index]
            principal = self._let_in.get((user, request.method))
            if principal is None:
                return False
            request.principal = principal
        return True

    cdef bint _take_one(self, tuple message, list requests) except -1:
        """Read ``message`` if it is one request, or a batch, in JSON; say whether it is."""
        cdef list frames = message[0]
        cdef Py_ssize_t count = len(frames)
        cdef bytes body, empty
        cdef tuple envelope
        if message[1] or count < 3 or count > 4 or count - 2 > self._max_frames:
            return False
        empty, body = frames[count - 2], frames[count - 1]
        if len(empty) or not 0 < len(body) <= self._max_request:
            return False
        if count == 4 and not 0 < len(<bytes?>frames[1]) <= MAX_FRAME:
            return False
        envelope = (frames[0], empty) if count == 3 else (frames[0], frames[1], empty)
        if (<const unsigned char *>body)[0] == b"{":
            return take_plain(envelope, body, requests) or take_other(envelope, body, requests)
        if (<const unsigned char *>body)[0] == b"[" and self._max_batch:
            return self._take_plain_batch(envelope, body, requests) or self._take_batch(
                envelope, body, requests
            )
        return False

    cdef bint _take_plain_batch(self, tuple envelope, bytes body, list requests) except -1:
        cdef Scan scan
        cdef unsigned char *room
        cdef const unsigned char *start
        cdef Py_ssize_t count = len(requests)
        cdef Py_ssize_t index = 0
        cdef Request request
        scan.at = <const unsigned char *>body + 1
        scan.end = <const unsigned char *>body + len(body)
        while index < self._max_batch:
            skip_spaces(&scan)
            start = scan.at
            # Each time: another thread may have taken a larger one since.
            room = room_for(len(body))
            if room == NULL or not scan_request(&scan, room):
                break
            request = new_request(envelope, index)
            request.body = PyBytes_FromStringAndSize(<const char *>start, scan.at - start)
            request.take_scan(&scan, room)
            requests.append(request)
            index += 1
            if takes(&scan, b"]"):
                skip_spaces(&scan)
                if scan.at == scan.end:
                    return True
                break
            if not takes(&scan, b","):
                break
        # One that is not plain, or one too many: they are read another way, all of them.
        del requests[count:]
        return False

    cdef bint _take_batch(self, tuple envelope, bytes body, list requests) except -1:
        cdef list heads, elements
        cdef Py_ssize_t index
        try:
            elements = _json_elements(body)
            # Sooner than what reads so many.
            if not 0 < len(elements) <= self._max_batch:
                return False
            heads = _json_heads(body)
        except DECODE_FAULTS:
            return False
        for index in range(len(heads)):
            add_request(envelope, bytes_of(elements[index]), heads[index], index, requests)
        return True


cdef bint is_chosen(bytes peer) except -1:
    return len(peer) != 5 or (<const unsigned char *>peer)[0]


cdef bint take_plain(tuple envelope, bytes body, list requests) except -1:
    """Take the request in if it is a plain one; say whether it is."""
    cdef Scan scan
    cdef unsigned char *room = room_for(len(body))
    cdef Request request
    if room == NULL:
        return False
    scan.at = body
    scan.end = scan.at + len(body)
    if not scan_request(&scan, room):
        return False
    skip_spaces(&scan)
    if scan.at != scan.end:
        return False
    request = new_request(envelope, None)
    request.body = body
    request.take_scan(&scan, room)
    requests.append(request)
    return True


cdef bint take_other(tuple envelope, bytes body, list requests) except -1:
    """Take any other request in if it is right; say whether it is."""
    try:
        head = _json_head(body)
    except DECODE_FAULTS:
        return False
    add_request(envelope, body, head, None, requests)
    return True


cdef int add_request(tuple envelope, bytes body, head, index, list requests) except -1:
    cdef Request request = new_request(envelope, index)
    request.body = body
    request.take_head(head)
    requests.append(request)
    return 0


cdef Request new_request(tuple envelope, index):
    cdef Request request = Request.__new__(Request)
    request.envelope = envelope
    request.principal = ""
    request.index = index
    return request


cdef bytes bytes_of(raw):
    cdef Py_buffer view
    PyObject_GetBuffer(raw, &view, PyBUF_SIMPLE)
    try:
        return PyBytes_FromStringAndSize(<char *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
