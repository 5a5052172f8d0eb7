@cython.final
cdef class Account:
    """What one share has under way: requests that are not answered, and bytes that wait."""

    cdef object share
    cdef Py_ssize_t requests, bytes


@cython.final
cdef class Quota:
    cdef readonly Py_ssize_t max_requests, max_bytes
    cdef readonly Py_ssize_t bytes, peak, peak_bytes
    cdef dict _accounts

    def __init__(self, Py_ssize_t max_requests, Py_ssize_t max_bytes):
        self.max_requests = max_requests
        self.max_bytes = max_bytes
        self._accounts = {}

    def __bool__(self):
        return bool(self._accounts)

    @property
    def most(self):
        return max(self._requests.values(), default=0)

    @property
    def _requests(self):
        cdef Account one
        return {one.share: one.requests for one in self._accounts.values() if one.requests}

    @property
    def _bytes(self):
        cdef Account one
        return {one.share: one.bytes for one in self._accounts.values() if one.bytes}

    cdef Account of(self, share):
        cdef Account found = self._accounts.get(share)
        if found is None:
            found = Account.__new__(Account)
            found.share = share
            self._accounts[share] = found
        return found

    cdef void settle(self, Account account) except *:
        if not account.requests and not account.bytes:
            del self._accounts[account.share]

    cpdef bint take(self, share) except -1:
        cdef Account account = self.of(share)
        if account.requests >= self.max_requests:
            self.settle(account)
            return False
        account.requests += 1
        if account.requests > self.peak:
            self.peak = account.requests
        return True

    cpdef void give_back(self, share) except *:
        cdef Account account = self._accounts[share]
        if not account.requests:
            raise KeyError(share)
        account.requests -= 1
        self.settle(account)

    cpdef bint has_room(self, share, Py_ssize_t size) except -1:
        cdef Py_ssize_t free = self.max_bytes - self.bytes
        cdef Py_ssize_t mine = 0
        cdef Account account
        if not self.bytes:
            return True
        account = self._accounts.get(share)
        if account is not None:
            mine = account.bytes
        return size <= free and (not mine or mine + size <= free)

    cpdef void hold(self, share, Py_ssize_t size) except *:
        cdef Account account = self.of(share)
        self.bytes += size
        if self.bytes > self.peak_bytes:
            self.peak_bytes = self.bytes
        account.bytes += size

    cpdef void release(self, share, Py_ssize_t size) except *:
        cdef Account account
        self.bytes -= size
        account = self._accounts[share]
        if not account.bytes:
            raise KeyError(share)
        account.bytes -= size
        self.settle(account)
