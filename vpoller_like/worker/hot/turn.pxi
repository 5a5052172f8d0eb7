cdef object _read_common(frames):
    """Return what brokers say all the time; ``None`` for all else, and for what is no message."""
    cdef bytes command
    if type(frames) is not list or len(<list>frames) != 2:
        return None
    if type((<list>frames)[0]) is not bytes:
        return None
    command = (<list>frames)[0]
    if len(command) != 1:
        return None
    if <unsigned char>command[0] == TASKS:
        reader = _read_tasks
    elif <unsigned char>command[0] == ACK:
        reader = _read_ack
    else:
        return None
    try:
        return reader((<list>frames)[1])
    except FAULTS:
        # The one in Python finds that, too, and says what it is.
        return None


cdef class Turn:
    cdef readonly Flow _core
    cdef readonly Executor _executor
    cdef readonly object _waker, _clock, _orders
    cdef readonly list _ports
    cdef public object _poll, ended
    cdef public list _actions
    cdef public dict _perform
    cdef public double _next_pulse, _next_look

    def __init__(self, Flow core not None, Executor executor not None, list ports, waker, clock):
        self._core = core
        self._executor = executor
        self._ports = ports
        self._waker = waker
        self._clock = clock
        self._poll = Poll()
        self._orders = deque()
        self._actions = []
        self._perform = {}
        self._next_pulse = 0.0
        self._next_look = 0.0
        self.ended = None

    def settle(self):
        cdef double now, due
        cdef Flow core = self._core
        cdef list started = self._executor._take_started()
        cdef list finished = self._executor._take_finished()
        if started or finished:
            self._do(core._note(started, finished, time_of(self._clock)))
        now = time_of(self._clock)
        due = self._core._next_due(now)
        if now >= self._next_pulse or due <= now:
            found = self._look_around(now)
            due = NEVER if found is None else found
        self._next_look = min(due, self._next_pulse)
        return self.ended is None

    def listen(self):
        cdef double patience = 0.0
        cdef Py_ssize_t index
        if not self._executor._is_ready():
            patience = max(0.0, self._next_look - time_of(self._clock))
        ready = self._poll.wait(patience)
        if self._waker.fd in ready:
            self._waker.clear()
        for index in range(len(self._ports)):
            port = self._ports[index]
            for message in port.receive(port.socket in ready):
                self._take(index, message.frames)
        while self._orders:
            self._c_feed(self._orders.popleft())

    cdef int _take(self, Py_ssize_t index, frames) except -1:
        cdef Flow core = self._core
        said = _read_common(frames)
        if said is None:
            try:
                said = _decode(frames)
            except _ProtocolError as error:
                self._garbled(index, error)
                return 0
            if type(said) in REMARKABLE:
                self._remark(index, said)
                core = self._core
        return self._do(core._hear(index, said, time_of(self._clock)))

    def _feed(self, event):
        self._c_feed(event)

    cdef int _c_feed(self, event) except -1:
        cdef Flow core = self._core
        return self._do(core._handle(event, time_of(self._clock)))

    cdef int _do(self, list actions) except -1:
        # Held while it runs: something may take its place meanwhile.
        cdef Executor executor = self._executor
        self._actions = actions
        for action in actions:
            kind = type(action)
            if kind is _Send:
                link, message = action.link, action.message
                frames = (_COMMANDS[type(message)], _write(message))
                if self._ports[link].send(frames) is not DONE:
                    self._follow(_Unsent(link, message))
            elif kind is _Submit:
                executor._waiting.extend(action.runs)
            else:
                self._perform[kind](action)
        return 0

    cpdef _follow(self, event):
        cdef Flow core = self._core
        self._actions.extend(core._handle(event, time_of(self._clock)))

    # Who derives from it ---------------------------------------------------------------

    def _look_around(self, now):
        raise NotImplementedError

    def _remark(self, index, said):
        raise NotImplementedError

    def _garbled(self, index, error):
        raise NotImplementedError
